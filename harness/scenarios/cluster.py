"""What a cluster outlives, beside the course's exercises: a chat node or a NATS node fails, one at a time.

Each fault has a room of its own, in which clients of all chat nodes talk meanwhile. They send each message
with an `id`, and send it again until they have heard it, as careful clients do: so a fault may delay what
they say, and nothing else. What a fault does to a server as a whole is played in exercises 2 and 4.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from itertools import pairwise
from math import inf
from random import Random

from msgspec import Struct

from harness.checkers import delivery, ordering, pages, presence, replay, timestamps
from harness.checkers.catalogue import Anomaly
from harness.checkers.presence import Silence
from harness.history.faults import NODE_CUT, NODE_KILLED
from harness.history.frames import PresenceFrame
from harness.history.index import HistoryIndex
from harness.scenarios.common import FULL, in_rooms, meanwhile
from harness.scenarios.script import Scenes
from harness.verdict.outcome import StepCheck, Text
from harness.worlds.base import SeveralNodes, World
from harness.worlds.client import Client
from harness.worlds.surroundings import Gone
from lab.protocol import Status

WEIGHT = 5
TIMEOUTS = 1
SCENES = Scenes(people=range(1, 2), messages=range(1, 2), faults=range(1, 2), acts=())

SHARED, KILLED, FOLLOWER, LEADER, CUT = ROOMS = ("shared", "killed", "follower", "leader", "cut")
"""A room for each step."""
EACH = 2
"""Clients of each chat node."""
FAILOVER = 30.0
"""Seconds without any progress that are waited for: NATS takes four to nine for an election, or for two."""
AGAIN = 2.0
"""Seconds after which a message that did not come back is sent again."""
CUT_SECONDS = 3.0
"""Seconds for which a chat node is cut off at least: twice as long as it takes its users to go offline."""
MOST_CUT = 12.0
"""Seconds for which it is at the most, where it does not refuse messages meanwhile."""
_LATE = 2.0
"""Seconds after which an offline user is looked for in vain."""
_NEVER_SEEN = 10.0
"""Seconds after which a user who is there is looked for in vain."""
_ASK = 0.1
"""Seconds between two questions for who is there."""
_PAUSE = 0.02
"""Seconds between two messages of a client."""


class Plan(Struct, frozen=True):
    """How much is said in the first room, and in the others how much is received before and after a fault."""

    said: int
    before: int
    after: int
    victim: int
    """The client whose chat node is killed; and another's is cut off."""


def plan(rng: Random, size: int = FULL) -> Plan:
    """Enough that messages of all clients are in flight when something fails."""
    return Plan(max(size // 3, 1), rng.randint(size, 2 * size), 3 * size, rng.randrange(EACH * 2))


async def play(plan: Plan, world: World) -> None:
    """The steps 5.1 to 5.6."""
    assert isinstance(world, SeveralNodes), "it is a scenario for clusters"
    rooms = {room: world.name(room) for room in ROOMS}
    with world.step("5.1"):
        await world.start_server()
        people = [await world.client(f"user{n}") for n in range(1, EACH * len(world.nodes) + 1)]
        for room in rooms.values():
            for person in people:
                await person.join(room)
        async with talking(world, people, rooms[SHARED]) as talk:
            await talk.more(plan.said * len(people) ** 2)
    victim = world.node_of(people[plan.victim])
    with world.step("5.2"):
        async with talking(world, people, rooms[KILLED]) as talk:
            await talk.more(plan.before)
            homeless = await world.kill_node(victim)
            await reconnect(homeless[1:], rooms.values())
            await talk.more(plan.after)
            for lost in homeless[:1]:
                witness = next(person for person in people if person not in homeless)
                await _watch(world, witness, lost, rooms[KILLED])
                await reconnect([lost], rooms.values())
        await world.start_node(victim)
        await reconnect(homeless, rooms.values())
    for step, role in (("5.3", FOLLOWER), ("5.4", LEADER)):
        with world.step(step):
            async with talking(world, people, rooms[role]) as talk:
                await talk.more(plan.before)
                name = await world.kill_nats(role)
                await talk.more(plan.after)
                world.note(f"leads_on_{role}", await world.leads(name))
            await world.start_nats(name)
    with world.step("5.5"):
        await _cut_off(plan, world, people, rooms[CUT])
    with world.step("5.6"):
        for number in range(len(world.nodes)):
            reader = await world.client(f"reader{number + 1}")
            for room in rooms.values():
                await reader.read_all(room)


async def _watch(world: SeveralNodes, witness: Client, lost: Client, room: str) -> None:
    """Have a client ask who is in a room until another is not, whose chat node was killed."""
    began = world.now()
    if world.timeout > world.longest_timeout:
        return
    while world.now() < began + world.timeout + world.heartbeat + _LATE:
        answer = await witness.ask_presence(room)
        if answer is not None and not is_here(answer, lost.user):
            break
        await world.pause(_ASK)
    world.note("left_behind", [lost.user, witness.conn, world.now()])


async def reconnect(people: list[Client], rooms: Iterable[str]) -> None:
    """Have clients connect again, to any node, and catch up in all rooms."""
    for person in people:
        await person.close()
        await person.connect()
        for room in rooms:
            await person.join(room, person.newest[room])


async def _cut_off(plan: Plan, world: SeveralNodes, people: list[Client], room: str) -> None:
    """Cut a chat node off from NATS, while its clients stay and the others talk; then heal it."""
    name = world.node_of(people[0])
    lonely = [person for person in people if world.node_of(person) == name]
    others = [person for person in people if person not in lonely]
    async with talking(world, others, room) as talk:
        await talk.more(plan.before)
        await world.cut_node(name)
        began, errors = world.now(), [person.errors for person in lonely]

        def is_unnoticed() -> bool:
            refused = [person.errors > before for person, before in zip(lonely, errors, strict=True)]
            return world.now() < began + CUT_SECONDS or not all(refused)

        async with meanwhile(*(talk.say(person) for person in lonely)):
            await talk.more(plan.after)
            await _at_most(world, is_unnoticed, MOST_CUT)
        await world.heal_node(name)
        async with meanwhile(*(talk.say(person) for person in lonely)) as said:
            for each in said:
                await each
    for person in (others[0], lonely[0]):
        await _see_all(world, person, {each.user for each in people}, room)


async def _see_all(world: World, witness: Client, users: set[str], room: str) -> None:
    """Have a client ask who is in a room until all of these are, or for so long that they never will."""
    seen: set[str] = set()
    latest = world.now() + _NEVER_SEEN
    while not users <= seen and world.now() < latest:
        world.note("asked", [witness.conn, world.now()])
        answer = await witness.ask_presence(room)
        seen = {user for user in users if answer is not None and is_here(answer, user)}
        await world.pause(_ASK)


async def _at_most(world: World, is_due: Callable[[], bool], seconds: float) -> None:
    """Wait while something is due, for so many seconds at the most."""
    waited = 0.0
    while is_due() and waited < seconds:
        world.check_server()
        waited += await world.moment()


class Talk:
    """Clients who talk in a room until they are told to stop."""

    def __init__(self, world: World, people: list[Client], room: str) -> None:
        self._world, self._people, self._room = world, people, room
        self.is_over = False

    async def go_on(self, person: Client) -> None:
        """Have a client say one message after the other."""
        while not self.is_over:
            await self.say(person)
            await self._world.pause(_PAUSE)

    async def say(self, person: Client) -> None:
        """Say something, and again until it comes back, or for so long that it never will."""
        tag = self._world.tag()
        id, latest = self._world.name(f"m{tag}"), self._world.now() + FAILOVER
        while tag not in person.tags[self._room] and self._world.now() < latest:
            conn, is_in = person.conn, person.is_in(self._room)
            with suppress(Gone):  # somebody connects it again
                if is_in:
                    await person.say(self._room, f"{tag}. {person.name} goes on", id)

            def is_due(tag: str = tag, conn: int = conn, is_in: bool = is_in) -> bool:
                is_same = (person.conn, person.is_in(self._room)) == (conn, is_in)
                return is_same and tag not in person.tags[self._room]

            await _at_most(self._world, is_due, AGAIN)

    def heard(self) -> int:
        """Deliveries to all of them."""
        return sum(person.live[self._room] for person in self._people)

    async def more(self, count: int) -> None:
        """Wait for so many more deliveries."""
        due = self.heard() + count
        await self._world.until(lambda: max(due - self.heard(), 0), FAILOVER)


@asynccontextmanager
async def talking(world: World, people: list[Client], room: str) -> AsyncIterator[Talk]:
    """A context in which clients talk; at its end, all have heard what was said, or never will."""
    talk = Talk(world, people, room)
    async with meanwhile(*(talk.go_on(person) for person in people)) as tasks:
        yield talk
        talk.is_over = True
        for task in tasks:
            await task
    everybody = [client for client in world.clients if client.is_in(room)]
    said = set().union(*(client.tags[room] for client in everybody))
    await world.until(lambda: sum(len(said - client.tags[room]) for client in everybody), FAILOVER)


def is_here(answer: PresenceFrame, user: str) -> bool:
    """Whether a presence frame shows a user who is there."""
    return user in answer.users and answer.users[user].status is not Status.OFFLINE


def check(plan: Plan, index: HistoryIndex) -> dict[str, StepCheck]:
    """Which checkers belong to which step, and the proof of each."""
    rooms = {room: f"{room}-{index.began.nonce}" for room in ROOMS}
    node_of = dict(index.notes["node"])
    return {
        "5.1": StepCheck(
            [*whole(index, rooms[SHARED]), *timestamps.of_messages(index)],
            Text("nodes_share", _shared(index, rooms[SHARED], node_of)),
        ),
        "5.2": _of_node(index, rooms[KILLED]),
        "5.3": _of_nats(index, rooms[FOLLOWER], FOLLOWER),
        "5.4": _of_nats(index, rooms[LEADER], LEADER),
        "5.5": _of_cut(index, rooms[CUT]),
        "5.6": StepCheck(
            in_rooms(index, rooms.values(), pages.wrong, pages.mismatches, ordering.numbering),
            Text(
                "one_history",
                {
                    "messages": sum(ordering.newest(index, room) for room in rooms.values()),
                    "nodes": len(
                        {node_of.get(asked.conn) for asked, _ in index.pages if _is_reader(asked.client)}
                    ),
                },
            ),
        ),
    }


def _is_reader(client: str) -> bool:
    return client.startswith("reader")


def whole(index: HistoryIndex, room: str) -> list[Anomaly]:
    """What must hold in a room, whatever fails: nothing is lost, doubled, renumbered or out of order."""
    return in_rooms(
        index,
        [room],
        *(delivery.lost, delivery.duplicates, delivery.numbered_twice, delivery.altered, delivery.strays),
        *(ordering.numbering, ordering.order, replay.seams, replay.retries),
    )


def _of_node(index: HistoryIndex, room: str) -> StepCheck:
    """A chat node was killed: its clients went on at another, and who did not is offline in time."""
    counts: dict[str, object] = {
        "clients": sum(f.fault == NODE_KILLED for conn in index.conns.values() for f in conn.faults),
        "messages": _after(index, room, "node_killed"),
        "stall": stall(index, room, "node_killed"),
    }
    if not index.notes["left_behind"]:
        return StepCheck(whole(index, room), Text("node_killed", counts))
    user, witness, until = index.notes["left_behind"][0]
    killed, conn = _at(index, "node_killed"), index.conn(witness)
    silence = Silence(user, room, killed, until, conn.heartbeat, conn.timeout, at_once=True)
    slack = presence.slowest_answer(index, witness, room, killed, until) + index.longest_stall() + 0.05
    counts["offline"] = round(presence.delay(index, silence, witness), 2)
    return StepCheck(
        [*whole(index, room), *presence.offline(index, silence, witness, witness, slack)],
        Text("node_killed_offline", counts),
        shaky=Text("slow_machine", {"seconds": round(slack, 2)}) if slack > conn.heartbeat else None,
    )


def _of_nats(index: HistoryIndex, room: str, role: str) -> StepCheck:
    """A NATS node was killed: it led what the clients talked in, or not, and does not any more."""
    killed = [e for e in index.server if e.what == "nats_killed" and e.detail["role"] == role]
    counts = {
        "node": killed[0].detail["node"] if killed else "",
        "messages": _after(index, room, "nats_killed", role),
        "stall": stall(index, room, "nats_killed", role),
    }
    doubt = Text("still_leads") if any(index.notes[f"leads_on_{role}"]) else None
    return StepCheck(
        whole(index, room),
        Text("leader_killed" if role == LEADER else "follower_killed", counts),
        doubt=doubt,
    )


def _of_cut(index: HistoryIndex, room: str) -> StepCheck:
    """A chat node was cut off: its clients heard nothing meanwhile, and all of it afterwards."""
    start, stop = (_at(index, what) for what in ("node_cut", "node_healed"))
    cut_off = {c.number for c in index.conns.values() for fault in c.faults if fault.fault == NODE_CUT}
    heard = [h for h in index.in_room(room) if h.said and start < h.at < stop]
    by_others = {h.message.sequence for h in heard if h.conn not in cut_off}
    missed = by_others - {h.message.sequence for h in heard if h.conn in cut_off}
    counts = {
        "clients": len(cut_off),
        "seconds": round(min(stop, index.events[-1].at) - min(start, index.events[-1].at), 1),
        "messages": len(missed),
    }
    inside = {m.user for m in index.members(room) if m.stop == inf}
    asked = {conn for conn, at in index.notes["asked"] if at > stop}
    end = index.events[-1].at
    shown = [each for conn in asked for each in presence.listed(index, conn, room, inside, stop, end, set())]
    return StepCheck([*whole(index, room), *shown], Text("node_cut", counts))


def _shared(index: HistoryIndex, room: str, node_of: dict[int, str]) -> dict[str, int]:
    """How many messages there were, on how many nodes, and how many deliveries from one node to another."""
    heard = [h for h in index.in_room(room) if h.said and h.live]
    return {
        "messages": len({h.message.sequence for h in heard}),
        "nodes": len({node_of.get(h.conn) for h in heard}),
        "crossed": sum(node_of.get(h.conn) != node_of.get(h.said.conn) for h in heard if h.said),
    }


def _at(index: HistoryIndex, what: str, role: str = "") -> float:
    """When something first happened to a node."""
    found = (e.at for e in index.server if e.what == what and role in ("", e.detail.get("role")))
    return next(found, inf)


def _after(index: HistoryIndex, room: str, what: str, role: str = "") -> int:
    """How many messages of a room were received first after a fault."""
    at = _at(index, what, role)
    return sum(index.first_heard.get(said.tag, 0.0) > at for said in index.said_in(room))


def stall(index: HistoryIndex, room: str, what: str, role: str = "") -> float:
    """The longest time after a fault in which nobody received anything in a room, in seconds."""
    at = _at(index, what, role)
    times = [at, *(h.at for h in index.in_room(room) if h.live and h.at > at)]
    return round(max((later - before for before, later in pairwise(times)), default=0.0), 1)
