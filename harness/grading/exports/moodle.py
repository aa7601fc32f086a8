"""Moodle's grading worksheet: the file that the menu of an assignment's submissions has for download.

Moodle finds people by the identifier and skips those whose grade was changed after the time in the column of
the last change, so no cell but the grade and the comments may be another one. The names of the columns are
those of Moodle's language packs.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from msgspec import Struct

from harness.grading.exports.comment import comment
from harness.grading.exports.filled import Filled, filled_in, pairs_of
from harness.grading.exports.people import Person, author_of, in_row
from harness.grading.exports.sheet import Sheet
from harness.grading.result import Grade, number
from harness.texts import Texts
from harness.texts.problem import Problem

_IDENTIFIER = ("identifier", "identifiant")
_NAME = ("full name", "nom complet")
_EMAIL = ("email address", "adresse de courriel")
_GRADE = ("grade", "note")
_MAXIMUM = ("maximum grade", "note maximale")
_CHANGED = ("last modified (grade)", "dernière modification (note)")
_COMMENTS = ("feedback comments", "feedback par commentaires")
_NUMBER = re.compile(r"[0-9]+(?:[.,][0-9]+)?")


class Columns(Struct, frozen=True):
    """Where the columns are; None for those that a worksheet may lack."""

    identifier: int
    grade: int
    name: int | None
    email: int | None
    maximum: int | None
    comments: int | None


def filled(data: bytes, grades: Sequence[Grade], said: Texts, *, is_scaled: bool) -> Filled:
    """Write the marks into the worksheet `data`; if asked for, scaled to its maximum. Raises Problem."""
    sheet = Sheet(data)
    columns = _columns(sheet)
    numbers = [row for row in range(1, len(sheet.rows)) if sheet.cell(row, columns.identifier)]
    authors = [author_of(grade, (_participant(grade.author.identifier),)) for grade in grades]
    pairs = pairs_of(grades, authors, [_person(sheet, columns, row) for row in numbers])
    writer = _Writer(sheet, columns, said, is_scaled)
    for each, row in pairs.marked.items():
        writer.write(numbers[row], grades[each])
    absent = [_shown(sheet, columns, numbers[row]) for row in pairs.no_submission]
    return filled_in(sheet, pairs, absent, writer.notes())


def _columns(sheet: Sheet) -> Columns:
    identifier, grade, changed, name, email, maximum, comments = (
        sheet.column(names.__contains__)
        for names in (_IDENTIFIER, _GRADE, _CHANGED, _NAME, _EMAIL, _MAXIMUM, _COMMENTS)
    )
    if identifier is None or grade is None or changed is None:
        raise Problem("usage.export.no_worksheet")
    return Columns(identifier, grade, name, email, maximum, comments)


def _participant(identifier: str) -> str:
    """The number in `Participant 123`; French worksheets have no space in it."""
    found = re.search("[0-9]+$", identifier.strip())
    return found[0].lstrip("0") if found else identifier.strip().casefold()


def _person(sheet: Sheet, columns: Columns, row: int) -> Person:
    identifier = _participant(sheet.cell(row, columns.identifier))
    return in_row((identifier,), sheet.cell(row, columns.email), sheet.cell(row, columns.name))


def _shown(sheet: Sheet, columns: Columns, row: int) -> str:
    return sheet.cell(row, columns.name) or sheet.cell(row, columns.identifier)


class _Writer:
    """Writes marks into a worksheet, and sees what has to be told about them."""

    def __init__(self, sheet: Sheet, columns: Columns, said: Texts, is_scaled: bool) -> None:
        self._sheet = sheet
        self._columns = columns
        self._said = said
        self._is_scaled = is_scaled
        self._comma = _has_comma(sheet, columns)
        self._others: dict[tuple[str, str], None] = {}
        self._above: list[str] = []
        self._replaced = 0

    def write(self, row: int, grade: Grade) -> None:
        """Write a mark and a comment into a row. Raises Problem if there is nothing to scale it to."""
        maximum = _number(self._sheet.cell(row, self._columns.maximum))
        points = grade.points
        if maximum is None and self._is_scaled:
            raise Problem("usage.export.no_maximum")
        if maximum is not None and grade.of != maximum:
            if self._is_scaled:
                points = grade.points / grade.of * maximum if grade.of else 0
            else:
                self._others[self._written(grade.of), self._written(maximum)] = None
        if maximum is not None and points > maximum:
            self._above.append(grade.name)
        self._sheet.put(row, self._columns.grade, self._written(points))
        if self._columns.comments is not None:
            new = comment(grade, self._said)
            self._replaced += self._sheet.cell(row, self._columns.comments) not in ("", new)
            self._sheet.put(row, self._columns.comments, new)

    def notes(self) -> list[str]:
        """What has to be told, in sentences."""
        say = self._said.say
        found = [say("export.other_maximum", of=of, maximum=most) for of, most in self._others]
        if self._above:
            found.append(say("export.above", names=", ".join(self._above)))
        if self._replaced:
            found.append(say("export.replaced", count=self._replaced))
        if self._columns.comments is None:
            found.append(say("export.no_comments"))
        return found

    def _written(self, points: float) -> str:
        text = str(number(points))
        return text.replace(".", ",") if self._comma else text


def _has_comma(sheet: Sheet, columns: Columns) -> bool:
    """Whether the worksheet has decimal commas: by its own numbers, or else by its language."""
    numbers = "".join(sheet.cell(row, columns.maximum) for row in range(1, len(sheet.rows)))
    if re.search("[.,]", numbers):
        return "," in numbers
    return sheet.header[columns.grade] == _GRADE[1]


def _number(text: str) -> float | None:
    return float(text.replace(",", ".")) if _NUMBER.fullmatch(text) else None
