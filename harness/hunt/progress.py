"""How far a player is, in `.chatlab/hunt.json` of the current folder."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from msgspec import Struct, field

from harness.check import kept
from harness.check.files import OURS
from harness.hunt.levels import LEVELS

FILE = OURS / "hunt.json"


class OfLevel(Struct):
    """What was done at a level; times are seconds since the Unix epoch."""

    started: float = 0.0
    solved: float = 0.0
    """0 until then."""
    checks: int = 0
    """How often a check was judged until it was solved."""
    hints: int = 0
    kin: list[str] = []
    """Which of its kin were caught, ever."""


class Progress(Struct):
    """All levels that were begun, by their numbers."""

    levels: dict[int, OfLevel] = field(default_factory=dict)

    def of(self, number: int) -> OfLevel:
        """What was done at a level."""
        return self.levels.setdefault(number, OfLevel())

    @property
    def next_level(self) -> int | None:
        """The first level that is not solved; None if all are."""
        return next((number for number in LEVELS if not self.of(number).solved), None)


def load(told: Callable[[Path], None]) -> Progress:
    """What is kept; for `told`, see `kept.read`."""
    found = kept.read(FILE, Progress, told)
    found.levels = {number: each for number, each in found.levels.items() if number in LEVELS}
    return found


def keep(progress: Progress) -> None:
    """Write it down. Raises OSError."""
    kept.write(FILE, progress)


def now() -> float:
    """The time of day, in whole seconds."""
    return float(round(time.time()))


def folder_of(number: int) -> Path:
    """Where the server of a level keeps its messages."""
    return OURS / "hunt" / f"level{number}"
