"""`grades.csv`, as spreadsheets of all kinds open it; and what a person has written into it."""

from __future__ import annotations

import csv
import hashlib
import re
from collections.abc import Iterable
from io import StringIO
from pathlib import Path

from harness.grading.result import Grade, number
from harness.verdict.steps import EXERCISES
from lab.legible import one_line

NOTE = "note"
"""The column that a person may write into."""
_BYTE_ORDER_MARK = "\ufeff"
"""Without it, Excel takes the file for one in the encoding of the computer's language."""
_CALCULATED = (*"=+-@", *"\uff1d\uff0b\uff0d\uff20", *" \u00a0\u202f", "'")
"""Beginnings of formulas, also in full width and after spaces; and the apostrophe itself, so that a text is
always what is left without the first one."""
_WHOLE_NUMBER = re.compile("0|[1-9][0-9]{0,10}")
_WORDS = (
    "e h am pm jan january janv janvier feb february févr février fevrier mar march mars apr april avr avril "
    "may mai jun june juin jul july juil juillet aug august août aout sep sept september septembre oct "
    "october octobre nov november novembre dec december déc décembre"
).replace(" ", "|")
_CHANGED = re.compile(rf"(?=.*\d)[\d\W_]*(({_WORDS})[\d\W_]*)?|true|false|vrai|faux", re.IGNORECASE)
"""What a spreadsheet takes for a number, a date or a time, and shows as it likes: 007, 1E5, 3-4, MARCH1."""
_COLUMNS = ("submission", "verdict", "points", "of", *(f"ex{number}" for number in EXERCISES))
_MORE = ("failed", "open", "seconds", "isolation", "late", "penalty", "problem", "attention", NOTE)


def table_of(grades: Iterable[Grade], *, with_mark: bool = True) -> str:
    """The table of grades, one line for each submission; `with_mark`, it begins with a byte order mark."""
    text = StringIO()
    text.write(_BYTE_ORDER_MARK if with_mark else "")
    rows = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
    rows.writerow([*_COLUMNS, *_MORE])
    for mark in grades:
        problems = dict.fromkeys(part.problem for _, part in sorted(mark.parts.items()) if part.problem)
        rows.writerow(
            [
                cell(mark.name),
                str(mark.verdict),
                number(mark.points),
                number(mark.of),
                *(
                    number(part.points) if (part := mark.parts.get(n)) and part.is_counted else ""
                    for n in EXERCISES
                ),
                " ".join(mark.failed_steps),
                " ".join(mark.open_steps),
                mark.seconds,
                mark.isolation,
                mark.late_days or "",
                number(mark.penalty) or "",
                cell(" | ".join(problems)),
                cell(" | ".join([*mark.attention, *mark.remarks])),
                cell(mark.note) if mark.note else "",
            ]
        )
    return text.getvalue()


def cell(text: str) -> str:
    """A text for a table, with an apostrophe before what a spreadsheet would calculate or change."""
    text = one_line(text)
    is_kept = _WHOLE_NUMBER.fullmatch(text) or not _CHANGED.fullmatch(text)
    return text if is_kept and not text.startswith(_CALCULATED) else f"'{text}"


def text_in(path: Path) -> str:
    """A table's text, in whatever encoding a spreadsheet has saved it; empty if there is none."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return ""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")


def _rows(text: str) -> dict[str, dict[str, str]]:
    """The rows of a table by their first cells, with whatever delimiter; empty if it is none."""
    delimiter = max(",;\t", key=text.partition("\n")[0].count)
    try:
        rows = list(csv.DictReader(StringIO(text), delimiter=delimiter))
    except csv.Error:
        return {}
    return {row["submission"]: row for row in rows if row.get("submission")}


def notes_in(text: str) -> dict[str, str]:
    """What people have written into a table, by the cells of the submissions' names."""
    found = {name: row.get(NOTE) or "" for name, row in _rows(text).items()}
    return {name: note.removeprefix("'") for name, note in found.items() if note}


def is_edited(text: str, written: str) -> bool:
    """Whether a table says something else than what was `written`, but for notes."""

    def said(table: str) -> set[frozenset[tuple[str, str]]]:
        return {
            frozenset((name, value or "") for name, value in row.items() if name and name != NOTE)
            for row in _rows(table).values()
        }

    return said(text) != said(written.removeprefix(_BYTE_ORDER_MARK))


def hash_of(text: str) -> str:
    """A hash of a table, by which it is known whether anybody has changed it."""
    return hashlib.sha256(text.removeprefix(_BYTE_ORDER_MARK).encode(errors="replace")).hexdigest()
