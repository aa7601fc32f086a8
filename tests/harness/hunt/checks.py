"""Plays checks in the simulated world, in this process."""

from __future__ import annotations

from pathlib import Path

from harness.hunt.check_file import read
from harness.hunt.play import Failure, play
from harness.texts import texts

MODELS = Path(__file__).parents[2] / "hunts"


def model(number: int) -> Path:
    """The check that catches all animals of a level."""
    return MODELS / f"level{number}.py"


def failure(path: Path, server: str, seed: str = "1", language: str = "en") -> Failure | None:
    """How a check fails with a server of the zoo; None if it passes."""
    return play(read(str(path)), server, seed, "sim", texts(language)).failure
