"""What came of filling in a portal's table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import Struct

from harness.grading.exports.people import Person, paired
from harness.grading.exports.sheet import Sheet
from harness.grading.result import HAS_VERDICT, Grade


class Filled(Struct):
    """The table with marks in it, and what whoever asked for it has to know."""

    data: bytes
    count: int
    """Rows that were filled in."""
    unfinished: list[str]
    """Who has no final mark, so that the cells were left as they were."""
    no_row: list[str]
    """Submissions that no row belongs to."""
    no_submission: list[str]
    """People in the table whom no submission belongs to."""
    notes: list[str]
    """Sentences."""


class Pairs(Struct):
    """The grades of a class and the rows of a table, by their numbers, as far as they belong together."""

    marked: dict[int, int]
    """The row of each grade that is final."""
    unfinished: list[str]
    no_row: list[str]
    no_submission: list[int]


def has_mark(grade: Grade) -> bool:
    """Whether there is a final mark: something was judged, and no step is open."""
    return grade.verdict in HAS_VERDICT


def without_mark(grades: Iterable[Grade]) -> list[str]:
    """The names of the submissions that have no final mark."""
    return [grade.name for grade in grades if not has_mark(grade)]


def pairs_of(grades: Sequence[Grade], authors: Sequence[Person], rows: Sequence[Person]) -> Pairs:
    """Find the row of each grade."""
    found = paired(rows, authors)
    taken = set(found.values())
    return Pairs(
        {number: row for number, row in sorted(found.items()) if has_mark(grades[number])},
        without_mark(grades),
        [grade.name for number, grade in enumerate(grades) if number not in found],
        [number for number in range(len(rows)) if number not in taken],
    )


def filled_in(sheet: Sheet, pairs: Pairs, absent: list[str], notes: list[str]) -> Filled:
    """The result for a table that the marks were written into; `absent` are the people without a grade."""
    return Filled(sheet.to_bytes(), len(pairs.marked), pairs.unfinished, pairs.no_row, absent, notes)
