"""What a scenario is. Each module `ex…` of this folder is one: see `SCENARIOS` in catalogue.py."""

from __future__ import annotations

from random import Random
from typing import Protocol, TypeVar

from harness.history.index import HistoryIndex
from harness.scenarios.script import Scenes
from harness.verdict.outcome import StepCheck
from harness.worlds.base import World

P = TypeVar("P")
"""A scenario's plan: plain data."""


class Scenario(Protocol[P]):
    """One exercise: what will be done, how it is done, and which checkers belong to which step."""

    WEIGHT: int
    """About how long a simulated run takes, relative to the other scenarios."""
    TIMEOUTS: int
    """How many of the server's timeouts it waits for, at the most."""
    SCENES: Scenes
    """The small scenes to which a failure is reduced."""

    def plan(self, rng: Random, size: int) -> P:
        """Decide what will be done: more of it for a larger size (see common.py)."""

    async def play(self, plan: P, world: World) -> None:
        """Do it, which writes the world's history. Raises PlayStopped if it cannot go on."""

    def check(self, plan: P, index: HistoryIndex) -> dict[str, StepCheck]:
        """For each step, the anomalies, or what proves that it was tested."""
