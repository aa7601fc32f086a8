from __future__ import annotations

import csv
import os

from harness.grading.exports.gradescope import table
from harness.grading.result import Author, Grade, Mark
from harness.texts import texts
from tests.grading.exports.grades import PASSED, failed, grade_of, undecided

FIXED = [
    "Name",
    "SID",
    "Email",
    "Total Score",
    "Max Points",
    "Status",
    "Submission ID",
    "Submission Time",
    "Lateness (H:M:S)",
]
"""Columns of Gradescope's exports that come before the questions, such as `1.1: Title (2.0 pts)`."""


def rows(*grades: Grade) -> list[dict[str, str]]:
    """The lines as a program reads them."""
    return list(csv.DictReader(table(grades, texts()).decode().splitlines()))


def test_the_shape_is_that_of_gradescope() -> None:
    """The fixed columns, then one for each question with its points; times and lateness as it writes them."""
    author = Author("007123", "Ada Lovelace", "ada@x.org", "2026-10-05T09:00:00+02:00")
    grade = grade_of("ada", Mark("1.1", PASSED, 1, 1), failed("1.4", points=0.5), author=author, penalty=0.25)
    grade.late_days = 2
    (row,) = rows(grade)
    assert list(row)[:9] == FIXED
    assert list(row)[9:] == [
        "1.1: The server starts (1.0 pts)",
        "1.4: Messages reach both, and nobody else (4.0 pts)",
    ]
    assert list(row.values()) == [
        *("Ada Lovelace", "'007123", "ada@x.org", "1.25", "5", "Graded", "ada"),
        *("2026-10-05T09:00:00+02:00", "48:00:00", "1", "0.5"),
    ]


def test_who_has_no_final_mark() -> None:
    """Is ungraded, without a total; an open step has no points, a failed one has."""
    (row,) = rows(grade_of("ada", failed("1.1", of=1), undecided("1.4")))
    assert (row["Total Score"], row["Status"]) == ("", "Ungraded")
    assert list(row.values())[9:] == ["0", ""]


def test_a_column_for_each_step_that_somebody_has() -> None:
    """In the order of the exercises, tests of the rubric's own last; most points that anybody can get."""
    alone = grade_of("alone", Mark("1.1", PASSED, 0, 0), Mark("1.4", PASSED, 4, 4))
    later = grade_of("later", Mark("2.1", PASSED, 2, 2), exercise=2)
    whole = grade_of("whole", Mark("1.1", PASSED, 1, 1))
    whole.checks = [Mark("1.1", PASSED, 3, 3, "Ours")]
    first, _, third = rows(alone, later, whole)
    steps = [name.partition(":")[0] for name in list(first)[9:]]
    assert steps == ["1.1", "1.4", "2.1", "1.1"]
    assert "1.1: The server starts (1.0 pts)" in first
    assert list(third.values())[9:] == ["1", "", "", "3"]


def test_hostile_names() -> None:
    """No formula, no second line, no byte that is not UTF-8; numbers stay as they were written."""
    names = ["=1+1", "a\nb", "1E5", 'q"u,ote', os.fsdecode(b"\xe9mile"), "\x1b[31m"]
    found = rows(*(grade_of(name, author=Author(name, name, name)) for name in names))
    told = ["'=1+1", "a\\nb", "'1E5", 'q"u,ote', "\\xe9mile", "\\x1b[31m"]
    for column in ("Name", "SID", "Email", "Submission ID"):
        assert [row[column] for row in found] == told


def test_an_empty_class() -> None:
    """It has the fixed columns, and no line."""
    assert table([], texts()).decode().splitlines() == [",".join(FIXED)]
