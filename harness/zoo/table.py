"""The matrix of servers and steps as text."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from harness.texts.console import echo, flash
from harness.verdict.outcome import Outcome
from harness.verdict.steps import EXERCISES, steps_of
from harness.zoo.matrix import Play, Row

_MARKS = {
    "passed": "·",
    "caught": "●",
    "other": "○",
    "missed": "✗",
    "also": "+",
    "stray": "!",
    "open": "?",
}
_ASCII = str.maketrans("·●○✗", ".@oX")
_LEGEND = (
    "● caught by its own anomaly   ○ by another   ✗ missed   + fails too, which is allowed   "
    "! fails, but is not related to the defect   ? open   · passed"
)
_IN_WORDS = {
    "other": "step {step} failed by {found}, which is not the anomaly of its defect",
    "missed": "step {step} passed, but should fail",
    "stray": "step {step} failed by {found}, but is not related to the defect",
    "open": "step {step} was left open",
}


class Table:
    """A line for each server, a column for each step."""

    def __init__(self, plays: Sequence[Play]) -> None:
        self._animals = {play.name: play.animal for play in plays if play.animal}
        self._waiting = [(play.name, play.world) for play in plays]
        self._count = len(plays)
        self._there: dict[tuple[str, str], Row] = {}
        self._width = max(len(play.name) for play in plays) + 6
        self._plain = not (sys.stdout.encoding or "ascii").lower().startswith("utf")

    def head(self) -> None:
        """The numbers of the steps."""
        self._line("", {n: f"{n}" for n in EXERCISES}, "")
        self._line("", {n: "".join(step[2] for step in steps_of(n)) for n in EXERCISES}, "")

    def add(self, row: Row) -> None:
        """A server that was played; it is shown when those before it are."""
        self._there[row.name, row.world] = row
        flash()
        while self._waiting and self._waiting[0] in self._there:
            shown = self._there[self._waiting.pop(0)]
            marks = {n: "".join(self._mark(shown, step) for step in steps_of(n)) for n in EXERCISES}
            animal = self._animals.get(shown.name)
            self._line(f"{shown.name}  {shown.world}", marks, animal.anomaly if animal else "")
        flash(f"{len(self._there)} of {self._count} played")

    def end(self) -> None:
        """Nothing more comes."""
        flash()

    def sum_up(self, rows: Sequence[Row], seconds: float) -> None:
        """What is not as it should be, one by one, and how many are."""
        self._echo(_LEGEND)
        for row in rows:
            for step, cell in row.cells.items():
                if row.outcome is not Outcome.PASSED and cell in _IN_WORDS:
                    found = ", ".join(row.found.get(step, []))
                    self._echo(f"{row.name}, {row.world}: {_IN_WORDS[cell].format(step=step, found=found)}")
        animals = [row for row in rows if row.name in self._animals]
        caught = sum("caught" in row.cells.values() for row in animals)
        good = sum(row.outcome is Outcome.PASSED for row in rows)
        self._echo(
            f"{caught} of {len(animals)} animals caught by their own anomaly; "
            f"{good} of {len(rows)} servers came out as they should, {seconds:.0f} s"
        )

    def _mark(self, row: Row, step: str) -> str:
        return _MARKS[row.cells[step]] if step in row.cells else " "

    def _line(self, name: str, marks: dict[int, str], more: str) -> None:
        columns = "  ".join(f"{marks[n]:<5}" for n in EXERCISES)
        self._echo(f"{name:<{self._width}}  {columns}  {more}".rstrip())

    def _echo(self, text: str) -> None:
        echo(text.translate(_ASCII) if self._plain else text)
