from __future__ import annotations

import csv

import pytest

from harness.grading.exports.canvas import filled
from harness.grading.exports.filled import Filled
from harness.grading.result import Author, Grade
from harness.texts import texts
from harness.texts.problem import Problem
from tests.grading.exports.grades import failed, grade_of, undecided

BOOK = (
    "Student,ID,SIS User ID,SIS Login ID,Section,Chat lab (4711),Essay (12),Chat Current Score,Final Score\n"
    ",,,,,Manual Posting,,,\n"
    "    Points Possible,,,,,5.00,10.00,(read only),(read only)\n"
    '"Lovelace, Ada",11,0071,ada@x.org,S1,,8.00,80.00,80.00\n'
    '"Noether, Emmy",12,1E5,enoether,S1,2.00,EX,,\n'
    '"Student, Test",13,,b0d1,S1,,,,\n'
)


def fill(*grades: Grade, book: str = BOOK, assignment: str = "Chat lab") -> Filled:
    """Fill in a gradebook."""
    return filled(book.encode(), grades, texts(), assignment)


@pytest.mark.parametrize("assignment", ["Chat lab", "Chat lab (4711)"])
@pytest.mark.parametrize(
    "author",
    [
        Author("11", "Ada Lovelace"),
        Author("0071"),
        Author("", "", "ADA@x.org"),
        Author("", "ada lovelace"),
        Author("ada@x.org"),
    ],
)
def test_a_mark_goes_into_one_cell(author: Author, assignment: str) -> None:
    """By Canvas's ID, the SIS ID, the login or the name; every other byte stays."""
    result = fill(grade_of("a", author=author), assignment=assignment)
    assert result.data == BOOK.replace("S1,,8.00", "S1,5,8.00").encode()
    assert (result.count, result.no_row) == (1, [])
    assert result.no_submission == ["Noether, Emmy", "Student, Test"]


def test_a_folder_that_is_named_after_the_login() -> None:
    """It is enough where nothing else is known of its author."""
    assert fill(grade_of("enoether")).data == BOOK.replace("S1,2.00,EX", "S1,5,EX").encode()


def test_an_open_mark_leaves_the_old_one() -> None:
    """An empty cell would delete what Canvas has."""
    result = fill(grade_of("enoether", undecided()), grade_of("x", failed()))
    assert (result.data, result.unfinished, result.no_row) == (BOOK.encode(), ["enoether"], ["x"])


def test_points_possible_that_differ_are_told() -> None:
    """Canvas takes 5 of 4 points as they are."""
    (note,) = fill(grade_of("enoether"), book=BOOK.replace("5.00", "4.00")).notes
    assert "out of 5 points, and the gradebook says 4 points possible" in note


def test_semicolons_and_names_in_two_columns() -> None:
    """As Canvas exports them in languages with a decimal comma, if it is asked to."""
    head = "LastName;FirstName;ID;SIS Login ID;Section;Chat lab (1)\n    Points Possible;;;;;5\n"
    book = head + "Lovelace;Ada;11;ada;S;\n"
    result = fill(grade_of("a", author=Author("", "Ada Lovelace")), book="\ufeff" + book)
    assert result.data.decode() == "\ufeff" + book[:-1] + "5\n"


@pytest.mark.parametrize(
    ("book", "assignment", "words"),
    [
        ("a,b\n1,2\n", "Chat lab", "no gradebook of Canvas"),
        ("", "Chat lab", "no gradebook of Canvas"),
        (BOOK, "Chat", "no column for the assignment Chat; these are there: Chat lab \\(4711\\), Essay"),
        (BOOK, "Final Score", "Canvas does not import the column Final Score"),
        (BOOK, "Section", "Canvas does not import the column Section"),
        (
            BOOK.replace("Essay (12)", "Chat lab (12)"),
            "Chat lab",
            "one with its number: Chat lab \\(4711\\), ",
        ),
    ],
)
def test_what_cannot_be_filled_in(book: str, assignment: str, words: str) -> None:
    """A sentence says why not, and which assignments there are."""
    with pytest.raises(Problem, match=words):
        fill(grade_of("a"), book=book, assignment=assignment)


def test_a_class_without_grades() -> None:
    """Nothing is written, and the rows are still a table."""
    result = fill()
    assert (result.data, result.count) == (BOOK.encode(), 0)
    assert len(list(csv.reader(result.data.decode().splitlines()))) == 6
