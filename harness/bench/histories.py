"""How cost grows with a room's history: of reading its newest messages, and those after a number."""

from __future__ import annotations

import asyncio
import json
import socket
import tempfile
import time
from collections import defaultdict
from pathlib import Path

from harness.bench.crowd import PATIENCE, SIZE, Chat
from harness.bench.peers import REFERENCE, running
from harness.bench.plan import BenchError, Plan
from harness.bench.result import Cell, Part, Table, median, ratio
from harness.reports.charts import Series, chart, percentile
from lab.protocol import MAX_SEQUENCE, NEWEST, Message
from lab.store import MessageStore

LENGTHS = (1_000, 10_000, 100_000, 1_000_000)
"""Messages in a room."""
_ASKS = 300
"""Queries in each measurement."""
_AT_ONCE = 10_000
_FIGURES = ("newest, store alone", "page in the middle, store alone", "join, whole server")


def histories(plan: Plan) -> Part:
    """Measure rooms of several lengths in one store, in turns. Raises BenchError."""
    part = Part(
        "history", f"What do the newest {NEWEST} messages of a room cost, by the length of its history?"
    )
    times: dict[tuple[str, int], list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory(prefix="chatlab-bench-") as name:
        folder = Path(name) / "data"
        asyncio.run(_fill(folder, plan))
        for number in range(1, plan.rounds + 1):
            plan.say(f"history: round {number} of {plan.rounds}, the store alone")
            asyncio.run(_ask_store(folder, times))
        with running(REFERENCE, folder) as (port, _):
            for number, length in plan.interleaved(LENGTHS):
                plan.say(f"history: round {number} of {plan.rounds}, joins of a room of {length:,}")
                times[_FIGURES[2], length].append(_join(port, length))
        size = sum(each.stat().st_size for each in folder.iterdir())
    rows: list[list[Cell]] = [
        [f"{n:,}", *(1e6 * median(times[figure, n]) for figure in _FIGURES)] for n in LENGTHS
    ]
    part.tables.append(Table("Microseconds (medians)", ["messages in the room", *_FIGURES], rows))
    short, long = LENGTHS[1], LENGTHS[-1]
    for figure in _FIGURES:
        more = ratio(times[figure, long], times[figure, short])
        part.sentences.append(f"{figure}: {long:,} messages cost {more:.2f} times what {short:,} cost.")
    part.sentences.append(
        f"All {sum(LENGTHS):,} messages take {size / sum(LENGTHS):.0f} bytes each on the disk."
    )
    series: dict[str, Series] = {
        figure: [(float(n), 1e6 * median(times[figure, n])) for n in LENGTHS] for figure in _FIGURES
    }
    part.pictures.append(chart(series, "What a page costs", "messages in the room", "microseconds"))
    return part


def _room(length: int) -> str:
    return f"room{length}"


async def _fill(folder: Path, plan: Plan) -> None:
    store = MessageStore(folder)
    try:
        for length in LENGTHS:
            plan.say(f"history: {length:,} messages are stored")
            for start in range(1, length + 1, _AT_ONCE):
                numbers = range(start, min(start + _AT_ONCE, length + 1))
                await store.save([Message(f"id{n}", _room(length), "ada", "x" * SIZE, n, 0) for n in numbers])
    finally:
        store.close()


async def _ask_store(folder: Path, times: dict[tuple[str, int], list[float]]) -> None:
    """The median seconds of each query, with the lengths in turns."""
    store = MessageStore(folder)
    took: dict[tuple[str, int], list[float]] = defaultdict(list)
    try:
        for _ in range(_ASKS):
            for length in LENGTHS:
                began = time.perf_counter()
                newest = await store.newest(_room(length), NEWEST)
                between = time.perf_counter()
                page = await store.page(_room(length), length // 2, NEWEST)
                took[_FIGURES[0], length].append(between - began)
                took[_FIGURES[1], length].append(time.perf_counter() - between)
                if newest[-1].sequence != length or len(page) != NEWEST:
                    raise BenchError(f"the store lost something of {length:,} messages")
    finally:
        store.close()
    for key, each in took.items():
        times[key].append(median(each))


def _join(port: int, length: int) -> float:
    """The median seconds from a join to the history in its answer."""
    took = []
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        Chat().greet(sock, length)
        last = json.dumps({"sequence": length}).encode()[1:-1].replace(b" ", b"")
        for _ in range(_ASKS):
            began = time.perf_counter()
            sock.sendall(Chat.frame({"type": "join", "room": _room(length)}))
            _read_until(sock, last)
            took.append(time.perf_counter() - began)
            sock.sendall(Chat.frame({"type": "leave", "room": _room(length)}))
            # A number that no room has: its page is empty, and comes after all that the leave caused.
            ask = {"type": "history", "room": "nowhere", "since": MAX_SEQUENCE, "limit": 1}
            sock.sendall(Chat.frame(ask))
            _read_until(sock, b"nowhere")
    return percentile(took, 0.5)


def _read_until(sock: socket.socket, word: bytes) -> None:
    data = b""
    while word not in data:
        got = sock.recv(1 << 20)
        if not got:
            raise BenchError("it closed a connection")
        data += got
