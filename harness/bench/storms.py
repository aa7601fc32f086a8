"""A server is killed, and all its clients come back at once when it is there again. How long does that take?

Each reconnects, and joins its room with `since`. It is *whole* when it has what was said while it was away,
and the list of everybody. Meanwhile somebody who was back before talks to itself (`probing`): is it served?
If anybody times out while it waits, or is disconnected, that fails the measurement.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from harness.bench.arrivals import Arrivals, check_witness
from harness.bench.crowd import SIZE
from harness.bench.peers import REFERENCE, launch, wait_for
from harness.bench.plan import BenchError, Plan
from harness.bench.result import Cell, Part, Table, median
from harness.bench.usage import Peak, cpu_seconds
from harness.posix import KILL
from harness.reports.charts import percentile
from lab.protocol import Message
from lab.store import MessageStore

ROOMS = (50, 1)
_MISSED = 10
"""Messages that everybody missed while it was away."""
_SAID = 100
"""Messages in each room."""
_INTERVALS = {"HEARTBEAT_INTERVAL": "2", "OFFLINE_TIMEOUT": "5"}
_WATCHED = 5.5
"""Seconds, longer than the timeout, for which all must stay connected when all are whole."""


@dataclass
class Storm:
    """Seconds until half and all of them were whole, CPU seconds of the server, MB that it sent, MiB of
    memory; latencies of the probe in milliseconds.
    """

    half: float
    whole: float
    cpu: float
    sent: float
    memory: float
    probe: list[float] = field(default_factory=list)


def storms(plan: Plan) -> Part:
    """Measure the reference, with everybody in one room and in several. Raises BenchError."""
    people = 2 * plan.members
    part = Part("storm", f"{people:,} people lose their server at once. How long until all are whole again?")
    found: dict[int, list[Storm]] = defaultdict(list)
    for number, rooms in plan.interleaved([each for each in ROOMS if each <= people]):
        plan.say(f"storm: round {number} of {plan.rounds}, {people} people in {rooms} rooms")
        found[rooms].append(_storm(people, rooms))
    rows: list[list[Cell]] = []
    for rooms, of in sorted(found.items()):
        half, whole, cpu, sent, memory = (
            median([getattr(each, name) for each in of])
            for name in ("half", "whole", "cpu", "sent", "memory")
        )
        probes = [latency for each in of for latency in each.probe]
        shares = [percentile(probes, share) for share in (0.5, 0.99, 1.0)]
        rows.append([f"{rooms:,}", half, whole, cpu, sent, memory, *shares])
    columns = ["rooms", "half whole, s", "all whole, s", "CPU s", "MB sent", "MiB at most"]
    columns += ["others: p50 ms", "p99 ms", "most ms"]
    part.tables = [Table(f"{people:,} people who come back", columns, rows)]
    part.sentences = [
        f"All are whole within {max(each.whole for of in found.values() for each in of):.2f} s of the moment "
        "at which the server listens again, and nobody timed out."
    ]
    return part


def _storm(people: int, rooms: int) -> Storm:
    with tempfile.TemporaryDirectory(prefix="chatlab-bench-") as name:
        folder = Path(name)
        asyncio.run(_fill(folder / "data", rooms))
        first, port = launch(REFERENCE, folder, more=_INTERVALS)
        try:
            wait_for(first, port)
            with Arrivals(port, people, rooms) as crowd:
                crowd.arrive(_SAID)
                os.kill(first.pid, KILL)  # at once: `kill` would look for its child processes first
        finally:
            first.kill()
        second, port = launch(REFERENCE, folder, port, more=_INTERVALS)
        try:
            wait_for(second, port)
            return _come_back(port, psutil.Process(second.pid), people, rooms)
        finally:
            second.kill()


def _come_back(port: int, process: psutil.Process, people: int, rooms: int) -> Storm:
    """All come at once. Raises BenchError if one of them is closed, or does not get what it missed."""
    with Arrivals(port, people, rooms) as crowd, Peak(process) as peak, _probing(port) as probe:
        spent = cpu_seconds(process)
        whole = crowd.arrive(_SAID - _MISSED)
        times = sorted(each.whole for each in crowd.people)
        crowd.fence()
        latencies = probe()
        result = Storm(
            times[people // 2],
            whole,
            cpu_seconds(process) - spent,
            crowd.received / 1e6,
            peak.most,
            latencies,
        )
        for each in crowd.people:
            if each.replayed() != list(range(_SAID - _MISSED + 1, _SAID + 1)):
                raise BenchError(f"{each.name} was replayed {each.replayed()}")
        for each in crowd.witnesses:
            check_witness(each, [mate for mate in crowd.people if mate.room == each.room])
        until = time.monotonic() + _WATCHED
        while time.monotonic() < until:
            crowd.fence()
        return result


@contextmanager
def _probing(port: int) -> Iterator[Callable[[], list[float]]]:
    """A process that talks; the function that ends it returns its latencies."""
    command = [sys.executable, "-P", "-m", "harness.bench.probing", str(port)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()

        def end() -> list[float]:
            output, _ = process.communicate("")
            if process.returncode:
                raise BenchError("somebody who was back before was not served any more")
            latencies: list[float] = json.loads(output)
            return latencies

        try:
            yield end
        finally:
            process.kill()


async def _fill(folder: Path, rooms: int) -> None:
    """Store what was said in the rooms."""
    store = MessageStore(folder)
    try:
        for room in (f"room{number}" for number in range(rooms)):
            await store.save(
                [
                    Message(f"m{number}", room, "ada", "x" * SIZE, number, 1767225600000)
                    for number in range(1, _SAID + 1)
                ]
            )
    finally:
        store.close()
