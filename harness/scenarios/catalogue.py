"""The scenario of each exercise."""

from __future__ import annotations

from typing import Any

from harness.scenarios import cluster, ex1_chat, ex2_ordering, ex3_presence, ex4_persistence
from harness.scenarios.scenario import Scenario
from harness.verdict.steps import CLUSTER

SCENARIOS: dict[int, Scenario[Any]] = {
    1: ex1_chat,
    2: ex2_ordering,
    3: ex3_presence,
    4: ex4_persistence,
}


def scenario_of(number: int) -> Scenario[Any]:
    """The scenario of an exercise, or of what is played against a cluster alone."""
    return cluster if number == CLUSTER else SCENARIOS[number]
