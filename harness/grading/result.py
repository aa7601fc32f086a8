"""The result of grading, as data: neutral, so that tables, pages and exports are all made from it."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from harness.submissions.author import Author as Author
from harness.verdict.outcome import Outcome

HAS_VERDICT = (Outcome.PASSED, Outcome.FAILED)


class Mark(Struct):
    """The mark for one step of an exercise, or for one test of a rubric's own."""

    step: str
    """Its number, such as "2.3"; of a test of the rubric's own, its name."""
    verdict: Outcome
    points: float
    of: float
    title: str = ""
    said: list[str] = []
    """What went wrong, in a sentence each, the first one first; or why there is no verdict."""
    anomalies: list[str] = []
    """The names of what went wrong in the catalogue of anomalies, in the same order."""
    is_hidden: bool = False
    """Whether its author is told no more of it than what kind of thing it asks for."""
    kit_of: float = 0
    """What it is worth in the kit, whatever a rubric says."""


class Part(Struct):
    """The result of one exercise. `verdict` is inconclusive as long as any step is."""

    verdict: Outcome
    points: float
    of: float
    seconds: float
    steps: list[Mark] = []
    problem: str = ""
    """Why there was nothing to judge or no verdict, or what went wrong first."""
    log: str = ""
    """The report that the author would see."""
    report: dict[str, Any] = {}
    """The verdict as `chatlab check --json` writes it; empty if nothing was played."""
    kit_failed: bool = False
    """Whether the kit itself failed on the way, which says nothing about the submission."""
    fingerprint: str = ""
    """A hash of all that it rests on: it is valid for as long as that stays the same."""

    is_counted: bool = True
    """Whether the rubric counts this exercise."""

    def steps_with(self, verdict: Outcome) -> list[str]:
        """The numbers of the steps that have a verdict."""
        return [mark.step for mark in self.steps if mark.verdict is verdict]


class Grade(Struct):
    """The grade of one submission, with the results of its exercises by their numbers."""

    name: str
    """The submission's name as text in one line."""
    author: Author = Author()
    verdict: Outcome = Outcome.SKIPPED
    points: float = 0
    """After what was taken off for being late."""
    of: float = 0
    parts: dict[int, Part] = {}
    checks: list[Mark] = []
    """The results of tests of the rubric's own."""
    mapped: dict[int, str] = {}
    """The files that a person has named for exercises, by `--map`."""
    checks_rest_on: str = ""
    """A hash of these tests."""
    late_days: int = 0
    penalty: float = 0
    """Points that were taken off for being late."""
    remarks: list[str] = []
    """What is to be told of how it was found, to its author, too: sentences."""
    attention: list[str] = []
    """What the instructor should look at, such as a copy of the model answer: sentences, for nobody else."""
    isolation: str = ""
    """How its code was kept from the rest of the machine: "bubblewrap", "user" or "none"."""
    note: str = ""
    """What a person has written about it in the table."""

    def sum_up(self) -> None:
        """Update the sums. There is no final grade as long as any step is open."""
        parts = [part for part in self.parts.values() if part.is_counted]
        earned = sum(part.points for part in parts) + sum(mark.points for mark in self.checks)
        self.points = max(earned - self.penalty, 0)
        self.of = sum(part.of for part in parts) + sum(mark.of for mark in self.checks)
        verdicts = {part.verdict for part in parts} | {mark.verdict for mark in self.checks}
        order = (Outcome.INCONCLUSIVE, Outcome.FAILED, Outcome.PASSED)
        self.verdict = next((each for each in order if each in verdicts), Outcome.SKIPPED)

    @property
    def kit_failed(self) -> bool:
        """Whether the kit itself failed in any of them."""
        return any(part.kit_failed for part in self.parts.values())

    @property
    def seconds(self) -> float:
        """How long it took to judge."""
        return round(sum(part.seconds for part in self.parts.values()), 1)

    @property
    def failed_steps(self) -> list[str]:
        """Steps that failed, of all exercises."""
        return self._steps_with(Outcome.FAILED)

    @property
    def open_steps(self) -> list[str]:
        """Steps without a verdict."""
        return self._steps_with(Outcome.INCONCLUSIVE)

    def _steps_with(self, verdict: Outcome) -> list[str]:
        counted = [part for _, part in sorted(self.parts.items()) if part.is_counted]
        of_exercises = [step for part in counted for step in part.steps_with(verdict)]
        return of_exercises + [mark.step for mark in self.checks if mark.verdict is verdict]


def is_complete(mark: Grade | None, exercises: list[int]) -> bool:
    """Whether a grade has a verdict on all of these exercises."""
    parts = mark.parts if mark else {}
    return all(number in parts and parts[number].verdict in HAS_VERDICT for number in exercises)


def number(points: float) -> int | float:
    """Points as people write them: 8 for 8.0, and at most two decimal places."""
    rounded = round(points, 2)
    return int(rounded) if rounded == int(rounded) else rounded
