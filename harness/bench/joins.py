"""What it costs when many people join one room at once, by their number."""

from __future__ import annotations

import tempfile
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from harness.bench.arrivals import Arrivals, Person, check_witness
from harness.bench.peers import REFERENCE, Peer, python, running
from harness.bench.plan import Plan
from harness.bench.result import Cell, Part, Table, median, ratio
from harness.bench.usage import Peak, cpu_seconds
from harness.reports.charts import Series, chart

PEOPLE = (250, 500, 1000, 2000)


@dataclass
class Cost:
    """Of all joins together: seconds, CPU seconds, MB sent; `frames` that one received; MiB of memory."""

    seconds: float
    cpu: float
    sent: float
    frames: float
    memory: float


def joins(plan: Plan) -> Part:
    """Measure the reference, and then a bare broadcast of the frames that it sent. Raises BenchError."""
    part = Part("join", "What does it cost when many people join one room at the same moment?")
    ours: dict[int, list[Cost]] = defaultdict(list)
    bare: dict[int, list[Cost]] = defaultdict(list)
    for number, people in plan.interleaved([each for each in PEOPLE if each <= 2 * plan.members]):
        plan.say(f"join: round {number} of {plan.rounds}, {people} people")
        with tempfile.TemporaryDirectory(prefix="chatlab-bench-") as folder:
            file = Path(folder) / "frames.txt"
            ours[people].append(_join(people, file))
            bare[people].append(_broadcast(people, file))
    part.tables = [_table("The reference", ours), _table("The same frames, by websockets.broadcast()", bare)]
    few, many = min(ours), max(ours)
    more = median([each.cpu for each in ours[many]]) / median([each.cpu for each in ours[few]])
    times = ratio([each.cpu for each in ours[many]], [each.cpu for each in bare[many]])
    part.sentences = [
        f"{many:,} people who join cost {more:.1f} times what {few:,} cost.",
        f"With {many:,} the reference takes {times:.1f} times the CPU of a bare broadcast of its frames.",
    ]
    lines = {"reference": ours, "broadcast": bare}
    series: dict[str, Series] = {
        name: [(float(n), 1e3 * median([e.cpu for e in of]) / n) for n, of in sorted(costs.items())]
        for name, costs in lines.items()
    }
    part.pictures = [chart(series, "A join among many", "people who join at once", "CPU ms / join")]
    return part


def _join(people: int, file: Path) -> Cost:
    """All connect; then all join. The frames that the first received are written to `file`."""
    with running(REFERENCE) as (port, process), Arrivals(port, people) as crowd:
        crowd.connect()
        before, spent = crowd.received, cpu_seconds(process)
        with Peak(process) as peak:
            seconds = crowd.join() + crowd.fence()
        spent = cpu_seconds(process) - spent
        frames = [check_witness(each, crowd.people) for each in crowd.witnesses]
        _write_down(crowd.witnesses[0], file)
        return Cost(seconds, spent, (crowd.received - before) / 1e6, median(frames), peak.most)


def _write_down(witness: Person, file: Path) -> None:
    """A frame in each line, without the greeting: JSON has no line breaks of its own."""
    file.write_bytes(b"\n".join(list(witness.frames())[1:]))


def _broadcast(people: int, file: Path) -> Cost:
    module = python("harness.bench.servers.announcing")
    peer = Peer("bare", "", lambda port, folder: [*module(port, folder), str(file), str(people)])
    with running(peer) as (port, process), Arrivals(port, people) as crowd:
        crowd.connect()
        before, spent = crowd.received, cpu_seconds(process)
        with Peak(process) as peak:
            seconds = crowd.hear()
        spent = cpu_seconds(process) - spent
        frames = sum(1 for _ in crowd.witnesses[0].frames()) - 1
        return Cost(seconds, spent, (crowd.received - before) / 1e6, frames, peak.most)


def _table(title: str, costs: dict[int, list[Cost]]) -> Table:
    rows: list[list[Cell]] = []
    for people, of in sorted(costs.items()):
        seconds, cpu, sent, frames, memory = (
            median([getattr(each, name) for each in of])
            for name in ("seconds", "cpu", "sent", "frames", "memory")
        )
        rows.append([f"{people:,}", seconds, cpu, 1e3 * cpu / people, sent, frames, memory])
    columns = ["people", "seconds", "CPU s", "CPU ms / join", "MB sent", "frames / member", "MiB at most"]
    return Table(title, columns, rows)
