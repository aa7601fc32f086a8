"""Grades with the time at which they were written, which reports of tests have to tell."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from harness.grading.result import Grade


class Dated(Struct, frozen=True):
    """A grade, and when its file was written, in seconds since 1970."""

    grade: Grade
    written: float

    @property
    def began(self) -> float:
        """When judging it began, if it was judged without a pause."""
        return self.written - self.grade.seconds


def dated(place: Path, grades: Mapping[str, Grade]) -> list[Dated]:
    """The grades in a folder with their times. Raises OSError."""
    return [Dated(grade, (place / f"{stem}.json").stat().st_mtime) for stem, grade in grades.items()]
