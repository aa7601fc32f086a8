"""`chatlab export student-kit`, `gradescope`, `github` and `gitlab`: what is handed out or uploaded."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.cli import options
from harness.cli.usage import asked_words, told
from harness.judged.tracks import PYTHON, TRACKS, TYPESCRIPT
from harness.texts import texts
from harness.texts.console import echo
from harness.texts.problem import Problem
from harness.verdict.steps import EXERCISES, numbers_in, steps_of

if TYPE_CHECKING:
    from harness.grading.handouts.pipelines import Course

_UNTIL = ("published", "due", "never")


def _place(metavar: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    return click.argument("place", metavar=metavar, type=click.Path(path_type=Path))


_exercises = click.option("--exercises", metavar="1,3", help="Only these exercises.  [default: all]")
_track = click.option(
    "--track",
    type=click.Choice(TRACKS),
    default=PYTHON,
    show_default=True,
    help="With typescript, Node is installed, too; components in Python are judged nevertheless.",
)
_kit = click.option(
    "--kit",
    metavar="REQUIREMENT",
    default="",
    help="What pip installs as the kit, such as a file or an address.  [default: the repository itself]",
)


def _usage(command: Callable[..., Any]) -> Callable[..., Any]:
    """Tell the problems of a command as wrong usage, in the language asked for."""

    @wraps(command)
    def guarded(**given: Any) -> Any:
        try:
            return command(**given)
        except Problem as problem:
            raise told(problem) from problem

    return guarded


@click.command("student-kit")
@_place("FOLDER")
@click.option("--with-reference", is_flag=True, help="Hand out the reference's own components to read, too.")
@click.option(
    "--with-notebooks", is_flag=True, help="Hand out the walkthroughs, which show parts of answers."
)
@options.language
@_usage
def student_kit(place: Path, with_reference: bool, with_notebooks: bool, lang: str) -> None:
    """Write what a class gets into FOLDER, which must be new or empty.

    It is the kit without the model answers, and without what grades. The reference's own components, which
    are answers, are packed, so that nobody reads them by accident.
    """
    from harness.grading.handouts.student_kit import changed_exercises, student_kit
    from harness.typescript.tools import is_clone
    from harness.workspace.bundle import write_folder

    say = texts(lang).say
    bundle = student_kit(texts(lang), with_reference=with_reference, with_notebooks=with_notebooks)
    write_folder(bundle, place)
    changed = changed_exercises()
    if changed:
        echo(say("handout.changed", names=", ".join(changed)), err=True)
    if not is_clone():
        echo(say("handout.installed"), err=True)
    echo(say("handout.kit_done", n=len(bundle.files), path=place))
    echo(say("handout.kit_template", path=place))


@click.command()
@_place("FOLDER")
@_exercises
@options.together("Judge all four components at once, for 40 points.")
@options.seed("The same for everybody.", default=1)
@click.option("--hidden", metavar="2.3,4", default="", help="Steps or exercises whose result is not shown.")
@click.option(
    "--hidden-until",
    type=click.Choice(_UNTIL),
    default="published",
    show_default=True,
    help="Until grades are published, or work is due; or never, which is meant for steps without points.",
)
@click.option(
    "--time-limit",
    type=click.IntRange(2, 40),
    default=10,
    show_default=True,
    help="Minutes: as in the assignment's settings.",
)
@_track
@options.language
@_usage
def gradescope(
    place: Path,
    exercises: str | None,
    together: bool,
    track: str,
    seed: int,
    hidden: str,
    hidden_until: str,
    time_limit: int,
    lang: str,
) -> None:
    """Write an autograder for Gradescope into FOLDER, which must be new or empty.

    If its name ends in .zip, it is the archive that is uploaded. Results are written after each exercise,
    and all ends before the time limit, so that what was judged counts.
    """
    from harness.grading.handouts.gradescope import Wishes, gradescope
    from harness.workspace.bundle import write_archive, write_folder

    numbers = _numbers(exercises)
    wishes = Wishes(numbers, together, seed, _hidden(hidden, numbers), hidden_until, time_limit, track)
    bundle = gradescope(wishes, texts(lang))
    is_archive = place.suffix == ".zip"
    (write_archive if is_archive else write_folder)(bundle, place)
    echo(texts(lang).say("handout.gradescope_zip" if is_archive else "handout.gradescope_folder", path=place))
    echo(texts(lang).say("handout.gradescope_next", minutes=time_limit))


@click.command()
@_place("FILE_OR_FOLDER")
@_exercises
@options.together("Judge all four components at once, for 40 points.")
@_kit
@_track
@options.language
@_usage
def github(place: Path, exercises: str | None, together: bool, kit: str, track: str, lang: str) -> None:
    """Write a workflow of GitHub Actions, for the repositories of students.

    It is FILE_OR_FOLDER if that ends in .yml, else .github/workflows/classroom.yml in that folder. Each
    exercise is played once; the points of all steps are in the summary of the run. It uses no action of
    GitHub Classroom, which has ended.
    """
    from harness.grading.handouts.pipelines import GITHUB_FILE, github

    _write(place, GITHUB_FILE, github(_course(exercises, together, kit, track), texts(lang)), kit)


@click.command()
@_place("FILE_OR_FOLDER")
@_exercises
@options.together("Judge all four components at once, for 40 points.")
@_kit
@_track
@options.language
@_usage
def gitlab(place: Path, exercises: str | None, together: bool, kit: str, track: str, lang: str) -> None:
    """Write a pipeline of GitLab, for the repositories of students.

    It is FILE_OR_FOLDER if that ends in .yml, else .gitlab-ci.yml in that folder. The steps are shown as a
    test report.
    """
    from harness.grading.handouts.pipelines import GITLAB_FILE, gitlab

    _write(place, GITLAB_FILE, gitlab(_course(exercises, together, kit, track), texts(lang)), kit)


KITS = (student_kit, gradescope, github, gitlab)
"""The commands of this module."""


def _write(place: Path, name: str, text: str, kit: str) -> None:
    from harness.grading.handouts.pipelines import file_for
    from harness.workspace.bundle import write_file

    file = file_for(place, name)
    write_file(text, file)
    echo(asked_words().say("handout.pipeline_done", path=file))
    if not kit:
        echo(asked_words().say("handout.pipeline_own_kit"))


def _course(exercises: str | None, together: bool, kit: str, track: str) -> Course:
    """Raises Problem where npm would have no folder to install packages in."""
    from harness.grading.handouts.pipelines import Course

    if kit and track == TYPESCRIPT:
        raise Problem("handout.track_with_kit")
    return Course(_numbers(exercises), together, kit, track)


def _numbers(text: str | None) -> tuple[int, ...]:
    """The exercises that are asked for. Raises Problem."""
    return tuple(numbers_in(text, "--exercises") if text else EXERCISES)


def _hidden(text: str, exercises: tuple[int, ...]) -> tuple[str, ...]:
    """The steps and exercises to hide. Raises Problem for one that is not judged."""
    known = [step for exercise in exercises for step in (str(exercise), *steps_of(exercise))]
    named = tuple(each.strip() for each in text.split(",") if each.strip())
    for each in named:
        if each not in known:
            raise Problem("handout.no_step", given=each, known=", ".join(known))
    return named
