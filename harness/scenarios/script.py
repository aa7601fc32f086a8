"""A small scene: a few clients, a few messages and a few faults, each at a time given in the script.

A failure of an exercise is reduced to a scene. The checkers that hold for every chat judge it. Apart from its
acts, each scene runs the same way: the server starts, clients join, then all of them act without waiting for
one another; after a restart, disconnected clients reconnect; and a reader reads the whole history.
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
"""In place of a client's number: the act is one of ACTS_OF_THE_SERVER."""
SOON = 2.0
"""Seconds after which a server has noticed whatever happened to a connection, except for silence."""
SPREADS = (0.005, 0.05, 0.5)
"""Seconds in which all acts happen: almost at once, or rather one after the other."""


class Scenes(Struct, frozen=True):
    """Which random scenes an exercise has: how many clients, messages and faults, and which faults.

    All clients stay for `intervals` heartbeats afterwards. With `twins`, a user may have two connections.
    """

    people: range
    messages: range
    faults: range
    acts: tuple[str, ...]
    intervals: int = 0
    twins: bool = False


class Act(Struct, frozen=True):
    """Something that one client does (its number; NOBODY for the server), some seconds after the beginning.

    `what` is a key of ACTS, or of ACTS_OF_THE_SERVER. A client that is not in the room does not speak.
    """

    at: float
    who: int
    what: str


class Script(Struct, frozen=True):
    """A scene: the user of each client, which clients are in the room at first, and what happens.

    Afterwards all clients stay for `intervals` heartbeats.
    """

    users: list[str]
    inside: list[int]
    acts: list[Act]
    intervals: int = 0


_MOST = 1000
"""Clients, acts, intervals and seconds that a scene has at most: those that we write have some dozens."""


def is_playable(script: Script) -> bool:
    """Whether each client in it exists, each act is known, and it comes to an end."""
    people = range(len(script.users))
    return (
        0 < len(script.users) <= _MOST
        and len(script.acts) <= _MOST
        and 0 <= script.intervals <= _MOST
        and all(0 <= act.at <= _MOST for act in script.acts)
        and all(number in people for number in script.inside)
        and all(
            act.who == NOBODY if act.what in ACTS_OF_THE_SERVER else act.who in people and act.what in ACTS
            for act in script.acts
        )
    )


def plan(rng: Random, scenes: Scenes, people: int, messages: int, faults: int) -> Script:
    """A random scene of this kind, with so many clients, messages and faults."""
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

    stage = _Actors(world, room, clients)

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
            await _reconnect(client, room)
    await world.pause(script.intervals * world.heartbeat)
    await world.settle()
    reader = await world.client("reader")
    await reader.ask_presence(room)
    await reader.read_all(room)
    world.note("users", sorted({client.user for client in clients}))


def _name(script: Script, number: int) -> str:
    """A client's name: its user's, with a number if the user has several clients."""
    user = script.users[number]
    return f"{user}{script.users[:number].count(user) + 1}" if script.users.count(user) > 1 else user


class _Actors:
    """Runs acts: it knows the clients, the room, and what each client said last, with its id."""

    def __init__(self, world: World, room: str, clients: list[Client]) -> None:
        self.world = world
        self.room = room
        self.clients = clients
        self._said: dict[str, tuple[str, str]] = {}

    async def act(self, act: Act) -> None:
        """Do something, if that is possible now. Raises Gone if the client's connection is lost."""
        if act.who == NOBODY:
            await ACTS_OF_THE_SERVER[act.what](self.world)
            await self.world.start_server()
        elif not self.clients[act.who].is_mute:  # a silent client does nothing more
            await ACTS[act.what](self, self.clients[act.who])

    async def say(self, client: Client) -> None:
        """Say a new message."""
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
        """Leave the room."""
        if client.is_in(self.room):
            await client.leave(self.room)

    async def close(self, client: Client) -> None:
        """Close the connection properly."""
        await client.close()

    async def reset(self, client: Client) -> None:
        """Reset the connection."""
        await client.reset()

    async def send_malformed(self, client: Client) -> None:
        """Send a malformed message."""
        if client.is_open:
            bad = {"type": "message", "data": {"room": self.room, "content": 5}}
            await client.send_bad(bad, "content_number")

    async def go_silent(self, client: Client) -> None:
        """Stop reading and writing."""
        client.suffer(GO_SILENT)

    async def come_back(self, client: Client) -> None:
        """Reset the connection, and rejoin on a new one."""
        await client.reset()
        await _reconnect(client, self.room)


ACTS: dict[str, Callable[[_Actors, Client], Awaitable[None]]] = {
    each.__name__: each
    for each in (
        *(_Actors.say, _Actors.repeat, _Actors.enter, _Actors.leave, _Actors.close),
        *(_Actors.reset, _Actors.send_malformed, _Actors.go_silent, _Actors.come_back),
    )
}
"""What clients may do, by name."""
ACTS_OF_THE_SERVER: dict[str, Callable[[World], Awaitable[None]]] = {
    "kill": lambda world: world.kill_server(),
    "restart": lambda world: world.stop_server(),
}
"""What may happen to the server, which is started again afterwards."""


async def _reconnect(client: Client, room: str) -> None:
    """Connect again, and join with the newest number seen as `since`."""
    if client.is_open:
        return
    with suppress(PlayStopped):
        await client.connect()
        await client.join(room, client.newest[room])


def check(index: HistoryIndex) -> list[Anomaly]:
    """All anomalies of a scene."""
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
    """Members that stayed to the end were always shown, got heartbeats, and are in the last answer."""
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
