"""Which processor cores a play has for its own, where several go on at once."""

from __future__ import annotations

from harness.posix import cores


def own_cores(slot: int, slots: int) -> list[int]:
    """The cores of one of several slots: they share nothing, as long as there are enough."""
    ours = cores()
    return ours[slot::slots] or [ours[slot % len(ours)]]
