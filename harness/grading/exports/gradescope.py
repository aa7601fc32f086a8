"""A table of the shape in which Gradescope exports grades: a column for each question."""

from __future__ import annotations

import csv
import sys
from collections.abc import Sequence
from io import StringIO

from harness.grading.exports.filled import has_mark
from harness.grading.exports.marks import Entry, entries, title_of
from harness.grading.result import Grade, Mark, number
from harness.grading.table import cell
from harness.texts import Texts
from harness.verdict.outcome import Outcome

_PEOPLE = ("Name", "SID", "Email", "Total Score", "Max Points", "Status")
_SUBMISSION = ("Submission ID", "Submission Time", "Lateness (H:M:S)")


def table(grades: Sequence[Grade], said: Texts) -> bytes:
    """The table as UTF-8. Who has no final mark is `Ungraded`, and an open step has no points."""
    questions = _questions(grades, said)
    text = StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow([*_PEOPLE, *_SUBMISSION, *questions.values()])
    for grade in grades:
        points = {_question(entry): _points(entry.mark) for entry in entries(grade)}
        rows.writerow([*_about(grade), *(points.get(question, "") for question in questions)])
    return text.getvalue().encode()


def _question(entry: Entry) -> tuple[int, str]:
    """What tells a step from others; sorted by its number, tests of the rubric's own come last."""
    return entry.exercise or sys.maxsize, entry.mark.step


def _questions(grades: Sequence[Grade], said: Texts) -> dict[tuple[int, str], str]:
    """The headers of the columns, with the most points that somebody could get."""
    found: dict[tuple[int, str], tuple[str, float]] = {}
    for grade in grades:
        for entry in entries(grade):
            title, most = found.get(_question(entry), ("", 0.0))
            found[_question(entry)] = title or title_of(entry.mark, said), max(most, entry.mark.of)
    in_order = sorted(found, key=lambda key: key[0])  # steps of an exercise stay in the course's order
    return {key: _header(key[1], *found[key]) for key in in_order}


def _header(step: str, title: str, most: float) -> str:
    return cell(f"{step}: {title or step} ({float(number(most))} pts)")


def _about(grade: Grade) -> list[str | int | float]:
    author = grade.author
    return [
        cell(author.full_name or grade.name),
        cell(author.identifier),
        cell(author.email),
        number(grade.points) if has_mark(grade) else "",
        number(grade.of),
        "Graded" if has_mark(grade) else "Ungraded",
        cell(grade.name),
        author.handed_in and cell(author.handed_in),
        f"{grade.late_days * 24:02}:00:00",
    ]


def _points(mark: Mark) -> int | float | str:
    return "" if mark.verdict in (Outcome.INCONCLUSIVE, Outcome.SKIPPED) else number(mark.points)
