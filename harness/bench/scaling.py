"""A plan for a million users in 100,000 rooms, computed: what each node reads, and how long a storm lasts.

    python -m harness.bench.scaling

SCALING.md explains it, and says where the costs were measured. Nothing here measures anything.

*Fan-out.* Members of a room are at any node, so a message is read by many nodes, and each hands it on to
its own members. `fan_out` computes how much each node reads, for rooms that all nodes serve, and for rooms
that are divided among *cells*, which are clusters of their own.

*Storm.* When a node dies its clients come back all at once. `storm` plays that in steps of a tenth of a
second: clients wait, lose patience, and come again, while the work that was done for them is lost.
"""

from __future__ import annotations

import math
import random
from collections import Counter, deque
from dataclasses import dataclass

from harness.texts.console import echo


@dataclass(frozen=True)
class Load:
    """What is to be served. Rates are in messages a second."""

    users: int = 1_000_000
    rooms: int = 100_000
    rooms_of_user: int = 3
    largest: int = 2_000
    """Members of the largest room."""
    spread: float = 1.5
    """Of the rooms' sizes: standard deviation of their logarithm."""
    rate_of_member: float = 1 / 180
    """In a room: who is in three rooms says something once a minute."""
    most_of_room: float = 2.0
    """Faster than that nobody can read."""
    stay: float = 1800.0
    """Seconds from a user's coming to its going."""

    def sizes(self, seed: int = 0) -> list[int]:
        """The rooms' numbers of members: log-normal, at most `largest`, as many memberships as there are."""
        chance = random.Random(seed)
        raw = [chance.lognormvariate(0.0, self.spread) for _ in range(self.rooms)]
        low, high = 0.0, float(self.largest * self.rooms)
        for _ in range(40):
            scale = (low + high) / 2
            total = sum(min(max(each * scale, 1.0), self.largest) for each in raw)
            low, high = (scale, high) if total < self.users * self.rooms_of_user else (low, scale)
        return [round(min(max(each * high, 1.0), self.largest)) for each in raw]

    def rate_of(self, size: int) -> float:
        """Messages a second in a room of that size."""
        return min(size * self.rate_of_member, self.most_of_room)


@dataclass(frozen=True)
class Costs:
    """CPU milliseconds of a node, as SCALING.md has them."""

    read: float = 0.07
    """For an entry of a stream, whoever wrote it."""
    write: float = 0.1
    """For a message of a client, beyond that."""
    delivery: float = 0.012
    """For a frame to one member: a system call, since in a quiet room no second frame waits beside it."""


@dataclass(frozen=True)
class FanOut:
    """A second of one node."""

    read: float
    """Entries that it reads: messages, and notes of who came and went."""
    wanted: float
    """Those of them that it has members for."""
    written: float
    """Messages of its own clients."""
    delivered: float
    """Messages that members are sent, and below it frames on who came and went."""
    announced: float

    def cores(self, costs: Costs) -> float:
        """Cores that a node needs for that."""
        sent = self.delivered + self.announced
        return (self.read * costs.read + self.written * costs.write + sent * costs.delivery) / 1e3


def fan_out(load: Load, sizes: list[int], nodes: int, cells: int = 1) -> FanOut:
    """What a node does on average, if members are at any node of their room's cell.

    It reads whole streams. With more members than there are streams, it has some in every stream of its cell,
    so it reads all of them.
    """
    here = nodes / cells
    read = wanted = messages = delivered = announced = 0.0
    for size, count in Counter(sizes).items():
        said, changes = count * load.rate_of(size), count * 2 * size / load.stay
        messages += said
        read += said + changes
        wanted += (said + changes) * (1 - (1 - 1 / here) ** size)
        delivered += said * size
        announced += 2 * changes * size  # a notice, and a frame of presence
    return FanOut(read / cells, wanted / cells, messages / nodes, delivered / nodes, announced / nodes)


def nodes_needed(load: Load, sizes: list[int], costs: Costs, cells: int, share: float = 0.5) -> int | None:
    """How many nodes of one core keep below a share of it; None if no number of nodes does."""
    one = fan_out(load, sizes, cells, cells)
    reading = one.read * costs.read / 1e3
    if reading >= share:
        return None
    return cells * math.ceil((one.cores(costs) - reading) / (share - reading))


@dataclass(frozen=True)
class Storm:
    """How long until the last client is back, in seconds; joins that were made for clients who had gone."""

    seconds: float
    wasted: int


def storm(
    clients: int,
    joins_a_second: float,
    patience: float = 10.0,
    first_wait: float = 1.0,
    longest_wait: float = 30.0,
    admits: bool = True,
    seed: int = 0,
    limit: float = 3600.0,
) -> Storm:
    """All clients lose their server at second 0, and come back.

    Each waits for a random part of a pause that doubles (`first_wait` to `longest_wait`), then connects, and
    is served in its turn, with so many joins a second; after its `patience` it goes, and pauses again. A
    server that `admits` refuses at once whom it could not serve in half that time, which costs nothing. One
    that does not has everybody queue, and serves also those who have gone. Ends at `limit`, in seconds.
    """
    chance = random.Random(seed)
    arrivals: dict[int, list[tuple[int, int]]] = {}  # by tick: client, attempt
    ticks = 10  # a second

    def come(client: int, attempt: int, now: float) -> None:
        pause = chance.random() * min(first_wait * 2**attempt, longest_wait)
        arrivals.setdefault(math.ceil((now + pause) * ticks), []).append((client, attempt))

    for client in range(clients):
        come(client, 0, 0.0)
    queue: deque[tuple[int, int, float]] = deque()  # client, attempt, when it came
    left, wasted, budget, tick = clients, 0, 0.0, 0
    while left and tick < limit * ticks:
        tick += 1
        now = tick / ticks
        for client, attempt in arrivals.pop(tick, ()):
            if admits and len(queue) > joins_a_second * patience / 2:
                come(client, attempt + 1, now)
            else:
                queue.append((client, attempt, now))
        budget = min(budget, 1.0) + joins_a_second / ticks
        while queue and budget >= 1:
            client, attempt, came = queue.popleft()
            budget -= 1
            if now - came > patience:
                wasted += 1
                come(client, attempt + 1, came + patience if came + patience > now else now)
            else:
                left -= 1
    return Storm(tick / ticks, wasted)


def main() -> None:
    """Print the tables of SCALING.md."""
    load, costs = Load(), Costs()
    sizes = load.sizes()
    all_of_it = fan_out(load, sizes, 1)
    members = sorted(sizes)
    echo(f"{load.users:,} users, {load.rooms:,} rooms, {sum(sizes):,} memberships")
    echo(
        f"members of a room: median {members[len(members) // 2]}, 99 % below {members[-len(members) // 100]}"
    )
    echo(f"in all, each second: {all_of_it.written:,.0f} messages, {all_of_it.delivered:,.0f} deliveries,")
    echo(f"and {all_of_it.announced:,.0f} frames on who came and went")
    echo("\ncells  nodes  reads/s of a node  of them wanted  sends/s of a node  cores of a node")
    for cells in (1, 5, 10, 20, 50):
        nodes = nodes_needed(load, sizes, costs, cells)
        it = fan_out(load, sizes, nodes or 100, cells)
        echo(
            f"{cells:5}  {nodes or 'none':>5}  {it.read:17,.0f}  {it.wanted / it.read:14.0%}  "
            f"{it.delivered + it.announced:17,.0f}  {it.cores(costs):15.2f}"
        )
    echo("\nclients  joins/s  admits  seconds  wasted joins")
    for clients in (5_000, 10_000, 20_000):
        for admits in (False, True):
            lasts = storm(clients, 500.0, admits=admits, limit=600.0)
            seconds = f"{lasts.seconds:.0f}" if lasts.seconds < 600 else "never"
            echo(f"{clients:7,}  {500:7}  {'yes' if admits else 'no':>6}  {seconds:>7}  {lasts.wasted:12,}")


if __name__ == "__main__":
    main()
