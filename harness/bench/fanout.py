"""The cost of a delivery: CPU time of the server's process, by the number of messages in flight."""

from __future__ import annotations

import errno
from collections import defaultdict
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import psutil

from harness.bench.crowd import SIZE, Crowd, Talk
from harness.bench.peers import PEERS, REFERENCE, Absent, Peer, running
from harness.bench.plan import BenchError, Plan
from harness.bench.result import Part, Table, median, ratio, spread
from harness.bench.usage import cpu_seconds
from harness.reports.charts import chart
from harness.reports.svg import Drawing

IN_FLIGHT = (1, 4, 32)
"""Messages that were sent and have not come back to their senders yet."""
COMPARED = {1: ("naive",), 4: ("naive", "ws"), 32: ("broadcast", "nats")}
"""The peers that the reference is compared with, by messages in flight."""
DRAWN = (REFERENCE.name, "naive", "ws", "nats")
"""The peers in the picture, which has room for four."""


@dataclass
class Cost:
    """One measurement; `cpu` is in seconds for a million deliveries, the percentiles are in milliseconds."""

    cpu: float
    rate: float
    p50: float
    p99: float


Costs = dict[tuple[str, int], list[Cost]]
"""The rounds of each peer and number of messages in flight."""


def fan_out(plan: Plan, peers: Sequence[Peer] = PEERS) -> Part:
    """Measure every peer with its crowd, in turns. Raises BenchError."""
    part = Part("fan-out", f"What does it cost to deliver {SIZE} bytes to {plan.members} members of a room?")
    costs: Costs = defaultdict(list)
    with ExitStack() as stack:
        crowds: dict[str, tuple[psutil.Process, Crowd]] = {}
        for peer in peers:
            plan.say(f"fan-out: {plan.members} members join {peer.name}")
            try:
                crowds[peer.name] = _crowd(peer, plan.members, stack)
            except Absent as why:
                part.notes.append(f"Not measured: {peer.name} ({why}).")
        settings = [(name, w) for name in crowds for w in IN_FLIGHT if w <= plan.members]
        for number, (name, w) in plan.interleaved(settings):
            plan.say(f"fan-out: round {number} of {plan.rounds}, {name} with {w} in flight")
            costs[name, w].append(_cost(*crowds[name], w, plan.seconds, name))
    there = [peer for peer in peers if peer.name in crowds]
    part.tables = [_table(costs, w, there) for w in IN_FLIGHT if w <= plan.members]
    part.notes = [f"{peer.name}: {peer.what}." for peer in there] + part.notes
    part.sentences = _comparisons(costs)
    part.pictures.append(_picture(costs, [name for name in DRAWN if name in crowds], plan.members))
    return part


def _crowd(peer: Peer, members: int, stack: ExitStack) -> tuple[psutil.Process, Crowd]:
    """A running server, and its members; `stack` closes them."""
    try:
        port, process = stack.enter_context(running(peer))
        crowd = stack.enter_context(Crowd(port, peer.dialect(), members))
        crowd.settle()
    except OSError as error:
        hint = "; try fewer --members, or raise `ulimit -n`" if error.errno == errno.EMFILE else ""
        raise BenchError(f"{peer.name}: {error}{hint}") from error
    except BenchError as error:
        raise BenchError(f"{peer.name}: {error}") from error
    return process, crowd


def _cost(process: psutil.Process, crowd: Crowd, in_flight: int, seconds: float, name: str) -> Cost:
    before = cpu_seconds(process)
    try:
        talk: Talk = crowd.talk(in_flight, seconds)
    except (BenchError, OSError) as error:
        raise BenchError(f"{name}: {error}") from error
    spent = cpu_seconds(process) - before
    return Cost(
        spent / talk.deliveries * 1e6,
        talk.messages / talk.seconds,
        talk.percentile(0.5),
        talk.percentile(0.99),
    )


def _table(costs: Costs, in_flight: int, peers: Sequence[Peer]) -> Table:
    rows: list[list[str | float]] = []
    for peer in peers:
        of = costs[peer.name, in_flight]
        cpu = [each.cpu for each in of]
        figures = [median([getattr(each, name) for each in of]) for name in ("rate", "p50", "p99")]
        rows.append([peer.name, median(cpu), spread(cpu), *figures])
    columns = ["server", "CPU s / million deliveries", "rounds", "messages/s", "p50 ms", "p99 ms"]
    return Table(f"{in_flight} in flight", columns, rows)


def _comparisons(costs: Costs) -> list[str]:
    """Sentences that compare the reference with the peers in COMPARED."""
    sentences = []
    for w, names in COMPARED.items():
        ours = [each.cpu for each in costs[REFERENCE.name, w]]
        for name in names:
            theirs = [each.cpu for each in costs[name, w]]
            if ours and theirs:
                times = ratio(ours, theirs)
                says = (
                    f"With {w} in flight, a delivery costs the reference {times:.2f} times what {name} pays."
                )
                sentences.append(says)
    return sentences


def _picture(costs: Costs, names: Sequence[str], members: int) -> Drawing:
    series: dict[str, Sequence[tuple[float, float]]] = {
        name: [(float(w), median([each.cpu for each in costs[name, w]])) for w in IN_FLIGHT if costs[name, w]]
        for name in names
    }
    return chart(series, f"A delivery to {members} members", "messages in flight", "CPU s / million")
