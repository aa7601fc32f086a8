"""How far the grading of a class has come, in a terminal."""

from __future__ import annotations

from harness.grading.result import Grade, number
from harness.texts import Texts
from harness.texts.console import echo, flash
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
    """Who is being judged, and how long the rest will take: a line that is overwritten, in a terminal."""

    def __init__(self, of: int, said: Texts) -> None:
        self._of, self._said = of, said
        self._left = self._jobs = 0
        self._lasted: list[float] = []
        self._now: dict[int, str] = {}

    def begin(self, left: int, jobs: int) -> None:
        """So many are to be judged, so many at once."""
        self._left, self._jobs = left, jobs

    def show(self, slot: int, name: str, exercise: int) -> None:
        """Show that one of the jobs begins with an exercise of a submission."""
        self._now[slot] = f"{name}: {EXERCISES[exercise]}"
        rest = f"   {self._rest()}" if self._lasted else ""
        flash(f"{', '.join(self._now[each] for each in sorted(self._now))} …{rest}")

    def done(self, seconds: float) -> None:
        """Take note of how long one has taken."""
        self._left -= 1
        self._lasted.append(seconds)

    def say(self, count: int, line: str, name: str) -> None:
        """Print the line of one that has a grade."""
        flash()
        echo(f"[{count}/{self._of}] {name}: {line}")

    def end(self) -> None:
        """Clear the line that is overwritten."""
        flash()

    def _rest(self) -> str:
        """How long the rest will take, as far as those tell that are done."""
        seconds = self._left * sum(self._lasted) / len(self._lasted) / max(self._jobs, 1)
        if seconds < 90:
            return self._said.say("grade.seconds_left", seconds=f"{seconds:.0f}")
        return self._said.say("grade.minutes_left", minutes=f"{seconds / 60:.0f}")
