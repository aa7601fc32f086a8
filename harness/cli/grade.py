"""`chatlab grade FOLDER`: a class, one submission after the other."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli import options
from harness.cli.usage import told, wrong_usage
from harness.judged.submissions import OF_ARCHIVES
from harness.texts import Texts, texts
from harness.texts.console import echo
from harness.texts.problem import Problem
from harness.verdict.outcome import EXIT_CODES, EXIT_DEFECT, Outcome
from harness.verdict.steps import EXERCISES, numbers_in
from lab.command import EXIT_INTERRUPTED

if TYPE_CHECKING:
    from harness.grading.grade import Rules


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Folder for grades.csv and the reports.  [default: FOLDER-grades, beside FOLDER]",
)
@click.option("--exercises", metavar="1,3", help="Only these exercises.  [default: all]")
@options.together("Judge all four components of a submission at once.")
@options.seed("The same for everybody.", default=1)
@click.option("--runs", type=click.IntRange(1, 100), default=1, show_default=True, help="The worst counts.")
@click.option(
    "--deadline",
    type=click.FloatRange(1, 86400),
    default=300,
    show_default=True,
    help="Seconds for each run of an exercise.",
)
@click.option(
    "--env",
    "variables",
    metavar="NAME",
    multiple=True,
    help="Let servers see this environment variable, too; can be given several times.",
)
@click.option("--again", is_flag=True, help="Judge everybody anew, also who has a grade already.")
@options.language
def grade(
    folder: Path,
    out: Path | None,
    exercises: str | None,
    together: bool,
    seed: int,
    runs: int,
    deadline: float,
    variables: tuple[str, ...],
    again: bool,
    lang: str,
) -> int:
    """Judge each subfolder of FOLDER as a submission, and write grades.csv.

    A submission is laid out like exercises/, or has a submission.toml that starts a whole server. Who has
    a grade keeps it, unless the files or these options have changed: stop this at any time, and call it
    again. Exit code 0: everybody has a mark; 2: somebody's is open, because a step was inconclusive or
    did not end in time; 70: the kit itself failed in somebody's.
    """
    # Imported late: `chatlab --help` needs none of it.
    from harness.grading.grade import Rules
    from harness.judged.environment import IN_CLASS

    numbers = _numbers(exercises)
    folders = _submissions(folder, texts(lang))
    place = out or folder.absolute().with_name(f"{folder.absolute().name}-grades")
    if place.resolve().is_relative_to(folder.resolve()):
        raise wrong_usage("out_inside", path=place)
    rules = Rules(seed, runs, together, deadline, (*IN_CLASS, *variables))
    return _run(folders, numbers, rules, place, texts(lang), again)


def _submissions(folder: Path, said: Texts) -> list[Path]:
    """The subfolders of a class. Raises click.UsageError if it is none."""
    if not folder.is_dir():
        raise wrong_usage("no_class", path=folder)
    if (folder / "submission.toml").exists() or any((folder / slug).exists() for slug in EXERCISES.values()):
        raise wrong_usage("one_submission", path=folder)
    try:
        all_of_them = sorted(folder.iterdir())
    except OSError as error:
        raise wrong_usage("class_unreadable", path=folder, why=error.strerror) from error
    there = [each for each in all_of_them if each.name[0] != "." and each.name not in OF_ARCHIVES]
    folders = [each for each in there if each.is_dir()]
    if not folders:
        raise wrong_usage("no_submission", path=folder)
    others = [each.name for each in there if not each.is_dir()]
    if others:
        echo(said.say("grade.no_folder", names=", ".join(others)), err=True)
    return folders


def _numbers(text: str | None) -> list[int]:
    try:
        return numbers_in(text, "--exercises") if text else list(EXERCISES)
    except Problem as error:
        raise told(error) from error


def _run(folders: list[Path], numbers: list[int], rules: Rules, place: Path, said: Texts, again: bool) -> int:
    """Grade everybody, say how many have a mark, and return the exit code."""
    from harness.grading.register import Busy, Register
    from harness.grading.whole_class import grade_class

    try:
        register = Register(place)
        with register.in_use():
            grades = asyncio.run(grade_class(folders, numbers, rules, register, said, again))
    except (KeyboardInterrupt, asyncio.CancelledError):
        echo(said.say("grade.interrupted"), err=True)
        return EXIT_INTERRUPTED
    except Busy as error:
        raise click.UsageError(said.say("grade.busy", place=place)) from error
    except OSError as error:
        raise wrong_usage("out_not_written", path=place, why=error.strerror or error) from error
    still_open = sum(each.verdict is Outcome.INCONCLUSIVE for each in grades)
    echo(said.say("grade.done", n=len(grades), file=register.table))
    if still_open:
        echo(said.say("grade.open", count=still_open))
    if any(each.kit_failed for each in grades):
        return EXIT_DEFECT
    return EXIT_CODES[Outcome.INCONCLUSIVE if still_open else Outcome.PASSED]
