"""How many messages a second a server can confirm that are stored on the disk by then."""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from harness.bench.crowd import SIZE, Crowd
from harness.bench.peers import ON_AIOSQLITE, REFERENCE, Absent, Peer, running
from harness.bench.plan import BenchError, Plan
from harness.bench.result import Part, Table, median, ratio
from harness.bench.usage import cpu_seconds
from harness.reports.charts import Series, chart, percentile
from harness.reports.svg import Drawing
from lab.protocol import Message
from lab.store import MessageStore

SENDERS = (1, 10, 100, 1000)
"""How many senders wait for a message at any time; with the whole server, each is alone in a room."""
COMPARED = 100
"""The number of senders for which ratios are reported."""
_SYNCS = 200


@dataclass
class Rate:
    """Messages a second, percentiles in milliseconds, and how many cores the server kept busy."""

    rate: float
    p50: float
    p99: float
    cores: float = 0.0


Rates = dict[tuple[str, int], list[Rate]]


def stores(plan: Plan) -> Part:
    """Measure the store alone, and the whole server, each compared with others. Raises BenchError."""
    part = Part("store", f"How many messages of {SIZE} bytes a second are kept, each synced to the disk?")
    sync = _sync_seconds()
    part.notes.append(f"One sync of a small file takes this disk {1000 * sync:.2f} ms (median).")
    alone = _alone(plan, part)
    whole = _whole(plan, part)
    part.tables += [_table("The store alone", alone, False), _table("The whole server", whole, True)]
    for rates, what, other in (
        (alone, "the store", "aiosqlite"),
        (alone, "the store", "a file each"),
        (whole, "the whole server", ON_AIOSQLITE.name),
    ):
        ours, theirs = ([each.rate for each in rates[name, COMPARED]] for name in (REFERENCE.name, other))
        if ours and theirs:
            times = ratio(ours, theirs)
            part.sentences.append(
                f"With {COMPARED} senders {what} keeps {times:.1f} times what {other} does."
            )
    part.pictures += [_picture("The store alone", alone), _picture("The whole server", whole)]
    return part


def _sync_seconds() -> float:
    with tempfile.TemporaryFile(prefix="chatlab-bench-") as file:
        times = []
        for _ in range(_SYNCS):
            file.write(bytes(SIZE))
            file.flush()
            began = time.perf_counter()
            os.fdatasync(file.fileno())
            times.append(time.perf_counter() - began)
    return median(times)


# --- the store alone ------------------------------------------------------------------------------

Save = Callable[[Message], Awaitable[None]]


def _alone(plan: Plan, part: Part) -> Rates:
    rates: Rates = defaultdict(list)
    kept = {REFERENCE.name: _reference, "a file each": _file_each}
    if find_spec("aiosqlite") is None:
        part.notes.append('Not measured: aiosqlite (pip install "chat-lab[bench]").')
    else:
        kept["aiosqlite"] = _aiosqlite
    for number, (name, savers) in plan.interleaved([(name, savers) for name in kept for savers in SENDERS]):
        plan.say(f"store: round {number} of {plan.rounds}, {name} with {savers} savers")
        with tempfile.TemporaryDirectory(prefix="chatlab-bench-") as folder:
            rates[name, savers].append(asyncio.run(_saving(kept[name], Path(folder), savers, plan.seconds)))
    return rates


async def _saving(
    kept: Callable[[Path], AbstractAsyncContextManager[Save]], folder: Path, savers: int, seconds: float
) -> Rate:
    """Each saver saves one message after the other, for so long."""
    times: list[float] = []

    async def saver(number: int) -> None:
        count = 0
        while time.perf_counter() < deadline:
            count += 1
            began = time.perf_counter()
            await save(Message(f"{number}-{count}", f"r{number}", "ada", "x" * SIZE, count, 0))
            times.append(time.perf_counter() - began)

    async with kept(folder) as save:
        began = time.perf_counter()
        deadline = began + seconds
        await asyncio.gather(*map(saver, range(savers)))
        took = time.perf_counter() - began
    return Rate(len(times) / took, 1000 * percentile(times, 0.5), 1000 * percentile(times, 0.99))


@asynccontextmanager
async def _reference(folder: Path) -> AsyncIterator[Save]:
    store = MessageStore(folder)
    try:
        yield lambda message: store.save([message])
    finally:
        store.close()


@asynccontextmanager
async def _aiosqlite(folder: Path) -> AsyncIterator[Save]:
    from harness.bench.servers import aiosqlite_store

    store = aiosqlite_store.MessageStore(folder)
    try:
        yield lambda message: store.save([message])
    finally:
        await store.aclose()


@asynccontextmanager
async def _file_each(folder: Path) -> AsyncIterator[Save]:
    def write(message: Message) -> None:
        with (folder / f"{message.id}.txt").open("w") as file:
            file.write(message.content)
            file.flush()
            os.fsync(file.fileno())

    yield lambda message: asyncio.to_thread(write, message)


# --- the whole server -----------------------------------------------------------------------------


def _whole(plan: Plan, part: Part) -> Rates:
    rates: Rates = defaultdict(list)
    absent: set[str] = set()
    for number, (peer, senders) in plan.interleaved(
        [(peer, senders) for peer in (REFERENCE, ON_AIOSQLITE) for senders in SENDERS]
    ):
        if peer.name in absent:
            continue
        plan.say(f"store: round {number} of {plan.rounds}, {peer.name} with {senders} senders")
        try:
            rates[peer.name, senders].append(_talking(peer, senders, plan.seconds))
        except Absent as why:
            absent.add(peer.name)
            part.notes.append(f"Not measured: {peer.name} ({why}).")
        except (BenchError, OSError) as error:
            raise BenchError(f"{peer.name}: {error}") from error
    return rates


def _talking(peer: Peer, senders: int, seconds: float) -> Rate:
    """Each sender, alone in a room, says the next message when the last has come back."""
    with running(peer) as (port, process), Crowd(port, peer.dialect(), senders, rooms=senders) as crowd:
        crowd.settle()
        before = cpu_seconds(process)
        talk = crowd.talk(senders, seconds)
        busy = (cpu_seconds(process) - before) / talk.seconds
    return Rate(talk.messages / talk.seconds, talk.percentile(0.5), talk.percentile(0.99), busy)


# --- what is shown --------------------------------------------------------------------------------


def _table(title: str, rates: Rates, with_cores: bool) -> Table:
    rows: list[list[str | float]] = []
    for (name, senders), of in sorted(rates.items(), key=lambda item: (item[0][1], item[0][0])):
        names = ("rate", "p50", "p99", *(("cores",) if with_cores else ()))
        rows.append([name, senders, *(median([getattr(each, figure) for each in of]) for figure in names)])
    columns = ["", "senders", "messages/s", "p50 ms", "p99 ms", *(("cores busy",) if with_cores else ())]
    return Table(title, columns, rows)


def _picture(title: str, rates: Rates) -> Drawing:
    series: dict[str, Series] = {}
    for name in dict.fromkeys(name for name, _ in rates):
        series[name] = [(float(n), median([r.rate for r in rates[name, n]])) for n in SENDERS]
    return chart(series, title, "senders", "messages a second")
