"""The column of an assignment in the gradebook that Canvas exports as CSV, and imports again.

Above the students stand a row with the points possible and perhaps one that says which assignments are posted
by hand. Canvas's own totals are marked as read only, and it ignores what is written there.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from msgspec import Struct

from harness.grading.exports.filled import Filled, filled_in, pairs_of
from harness.grading.exports.people import Person, author_of, in_row, same_case
from harness.grading.exports.sheet import Sheet
from harness.grading.result import Grade, number
from harness.texts import Texts
from harness.texts.problem import Problem

_POINTS_POSSIBLE = "points possible"
_WITH_ID = re.compile(r"(.*) \([0-9]+\)", re.DOTALL)
"""How Canvas names the column of an assignment: the title and its number."""


class Columns(Struct, frozen=True):
    """Where the columns are; None for those that a gradebook may lack. A name may be in two of them."""

    names: tuple[int, ...]
    identifier: int
    sis_user: int | None
    login: int | None
    mark: int


def filled(data: bytes, grades: Sequence[Grade], said: Texts, assignment: str) -> Filled:
    """Write the marks into the column of an assignment in the gradebook `data`. Raises Problem."""
    sheet = Sheet(data)
    columns = _columns(sheet, assignment)
    possible = _points_possible(sheet, columns.mark)
    numbers = [row for row in range(1, len(sheet.rows)) if _is_student(sheet, columns, row)]
    people = [_person(sheet, columns, row) for row in numbers]
    pairs = pairs_of(grades, [_author(grade) for grade in grades], people)
    for each, row in pairs.marked.items():
        sheet.put(numbers[row], columns.mark, str(number(grades[each].points)))
    absent = [_name(sheet, columns, numbers[row]) for row in pairs.no_submission]
    others = {number(grades[each].of) for each in pairs.marked} - {possible}
    notes = [
        said.say("export.other_possible", of=of, possible=possible)
        for of in sorted(others)
        if possible is not None
    ]
    return filled_in(sheet, pairs, absent, notes)


def _columns(sheet: Sheet, assignment: str) -> Columns:
    header = sheet.header
    identifier = sheet.column("id".__eq__)
    names = [n for n, text in enumerate(header) if text in ("student", "firstname", "lastname")]
    if identifier is None or not names:
        raise Problem("usage.export.no_gradebook")
    sis_user, login = (sheet.column(text.__eq__) for text in ("sis user id", "sis login id"))
    return Columns(tuple(sorted(names)), identifier, sis_user, login, _mark_column(sheet, assignment))


def _mark_column(sheet: Sheet, assignment: str) -> int:
    """The column of an assignment, which is named with or without the number that Canvas adds."""
    titles = [cell.strip() for cell in sheet.rows[0]]
    plain = [match[1] if (match := _WITH_ID.fullmatch(title)) else title for title in titles]
    known = [title for title in titles if _WITH_ID.fullmatch(title)]
    # A title may itself end in a number in parentheses: the whole header comes first.
    in_full = [column for column, title in enumerate(titles) if title == assignment]
    found = in_full or [column for column, title in enumerate(plain) if title == assignment]
    if not found:
        raise Problem("usage.export.no_assignment", name=assignment, known=", ".join(known) or "-")
    if len(found) > 1:
        raise Problem(
            "usage.export.two_assignments", name=assignment, titles=", ".join(titles[n] for n in found)
        )
    if not _WITH_ID.fullmatch(titles[found[0]]) or "read only" in _possible_cell(sheet, found[0]):
        raise Problem("usage.export.read_only", name=assignment, known=", ".join(known) or "-")
    return found[0]


def _possible_cell(sheet: Sheet, column: int) -> str:
    rows = [row for row in range(1, len(sheet.rows)) if _POINTS_POSSIBLE in sheet.cell(row, 0).casefold()]
    return sheet.cell(rows[0], column) if rows else ""


def _points_possible(sheet: Sheet, column: int) -> int | float | None:
    try:
        return number(float(_possible_cell(sheet, column).replace(",", ".")))
    except (ValueError, OverflowError):
        return None


def _is_student(sheet: Sheet, columns: Columns, row: int) -> bool:
    name = _name(sheet, columns, row)
    return bool(name or sheet.cell(row, columns.identifier)) and _POINTS_POSSIBLE not in name.casefold()


def _name(sheet: Sheet, columns: Columns, row: int) -> str:
    return ", ".join(filter(None, (sheet.cell(row, column) for column in columns.names)))


def _person(sheet: Sheet, columns: Columns, row: int) -> Person:
    identifier, sis_user, login = (
        same_case(sheet.cell(row, column)) for column in (columns.identifier, columns.sis_user, columns.login)
    )
    return in_row((identifier, sis_user, login), login, _name(sheet, columns, row))


def _author(grade: Grade) -> Person:
    """Who has no identifier may have handed in a folder that is named after the login."""
    identifier = same_case(grade.author.identifier)
    return author_of(grade, (identifier, identifier, identifier or same_case(grade.name)))
