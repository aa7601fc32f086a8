"""Percentiles, exactly: of all values, and not of classes of them."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil


def percentile(values: Sequence[float], percent: float) -> float:
    """The least value that at least `percent` of 100 are not above (the nearest rank); 0.0 if there is none.

    `values` are in rising order.
    """
    if not values:
        return 0.0
    rank = ceil(len(values) * percent / 100)
    return values[max(rank, 1) - 1]


def rate(count: int, seconds: float) -> float:
    """How many a second; 0.0 where no time passed."""
    return count / seconds if seconds > 0 else 0.0
