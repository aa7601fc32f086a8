"""How far the grading of a class has come, in a terminal."""

from __future__ import annotations

from harness.grading.result import Grade, number
from harness.texts import Texts
from harness.texts.console import flash
from harness.verdict.steps import EXERCISES


def line_of(mark: Grade, said: Texts) -> str:
    """A grade in one line."""
    points = said.say("ui.score", points=number(mark.points), of=number(mark.of))
    seconds = said.say("ui.seconds", seconds=f"{mark.seconds:.1f}")
    parts = [said.say(f"outcome.{mark.verdict}"), points, seconds]
    parts += [f"{said.say('outcome.failed')}: {', '.join(mark.failed_steps)}"] if mark.failed_steps else []
    parts += [part.problem for part in mark.parts.values() if part.problem and not part.report][:1]
    return ", ".join(parts)


class Progress:
    """Which exercise is being played, on a line that is overwritten, where there is a terminal."""

    def __init__(self, place: str) -> None:
        self._place = place

    def show(self, exercise: int) -> None:
        """Say which exercise begins."""
        flash(f"{self._place}: {EXERCISES[exercise]} …")

    def end(self) -> None:
        """Clear the line."""
        flash()
