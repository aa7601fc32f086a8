"""Exercise 2, message ordering: many talk at once, one does not read, one is disconnected several times."""

from __future__ import annotations

from contextlib import suppress
from itertools import accumulate
from random import Random
from typing import NamedTuple

from msgspec import Struct

from harness.checkers import delivery, errors, ordering, pages, replay, slow, timestamps
from harness.history.faults import READ_AGAIN, RESET, STOP_READING
from harness.history.index import HistoryIndex
from harness.scenarios.common import FULL, MODEST, Bad, in_rooms, meanwhile, misbehave, span, together
from harness.scenarios.script import Scenes
from harness.scenarios.seam import Seam
from harness.verdict.outcome import StepCheck, Text
from harness.worlds.base import World
from harness.worlds.client import Client
from harness.worlds.surroundings import POLL, Gone, PlayStopped
from lab.protocol import MAX_ID, MAX_PAGE, MAX_UNREAD

WEIGHT = 9
TIMEOUTS = 0
SCENES = Scenes(
    people=range(1, 4), messages=range(1, 7), faults=range(4), acts=("enter", "come_back", "repeat")
)

ROOMS = ("red", "blue")
SLOW = "slow"
SEAM = "seam"
TALKERS = ("alice", "bob", "carol")
PACE = 0.01
"""Seconds between two messages of a talker: every server must handle one hundred a second."""
LARGE = 60 * 1024
AHEAD = 4
"""Large messages of a talker that may be in flight at once to any of the talkers."""
STUTTER = 0.5
"""Seconds for which a reader reads nothing, although it is healthy."""
FAR_AHEAD = 1_000_000
"""A sequence number that no room reaches."""
MOST = 2**53 - 1
"""The highest number that all programs can read exactly."""
VOLLEY = 4
"""Messages that each talker says at once when a client joins, in real time."""
ENOUGH = 130
"""Messages that the history should hold: more than one page of a hundred."""
RESTARTS = 1 / 3
"""The share of small plays in which the server is restarted."""


class Plan(Struct, frozen=True):
    """How much is said, and after how many live messages each connection is reset."""

    is_small: bool
    """Without a slow reader, which takes megabytes, and without what does not depend on interleavings."""
    talkers: int
    rooms: int
    burst: int
    restarts: bool
    cuts: list[int]
    newcomers: list[int]
    page: int
    enough: int
    volley: int
    pace: float


def plan(rng: Random, size: int = FULL) -> Plan:
    """`size` messages in each burst of each client; in a larger plan, more resets and newcomers."""
    is_small = size < MODEST
    cuts, newcomers = (12, 4) if size >= FULL else (2, 3) if is_small else (3, 3)
    return Plan(
        is_small=is_small,
        talkers=2 if is_small else len(TALKERS),
        rooms=1 if is_small else len(ROOMS),
        burst=size,
        restarts=not is_small or rng.random() < RESTARTS,
        cuts=[rng.randint(1, min(size, 8)) for _ in range(cuts)],
        newcomers=[rng.randint(1, min(size, 4)) for _ in range(newcomers)],
        page=rng.choice((7, 9, 11)),
        enough=5 * size if is_small else ENOUGH,
        volley=VOLLEY if size >= FULL else 0,
        pace=PACE * (1 if size >= FULL else rng.choice((5, 15, 30))),
    )


async def play(plan: Plan, world: World) -> None:
    """The course's steps 2.1 to 2.4."""
    rooms = [world.name(room) for room in ROOMS[: plan.rooms]]
    with world.step("2.1"):
        await world.start_server()
        talkers = [await world.client(name) for name in TALKERS[: plan.talkers]]
        for room in rooms:
            for talker in talkers:
                await talker.join(room)
        await _burst(world, talkers, rooms, plan.burst)
        sloth = None if plan.is_small else await _slow_reader(world, talkers[:2])

    with world.step("2.2"):
        if world.can_restart and plan.restarts:
            await world.stop_server()
            await world.start_server()
            for talker in talkers:
                await talker.connect()
                for room in rooms:
                    await talker.join(room, talker.newest[room])
        await _burst(world, talkers, rooms, min(5, plan.burst))

    with world.step("2.3"):
        await _cut_again_and_again(plan, world, talkers)
        if sloth is not None:
            await _join_with_extremes(world, talkers)
            await _catch_up(world, sloth)
        await _retry(world, talkers, is_small=plan.is_small)

    with world.step("2.4"):
        reader = await world.client("historian")  # a member of no room: rooms are public
        seam = world.name(SEAM)
        await reader.read_all(seam, plan.page)
        if not plan.is_small:
            await reader.ask_history(world.name(SLOW))  # more than fits into a frame
            await _ask_for_pages(world, reader, rooms)
            await misbehave(world, reader, _bad_requests(world))


async def _burst(world: World, talkers: list[Client], rooms: list[str], count: int) -> None:
    """All talkers talk at once, in all rooms, without waiting for their messages to come back."""

    async def talk(talker: Client) -> None:
        for number in range(count):
            for room in rooms:
                await talker.say(room, f"{world.tag()}. {talker.name} says {number}")

    before = {(talker.name, room): len(talker.tags[room]) for talker in talkers for room in rooms}
    await together(*(talk(talker) for talker in talkers))

    def missing() -> int:
        due = len(talkers) * count
        return sum(before[t.name, room] + due - len(t.tags[room]) for t in talkers for room in rooms)

    await world.until(missing)


async def _slow_reader(world: World, talkers: list[Client]) -> Client:
    """One member stops reading, and the others say more than may wait for it (MAX_UNREAD); returns it."""
    room = world.name(SLOW)
    for talker in talkers:
        await talker.join(room)
    sloth = await world.client("sloth", narrow=True)
    await sloth.join(room)
    sloth.suffer(STOP_READING)
    count = (MAX_UNREAD + 2 * slow.socket_buffers(world.kind)) // LARGE // len(talkers) + 1

    async def talk(talker: Client) -> None:
        said, under_way = 0, set[str]()
        while said < count:
            # The talkers also read, and are never far behind: only the sloth is slow.
            under_way = {tag for tag in under_way if not all(tag in each.tags[room] for each in talkers)}
            if len(under_way) < AHEAD:
                tag, said = world.tag(), said + 1
                under_way.add(tag)
                await talker.say(room, f"{tag}. ".ljust(LARGE, "z"))
            else:
                await world.pause(POLL)

    due = count * len(talkers)

    def missing() -> int:
        return sum(due - len(talker.tags[room]) for talker in talkers)

    async with meanwhile(_keep_alive(world, sloth), *(talk(talker) for talker in talkers)):
        # A server may be blocked by the sloth and do nothing else: that is to be found out.
        await world.until(missing, may_hang=True)
        sloth.suffer(READ_AGAIN)
        await world.until(missing)
        await world.until(lambda: sloth.is_open and due - len(sloth.tags[room]))
        # It may have been disconnected; but if it was not, it must receive everything up to this message.
        last = world.tag()
        await talkers[0].say(room, f"{last}. and that was all")
        await world.until(lambda: sloth.is_open and last not in sloth.tags[room])
    await sloth.close()
    for talker in talkers:
        await talker.leave(room)
    return sloth


async def _catch_up(world: World, sloth: Client) -> None:
    """The slow reader reconnects for what it missed: a long replay, which must wait for its reader."""
    room = world.name(SLOW)
    sloth.narrow = False
    with suppress(Gone):  # if it is disconnected again, a checker finds that; the others go on
        await sloth.connect()
        # A server that does not wait for its reader has queued the whole replay when we start to read again.
        await together(sloth.stutter(STUTTER), sloth.join(room, sloth.newest[room]))
        await sloth.close()


async def _keep_alive(world: World, client: Client) -> None:
    """Send heartbeats for a client that does not read, so that only its slowness is tested."""
    with suppress(PlayStopped):
        while client.is_open:
            await client.send_heartbeat()
            await world.pause(world.heartbeat / 2)


async def _cut_again_and_again(plan: Plan, world: World, talkers: list[Client]) -> None:
    """While others talk, reset one client's connection and rejoin with `since`, several times."""
    room = world.name(SEAM)
    seam = Seam(world, room, talkers, enough=plan.enough, pace=plan.pace, volley=plan.volley)
    for talker in talkers:
        await talker.join(room)
    eve = await world.client("eve")
    await eve.join(room)
    if not plan.volley:
        await seam.find_fastest()
    async with meanwhile(*(seam.talk(talker) for talker in talkers)) as talking:
        for cut in plan.cuts:
            await _hear_live(world, eve, room, cut)
            await eve.reset()
            missed = seam.said + 3
            await world.until(lambda missed=missed: seam.said < missed)  # type: ignore[misc]
            await eve.connect()
            await seam.join(eve, eve.newest[room])
        for number, heard in enumerate(plan.newcomers):
            newcomer = await world.client(f"newcomer{number}")
            await seam.join(newcomer)
            await _hear_live(world, newcomer, room, heard)
        await seam.end(talking)
    everybody = [*talkers, eve]
    await world.until(lambda: sum(max(seam.said - len(each.tags[room]), 0) for each in everybody))


async def _join_with_extremes(world: World, talkers: list[Client]) -> None:
    """Two join with an extreme `since`: 0, which takes several pages, and one far beyond the end."""
    room = world.name(SEAM)
    latecomer, prophet = await world.client("latecomer"), await world.client("prophet")
    await latecomer.join(room, 0)
    await prophet.join(room, FAR_AHEAD)
    tag = world.tag()
    await talkers[0].say(room, f"{tag}. both of you are in")
    await world.until(lambda: sum(tag not in each.tags[room] for each in (*talkers, latecomer, prophet)))


async def _hear_live(world: World, client: Client, room: str, count: int) -> None:
    """Wait until a client has received some more live messages."""
    start = client.live[room]
    await world.until(lambda: client.is_open and start + count > client.live[room])


async def _retry(world: World, talkers: list[Client], *, is_small: bool) -> None:
    """Send messages again with the same `id`."""
    await _retry_when_heard(world, talkers, with_others=not is_small)
    # The connection is reset before the message comes back: was it accepted or not?
    room, carol = world.name(SEAM), talkers[-1]
    id, content = world.name("retry-cut"), f"{world.tag()}. cut off"
    await carol.say(room, content, id)
    await carol.reset()
    await carol.connect()
    await carol.join(room, carol.newest[room])
    await _say_with_id(world, carol, room, content, id)
    for client in talkers:
        await client.fence()


async def _retry_when_heard(world: World, talkers: list[Client], *, with_others: bool) -> None:
    """Send a message again on the same connection, after it came back."""
    room, other = world.name(SEAM), world.name(ROOMS[0])
    alice, bob, *_ = talkers
    id, content = world.name("retry").ljust(MAX_ID, "-"), f"{world.tag()}. said twice"  # of the largest size
    for _ in range(2):
        await _say_with_id(world, alice, room, content, id)
    if not with_others:
        return
    # The same `id` of another user, or in another room, is a different message.
    await _say_with_id(world, bob, room, f"{world.tag()}. same id, other user", id)
    await _say_with_id(world, alice, other, f"{world.tag()}. same id, other room", id)


async def _say_with_id(world: World, client: Client, room: str, content: str, id: str) -> None:
    start = client.live[room]
    await client.say(room, content, id)
    await world.until(lambda: client.is_open and client.live[room] == start)


async def _ask_for_pages(world: World, reader: Client, rooms: list[str]) -> None:
    """Read whole histories, and ask for pages at various places."""
    seam = world.name(SEAM)
    reader.writes_nulls = True
    for room in rooms:
        await reader.read_all(room)
    newest = len(await reader.read_all(seam))
    reader.writes_nulls = False
    for since, limit in (
        (newest // 2, 10),
        (0, 100),
        (0, 1000),
        (newest, 5),
        (newest + 1000, None),
        (MOST, 5),
    ):
        await reader.ask_history(seam, since, limit)


def _bad_requests(world: World) -> list[Bad]:
    room = world.name(SEAM)
    return [
        ("history_no_room", {"type": "history"}, None),
        ("history_bad_room", {"type": "history", "room": "../x"}, None),
        ("since_text", {"type": "history", "room": room, "since": "yesterday"}, None),
        ("since_negative", {"type": "history", "room": room, "since": -1}, None),
        ("limit_zero", {"type": "history", "room": room, "limit": 0}, None),
        ("join_since_text", {"type": "join", "room": room, "since": "0"}, None),
    ]


class _Rooms(NamedTuple):
    """The rooms of a run, by their full names."""

    talk: list[str]
    slow: str
    seam: str

    @property
    def all(self) -> list[str]:
        return [*self.talk, self.slow, self.seam]


def check(plan: Plan, index: HistoryIndex) -> dict[str, StepCheck]:
    """Which checkers belong to which step, and the proof of each."""
    nonce = index.began.nonce
    rooms = _Rooms([f"{room}-{nonce}" for room in ROOMS[: plan.rooms]], f"{SLOW}-{nonce}", f"{SEAM}-{nonce}")
    return {
        "2.1": _step_2_1(plan, index, rooms),
        "2.2": _step_2_2(index, rooms),
        "2.3": _step_2_3(index, rooms),
        "2.4": _step_2_4(plan, index, rooms),
    }


def _step_2_1(plan: Plan, index: HistoryIndex, rooms: _Rooms) -> StepCheck:
    """Fast messages of several clients, one of which reads slowly (not in a small plan)."""
    spoken_in = [*rooms.talk, rooms.slow]
    owed = slow.unread_bytes(index, rooms.slow)
    spoken = {
        "messages": sum(said.room in spoken_in for said in index.said.values()),
        "rooms": len(rooms.talk) + (not plan.is_small),
    }
    if not plan.is_small:
        spoken["mebibytes"] = round(owed / 2**20)
    return StepCheck(
        [
            *in_rooms(index, [rooms.slow], slow.stalled, slow.unbounded),
            *in_rooms(index, spoken_in, delivery.refused, delivery.lost, delivery.duplicates),
            *in_rooms(index, rooms.all, delivery.altered),
            *timestamps.of_messages(index),
        ],
        Text("burst_alone" if plan.is_small else "burst", spoken),
        doubt=Text("reader_not_slow") if owed <= MAX_UNREAD and not plan.is_small else None,
        notes=[Text("no_slow_reader")] if plan.is_small else [],
    )


def _step_2_2(index: HistoryIndex, rooms: _Rooms) -> StepCheck:
    """One order in each room, also after a restart if the server can be restarted."""
    restarted = sum(event.what == "ready" for event in index.server) > 1
    asked_to_restart = any(event.what == "started" for event in index.server)
    in_flight = _in_flight(index)
    return StepCheck(
        [
            *in_rooms(index, rooms.all, ordering.numbering, ordering.order),
            *in_rooms(index, rooms.talk, delivery.numbered_twice),
        ],
        Text(
            "numbered" if restarted else "numbered_once",
            {"numbers": sum(ordering.newest(index, room) for room in rooms.all), "in_flight": in_flight},
        ),
        doubt=None if in_flight >= 2 else Text("never_two_in_flight"),
        notes=[] if asked_to_restart or not index.conns else [Text("restart_left_out")],
    )


def _step_2_3(index: HistoryIndex, rooms: _Rooms) -> StepCheck:
    """Clients are disconnected, and rejoin in the middle of a conversation."""
    cuts, used = _cuts(index, rooms.seam)
    checkers = (delivery.refused, delivery.lost, delivery.numbered_twice, delivery.duplicates, replay.retries)
    return StepCheck(
        [
            *in_rooms(index, [rooms.seam, *rooms.talk], replay.seams),
            *replay.seams(index, rooms.slow, "sloth"),
            *in_rooms(index, [rooms.seam], *checkers),
        ],
        Text("cut", {"cuts": cuts, "replayed": used}),
        doubt=None if cuts and used else Text("nothing_missed"),
        notes=[] if replay.offers_retries(index, rooms.seam) else [Text("no_retries")],
    )


def _step_2_4(plan: Plan, index: HistoryIndex, rooms: _Rooms) -> StepCheck:
    """The history of each room, page by page."""
    newest = ordering.newest(index, rooms.seam)
    asked = sum(len(pages.answers(index, room)) for room in rooms.all)
    return StepCheck(
        [
            *in_rooms(index, rooms.all, delivery.strays, pages.wrong, pages.mismatches),
            *errors.unanswered(index, *span(index, "2.4")),
        ],
        Text("paged", {"pages": asked, "messages": newest}),
        doubt=None if newest > min(MAX_PAGE, plan.enough - 1) else Text("history_short"),
    )


def _in_flight(index: HistoryIndex) -> int:
    """The largest number of messages that were in flight: sent, and not received by any client yet."""
    first_heard: dict[str, float] = {}
    for heard in index.heard:
        if heard.said:
            first_heard.setdefault(heard.said.tag, heard.at)
    changes = [(said.at, 1) for said in index.said.values()]
    changes += [(at, -1) for at in first_heard.values()]
    return max(accumulate(change for _, change in sorted(changes)), default=0)


def _cuts(index: HistoryIndex, room: str) -> tuple[int, int]:
    """How many connections were reset, and how many messages were replayed after that."""
    cuts = sum(fault.fault == RESET for conn in index.conns.values() for fault in conn.faults)
    back = [m for m in index.members(room) if m.since is not None]
    return cuts, sum(len(replay.replayed(index, membership)) for membership in back)
