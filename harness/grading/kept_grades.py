"""Reads the grades that a grading has left in its folder, for all that is made of them."""

from __future__ import annotations

from pathlib import Path

import msgspec

from harness.grading.result import Grade
from harness.history.as_json import from_json


def kept_grades(place: Path) -> dict[str, Grade]:
    """The grades in a folder of results, by the stems of their files' names, in their order.

    They have the exercises that the rubric counts. A file that is no grade is left out. Raises OSError if the
    folder cannot be read.
    """
    found: dict[str, Grade] = {}
    for path in sorted(each for each in place.iterdir() if each.suffix == ".json"):
        try:
            grade = from_json(path.read_bytes(), Grade)
        except msgspec.DecodeError:
            continue
        grade.parts = {number: part for number, part in grade.parts.items() if part.is_counted}
        found[path.stem] = grade
    return found
