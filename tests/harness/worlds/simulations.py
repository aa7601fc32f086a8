"""Run a test's own simulations."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from harness.worlds.sim import modules
from harness.worlds.sim.simulator import Simulator
from harness.worlds.sim.world import NEW_YEAR

Play = Callable[[Simulator], Coroutine[Any, Any, Any]]

PAST: list[Simulator] = []
"""Simulations that are over: what was killed in them must never be tidied up."""
LONG = 600.0
"""Seconds of patience, virtual or not, for what must happen."""


def simulate(play: Play, seed: str = "seed") -> Any:
    """Run a coroutine in a simulated world of its own, and return its result."""
    simulator = Simulator(seed, NEW_YEAR)
    PAST.append(simulator)
    with modules.restored():
        return simulator.run(play(simulator))
