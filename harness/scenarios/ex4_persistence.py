"""Exercise 4, persistence: the server is stopped, killed in the middle of work, copied, and restarted."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from math import inf
from random import Random

from msgspec import Struct

from harness.checkers import delivery, durability, ordering, pages, replay, timestamps
from harness.checkers.catalogue import Anomaly
from harness.history.events import Event
from harness.history.faults import STOP_READING
from harness.history.index import HistoryIndex
from harness.scenarios.common import FULL, MODEST, in_rooms, meanwhile
from harness.scenarios.script import Scenes
from harness.verdict.outcome import StepCheck, Text
from harness.worlds.base import World
from harness.worlds.client import Client
from harness.worlds.surroundings import STOP_SECONDS, Gone
from lab.protocol import NEWEST

WEIGHT = 5
TIMEOUTS = 0
SCENES = Scenes(people=range(1, 3), messages=range(1, 6), faults=range(1, 3), acts=("kill", "restart"))

ROOMS = ("north", "nor.th", "North")
"""Names that look alike: they are three rooms, even as names of files."""
LAST_WORDS = "last_words"
"""The room of a client whose message is being written when the server is killed."""
PEOPLE = ("alice", "bob", "carol")
BURST = 4
"""Messages of each client in a burst, times the size of the plan: some must be in flight at the kill."""


class Plan(Struct, frozen=True):
    """How much is said in each room, and after how many received messages each kill comes."""

    said: dict[str, int]
    burst: int
    kills: list[int]
    kept: float
    """The share (0 to 1) that stays of what the server was writing when it was killed."""


def plan(rng: Random, size: int = FULL) -> Plan:
    """In the first room more is said than a join shows (unless it is small); some kills, early in a burst.

    One kill in ten to twenty does not expose a server that publishes before it saves; so in full-size plans,
    whose interleavings do not come from a seed, there are more kills.
    """
    most = NEWEST // len(PEOPLE) + size // 3 if size >= MODEST else size
    said = {ROOMS[0]: most, ROOMS[1]: max(size // 3, 1), ROOMS[2]: 2}
    burst = BURST * size
    kills = [rng.randint(min(5, size), burst * 5 // 6) for _ in range(4 if size >= FULL else 2)]
    return Plan(said, burst, kills, rng.random())


async def play(plan: Plan, world: World) -> None:
    """The course's steps 4.1 to 4.5."""
    rooms = [world.name(room) for room in ROOMS]
    with world.step("4.1"):
        await world.start_server()
        people = [await world.client(name) for name in PEOPLE]
        for room in rooms:
            for person in people:
                await person.join(room)
        for room, count in zip(rooms, plan.said.values(), strict=True):
            await _talk(world, people, room, count)

    if world.can_restart:
        with world.step("4.2"):
            await world.stop_server()
            await world.start_server()
            await _reconnect(world, people, rooms)
            await _kill_in_a_burst(world, people, rooms, plan.burst, plan.kills[0])
        with world.step("4.3"):
            world.note("stored_files", len(world.stored()))
            async with world.second_world() as copy:
                inspector = await copy.client("inspector")
                for room in rooms:
                    await inspector.read_all(room)
        with world.step("4.4"):
            await world.start_server()
            await _reconnect(world, people, rooms)
            await _retry(world, people)
            scribe = await world.client("scribe")
            await _torn_last_words(world, scribe, plan.kept)
            for kill in (*plan.kills[1:], None):
                await world.start_server()
                await _reconnect(world, people, rooms)
                await _reconnect(world, [scribe], [world.name(LAST_WORDS)])
                await _retry(world, [*people, scribe])
                if kill is not None:
                    await _kill_in_a_burst(world, people, rooms, plan.burst, kill)
            for room in rooms:
                await _talk(world, people, room, 2)

    with world.step("4.5"):
        newcomer = await world.client("newcomer")
        await newcomer.join(rooms[0])
        reader = await world.client("reader")
        for room in (*rooms, world.name(LAST_WORDS)):
            await reader.read_all(room)


async def _talk(world: World, people: list[Client], room: str, count: int) -> None:
    """Each client says `count` messages in a room, and waits until it has received all messages."""
    before = [len(person.tags[room]) for person in people]
    for _ in range(count):
        for person in people:
            await person.say(
                room, f"{world.tag()}. {person.name} writes this down", world.name(f"m{world.next_number()}")
            )
    due = count * len(people)
    await world.until(
        lambda: sum(start + due - len(p.tags[room]) for start, p in zip(before, people, strict=True))
    )


async def _kill_in_a_burst(
    world: World, people: list[Client], rooms: list[str], burst: int, after: int
) -> None:
    """All clients talk as fast as they can, and SIGKILL comes when `after` messages were received."""

    mine: dict[str, set[str]] = {person.name: set() for person in people}

    async def say(person: Client, room: str) -> None:
        tag = world.tag()
        mine[person.name].add(tag)
        await person.say(room, f"{tag}. in a hurry", world.name(f"m{world.next_number()}"))

    async def talk(person: Client) -> None:
        with suppress(Gone):  # the kill
            for number in range(burst):
                await say(person, rooms[number % len(rooms)])

    def heard() -> int:
        return sum(sum(person.live.values()) for person in people)

    def nothing_in_flight() -> bool:
        return not any(mine[p.name] - set().union(*p.tags.values()) for p in people)

    def all_said() -> bool:
        return all(len(tags) == burst for tags in mine.values())

    start = heard()
    async with meanwhile(*(talk(person) for person in people)) as talking:
        await world.until(lambda: max(start + after - heard(), 0))
        await world.until(lambda: nothing_in_flight() and not all_said())
        if nothing_in_flight():  # a fast server has answered the whole burst
            with suppress(Gone):
                for person, room in zip(people, rooms, strict=True):
                    await say(person, room)
        await world.kill_server()
        for task in talking:
            await task


async def _torn_last_words(world: World, scribe: Client, kept: float) -> None:
    """Say a message that no client receives, and tear the server's write of it: it may be lost."""
    room = world.name(LAST_WORDS)
    await scribe.join(room)
    await scribe.say(room, f"{world.tag()}. this is heard", world.name("heard"))
    await world.until(lambda: 1 - len(scribe.tags[room]))
    await world.settle()
    with world.watch_files() as watch:
        scribe.suffer(STOP_READING)
        await scribe.say(room, f"{world.tag()}. this is not", world.name("not-heard"))
        await world.kill_while_writing(watch, kept)


async def _reconnect(world: World, people: list[Client], rooms: list[str]) -> None:
    """All clients connect again, and join with the newest number seen as `since`."""
    for person in people:
        await person.connect()
        for room in rooms:
            await person.join(room, person.newest[room])


async def _retry(world: World, people: list[Client]) -> None:
    """Each client retries, with the same `id`, all messages that did not come back, and the last that did."""
    index = HistoryIndex(world.history, world.readings)
    for person in people:
        unseen = [
            said
            for said in index.said.values()
            if said.client == person.name and said.tag not in person.tags[said.room]
        ]
        seen = [
            said
            for said in index.said.values()
            if said.client == person.name and said.tag in person.tags[said.room] and len(said.sent) == 1
        ]
        for said in (*unseen, *seen[-1:]):
            await person.say(said.room, said.content, said.id)
        await world.until(
            lambda unseen=unseen, person=person: sum(s.tag not in person.tags[s.room] for s in unseen)  # type: ignore[misc]
        )
        await person.fence()


def check(plan: Plan, index: HistoryIndex) -> dict[str, StepCheck]:
    """Which checkers belong to which step, and the proof of each."""
    rooms = [f"{room}-{index.began.nonce}" for room in ROOMS]
    all_rooms = [*rooms, f"{LAST_WORDS}-{index.began.nonce}"]
    restarts = any(event.what == "started" for event in index.server) or not index.finished("4.1")
    result = {
        "4.1": _step_4_1(index, rooms),
        "4.2": _step_4_2(index),
        "4.3": _step_4_3(index, rooms),
        "4.4": _step_4_4(index, all_rooms),
        "4.5": _step_4_5(index, rooms),
    }
    if not restarts:
        left_out = StepCheck([], Text("restart_left_out"), skipped=Text("restart_left_out"))
        result |= dict.fromkeys(("4.2", "4.3", "4.4"), left_out)
    return result


def _step_4_1(index: HistoryIndex, rooms: list[str]) -> StepCheck:
    """All that was said before the server first ended."""
    first_end = min(durability.ends(index), default=inf)
    return StepCheck(
        [
            *in_rooms(index, rooms, delivery.refused, delivery.lost, delivery.duplicates),
            *timestamps.of_messages(index),
        ],
        Text(
            "said",
            {"messages": sum(said.at < first_end for said in index.said.values()), "rooms": len(rooms)},
        ),
    )


def _step_4_2(index: HistoryIndex) -> StepCheck:
    """How the server was stopped and killed; the checkers of the lifecycle find what is wrong."""
    unseen = durability.unacknowledged(index)
    stops = [event.detail.get("seconds", 0.0) for event in index.server if event.what == "stopped"]
    counts = {
        "seconds": stops[0] if stops else 0.0,
        "kills": len(unseen),
        "unseen": ", ".join(map(str, unseen)),
    }
    doubt = None if any(unseen) else Text("nothing_in_flight")
    if stops and stops[0] > STOP_SECONDS:  # of which we, or the whole machine, stood still for some
        doubt = Text("stalled", {"seconds": round(stops[0], 1)})
    return StepCheck([], Text("killed", counts), doubt=doubt)


def _step_4_3(index: HistoryIndex, rooms: list[str]) -> StepCheck:
    """What a second server finds on a copy of the data."""
    strays = in_rooms(index.second, rooms, delivery.strays) if index.second else []
    copied = sum(len(page.messages) for _, page in index.second.pages) if index.second else 0
    return StepCheck(
        [*_data_dir(index), *strays, *in_rooms(index, rooms, durability.lost_in_copy)],
        Text("on_disk", {"messages": copied}),
    )


def _step_4_4(index: HistoryIndex, rooms: list[str]) -> StepCheck:
    """What the server has after several restarts."""

    def changed(index: HistoryIndex, room: str) -> list[Anomaly]:
        return pages.mismatches(index, room, "changed_after_restart")

    seams = [partial(replay.seams, client=name) for name in (*PEOPLE, "scribe")]
    return StepCheck(
        [
            *in_rooms(index, rooms, delivery.strays, durability.lost, ordering.numbering, ordering.order),
            *in_rooms(index, rooms, changed, durability.replayed_as_new, *seams),
            *in_rooms(index, rooms, delivery.numbered_twice, replay.retries),
        ],
        _receipt_of_restarts(index, rooms),
        notes=_notes(index, rooms),
    )


def _step_4_5(index: HistoryIndex, rooms: list[str]) -> StepCheck:
    """What a newcomer is sent at the end, and what a reader finds."""
    newcomers = partial(replay.seams, client="newcomer")
    return StepCheck(
        in_rooms(index, rooms, durability.lost, newcomers, pages.wrong),
        Text("history_given", {"newest": NEWEST, "messages": _read(index, "reader")}),
    )


def _receipt_of_restarts(index: HistoryIndex, rooms: list[str]) -> Text:
    kept, torn = sum(ordering.newest(index, room) for room in rooms), durability.torn_off(index)
    counts = {"kept": kept, "kills": len(durability.kills(index)), "again": _repeated(index)}
    return Text("restarted_torn", counts | {"torn": torn}) if torn else Text("restarted", counts)


def _notes(index: HistoryIndex, rooms: list[str]) -> list[Text]:
    """Notes on what was not judged."""
    retries = all(replay.offers_retries(index, room) for room in rooms)
    notes = [] if retries else [Text("no_retries")]
    if len(durability.kills(index)) > len(
        durability.kills(index, in_bursts=True)
    ) and not durability.torn_off(index):
        notes.append(Text("nothing_torn"))
    for found in index.notes["unsynced"]:
        count = sum(index.first_heard.get(tag, inf) <= found["at"] for tag in set(found["tags"]))
        if count:
            return [*notes, Text("not_synced", {"count": count, "file": found["file"]})]
    return notes


def _data_dir(index: HistoryIndex) -> list[Anomaly]:
    """Nothing is in DATA_DIR, although messages were accepted: the server stores elsewhere, or not at all."""
    if index.notes["stored_files"] == [0] and index.heard:
        messages = len({heard.message.sequence for heard in index.heard})
        ends: list[Event] = [event for event in index.server if event.what == "killed"]
        return [Anomaly("data_dir_ignored", {"messages": messages}, [index.heard[0].event, *ends[:1]])]
    return []


def _repeated(index: HistoryIndex) -> int:
    return sum(len(said.sent) > 1 for said in index.said.values())


def _read(index: HistoryIndex, client: str) -> int:
    return sum(len(page.messages) for asked, page in index.pages if asked.client == client)
