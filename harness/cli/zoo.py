"""`chatlab zoo`: shows what the checkers find in servers that are broken on purpose."""

from __future__ import annotations

import asyncio
import difflib
import os
import sys
import textwrap
import time
from collections.abc import Coroutine, Sequence
from typing import TYPE_CHECKING

import click

from harness.verdict.outcome import EXIT_CODES, EXIT_DEFECT, Outcome, overall
from harness.verdict.steps import EXERCISES, steps_of
from harness.worlds.targets import BadTarget, check_simulated, reference
from lab.command import EXIT_INTERRUPTED

if TYPE_CHECKING:
    from harness.zoo.animal import Animal
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
    "● caught by its own anomaly   ○ by another   ✗ missed   + fails, too, as it may   "
    "! fails, and has nothing to do with it   ? open   · passed"
)
_SEED = 7
"""The plans are the same each time, unless another seed is asked for."""
_LIVE_JOBS = 3
"""Plays side by side in the live world: most of their time they wait."""


@click.command()
@click.argument("names", metavar="[NAME]...", nargs=-1)
@click.option(
    "--world",
    type=click.Choice(["live", "sim", "both"]),
    default="sim",
    show_default=True,
    help="Where they are played. Live, each animal plays the exercise that it belongs to.",
)
@click.option("--all", "everything", is_flag=True, help="Live: play all four exercises with each.")
@click.option("--jobs", type=click.IntRange(1, 64), help="Play so many at once.")
@click.option("--seed", type=click.IntRange(0), default=_SEED, show_default=True, help="Which plans to play.")
@click.option("--list", "only_list", is_flag=True, help="Play nothing; say what is wrong with each animal.")
@click.option("--source", is_flag=True, help="Play nothing; print how the animals named are broken.")
def zoo(
    names: tuple[str, ...],
    world: str,
    everything: bool,
    jobs: int | None,
    seed: int,
    only_list: bool,
    source: bool,
) -> int:
    """Play servers that are broken on purpose, and see whether each is caught by its own anomaly.

    Without a NAME all of them are played, and with them the servers that are right, which must pass
    everything. Exit codes: 0 all as it should be, 1 not, 2 a step was left open.
    """
    from harness.zoo.animals import ANIMALS

    for name in names:
        if name not in ANIMALS:
            near = difflib.get_close_matches(name, ANIMALS, 3, 0.4)
            hint = f"did you mean {', '.join(near)}?" if near else "--list names them all"
            raise click.UsageError(f"there is no animal {name!r}; {hint}")
    chosen = [ANIMALS[name] for name in names] or list(ANIMALS.values())
    if source and not names:
        raise click.UsageError("--source needs the NAME of an animal; --list names them all")
    if source or only_list:
        for animal in chosen:
            click.echo(_source(animal) if source else _described(animal))
        return 0
    worlds = ["live", "sim"] if world == "both" else [world]
    if "sim" in worlds:
        try:
            check_simulated(reference())
        except BadTarget as error:
            raise click.UsageError(str(error)) from error
    from harness.zoo.matrix import plan

    for animal in chosen:
        if names and not set(worlds) & set(animal.worlds):
            raise click.UsageError(
                f"{animal.name} is played in the {animal.worlds[0]} world only, since {animal.why}; "
                f"use --world {animal.worlds[0]}"
            )
    plays = plan(chosen, worlds, everything=everything, right=not names)
    default = _LIVE_JOBS if "live" in worlds else os.cpu_count() or 1
    return _show(plays, jobs or default, seed)


def _described(animal: Animal) -> str:
    about = f"{animal.name}   [step {' or '.join(animal.steps)}, {animal.anomaly}]"
    if animal.why:
        about += f"\n    In the {animal.worlds[0]} world only, since {animal.why}."
    return about + "\n" + textwrap.indent(textwrap.fill(animal.says, 100), "    ")


def _source(animal: Animal) -> str:
    """The text of a server in one file; else that of the function which makes the difference."""
    if animal.source:
        return animal.source.rstrip()
    import inspect

    assert animal.defect is not None, "it is a difference on the reference server, or a file"
    return inspect.getsource(animal.defect).rstrip() + "\n"


def _show(plays: Sequence[Play], jobs: int, seed: int) -> int:
    """Play, print a line for each server as soon as all before it are there, and sum it up."""
    from harness.running.fork_pool import ForkPoolError
    from harness.zoo.matrix import play_all

    began = time.monotonic()
    table = _Table(plays)
    table.head()
    try:
        rows = asyncio.run(_until_stopped(play_all(plays, jobs, seed, table.add)))
    except (KeyboardInterrupt, asyncio.CancelledError):
        click.echo("interrupted", err=True)
        return EXIT_INTERRUPTED
    except (RuntimeError, ForkPoolError) as error:
        click.echo(f"the kit itself failed, which is a fault to be reported:\n{error}", err=True)
        return EXIT_DEFECT
    finally:
        table.end()
    table.sum_up(rows, time.monotonic() - began)
    return EXIT_CODES[overall([row.outcome for row in rows])]


async def _until_stopped(playing: Coroutine[None, None, list[Row]]) -> list[Row]:
    from harness.running.worker import cancel_on_sigterm

    cancel_on_sigterm()
    return await playing


class _Table:
    """The matrix as text: a line for each server, a column for each step."""

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
        self._clear()
        while self._waiting and self._waiting[0] in self._there:
            shown = self._there[self._waiting.pop(0)]
            marks = {n: "".join(self._mark(shown, step) for step in steps_of(n)) for n in EXERCISES}
            animal = self._animals.get(shown.name)
            self._line(f"{shown.name}  {shown.world}", marks, animal.anomaly if animal else "")
        if sys.stdout.isatty():
            click.echo(f"{len(self._there)} of {self._count} played", nl=False)

    def end(self) -> None:
        """Nothing more comes."""
        self._clear()

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
        click.echo(text.translate(_ASCII) if self._plain else text)

    def _clear(self) -> None:
        if sys.stdout.isatty():
            click.echo("\r\033[K", nl=False)


_IN_WORDS = {
    "other": "step {step} failed by {found}, which is not what is wrong with it",
    "missed": "step {step} passed, and should fail",
    "stray": "step {step} failed by {found}, and has nothing to do with what is wrong",
    "open": "step {step} was left open",
}
