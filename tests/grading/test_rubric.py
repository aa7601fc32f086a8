"""A rubric is read strictly, and gives points by verdicts."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from harness.grading.result import Author, Grade, Mark, Part
from harness.grading.rubric import BadRubric, Late, Rubric, read
from harness.texts import texts
from harness.verdict.outcome import Outcome

WRONG = {
    "exercises = 1": "is no rubric",
    "exercises = [9]": "is a list of some of 1, 2, 3, 4",
    "exercises = []": "is a list of some of 1, 2, 3, 4",
    "exercice = [1]": "unknown field",
    '[points]\n"9.9" = 1': "names the step 9.9",
    'hidden = ["1.9"]': "names the step 1.9",
    '[points]\n"1.4" = nan': "numbers from 0 on",
    '[points]\n"1.4" = inf': "numbers from 0 on",
    '[points]\n"1.4" = -1': "numbers from 0 on",
    "[late]\ndays = {ada = -2}": "numbers from 0 on",
    "[late]\npoints = 1\npercent = 1": "not both",
    '[[checks]]\nfile = "gone.py"\npoints = 1': "no such file beside it",
    "not toml": "is no rubric",
}


@pytest.mark.parametrize("text", WRONG)
def test_what_is_wrong_is_told(tmp_path: Path, text: str) -> None:
    """In a sentence with the file's name, in both languages."""
    path = tmp_path / "rubric.toml"
    path.write_text(text)
    with pytest.raises(BadRubric) as caught:
        read(path)
    assert WRONG[text] in str(caught.value)
    assert str(path) in caught.value.said_in(texts("fr"))


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    """As one that cannot be read."""
    with pytest.raises(BadRubric, match="cannot be read"):
        read(tmp_path / "gone.toml")


def graded(*verdicts: Outcome, handed_in: str = "") -> Grade:
    """A grade of exercise 1, whose steps are worth 2 points each."""
    steps = [
        Mark(f"1.{n}", verdict, 2 if verdict is Outcome.PASSED else 0, 2, kit_of=2)
        for n, verdict in enumerate(verdicts, start=1)
    ]
    part = Part(Outcome.PASSED, 0, 0, 1.0, steps)
    return Grade("ada", Author(handed_in=handed_in), parts={1: part})


def test_points_required_steps_and_what_does_not_count() -> None:
    """Who fails a required step has no points in its exercise; to apply it twice changes nothing."""
    mark = graded(Outcome.PASSED, Outcome.FAILED)
    for rubric, points in (
        (Rubric(), (2, 4)),
        (Rubric(points={"1.1": 5}), (5, 7)),
        (Rubric(required=("1.2",)), (0, 4)),
        (Rubric(required=("1.1",)), (2, 4)),
        (Rubric(exercises=(2,)), (0, 0)),
    ):
        for _ in range(2):
            rubric.apply(mark, texts("en"))
        assert (mark.points, mark.of) == points


@pytest.mark.parametrize(
    ("handed_in", "days"),
    [
        ("2026-11-30T12:00:00+00:00", 0),
        ("2026-11-30 12:00:00.123456789 Z", 1),
        ("2026-12-01T11:59:59+00:00", 1),
        ("2026-12-01T12:00:01+00:00", 2),
        ("2026-12-03 12:00:00 UTC", 3),
        ("yesterday", 0),
        ("", 0),
    ],
)
def test_days_begin_when_it_was_due(handed_in: str, days: int) -> None:
    """As portals write times; nothing is taken off where nobody says when it was handed in."""
    late = Late(due=datetime(2026, 11, 30, 12, tzinfo=UTC), percent=25)
    mark = graded(Outcome.PASSED, Outcome.PASSED, handed_in=handed_in)
    Rubric(late=late).apply(mark, texts("en"))
    assert (mark.late_days, mark.penalty, mark.points) == (days, days, max(4 - days, 0))
    Rubric(late=Late(points=1, days={"ada": 2})).apply(mark, texts("en"))
    assert (mark.late_days, mark.points) == (2, 2)
