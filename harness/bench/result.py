"""The results of measurements: tables, sentences and pictures."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field

from harness.reports.svg import Drawing

Cell = str | float
"""A number is shown with three significant figures; whole numbers as they are."""


@dataclass(frozen=True)
class Table:
    """Rows of cells; the first column names what the row is about."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]


@dataclass
class Part:
    """One question, and what was measured to answer it. `sentences` say what the figures show.

    `notes` say what the names mean, and what was not measured.
    """

    name: str
    question: str
    tables: list[Table] = field(default_factory=list)
    sentences: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    pictures: list[Drawing] = field(default_factory=list)


def shown(cell: Cell) -> str:
    """A cell as text."""
    if isinstance(cell, str):
        return cell
    if cell == int(cell) or abs(cell) >= 1000:
        return f"{cell:,.0f}"
    return f"{cell:.3g}"


def median(values: Sequence[float]) -> float:
    """The median; 0.0 of none."""
    return statistics.median(values) if values else 0.0


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The median of the rounds' ratios of ours to theirs: in each round, noise affects both."""
    return median([a / b for a, b in zip(ours, theirs, strict=True)])


def spread(values: Sequence[float]) -> str:
    """The smallest and the largest value of all rounds, as text."""
    return f"{shown(min(values))} to {shown(max(values))}" if values else ""
