"""How much is measured, and in which order: peers take turns, so that a disturbance affects all of them."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from harness.texts.console import echo, flash

T = TypeVar("T")


class BenchError(Exception):
    """A measurement could not be made; the text says why."""


@dataclass
class Plan:
    """`rounds` of `seconds` each, with `members` in a room; the order within a round is drawn from `seed`."""

    rounds: int = 3
    seconds: float = 3.0
    members: int = 1000
    seed: int = 0
    _random: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    def interleaved(self, what: Sequence[T]) -> Iterator[tuple[int, T]]:
        """Each round's number, with each of `what`, in a random order in each round."""
        for number in range(1, self.rounds + 1):
            for each in self._random.sample(what, len(what)):
                yield number, each

    def say(self, text: str) -> None:
        """Print what is being measured, in a line that is overwritten later if this is a terminal."""
        if sys.stderr.isatty():
            flash(text, err=True)
        else:
            echo(text, err=True)

    def hush(self) -> None:
        """Remove that line."""
        flash(err=True)
