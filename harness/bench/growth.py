"""How cost grows with members and with rooms; for the length of a history, see `histories`."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from harness.bench.crowd import SIZE, Crowd
from harness.bench.peers import REFERENCE, running
from harness.bench.plan import Plan
from harness.bench.result import Cell, Part, Table, median
from harness.bench.usage import cpu_seconds, megabytes
from harness.reports.charts import Series, chart
from harness.reports.svg import Drawing

MEMBERS = (10, 30, 100, 300, 1000, 3000)
ROOMS = (1, 10, 100, 1000)
_IN_FLIGHT = 4


@dataclass
class Cost:
    """CPU seconds for a million deliveries, for a thousand messages and for a join in milliseconds; KiB."""

    delivery: float
    message: float
    join: float
    memory: float


def growth(plan: Plan) -> Part:
    """Measure the reference with crowds of several sizes. Raises BenchError."""
    part = Part("growth", f"How do CPU and memory grow? ({SIZE} bytes, {_IN_FLIGHT} in flight)")
    members: dict[int, list[Cost]] = defaultdict(list)
    rooms: dict[int, list[Cost]] = defaultdict(list)
    for number, count in plan.interleaved([each for each in MEMBERS if each <= plan.members]):
        plan.say(f"growth: round {number} of {plan.rounds}, {count} members of one room")
        members[count].append(_cost(plan, count, 1))
    for number, count in plan.interleaved([each for each in ROOMS if each <= plan.members]):
        plan.say(f"growth: round {number} of {plan.rounds}, {plan.members} members in {count} rooms")
        rooms[count].append(_cost(plan, plan.members, count))
    part.tables = [
        _table("One room", "members", members),
        _table(f"{plan.members} members, spread over rooms", "rooms", rooms),
    ]
    part.pictures = [
        _picture("CPU by members of a room", "members", "CPU s / thousand messages", members, "message"),
        _picture("Memory by members of a room", "members", "KiB / connection", members, "memory"),
        _picture("CPU by rooms", "rooms", "CPU s / million deliveries", rooms, "delivery"),
        _picture("Memory by rooms", "rooms", "KiB / connection", rooms, "memory"),
    ]
    part.sentences = [_sentence(members), _sentence_on_rooms(rooms)]
    return part


def _cost(plan: Plan, members: int, rooms: int) -> Cost:
    with running(REFERENCE) as (port, process):
        empty, idle = cpu_seconds(process), megabytes(process)
        with Crowd(port, REFERENCE.dialect(), members, rooms) as crowd:
            crowd.settle()
            joined, memory = cpu_seconds(process), megabytes(process)
            talk = crowd.talk(max(_IN_FLIGHT, rooms), plan.seconds)
            spent = cpu_seconds(process) - joined
    return Cost(
        1e6 * spent / talk.deliveries,
        1e3 * spent / talk.messages,
        1e3 * (joined - empty) / members,
        1024 * (memory - idle) / members,
    )


def _table(title: str, name: str, costs: dict[int, list[Cost]]) -> Table:
    rows: list[list[Cell]] = []
    for count, of in sorted(costs.items()):
        figures = ("message", "delivery", "join", "memory")
        rows.append([f"{count:,}", *(median([getattr(each, figure) for each in of]) for figure in figures)])
    columns = [
        name,
        "CPU s / thousand messages",
        "CPU s / million deliveries",
        "CPU ms / join",
        "KiB / connection",
    ]
    return Table(title, columns, rows)


def _picture(title: str, across: str, up: str, costs: dict[int, list[Cost]], figure: str) -> Drawing:
    line: Series = [(float(n), median([getattr(e, figure) for e in of])) for n, of in sorted(costs.items())]
    return chart({"reference": line}, title, across, up)


def _sentence(costs: dict[int, list[Cost]]) -> str:
    few, many = min(100, max(costs)), max(costs)
    more = median([e.message for e in costs[many]]) / median([e.message for e in costs[few]])
    return f"A message to a room of {many:,} costs {more:.1f} times what it costs in a room of {few:,}."


def _sentence_on_rooms(costs: dict[int, list[Cost]]) -> str:
    few, many = min(costs), max(costs)
    memory = median([e.memory for e in costs[many]]) - median([e.memory for e in costs[few]])
    return f"{many:,} rooms instead of {few:,} cost {memory:.1f} KiB more for each connection."
