"""Exact percentiles: computed from all values, not from a histogram."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil


def percentile(values: Sequence[float], percent: float) -> float:
    """The least value that at least `percent` % of `values` do not exceed (nearest rank); 0.0 of none.

    `values` are in rising order.
    """
    if not values:
        return 0.0
    rank = ceil(len(values) * percent / 100)
    return values[max(rank, 1) - 1]


def rate(count: int, seconds: float) -> float:
    """How many a second; 0.0 if no time passed."""
    return count / seconds if seconds > 0 else 0.0
