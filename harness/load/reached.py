"""Whether the load did as much as was asked by `--rate` and `--churn`."""

from __future__ import annotations

from collections.abc import Iterator
from math import sqrt
from typing import Any

from msgspec import Struct

from harness.load.figures import Figures, rate
from harness.verdict.outcome import Text

LEAST = 0.9
"""The share of what was asked for below which a load has not reached it."""
CHANCE = 3.0
"""By how many standard deviations it is below, too: so few of a Poisson process are no chance."""


class Reached(Struct, frozen=True):
    """What was asked for, `rate` or `churn`, and what was made of it after the warm-up; both a second."""

    name: str
    asked: float
    made: float
    is_missed: bool
    """Whether it is less, and not by chance."""

    @property
    def is_less(self) -> bool:
        """Whether it is less, be it by chance."""
        return self.made < LEAST * self.asked

    @property
    def text(self) -> Text:
        """What to say about it."""
        values = {"asked": f"{round(self.asked, 1):g}", "made": f"{round(self.made, 1):g}"}
        return Text(f"{self.name}_{'missed' if self.is_missed else 'made'}", values)


def reached(settings: dict[str, Any], figures: Figures, share: float = 1.0) -> Iterator[Reached]:
    """For each of the two that was asked for, with `share` of the users in this part of the test."""
    made = {"rate": figures.messages, "churn": len(figures.times.get("reconnect", []))}
    if settings.get("own_act"):  # how many messages that makes is the scenario's affair
        del made["rate"]
    for name, count in made.items():
        asked = settings.get(name, 0) * share
        expected = asked * figures.seconds
        if expected:
            is_missed = count < LEAST * expected and count < expected - CHANCE * sqrt(expected)
            yield Reached(name, asked, rate(count, figures.seconds), is_missed)
