"""`chatlab grade`: judge the submissions of a class."""

from __future__ import annotations

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import click
from msgspec.structs import replace

from harness.cli import class_options, options
from harness.cli.usage import asked_words, told, wrong_usage
from harness.judged.isolation import WISHES
from harness.texts import Texts, texts
from harness.texts.console import echo
from harness.texts.problem import Problem
from harness.verdict.outcome import EXIT_CODES, EXIT_DEFECT, Outcome
from harness.verdict.steps import EXERCISES, numbers_in
from lab.command import EXIT_INTERRUPTED

if TYPE_CHECKING:
    from harness.grading.register import Register
    from harness.grading.rubric import Rubric
    from harness.grading.whole_class import Asked
    from harness.judged.isolation import Kind
    from harness.submissions.fingerprints import Rules
    from harness.submissions.listing import Listing


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Folder for grades.csv and the reports.  [default: FOLDER-grades, beside FOLDER]",
)
@click.option("--list", "is_list", is_flag=True, help="Show what would be judged, and judge nothing.")
@click.option("--exercises", metavar="1,3", help="Only these exercises.  [default: all of the rubric]")
@click.option(
    "--rubric",
    "rubric_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="What steps are worth, what is hidden, what being late costs: see harness/grading/README.md.",
)
@click.option("--only", multiple=True, metavar="NAME", help="Only this submission; * stands for anything.")
@click.option("--skip", multiple=True, metavar="NAME", help="Not this one.")
@click.option(
    "--again",
    multiple=True,
    is_flag=False,
    flag_value=class_options.ALL,
    metavar="[NAME]",
    help="Judge this one anew although it has a grade; without a name, everybody.",
)
@click.option(
    "--map",
    "maps",
    multiple=True,
    metavar="NAME:2=FILE",
    help="Take this file of a submission for an exercise; - for none.",
)
@options.together("Judge all four components of a submission at once.")
@options.seed("The same for everybody.", default=1)
@click.option("--runs", type=click.IntRange(1, 100), default=1, show_default=True, help="The worst counts.")
@options.jobs("Submissions at a time, each on cores of its own.  [default: as many as there are cores]")
@click.option(
    "--deadline",
    type=click.FloatRange(1, 86400),
    default=300,
    show_default=True,
    help="Seconds for each run of an exercise.",
)
@click.option(
    "--isolation",
    type=click.Choice(WISHES),
    default="auto",
    show_default=True,
    help="Keep judged code from marks and answers: by bubblewrap, by the best there is, or not at all.",
)
@click.option(
    "--show",
    "shows",
    multiple=True,
    type=click.Path(exists=True, path_type=Path, resolve_path=True),
    metavar="PATH",
    help="Let isolated servers see this file or folder, too, such as that of a language's tools.",
)
@click.option(
    "--env",
    "variables",
    metavar="NAME",
    multiple=True,
    help="Let servers see this environment variable, too; can be given several times.",
)
@click.option("--bom/--no-bom", default=True, show_default=True, help="Begin grades.csv as Excel wants it.")
@options.language
def grade(
    folder: Path,
    out: Path | None,
    is_list: bool,
    exercises: str | None,
    rubric_file: Path | None,
    only: tuple[str, ...],
    skip: tuple[str, ...],
    again: tuple[str, ...],
    maps: tuple[str, ...],
    together: bool,
    seed: int,
    runs: int,
    jobs: int | None,
    deadline: float,
    isolation: str,
    shows: tuple[Path, ...],
    variables: tuple[str, ...],
    bom: bool,
    lang: str,
) -> int:
    """Judge what a class has handed in, and write grades.csv.

    FOLDER holds folders, archives or files, one or several of each student, as they are or as Moodle, Canvas
    and Gradescope export them; an export may also be given as it came, as one archive. Who has a grade keeps
    it, unless the code or these options have changed: stop this at any time, and call it again. Exit code 0:
    everybody has a mark; 2: somebody's is open, because a step was inconclusive, or somebody has to look at
    what was handed in; 70: the kit itself failed in somebody's.
    """
    # Imported late: `chatlab --help` needs none of it.
    from harness.judged.environment import IN_CLASS
    from harness.submissions.fingerprints import Rules

    said, rubric = texts(lang), _rubric(rubric_file)
    numbers = _numbers(exercises) if exercises else list(rubric.exercises)
    place = out or _beside(folder)
    if place.resolve().is_relative_to(folder.resolve()):
        raise wrong_usage("out_inside", path=place)
    kind = "none" if is_list else _isolation(isolation, said)
    passed, shown = (*IN_CLASS, *variables), tuple(str(path) for path in shows)
    rules = Rules(seed, runs, together, deadline, passed, kind, shown, hidden=rubric.hidden)
    with TemporaryDirectory(prefix="chatlab-class-", ignore_cleanup_errors=True) as unpacked:
        listing = _listing(folder, Path(unpacked), said)
        asked = _asked(listing, numbers, rules, jobs, only, skip, again, maps)
        asked = replace(asked, rubric=rubric, rubric_place=rubric_file.parent if rubric_file else Path())
        _check_lateness(listing, rubric, said)
        if is_list:
            return _show(listing, asked, Path(unpacked), said)
        return _grade(listing, asked, place, bom, said)


def _grade(listing: Listing, asked: Asked, place: Path, bom: bool, said: Texts) -> int:
    """Grade a class into a folder of results."""
    from harness.grading.register import Busy, Register

    try:
        register = Register(place, with_mark=bom)
        with register.in_use() as scratch:
            return _run(listing, asked, register, scratch, said)
    except Busy as error:
        raise click.UsageError(said.say("grade.busy", place=place)) from error
    except BrokenPipeError:
        raise  # nobody reads what we print
    except OSError as error:
        raise wrong_usage("results_not_written", path=error.filename or place, why=error.strerror) from error


def _beside(folder: Path) -> Path:
    """The folder for the results of a class."""
    from harness.submissions.portals import without_suffix

    whole = folder.absolute()
    return whole.with_name(f"{without_suffix(whole.name)}-grades")


def _isolation(wish: str, said: Texts) -> Kind:
    """How code is isolated; if it is not by the best means, that is told, and why."""
    from harness.judged.isolation_trial import NoIsolation, find_isolation

    try:
        kind, problem = find_isolation(wish)
    except NoIsolation as error:
        raise told(error) from error
    if kind != "bubblewrap":
        why = f" {problem.said_in(said)}" if problem else ""
        echo(said.say(f"grade.isolation_{kind}") + why, err=True)
    return kind


def _listing(folder: Path, scratch: Path, said: Texts) -> Listing:
    """What a class has handed in. Raises click.UsageError if the folder is none of a class."""
    from harness.judged.submissions import looks_like_one
    from harness.submissions import listing
    from harness.submissions.portals import is_archive

    if not folder.is_dir() and not (folder.is_file() and is_archive(folder.name)):
        raise wrong_usage("no_class", path=folder)
    is_laid_out = any((folder / name).exists() for name in ("submission.toml", *EXERCISES.values()))
    if is_laid_out or looks_like_one(folder):
        raise wrong_usage("one_submission", path=folder)
    try:
        inside, left_out = (folder, []) if folder.is_dir() else listing.unpacked(folder, scratch)
        found = listing.hand_ins_of(inside)
    except listing.CannotUnpack as error:
        raise wrong_usage("class_not_unpacked", path=folder, problem=error) from error
    except OSError as error:
        raise wrong_usage("class_unreadable", path=folder, why=error.strerror) from error
    if listing.is_one_submission(found):
        raise wrong_usage("one_submission", path=folder)
    if not found.hand_ins:
        raise wrong_usage("no_submission", path=folder)
    for other in found.others:
        echo(said.say(f"grade.{other.key}", **other.params), err=True)
    for other in left_out:
        echo(said.say(f"left_out.{other.key}", **other.params), err=True)
    return found


def _asked(
    listing: Listing,
    numbers: list[int],
    rules: Rules,
    jobs: int | None,
    only: tuple[str, ...],
    skip: tuple[str, ...],
    again: tuple[str, ...],
    maps: tuple[str, ...],
) -> Asked:
    """What is asked for, with names that are those of submissions."""
    from harness.grading.whole_class import Asked
    from harness.posix import cores as ours

    hand_ins, cores = listing.hand_ins, len(ours())
    if jobs is not None and jobs > cores:
        echo(asked_words().say("grade.few_cores", jobs=jobs, cores=cores), err=True)
    wanted = class_options.named(only or (class_options.ALL,), hand_ins, "--only")
    left_out = class_options.named(skip, hand_ins, "--skip")
    return Asked(
        numbers,
        rules,
        min(jobs or cores, cores),
        lambda name: wanted(name) and not left_out(name),
        class_options.named(again, hand_ins, "--again"),
        class_options.mapped(maps, hand_ins),
    )


def _check_lateness(listing: Listing, rubric: Rubric, said: Texts) -> None:
    """Tell what of a rubric's late days has no effect."""
    names = {each.name for each in listing.hand_ins}
    nobody = sorted(set(rubric.late.days) - names)
    if nobody:
        echo(said.say("grade.no_such_late", names=", ".join(nobody)), err=True)
    dated = {each.name for each in listing.hand_ins if each.author.handed_in} | set(rubric.late.days)
    undated = sorted(names - dated)
    if rubric.late.due is not None and undated:
        shown = ", ".join(undated[:5]) + (", …" if len(undated) > 5 else "")
        echo(said.say("grade.no_date", names=shown), err=True)


def _rubric(path: Path | None) -> Rubric:
    """The rubric in a file, or that of the kit. Raises click.UsageError."""
    from harness.grading.rubric import BadRubric, Rubric, read

    try:
        return read(path) if path else Rubric()
    except BadRubric as error:
        raise told(error) from error


def _numbers(text: str) -> list[int]:
    try:
        return numbers_in(text, "--exercises")
    except Problem as error:
        raise told(error) from error


def _show(listing: Listing, asked: Asked, scratch: Path, said: Texts) -> int:
    """Show what would be judged."""
    from harness.grading.preview import preview

    count = unclear = 0
    for name, lines, is_known in preview(listing.hand_ins, asked, scratch, said):
        count, unclear = count + 1, unclear + (not is_known)
        echo("\n".join([name, *(f"  {line}" for line in lines)]))
    echo(said.say("grade.listed", n=count, unclear=unclear))
    return EXIT_CODES[Outcome.INCONCLUSIVE if unclear else Outcome.PASSED]


def _run(listing: Listing, asked: Asked, register: Register, scratch: Path, said: Texts) -> int:
    """Grade everybody, say how many have a mark, and return the exit code."""
    from harness.grading.whole_class import KitChanged, grade_class

    try:
        grades = asyncio.run(grade_class(listing.hand_ins, asked, register, scratch, said))
    except (KeyboardInterrupt, asyncio.CancelledError):
        echo(said.say("grade.interrupted"), err=True)
        return EXIT_INTERRUPTED
    except KitChanged as error:
        echo(said.say("grade.kit_changed", name=error), err=True)
        return EXIT_DEFECT
    echo(said.say("grade.done", n=len(grades), file=register.table))
    echo(said.say("grade.class_page", file=register.table.with_name("class.html")))
    nothing = [mark.name for mark in grades if mark.verdict is Outcome.FAILED and not mark.points]
    if nothing:
        echo(said.say("grade.no_points", count=len(nothing), names=", ".join(nothing)))
    still_open = sum(each.verdict is Outcome.INCONCLUSIVE for each in grades)
    if still_open:
        echo(said.say("grade.open", count=still_open))
    if any(each.kit_failed for each in grades):
        return EXIT_DEFECT
    return EXIT_CODES[Outcome.INCONCLUSIVE if still_open else Outcome.PASSED]
