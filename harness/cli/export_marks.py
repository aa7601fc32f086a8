"""`chatlab export moodle` and others: the marks of a class in the forms of portals and of test reports."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli import options
from harness.cli.usage import told, wrong_usage
from harness.texts import texts
from harness.texts.console import echo
from harness.texts.problem import Problem

if TYPE_CHECKING:
    from harness.grading.exports.filled import Filled
    from harness.grading.result import Grade

_grades = click.argument("place", metavar="GRADES", type=click.Path(path_type=Path))


def _out(name: str) -> Callable[[options.F], options.F]:
    shown = f"The file to write.  [default: {name} in GRADES]"
    return click.option("--out", type=options.OutFile(), metavar="FILE", help=shown)


@click.command()
@_grades
@click.option(
    "--worksheet",
    type=click.Path(path_type=Path),
    required=True,
    metavar="FILE",
    help="What Moodle gives for “Download grading worksheet”, in English or French.",
)
@_out("moodle.csv")
@click.option("--scale", is_flag=True, help="Convert the points to the worksheet's maximum grade.")
@options.language
def moodle(place: Path, worksheet: Path, out: str | None, scale: bool, lang: str) -> None:
    """Write the marks of GRADES into a grading worksheet of Moodle.

    GRADES is the folder that `chatlab grade` has written. Rows are found by the participant's number, else by
    the email address, else by the full name. Grade and comment are filled in for whoever has a final mark;
    all else stays as it was, byte for byte.
    """
    from harness.grading.exports.moodle import filled
    from harness.grading.exports.output import content_of

    grades = _grades_in(place)
    file = _destination(place, out, "moodle.csv", grades, worksheet)
    with _problems_told():
        content = content_of(worksheet)
    with _problems_told(worksheet):
        result = filled(content, list(grades.values()), texts(lang), is_scaled=scale)
    _write(file, result.data)
    _tell_filled(file, result, lang)
    _tell_uneven(grades, lang)


@click.command()
@_grades
@click.option(
    "--gradebook",
    type=click.Path(path_type=Path),
    required=True,
    metavar="FILE",
    help="The gradebook as Canvas exports it, as CSV.",
)
@click.option(
    "--assignment", required=True, metavar="NAME", help="The assignment, with or without Canvas's number."
)
@_out("canvas.csv")
@options.language
def canvas(place: Path, gradebook: Path, assignment: str, out: str | None, lang: str) -> None:
    """Write the marks of GRADES into the column of an assignment in Canvas's gradebook.

    GRADES is the folder that `chatlab grade` has written. Rows are found by Canvas's ID, the SIS ID or the
    login, else by the name. All other cells stay as they were, byte for byte.
    """
    from harness.grading.exports.canvas import filled
    from harness.grading.exports.output import content_of

    grades = _grades_in(place)
    file = _destination(place, out, "canvas.csv", grades, gradebook)
    with _problems_told():
        content = content_of(gradebook)
    with _problems_told(gradebook):
        result = filled(content, list(grades.values()), texts(lang), assignment)
    _write(file, result.data)
    _tell_filled(file, result, lang)
    _tell_uneven(grades, lang)


@click.command("gradescope-csv")
@_grades
@_out("gradescope.csv")
@options.language
def gradescope_csv(place: Path, out: str | None, lang: str) -> None:
    """Write the marks of GRADES as a table like those that Gradescope exports.

    GRADES is the folder that `chatlab grade` has written. There is a line for each submission, and a column
    for each step.
    """
    from harness.grading.exports.gradescope import table

    grades = _grades_in(place)
    file = _destination(place, out, "gradescope.csv", grades)
    _write(file, table(list(grades.values()), texts(lang)))
    _tell_written(file, grades, lang)


@click.command()
@_grades
@_out("junit.xml")
@options.language
def junit(place: Path, out: str | None, lang: str) -> None:
    """Write the marks of GRADES as JUnit's XML, which CI servers show.

    GRADES is the folder that `chatlab grade` has written. Each submission is a test suite, and each step a
    test case: failed is a failure, inconclusive an error.
    """
    from harness.grading.exports.dated import dated
    from harness.grading.exports.junit import report

    grades = _grades_in(place)
    file = _destination(place, out, "junit.xml", grades)
    _write(file, report(dated(place, grades), texts(lang)))
    _tell_written(file, grades, lang)


@click.command()
@_grades
@_out("ctrf.json")
@options.language
def ctrf(place: Path, out: str | None, lang: str) -> None:
    """Write the marks of GRADES as JSON in the Common Test Report Format.

    GRADES is the folder that `chatlab grade` has written. Each step of each submission is a test: passed,
    failed, skipped, or `other` if it is inconclusive.
    """
    from harness.grading.exports.ctrf import report
    from harness.grading.exports.dated import dated

    grades = _grades_in(place)
    file = _destination(place, out, "ctrf.json", grades)
    _write(file, report(dated(place, grades), texts(lang)))
    _tell_written(file, grades, lang)


COMMANDS = (moodle, canvas, gradescope_csv, junit, ctrf)


@contextmanager
def _problems_told(path: Path | None = None) -> Iterator[None]:
    """Turn a problem, in a file if one is named, into wrong usage."""
    try:
        yield
    except Problem as problem:
        where = Problem("target.in_file", path=path, problem=problem) if path else problem
        raise told(where) from problem


def _grades_in(place: Path) -> dict[str, Grade]:
    """The grades in a folder, at least one. Raises click.UsageError."""
    from harness.grading.kept_grades import kept_grades

    try:
        grades = kept_grades(place)
    except OSError as error:
        raise told(Problem("target.unreadable_file", path=place, why=error.strerror)) from error
    if not grades:
        raise told(Problem("usage.export.no_grades", path=place))
    return grades


def _destination(
    place: Path, out: str | None, name: str, grades: Mapping[str, Grade], source: Path | None = None
) -> Path:
    """The file to write. Raises click.UsageError if that would cost a grade, or by accident the source."""
    from harness.grading.exports.output import is_same

    file = Path(out) if out else place / name
    if source and not out and is_same(file, source):
        raise wrong_usage("export.over_source", path=file)
    if any(is_same(file, place / f"{stem}.json") for stem in grades):
        raise wrong_usage("export.over_grade", path=file)
    return file


def _write(file: Path, content: bytes) -> None:
    from harness.grading.exports.output import write

    try:
        write(file, content)
    except OSError as error:
        raise wrong_usage("out_not_written", path=file, why=error.strerror or error) from error


def _tell_filled(file: Path, filled: Filled, lang: str) -> None:
    say = texts(lang).say
    echo(say("export.filled", file=file, count=filled.count))
    for key, names in (
        ("unfinished", filled.unfinished),
        ("no_row", filled.no_row),
        ("no_submission", filled.no_submission),
    ):
        if names:
            echo(say(f"export.{key}", count=len(names), names=", ".join(names)))
    for note in filled.notes:
        echo(note)


def _tell_uneven(grades: Mapping[str, Grade], lang: str) -> None:
    """Tell it if marks are out of different points: some may not have been judged on all exercises yet."""
    from harness.grading.result import number

    possible = Counter(number(mark.of) for mark in grades.values())
    if len(possible) > 1:
        counts = ", ".join(f"{of} ({count})" for of, count in sorted(possible.items()))
        echo(texts(lang).say("export.uneven", counts=counts), err=True)


def _tell_written(file: Path, grades: Mapping[str, Grade], lang: str) -> None:
    from harness.grading.exports.filled import without_mark

    say = texts(lang).say
    echo(say("export.written", file=file, count=len(grades)))
    if names := without_mark(grades.values()):
        echo(say("export.open", count=len(names), names=", ".join(names)))
