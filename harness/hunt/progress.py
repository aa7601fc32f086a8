"""How far a player is, in `.chatlab/hunt.json` of the current folder."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec
from msgspec import Struct, field

from harness.check.files import OURS, make_ours
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


def load() -> tuple[Progress, bool]:
    """What is kept, and whether it could be read: if not, everything begins anew."""
    try:
        found = msgspec.json.decode(FILE.read_bytes(), type=Progress)
    except FileNotFoundError:
        return Progress(), True
    except (OSError, msgspec.DecodeError, RecursionError):
        return Progress(), False
    found.levels = {number: each for number, each in found.levels.items() if number in LEVELS}
    return found, True


def keep(progress: Progress) -> None:
    """Write it down, whole or not at all. Raises OSError."""
    make_ours()
    beside = FILE.with_suffix(".new")
    beside.write_bytes(msgspec.json.format(msgspec.json.encode(progress), indent=2) + b"\n")
    beside.replace(FILE)


def now() -> float:
    """The time of day, in whole seconds."""
    return float(round(time.time()))


def folder_of(number: int) -> Path:
    """Where the server of a level keeps its messages."""
    return OURS / "hunt" / f"level{number}"
