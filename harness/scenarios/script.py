"""A little scene: a few people, a few messages and a few faults, each at a moment that is written down.

A failure of an exercise is reduced to one of these. What is right in it is what is right in every chat, so
the same checkers judge it. Beside the acts, each scene has the same frame: the server starts, people
enter, then all do what they do without waiting for one another; who was cut off comes back; somebody reads
everything.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from math import inf
from random import Random

from msgspec import Struct

from harness.checkers import durability, notices, pages, presence, replay
from harness.checkers.catalogue import Anomaly
from harness.history.faults import GO_SILENT
from harness.history.index import Conn, HistoryIndex
from harness.scenarios.common import together
from harness.verdict.any_history import anomalies_in
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


class Scenes(Struct, frozen=True):
    """Which scenes are drawn for an exercise: of how many people, messages and faults, and which faults.

    Everybody stays for `intervals` heartbeats afterwards. With `twins`, one user may have two connections.
    """

    people: range
    messages: range
    faults: range
    acts: tuple[str, ...]
    intervals: int = 0
    twins: bool = False


class Act(Struct, frozen=True):
    """Something that one client does (its number; NOBODY for the server), some seconds after the beginning.

    `what` is a key of ACTS, or of ACTS_OF_THE_SERVER. Who is not in the room does not speak.
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
            act.who == NOBODY if act.what in ACTS_OF_THE_SERVER else act.who in people and act.what in ACTS
            for act in script.acts
        )
    )


def plan(rng: Random, scenes: Scenes, people: int, messages: int, faults: int) -> Script:
    """One of these scenes, with so many of each."""
    users = list(USERS[:people])
    if scenes.twins and people > 1 and rng.random() < 0.5:
        users[-1] = users[0]  # one user with two connections
    spread = rng.choice(SPREADS)

    def moment() -> float:
        return round(rng.uniform(0.0, spread), 4)

    acts = [Act(moment(), rng.randrange(people), "say") for _ in range(messages)]
    for _ in range(faults):
        what = rng.choice(scenes.acts)
        who = NOBODY if what in ACTS_OF_THE_SERVER else rng.randrange(people)
        acts.append(Act(moment(), who, what))
    late = {act.who for act in acts if act.what == "enter"}
    inside = [number for number in range(people) if number not in late]
    return Script(users, inside, sorted(acts, key=lambda act: act.at), scenes.intervals)


async def play(script: Script, world: World) -> None:
    """Play the scene."""
    room = world.name(ROOM)
    await world.start_server()
    clients = [await world.client(_name(script, number), user) for number, user in enumerate(script.users)]
    for number in script.inside:
        await clients[number].join(room)
    began = world.now()
    world.note("began", began)

    stage = _Stage(world, room, clients)

    async def act_all(number: int) -> None:
        for act in script.acts:
            if act.who == number:
                await world.pause(max(0.0, began + act.at - world.now()))
                with suppress(Gone):
                    await stage.act(act)

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


class _Stage:
    """Those who act in the scene, the room, and what each of them said last, with its id."""

    def __init__(self, world: World, room: str, clients: list[Client]) -> None:
        self.world = world
        self.room = room
        self.clients = clients
        self._said: dict[str, tuple[str, str]] = {}

    async def act(self, act: Act) -> None:
        """Have somebody do something, if that is possible now. Raises Gone if the connection is lost."""
        if act.who == NOBODY:
            await ACTS_OF_THE_SERVER[act.what](self.world)
            await self.world.start_server()
        elif not self.clients[act.who].is_mute:  # who has gone silent does nothing more
            await ACTS[act.what](self, self.clients[act.who])

    async def say(self, client: Client) -> None:
        """Say something new."""
        if client.is_in(self.room):
            said = f"{self.world.tag()}. hello", self.world.name(f"m{self.world.next_number()}")
            self._said[client.name] = said
            await client.say(self.room, *said)

    async def repeat(self, client: Client) -> None:
        """Say the last message again, with its id."""
        if client.is_in(self.room) and client.name in self._said:
            await client.say(self.room, *self._said[client.name])

    async def enter(self, client: Client) -> None:
        """Join the room."""
        await client.join(self.room)

    async def leave(self, client: Client) -> None:
        """Leave it."""
        if client.is_in(self.room):
            await client.leave(self.room)

    async def close(self, client: Client) -> None:
        """Close the connection as a good client does."""
        await client.close()

    async def reset(self, client: Client) -> None:
        """Break the connection."""
        await client.reset()

    async def send_malformed(self, client: Client) -> None:
        """Send a message that is none."""
        if client.is_open:
            bad = {"type": "message", "data": {"room": self.room, "content": 5}}
            await client.send_bad(bad, "content_number")

    async def go_silent(self, client: Client) -> None:
        """Neither read nor write any more."""
        client.suffer(GO_SILENT)

    async def come_back(self, client: Client) -> None:
        """Break the connection, and come back on a new one."""
        await client.reset()
        await _come_back(client, self.room)


ACTS: dict[str, Callable[[_Stage, Client], Awaitable[None]]] = {
    each.__name__: each
    for each in (
        *(_Stage.say, _Stage.repeat, _Stage.enter, _Stage.leave, _Stage.close),
        *(_Stage.reset, _Stage.send_malformed, _Stage.go_silent, _Stage.come_back),
    )
}
"""What clients may do, by name."""
ACTS_OF_THE_SERVER: dict[str, Callable[[World], Awaitable[None]]] = {
    "kill": lambda world: world.kill_server(),
    "restart": lambda world: world.stop_server(),
}
"""What may happen to the server, which is started again afterwards."""


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
