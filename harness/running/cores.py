"""Which processor cores a play has for its own, where several go on at once."""

from __future__ import annotations

import os


def cores_here() -> list[int]:
    """The numbers of the cores that we may use; made up where the system does not tell."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def own_cores(slot: int, slots: int) -> list[int]:
    """The cores of one of several slots: they share nothing, as long as there are enough."""
    cores = cores_here()
    return cores[slot::slots] or [cores[slot % len(cores)]]


def stay_on(cores: list[int]) -> None:
    """Run on these cores alone, with all that is started from now on; on all if there is none."""
    if cores and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores)
