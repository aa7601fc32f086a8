"""`chatlab grade FOLDER`: a class, one submission after the other; what is done stays done."""

from __future__ import annotations

import asyncio
import csv
import os
import shutil
import signal
import sys
from collections.abc import Iterable
from contextlib import suppress
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from harness.steps import EXERCISES, numbers_in
from harness.texts import LANGUAGES, Texts, texts
from harness.verdict import Outcome
from lab.command import EXIT_INTERRUPTED

if TYPE_CHECKING:
    from harness.grading.grade import Grade, Rules

EXIT_INCONCLUSIVE = 2


@click.command("grade")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Folder for grades.csv and the reports.  [default: FOLDER-grades, beside FOLDER]",
)
@click.option("--exercises", metavar="1,3", help="Only these exercises.  [default: all]")
@click.option("--together", is_flag=True, help="Judge all four components of a submission at once.")
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True, help="The same for everybody.")
@click.option("--runs", type=click.IntRange(1, 100), default=1, show_default=True, help="The worst counts.")
@click.option(
    "--deadline",
    type=click.FloatRange(1, 86400),
    default=300,
    show_default=True,
    help="Seconds for each exercise of a submission.",
)
@click.option("--again", is_flag=True, help="Judge everybody anew, also who has a grade already.")
@click.option("--lang", type=click.Choice(LANGUAGES), default="en", show_default=True, envvar="CHATLAB_LANG")
def grade_class(
    folder: Path,
    out: Path | None,
    exercises: str | None,
    together: bool,
    seed: int,
    runs: int,
    deadline: float,
    again: bool,
    lang: str,
) -> int:
    """Judge each subfolder of FOLDER as a submission, and write grades.csv.

    A submission is laid out like exercises/, or has a submission.toml that starts a whole server. Who has
    a grade keeps it, unless the files or these options have changed: stop this at any time, and call it
    again. Exit code 0: everybody has a mark; 2: somebody's is open, because a step was inconclusive or
    did not end in time.
    """
    # Imported late: `chatlab --help` needs none of it.
    from harness.grading.grade import Rules

    rules = Rules(_numbers(exercises), seed, runs, together, deadline)
    if not folder.is_dir():
        raise click.UsageError(f"there is no folder {folder}; name the one that holds the submissions")
    folders = sorted(each for each in folder.iterdir() if each.is_dir() and each.name[0] not in "._")
    if not folders:
        raise click.UsageError(f"{folder} has no subfolder; each submission is a folder of its own in it")
    place = out or folder.absolute().with_name(f"{folder.absolute().name}-grades")
    register = _Register(place, folder)
    return _run(folders, rules, register, texts(lang), again)


def _numbers(text: str | None) -> list[int]:
    try:
        return numbers_in(text) if text else list(EXERCISES)
    except ValueError as error:
        raise click.UsageError(f"--exercises {text}: {error}") from error


def _run(folders: list[Path], rules: Rules, register: _Register, said: Texts, again: bool) -> int:
    with register.scratch():
        try:
            grades = asyncio.run(_grade_all(folders, rules, register, said, again))
        except (KeyboardInterrupt, asyncio.CancelledError):
            click.echo(said.say("grade.interrupted"), err=True)
            return EXIT_INTERRUPTED
    still_open = sum(each.verdict is Outcome.INCONCLUSIVE for each in grades)
    click.echo(said.say("grade.done", n=len(grades), file=register.table))
    if still_open:
        click.echo(said.say("grade.open", count=still_open))
    return EXIT_INCONCLUSIVE if still_open else 0


async def _grade_all(
    folders: list[Path], rules: Rules, register: _Register, said: Texts, again: bool
) -> list[Grade]:
    from harness.grading.grade import grade

    task = asyncio.current_task()
    assert task is not None, "inside asyncio.run there is one"
    with suppress(NotImplementedError):  # Windows
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    grades = []
    for number, folder in enumerate(folders, start=1):
        known = None if again else register.known(folder, rules)
        place = f"[{number}/{len(folders)}] {folder.name}"
        if known is None:
            progress = _Progress(place)
            known, text = await grade(folder, rules, said, progress.show)
            progress.end()
            register.keep(known, text)
            click.echo(f"{place}: {_line(known, said)}")
        else:
            click.echo(f"{place}: {_line(known, said)}, {said.say('grade.kept')}")
        grades.append(known)
        register.write_table(grades)
    return grades


def _line(mark: Grade, said: Texts) -> str:
    points = said.say("ui.score", points=mark.points, of=mark.of)
    seconds = said.say("ui.seconds", seconds=f"{mark.seconds:.1f}")
    parts = [said.say(f"outcome.{mark.verdict}"), points, seconds]
    parts += [f"{said.say('outcome.failed')}: {', '.join(mark.failed_steps)}"] if mark.failed_steps else []
    return ", ".join(parts)


class _Progress:
    """Which exercise is being played, on a line that is overwritten, where there is a terminal."""

    def __init__(self, place: str) -> None:
        self._place = place
        self._shown = ""

    def show(self, exercise: int) -> None:
        """Say which exercise begins."""
        if sys.stdout.isatty():
            self.end()
            self._shown = f"{self._place}: {EXERCISES[exercise]} …"
            click.echo(self._shown, nl=False)

    def end(self) -> None:
        """Clear the line."""
        if self._shown:
            click.echo("\r" + " " * len(self._shown) + "\r", nl=False)
            self._shown = ""


class _Register:
    """The folder of the results: a JSON file and a log for each submission, and the table of all."""

    def __init__(self, place: Path, source: Path) -> None:
        if place.absolute() == source.absolute():
            raise click.UsageError(f"--out {place} is the folder of the submissions; choose another one")
        try:
            place.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise click.UsageError(f"--out {place} cannot be made: {error.strerror}") from error
        self._place = place
        self._scratch = place / ".scratch"
        self.table = place / "grades.csv"

    def scratch(self) -> _Scratch:
        """A folder for the servers' temporary files, so that a killed run leaves nothing elsewhere."""
        return _Scratch(self._scratch)

    def known(self, folder: Path, rules: Rules) -> Grade | None:
        """The grade that a submission has already, if it is still the same."""
        from harness.grading.grade import Grade, fingerprint

        try:
            kept = msgspec.json.decode((self._place / f"{folder.name}.json").read_bytes(), type=Grade)
        except (OSError, msgspec.DecodeError):
            return None
        is_same = kept.fingerprint == fingerprint(folder, rules)
        return kept if is_same and kept.verdict is not Outcome.INCONCLUSIVE else None

    def keep(self, mark: Grade, text: str) -> None:
        """Write the log, then the grade: whoever has a grade has a log."""
        _write(self._place / f"{mark.name}.log", text.encode())
        _write(self._place / f"{mark.name}.json", msgspec.json.format(msgspec.json.encode(mark)) + b"\n")

    def write_table(self, grades: Iterable[Grade]) -> None:
        """Write grades.csv, one line for each submission that has been looked at."""
        text = StringIO()
        rows = csv.writer(text, lineterminator="\n")
        names = [f"ex{number}" for number in EXERCISES]
        rows.writerow(
            ["submission", "verdict", "points", "of", *names, "failed", "open", "seconds", "problem"]
        )
        for mark in grades:
            points = [mark.exercises[n][0] if n in mark.exercises else "" for n in EXERCISES]
            still_open = [*(f"ex{number}" for number in mark.open), *mark.open_steps]
            problem = " | ".join(each.splitlines()[-1] for each in mark.problems)
            rows.writerow(
                [
                    _cell(mark.name),
                    str(mark.verdict),
                    mark.points,
                    mark.of,
                    *points,
                    " ".join(mark.failed_steps),
                    " ".join(still_open),
                    mark.seconds,
                    _cell(problem),
                ]
            )
        _write(self.table, text.getvalue().encode())


class _Scratch:
    """Sends temporary files of this process and its children into one folder, and removes it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._before = os.environ.get("TMPDIR")

    def __enter__(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)  # of a run that was killed
        self._folder.mkdir()
        os.environ["TMPDIR"] = str(self._folder.absolute())

    def __exit__(self, *exc_info: object) -> None:
        if self._before is None:
            del os.environ["TMPDIR"]
        else:
            os.environ["TMPDIR"] = self._before
        shutil.rmtree(self._folder, ignore_errors=True)


def _cell(text: str) -> str:
    """A text that no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text


def _write(path: Path, content: bytes) -> None:
    """Write a file at once: it is there as it was, or as it is to be."""
    new = path.with_name(path.name + ".new")
    new.write_bytes(content)
    os.replace(new, path)
