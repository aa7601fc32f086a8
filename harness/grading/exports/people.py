"""Which row of a portal's table is whose: nobody may be given the marks of somebody else.

Keys are tried from the surest to the least sure: identifiers, the email address, the full name. A key counts
only where one row and one grade have it.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence

from msgspec import Struct

from harness.grading.result import Grade


class Person(Struct, frozen=True):
    """Whom a row or a grade is about; what is not known is empty."""

    ids: tuple[str, ...]
    """Of each kind of identifier that the portal has, in the same order for all."""
    email: str = ""
    name: str = ""
    called: str = ""
    """A row's name, and of a grade that knows no name of its author, that of the submission's folder."""

    @property
    def keys(self) -> tuple[str, ...]:
        """All of them, the surest first."""
        return (*self.ids, self.email, self.name, self.called)


def author_of(grade: Grade, ids: tuple[str, ...]) -> Person:
    """Whom a grade is about; `ids` are its identifiers, of each kind that the portal has."""
    name = folded(grade.author.full_name)
    return Person(ids, same_case(grade.author.email), name, "" if name else folded(grade.name))


def in_row(ids: tuple[str, ...], email: str, name: str) -> Person:
    """Whom a row is about."""
    return Person(ids, same_case(email), folded(name), folded(name))


def same_case(text: str) -> str:
    """An identifier or an address, such that capital letters make no difference."""
    return text.strip().casefold()


def folded(name: str) -> str:
    """A name such that case, accents, apostrophes and the order of its words make no difference.

    Portals leave apostrophes out of the names of files, and some write the family name first.
    """
    apart = unicodedata.normalize("NFKD", name)
    plain = "".join(char for char in apart if not unicodedata.combining(char) and char not in "'’`")
    return " ".join(sorted(re.findall(r"[^\W_]+", plain.casefold())))


def paired(rows: Sequence[Person], grades: Sequence[Person]) -> dict[int, int]:
    """The number of the row for the number of each grade that has one."""
    found: dict[int, int] = {}
    telling: list[int] = []
    for kind in range(len(grades[0].keys) if grades else 0):
        taken = set(found.values())
        free_rows = {n: row.keys[kind] for n, row in enumerate(rows) if n not in taken}
        free_grades = {n: grade.keys[kind] for n, grade in enumerate(grades) if n not in found}
        row_of = _unique(free_rows)
        new = {
            grade: row_of[key]
            for key, grade in _unique(free_grades).items()
            if key in row_of and not _is_doubtful(kind, rows[row_of[key]], grades[grade], telling)
        }
        found |= new
        if new:
            telling.append(kind)
    return found


def _unique(keys: dict[int, str]) -> dict[str, int]:
    """Whom each key is of, if it is of one person only."""
    seen = Counter(keys.values())
    return {key: number for number, key in keys.items() if key and seen[key] == 1}


def _is_doubtful(kind: int, row: Person, grade: Person, telling: Sequence[int]) -> bool:
    """Whether two that have a key in common are perhaps two people all the same.

    An identifier may be of another assignment or portal, where it is somebody else's: so the name or the
    address must agree, if both are known. By a surer key that has told others apart, they must not differ.
    """
    if kind < len(row.ids):
        known = [(a, b) for a, b in ((row.email, grade.email), (row.name, grade.name)) if a and b]
        return bool(known) and not any(a == b for a, b in known)
    surer = [(row.keys[each], grade.keys[each]) for each in telling if each < kind]
    return any(a and b and a != b for a, b in surer)
