"""The harness's cost of receiving, compared with the websockets client; and of many clients in a process."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections import defaultdict
from dataclasses import dataclass

from harness.bench import crowded
from harness.bench.crowd import SIZE
from harness.bench.listening import KINDS
from harness.bench.peers import REFERENCE, Peer, running
from harness.bench.plan import BenchError, Plan
from harness.bench.result import Cell, Part, Table, median, ratio, spread
from harness.checkers import delivery, ordering
from harness.checkers.catalogue import Anomaly
from harness.history.index import HistoryIndex
from harness.judged import targets
from harness.load.judging import Load, judge
from harness.worlds.client import Client
from harness.worlds.live import LiveWorld

AT_ONCE = {"one by one": 1, "ten at a time": 10}
"""How many messages arrive in one piece."""
MANY = 5000
"""Clients in one process."""
_ROOM_SIZE = 20
_LISTENERS, _MESSAGES = 50, 2000
_DIALS = 50
"""Clients that connect at the same time."""
_PATIENCE = 120.0
_WITH_HEARTBEATS = Peer(
    "reference",
    "",
    lambda port, folder: [
        *REFERENCE.command(port, folder),
        *("--heartbeat-interval", "60", "--offline-timeout", "300"),
    ],
)


def clients(plan: Plan) -> Part:
    """Measure the listeners in turns, and then a process with many clients. Raises BenchError."""
    part = Part("client", f"What does it cost a client of the harness to receive a message of {SIZE} bytes?")
    costs: dict[tuple[str, str], list[float]] = defaultdict(list)
    for number, (kind, how) in plan.interleaved([(kind, how) for kind in KINDS for how in AT_ONCE]):
        plan.say(f"client: round {number} of {plan.rounds}, {kind}, {how}")
        costs[kind, how].append(_listen(kind, AT_ONCE[how]))
    rows: list[list[Cell]] = [
        [kind, how, median(costs[kind, how]), spread(costs[kind, how])] for how in AT_ONCE for kind in KINDS
    ]
    part.tables.append(
        Table("CPU of the client's process", ["client", "come", "us / message", "rounds"], rows)
    )
    for how in AT_ONCE:
        ours, theirs = costs["harness", how], costs["websockets", how]
        part.sentences.append(
            f"{how}: the harness pays {ratio(ours, theirs):.2f} times what websockets pays."
        )
    plan.say(f"client: {MANY:,} clients in one process")
    many = asyncio.run(_many(MANY))
    part.sentences.append(
        f"{MANY:,} clients in one process joined in {many.joined:.0f} s, and heard {many.deliveries:,} "
        f"messages in {many.talked:.1f} s; {many.lost} were lost. "
        f"The checkers looked at them for {many.judged:.1f} s, "
        f"and found {many.anomalies} anomalies."
    )
    plan.say("client: the record of a big chat")
    part.sentences.append(_judging(plan))
    return part


def _judging(plan: Plan) -> str:
    """How long judging a load takes for the record of a correct chat, from the record to the verdict."""
    record = crowded.recording()
    seconds: list[float] = []
    for number in range(1, plan.rounds + 1):
        plan.say(f"client: round {number} of {plan.rounds}, judging a big chat")
        began = time.monotonic()
        result = judge(Load("record", "steady", 0, 1, 60.0), [record])
        seconds.append(time.monotonic() - began)
    return (
        f"The record of {result.deliveries:,} deliveries, with {result.findings.cuts:,} cuts, is judged in "
        f"{median(seconds):.2f} s ({spread(seconds)}): {result.outcome.value}."
    )


def _listen(kind: str, at_once: int) -> float:
    """Microseconds for each received message, measured in a process of its own."""
    arguments = [str(_LISTENERS), str(_MESSAGES), str(at_once), str(SIZE)]
    command = [sys.executable, "-P", "-m", "harness.bench.servers.pouring", *arguments]
    with running(Peer("pouring", "", lambda port, folder: command)) as (port, _):
        listening = [sys.executable, "-P", "-m", "harness.bench.listening", kind, str(port), *arguments[:2]]
        try:
            done = subprocess.run(listening, capture_output=True, text=True, timeout=_PATIENCE)
        except subprocess.TimeoutExpired:
            raise BenchError(f"{kind} did not hear everything within {_PATIENCE:g} s") from None
    if done.returncode:
        raise BenchError(f"{kind} ended with code {done.returncode}: {done.stderr.strip()[-300:]}")
    return float(done.stdout)


@dataclass
class Many:
    """The result for many clients; times in seconds."""

    joined: float
    talked: float
    judged: float
    deliveries: int
    lost: int
    anomalies: int


async def _many(count: int) -> Many:
    """Run so many clients in one process, in rooms of twenty: each says a message, and all is judged."""
    with running(_WITH_HEARTBEATS) as (port, _):
        world = LiveWorld(targets.at_url(f"ws://127.0.0.1:{port}/"), 0, "bench")
        world.timeline.most_events = 1000 * count
        world.patience = _PATIENCE
        try:
            return await _play(world, count)
        finally:
            await world.close()


async def _play(world: LiveWorld, count: int) -> Many:
    rooms = [world.name(f"room{number}") for number in range(max(count // _ROOM_SIZE, 1))]
    came: list[Client] = []
    dials = asyncio.Semaphore(_DIALS)

    async def come(number: int) -> None:
        async with dials:
            client = await world.client(f"user{number}")
            await client.join(rooms[number % len(rooms)])
            came.append(client)

    began = time.monotonic()
    await asyncio.gather(*map(come, range(count)))
    joined = time.monotonic()
    place = {client: rooms[int(client.name[4:]) % len(rooms)] for client in came}
    sizes = {room: list(place.values()).count(room) for room in rooms}
    for client in came:
        await client.say(place[client], f"{world.tag()}. hello")
    await world.until(lambda: sum(sizes[room] - client.live[room] for client, room in place.items()))
    talked = time.monotonic()
    index = HistoryIndex(world.history)
    found: list[Anomaly] = []
    for room in rooms:
        found += delivery.lost(index, room)
        found += delivery.duplicates(index, room)
        found += ordering.order(index, room)
        found += ordering.numbering(index, room)
    owed = sum(sizes[room] for room in place.values())
    heard = sum(client.live[room] for client, room in place.items())
    judged = time.monotonic() - talked
    return Many(joined - began, talked - joined, judged, heard, owed - heard, len(found))
