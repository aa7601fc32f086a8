"""`chatlab grade FOLDER`: a class, one submission after the other; what is done stays done."""

from __future__ import annotations

import asyncio
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.texts import LANGUAGES, Texts, texts
from harness.verdict.outcome import EXIT_CODES, Outcome
from harness.verdict.steps import EXERCISES, numbers_in
from lab.command import EXIT_INTERRUPTED

if TYPE_CHECKING:
    from harness.grading.grade import Grade, Rules
    from harness.grading.register import Register


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
    help="Seconds for each run of an exercise.",
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

    numbers = _numbers(exercises)
    folders = _submissions(folder, texts(lang))
    place = out or folder.absolute().with_name(f"{folder.absolute().name}-grades")
    if place.resolve().is_relative_to(folder.resolve()):
        raise click.UsageError(f"--out {place} lies in the folder of the submissions; choose another one")
    return _run(folders, numbers, Rules(seed, runs, together, deadline), place, texts(lang), again)


def _submissions(folder: Path, said: Texts) -> list[Path]:
    """The subfolders of a class. Raises click.UsageError if it is none."""
    if not folder.is_dir():
        raise click.UsageError(f"there is no folder {folder}; name the one that holds the submissions")
    if (folder / "submission.toml").exists() or any((folder / slug).exists() for slug in EXERCISES.values()):
        raise click.UsageError(
            f"{folder} is one submission: use `chatlab check --submission {folder}`, or name the folder above"
        )
    there = sorted(each for each in folder.iterdir() if each.name[0] != ".")
    folders = [each for each in there if each.is_dir()]
    if not folders:
        raise click.UsageError(f"{folder} has no subfolder; each submission is a folder of its own in it")
    others = [each.name for each in there if not each.is_dir()]
    if others:
        click.echo(said.say("grade.no_folder", names=", ".join(others)), err=True)
    return folders


def _numbers(text: str | None) -> list[int]:
    try:
        return numbers_in(text) if text else list(EXERCISES)
    except ValueError as error:
        raise click.UsageError(f"--exercises {text}: {error}") from error


def _run(folders: list[Path], numbers: list[int], rules: Rules, place: Path, said: Texts, again: bool) -> int:
    from harness.grading.register import Busy, Register

    try:
        register = Register(place)
        with register.in_use():
            grades = asyncio.run(_grade_all(folders, numbers, rules, register, said, again))
    except (KeyboardInterrupt, asyncio.CancelledError):
        click.echo(said.say("grade.interrupted"), err=True)
        return EXIT_INTERRUPTED
    except Busy as error:
        raise click.UsageError(said.say("grade.busy", place=place)) from error
    except OSError as error:
        raise click.UsageError(f"--out {place} cannot be written: {error.strerror or error}") from error
    still_open = sum(each.verdict is Outcome.INCONCLUSIVE for each in grades)
    click.echo(said.say("grade.done", n=len(grades), file=register.table))
    if still_open:
        click.echo(said.say("grade.open", count=still_open))
    return EXIT_CODES[Outcome.INCONCLUSIVE if still_open else Outcome.PASSED]


async def _grade_all(
    folders: list[Path], numbers: list[int], rules: Rules, register: Register, said: Texts, again: bool
) -> list[Grade]:
    from harness.grading.grade import grade, is_complete
    from harness.grading.register import printable
    from harness.running.worker import cancel_on_sigterm

    cancel_on_sigterm()
    grades = {folder: None if again else register.known(folder, rules) for folder in folders}

    def there_are() -> list[Grade]:
        return [each for each in grades.values() if each is not None]

    # Every grade that is kept is in the table from the start, and stays there if this is interrupted.
    register.write_table(there_are())
    for count, (folder, known) in enumerate(grades.items(), start=1):
        name = printable(folder)
        place = f"[{count}/{len(folders)}] {name}"
        if known is not None and is_complete(known, numbers):
            click.echo(f"{place}: {_line(known, said)}, {said.say('grade.kept')}")
            continue
        progress = _Progress(place)
        keep_page = partial(register.keep_page, name)
        mark = await grade(folder, name, numbers, rules, said, known, progress.show, keep_page)
        progress.end()
        grades[folder] = mark
        register.keep(mark, said)
        register.write_table(there_are())
        click.echo(f"{place}: {_line(mark, said)}")
    return there_are()


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
