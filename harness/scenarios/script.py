"""A little scene: a few people, a few messages and a few faults, each at a moment that is written down.

A failure of an exercise is reduced to one of these. What is right in it is what is right in every chat, so
the same checkers judge it. Beside the acts, each scene has the same frame: the server starts, people
enter, then all do what they do without waiting for one another; who was cut off comes back; somebody reads
everything.
"""

from __future__ import annotations

from contextlib import suppress
from math import inf
from random import Random

from msgspec import Struct

from harness.checkers import durability, notices, pages, presence, replay
from harness.checkers.catalogue import Anomaly
from harness.history.index import Conn, HistoryIndex
from harness.scenarios.common import together
from harness.verdict.judge import anomalies_in
from harness.worlds.base import World
from harness.worlds.client import Client
from harness.worlds.surroundings import Gone, PlayStopped

ROOM = "room"
USERS = ("alice", "bob", "carol")
NOBODY = -1
"""Who does what the server suffers."""
SOON = 2.0
"""Seconds after which a server has noticed whatever happened to a connection, except for silence."""
SPREADS = (0.005, 0.05, 0.5)
"""Seconds in which everything happens: much at once, or rather one thing after the other."""
FAULTS = {
    1: ("enter", "leave", "close", "cut", "babble"),
    2: ("enter", "come_back", "repeat"),
    3: ("close", "cut", "leave", "enter", "vanish"),
    4: ("kill", "restart"),
}
"""What may happen beside messages, in each exercise."""
OF_THE_SERVER = frozenset(FAULTS[4])
OF_PEOPLE = frozenset({"say"}.union(*FAULTS.values()) - OF_THE_SERVER)


class Act(Struct, frozen=True):
    """Something that one client does (its number; NOBODY for the server), some seconds after the beginning.

    `what` is say, repeat (the last message, with its id), babble (a bad message), enter, leave, close, cut,
    vanish, come_back, kill or restart. Who is not in the room does not speak.
    """

    at: float
    who: int
    what: str


class Script(Struct, frozen=True):
    """A scene: the user of each client, who of them is in the room at the beginning, and what happens.

    Afterwards everybody stays for `intervals` heartbeats.
    """

    users: list[str]
    inside: list[int]
    acts: list[Act]
    intervals: int = 0


def is_playable(script: Script) -> bool:
    """Whether everybody who does something is there, and can do it."""
    people = range(len(script.users))
    return (
        bool(script.users)
        and all(number in people for number in script.inside)
        and all(
            act.who == NOBODY if act.what in OF_THE_SERVER else act.who in people and act.what in OF_PEOPLE
            for act in script.acts
        )
    )


def plan(rng: Random, exercise: int, people: int, messages: int, faults: int) -> Script:
    """A scene with so many of each."""
    users = list(USERS[:people])
    if exercise == 3 and people > 1 and rng.random() < 0.5:
        users[-1] = users[0]  # one user with two connections
    spread = rng.choice(SPREADS)

    def moment() -> float:
        return round(rng.uniform(0.0, spread), 4)

    acts = [Act(moment(), rng.randrange(people), "say") for _ in range(messages)]
    for _ in range(faults):
        what = rng.choice(FAULTS[exercise])
        who = NOBODY if what in OF_THE_SERVER else rng.randrange(people)
        acts.append(Act(moment(), who, what))
    late = {act.who for act in acts if act.what == "enter"}
    inside = [number for number in range(people) if number not in late]
    return Script(users, inside, sorted(acts, key=lambda act: act.at), 4 if exercise == 3 else 0)


async def play(script: Script, world: World) -> None:
    """Play the scene."""
    room = world.name(ROOM)
    await world.start_server()
    clients = [await world.client(_name(script, number), user) for number, user in enumerate(script.users)]
    for number in script.inside:
        await clients[number].join(room)
    began = world.now()
    world.note("began", began)

    said: dict[int, tuple[str, str]] = {}

    async def act_all(number: int) -> None:
        for act in script.acts:
            if act.who == number:
                await world.pause(max(0.0, began + act.at - world.now()))
                with suppress(Gone):
                    await _act(world, clients, room, act, said)

    await together(*(act_all(number) for number in (NOBODY, *range(len(clients)))))
    await world.pause(SOON)
    await world.settle()
    if any(act.who == NOBODY for act in script.acts):
        for client in clients:
            await _come_back(client, room)
    await world.pause(script.intervals * world.heartbeat)
    await world.settle()
    reader = await world.client("reader")
    await reader.ask_presence(room)
    await reader.read_all(room)
    world.note("users", sorted({client.user for client in clients}))


def _name(script: Script, number: int) -> str:
    """A client's name: its user's, with a number if that one has two."""
    user = script.users[number]
    return f"{user}{script.users[:number].count(user) + 1}" if script.users.count(user) > 1 else user


async def _act(
    world: World, clients: list[Client], room: str, act: Act, said: dict[int, tuple[str, str]]
) -> None:
    if act.who == NOBODY:
        await (world.kill_server() if act.what == "kill" else world.stop_server())
        await world.start_server()
        return
    client = clients[act.who]
    if client.is_mute:
        return  # who has vanished does nothing more
    match act.what:
        case "say" if client.is_in(room):
            said[act.who] = (f"{world.tag()}. hello", world.name(f"m{world.next_number()}"))
            await client.say(room, *said[act.who])
        case "repeat" if client.is_in(room) and act.who in said:
            await client.say(room, *said[act.who])
        case "enter":
            await client.join(room)
        case "leave" if client.is_in(room):
            await client.leave(room)
        case "close":
            await client.close()
        case "cut":
            await client.reset()
        case "babble" if client.is_open:
            bad = {"type": "message", "data": {"room": room, "content": 5}}
            await client.send_bad(bad, "content_number")
        case "vanish":
            client.vanish()
        case "come_back":
            await client.reset()
            await _come_back(client, room)


async def _come_back(client: Client, room: str) -> None:
    """Connect again, and join with what was seen."""
    if client.is_open:
        return
    with suppress(PlayStopped):
        await client.connect()
        await client.join(room, client.newest[room])


def check(index: HistoryIndex) -> list[Anomaly]:
    """Whatever is wrong with what happened."""
    room = f"{ROOM}-{index.began.nonce}"
    return [
        *anomalies_in(index),
        *(each for what in ("joined", "left") for each in notices.missing(index, room, what)),
        *notices.unjustified(index, room),
        *pages.wrong(index, room),
        *replay.retries(index, room),
        *durability.lost(index, room),
        *durability.replayed_as_new(index, room),
        *pages.mismatches(index, room, "changed_after_restart"),
        *_presence(index, room),
    ]


def _presence(index: HistoryIndex, room: str) -> list[Anomaly]:
    """Those who stood all the time were always shown, got their heartbeats, and are in the last answer."""
    if not index.notes["users"] or durability.ends(index):
        return []
    users = set(index.notes["users"][0])
    reader = next((conn for conn in index.conns.values() if conn.client == "reader"), Conn(0, ""))
    members = index.members(room)
    here = {member.user for member in members if member.stop == inf}
    found = presence.listed(index, reader.number, room, here, reader.opened, inf, users)
    steady = [m for m in members if m.stop == inf and m.start <= index.notes["began"][0]]
    end = index.events[-1].at
    for member in steady:
        witnesses = [each.conn for each in steady]
        found += presence.always_here(index, member.user, room, witnesses, member.start, end, "twin")
        conn = index.conn(member.conn)
        if end - member.start > 2 * conn.heartbeat:
            found += presence.heartbeats(index, [conn], member.start, end, conn.heartbeat, 1.0)
    return found
