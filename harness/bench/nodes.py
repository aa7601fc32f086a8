"""What nodes cost that share their rooms over JetStream, beside one server and beside JetStream alone."""

from __future__ import annotations

import asyncio
import contextlib
import json
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil

from harness.bench.crowd import SIZE, Chat, Crowd
from harness.bench.nats_servers import NatsServers, nats_servers
from harness.bench.peers import REFERENCE, running
from harness.bench.plan import BenchError, Plan
from harness.bench.result import Cell, Part, Table, median, ratio
from harness.bench.usage import cpu_seconds
from harness.reports.charts import percentile

NODES = (1, 2, 4)
MEMBERS = 100
"""Members; each has a message in flight all the time, and so has each of the raw publishers."""
TALKS = {"alone": MEMBERS, "shared": 10}
"""How many rooms there are: each member alone in one, or ten in each, who are at all nodes."""
RAW = "JetStream alone"
EMBEDDED = "one server"
_CREATED_SECONDS = 1.0


@dataclass
class _Figures:
    """Messages a second, percentiles in milliseconds, and cores kept busy by nodes, NATS and clients."""

    rate: float
    p50: float
    p99: float
    nodes: float
    nats: float
    clients: float


def nodes(plan: Plan) -> Part:
    """Measure one server, clusters of some sizes, and JetStream alone, in turns. Raises BenchError."""
    part = Part(
        "nodes", f"How many messages of {SIZE} bytes a second do several nodes accept, {MEMBERS} in flight?"
    )
    if find_spec("nats") is None:
        part.notes.append('Not measured: several nodes (pip install "chat-lab[cluster]").')
        return part
    found: dict[tuple[str, str], list[_Figures]] = defaultdict(list)
    with tempfile.TemporaryDirectory(prefix="chatlab-bench-") as folder, nats_servers(Path(folder)) as nats:
        _measure(plan, nats, found)
    for talk in TALKS:
        part.tables.append(_table(talk, found))
        raw = [each.rate for each in found[RAW, ""]]
        for count in NODES:
            ours = [each.rate for each in found[_name(count), talk]]
            part.sentences.append(
                f"{_rooms(talk)}: {_name(count)} {ratio(ours, raw):.2f} times what JetStream alone takes."
            )
    part.notes.append(
        "JetStream alone: a client publishes to one stream on three nodes, with as many requests in flight. "
        "All of it runs on this machine, and so do three NATS nodes, each of which syncs each message."
    )
    return part


def _measure(plan: Plan, nats: NatsServers, found: dict[tuple[str, str], list[_Figures]]) -> None:
    peers = [(count, talk) for count in (0, *NODES) for talk in TALKS]
    for number, (count, talk) in plan.interleaved([*peers, (-1, "")]):
        name = _name(count)
        plan.say(f"nodes: round {number} of {plan.rounds}, {name} {talk}")
        if count < 0:
            found[name, talk].append(asyncio.run(_publishing(nats, plan.seconds)))
        else:
            found[name, talk].append(_talking(nats, count, TALKS[talk], plan.seconds))


def _name(count: int) -> str:
    if count < 1:
        return EMBEDDED if count == 0 else RAW
    return f"{count} node" if count == 1 else f"{count} nodes"


def _rooms(talk: str) -> str:
    return "Each member alone in a room" if talk == "alone" else "Ten members in each room"


def _talking(nats: NatsServers, count: int, rooms: int, seconds: float) -> _Figures:
    """Each member says the next message when its last has come back."""
    with ExitStack() as stack:
        peers = [nats.node] * count if count else [REFERENCE]
        ports, servers = zip(*[stack.enter_context(running(peer)) for peer in peers], strict=True)
        crowd = stack.enter_context(Crowd(ports[0], Chat(), MEMBERS, rooms, ports[1:]))
        crowd.settle()
        before, clients = (_cpu(servers), nats.cpu()), time.process_time()
        talk = crowd.talk(MEMBERS, seconds)
        after, own = (_cpu(servers), nats.cpu()), time.process_time() - clients
    cores = [(now - then) / talk.seconds for now, then in zip(after, before, strict=True)]
    rate = talk.messages / talk.seconds
    p50, p99 = talk.percentile(0.5), talk.percentile(0.99)
    return _Figures(rate, p50, p99, cores[0], cores[1], own / talk.seconds)


def _cpu(processes: Iterable[psutil.Process]) -> float:
    return sum(map(cpu_seconds, processes))


async def _publishing(nats: NatsServers, seconds: float) -> _Figures:
    """Each of as many publishers publishes the next message when its last was acknowledged."""
    import nats as client_of

    client: Any = await client_of.connect(nats.urls)
    what = {"name": "RAW", "subjects": ["raw"], "num_replicas": 3, "storage": "file"}
    times: list[float] = []

    async def publish() -> None:
        while time.perf_counter() < until:
            began = time.perf_counter()
            answer = json.loads((await client.request("raw", b"x" * SIZE, timeout=10)).data)
            if "error" in answer:
                raise BenchError(str(answer["error"]))
            times.append(time.perf_counter() - began)

    try:
        await client.request("$JS.API.STREAM.CREATE.RAW", json.dumps(what).encode(), timeout=10)
        with contextlib.suppress(client_of.errors.Error):  # its leader is elected meanwhile
            await client.request("raw", b"x", timeout=_CREATED_SECONDS)
        began, cpu, own = time.perf_counter(), nats.cpu(), time.process_time()
        until = began + seconds
        await asyncio.gather(*(publish() for _ in range(MEMBERS)))
        took = time.perf_counter() - began
        cores = (nats.cpu() - cpu) / took, (time.process_time() - own) / took
    finally:
        await client.close()
    p50, p99 = (1000 * percentile(times, share) for share in (0.5, 0.99))
    return _Figures(len(times) / took, p50, p99, 0.0, *cores)


def _table(talk: str, found: dict[tuple[str, str], list[_Figures]]) -> Table:
    rows: list[list[Cell]] = []
    for name in (EMBEDDED, *map(_name, NODES), RAW):
        of = found[name, "" if name == RAW else talk]
        figures = ("rate", "p50", "p99", "nodes", "nats", "clients")
        rows.append([name, *(median([getattr(each, figure) for each in of]) for figure in figures)])
    columns = ["", "messages/s", "p50 ms", "p99 ms", "cores: nodes", "NATS", "clients"]
    return Table(_rooms(talk), columns, rows)
