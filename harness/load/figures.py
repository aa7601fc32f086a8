"""Exact percentiles: computed from all values, not from a histogram."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, floor, sqrt

from msgspec import Struct, field


def percentile(values: Sequence[float], percent: float) -> float:
    """The least value that at least `percent` % of `values` do not exceed (nearest rank); 0.0 of none.

    `values` are in rising order.
    """
    if not values:
        return 0.0
    rank = ceil(len(values) * percent / 100)
    return values[max(rank, 1) - 1]


def rate(count: float, seconds: float) -> float:
    """How many a second; 0.0 if no time passed."""
    return count / seconds if seconds > 0 else 0.0


def bounds(values: Sequence[float], percent: float) -> tuple[float, float]:
    """Between which values the true percentile lies (95 %), of which `values`, in rising order, are a sample.

    By the ranks that it may have (the binomial distribution, as a normal one): nothing is assumed about how
    the values are spread. With few values this is wide, up to the least and the largest.
    """
    share, count = percent / 100, len(values)
    around = 1.96 * sqrt(count * share * (1 - share))
    low, high = floor(count * share - around), ceil(count * share + around) + 1
    return values[max(low, 1) - 1], values[min(high, count) - 1]


class Figures(Struct):
    """What was measured in a part of a test. Times are in rising order, by their names, in seconds."""

    times: dict[str, list[float]]
    """By the users."""
    probe: dict[str, list[float]]
    """By the probe."""
    compared: dict[str, tuple[list[float], list[float]]]
    """By the users and by the probe: the same operations in the same seconds and room."""
    seconds: float
    messages: int
    deliveries: int
    errors: int
    """Requests that were refused, not answered or cut off."""
    lag: float
    """The 99th percentile of how late the worst load process woke up, in seconds."""
    cpu: float
    """The mean share of a core that the busiest load process took."""
    waited: float = 0.0
    """The mean share of the time in which that process waited for a core that others had."""
    probe_lag: float = 0.0
    """The same lag of the probe."""
    probe_cpu: float = 0.0
    """The share of a core that the probe took."""
    never: dict[str, int] = field(default_factory=dict)
    """By the names of `times`, how many never came: refused, not answered, or lost."""

    def never_of(self, name: str) -> int:
        """How many of a name never came: who could not connect could do nothing else, either."""
        return self.never.get(name, 0) + (self.never.get("connect", 0) if name != "connect" else 0)
