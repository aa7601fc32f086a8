"""Grades to export, as a grading writes them."""

from __future__ import annotations

from pathlib import Path

import msgspec

from harness.grading.result import Author, Grade, Mark, Part
from harness.history.as_json import to_json
from harness.verdict.outcome import Outcome

PASSED, FAILED, OPEN = Outcome.PASSED, Outcome.FAILED, Outcome.INCONCLUSIVE


def grade_of(
    name: str, *marks: Mark, author: Author | None = None, exercise: int = 1, penalty: float = 0
) -> Grade:
    """A grade with these marks in one exercise, or full marks if none are given."""
    steps = list(marks) or [Mark("1.1", PASSED, 1, 1, "The server starts"), Mark("1.4", PASSED, 4, 4)]
    verdicts = [mark.verdict for mark in steps]
    verdict = next((each for each in (OPEN, FAILED) if each in verdicts), PASSED)
    points, of = sum(mark.points for mark in steps), sum(mark.of for mark in steps)
    part = Part(verdict, points, of, 2.5, steps)
    grade = Grade(name, author or Author(), parts={exercise: part}, penalty=penalty)
    grade.sum_up()
    return grade


def failed(step: str = "1.4", *said: str, of: float = 4, points: float = 0, hidden: bool = False) -> Mark:
    """A mark for a step that failed."""
    return Mark(step, FAILED, points, of, "", list(said), ["lost"] if said else [], hidden)


def undecided(step: str = "1.4", *said: str) -> Mark:
    """A mark for a step without a verdict."""
    return Mark(step, OPEN, 0, 4, "", list(said))


def keep(place: Path, *grades: Grade) -> Path:
    """Write a folder of results, as a grading leaves it."""
    place.mkdir(exist_ok=True)
    for number, grade in enumerate(grades):
        (place / f"{number:03}.json").write_bytes(to_json(msgspec.to_builtins(grade)))
    (place / "grades.csv").write_text("")
    return place
