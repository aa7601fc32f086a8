"""The scenario of each exercise."""

from __future__ import annotations

from typing import Any

from harness.scenarios import ex1_chat, ex2_ordering, ex3_presence, ex4_persistence
from harness.scenarios.scenario import Scenario

SCENARIOS: dict[int, Scenario[Any]] = {
    1: ex1_chat,
    2: ex2_ordering,
    3: ex3_presence,
    4: ex4_persistence,
}
