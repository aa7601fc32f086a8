"""Makes the excerpts of reports in the pages: `python -m tests.kit.excerpts --write` puts them in place.

A page shows what a command printed in a fenced block of the kind `text`. Each such block has an entry in
`EXCERPTS`, which says what was judged and which part of the report is shown; `test_excerpts.py` compares the
whole block with it. Reports come from plays in the simulated world with a fixed seed, as `chatlab check N
--world sim --seed 7s` prints them, so they are the same each time. (That command also makes a failure
smaller, which takes a minute for all of them and changes nothing above it; that is left out here.)
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import re
import shutil
import sys
import tempfile
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

from msgspec.structs import replace

from harness.bench import scaling
from harness.hunt import check_file
from harness.hunt.check_file import CheckFile
from harness.hunt.judging import Judgement, judge
from harness.hunt.levels import LEVELS
from harness.hunt.show import Show
from harness.judged import targets
from harness.judged.handed_out import place_of
from harness.picture import picture
from harness.reports.terminal import Terminal
from harness.running.direct_calls import add_contract, called_directly
from harness.running.fork_pool import ForkPool, SimJob
from harness.running.run import Case, Run
from harness.scenarios.common import SMALL
from harness.texts import LANGUAGES, texts
from harness.typescript.components import COMPONENTS as MODULES
from harness.verdict.steps import COMPONENTS, EXERCISES
from harness.watch.rounds import Verdict, Way
from harness.watch.screen import Screen, View
from tests.kit.pages import ROOT, blocks, put, read, translated

SEED = "7"


class Excerpt(NamedTuple):
    """A block of a page: the page, the number of the block among its blocks of output, and its text."""

    page: str
    number: int
    made: Callable[[], str]

    @property
    def id(self) -> str:
        """Its name in the tests."""
        return f"{self.page}:{self.number}"


# --- plays -----------------------------------------------------------------------------------------


@cache
def run_of(exercise: int, component: str = "") -> Run:
    """A run of an exercise with its stub, or with the component in a file: the first small run of SEED."""

    async def judged(target: targets.Target) -> Run:
        async with ForkPool(1) as pool:
            job = SimJob(target, [Case(exercise, SEED, SMALL)])
            (run,), played = await asyncio.gather(pool.play(job), called_directly(pool, exercise, target))
            add_contract(run, played)
            return run

    with tempfile.TemporaryDirectory() as folder:
        source = ROOT / "exercises"
        if component:
            source = Path(folder)
            place = source / EXERCISES[exercise] / f"{COMPONENTS[exercise]}.py"
            place.parent.mkdir()
            shutil.copy(ROOT / component, place)
        label = f"exercises/{EXERCISES[exercise]}/{COMPONENTS[exercise]}.py"  # as `chatlab check` calls them
        return asyncio.run(judged(targets.submission(source, exercise, together=False, label=label)))


@cache
def report_on(exercise: int, component: str, language: str) -> str:
    """The report on that run at a terminal."""
    out = io.StringIO()
    Terminal(texts(language), out=out).run(run_of(exercise, component))
    return out.getvalue()


# --- parts of a report -----------------------------------------------------------------------------


def finding(
    exercise: int,
    step: str,
    anomaly: str,
    *,
    language: str = "en",
    component: str = "",
    heading: bool = True,
    cause: bool = True,
) -> str:
    """A step's finding in the report, below the step's heading; without its likely cause if that is left out.

    Raises LookupError if the report has no such finding.
    """
    say = texts(language).say
    title = f"  ✗ {step}  {say('step.' + step.replace('.', '-'))}\n"
    _, found, rest = report_on(exercise, component, language).partition(f"\n{title}")
    section = rest.partition("\n\n")[0]
    # Findings begin with a title, which is indented by four; all else in them is indented by more.
    each = [part for part in re.split(r"^(?=    \S)", f"{section}\n", flags=re.MULTILINE) if part]
    chosen = next((part for part in each if part.splitlines()[0].endswith(f"  ({anomaly})")), None)
    if not found or chosen is None:
        raise LookupError(f"exercise {exercise} does not fail at {step} by {anomaly}, but: {section}")
    if not cause:
        chosen = chosen.partition(f"      {say('ui.cause')} ")[0]
    return (title if heading else "") + chosen


def layout(name: str) -> str:
    """The files of a submission."""
    return "".join(f"{name}/{slug}/{COMPONENTS[number]}.py\n" for number, slug in EXERCISES.items())


def layout_in_typescript(name: str) -> str:
    """The same in TypeScript."""
    return "".join(f"{name}/src/{component.file}\n" for component in MODULES.values())


_SHOWN = {
    1: ("1.4", "wrong_delivery"),
    2: ("2.2", "published_unsaved"),
    3: ("3.2", "wrong_change"),
    4: ("4.3", "not_kept"),
}
"""The finding on the stub that each handout explains."""


def _of_handout(exercise: int, language: str) -> Excerpt:
    page = translated(f"exercises/{EXERCISES[exercise]}/README.md", language)
    return Excerpt(page, 0, lambda: finding(exercise, *_SHOWN[exercise], language=language))


@cache
def _scaling() -> list[str]:
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        scaling.main()
    return printed.getvalue().strip().split("\n\n")


def of_scaling(number: int) -> str:
    """A table of the plan in SCALING.md."""
    return f"{_scaling()[number]}\n"


_HUNT = "exercises/hunt/README.md"


@cache
def _hunted() -> tuple[CheckFile, Judgement]:
    """The check that the handout of the hunt shows, and what came of it at level 2."""
    (check,) = (block[2] for block in blocks(read(_HUNT)) if block[1] == "python")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "level2.py"
        path.write_text(check, encoding="utf-8")
        found = check_file.read(str(path))
        judged = judge(found, LEVELS[2], 1, "sim", "en", lambda done, of: None)
        return replace(found, path="hunt/level2.py"), judged


def of_hunt(language: str) -> str:
    """What `chatlab hunt 2 --check` says of that check."""
    out = io.StringIO()
    Show(Terminal(texts(language), out=out)).judgement(2, *_hunted())
    return out.getvalue()


EXCERPTS = [
    Excerpt(
        "README.md",
        0,
        lambda: finding(
            1,
            "1.4",
            "wrong_delivery",
            component="notebooks/defects/pubsub.py",
            heading=False,
            cause=False,
        ),
    ),
    Excerpt("harness/grading/README.md", 0, lambda: layout("ada")),
    Excerpt("harness/grading/README.md", 1, lambda: layout_in_typescript("ada")),
    *(Excerpt("SCALING.md", number, partial(of_scaling, number)) for number in range(3)),
    *(Excerpt(translated(_HUNT, language), 0, partial(of_hunt, language)) for language in LANGUAGES),
    *(_of_handout(exercise, language) for exercise in EXERCISES for language in LANGUAGES),
]
"""Every block of output in the pages."""


def _check() -> str:
    """The report on the stub of exercise 2."""
    command = f"chatlab check 2 --world sim --seed {SEED}s"
    return picture(lambda terminal: terminal.run(run_of(2)), command, "check")


def _watch() -> str:
    """What is shown of the same while it is watched."""
    place = Path("exercises") / place_of(2)
    view = View(2, str(place), ROOT / place, verdict=Verdict(Way.QUICK, run_of(2)))
    screen = Screen(texts("en"), has_keys=True)
    return picture(lambda terminal: screen.write(terminal, view), "chatlab watch", "watch")


PICTURES = {ROOT / "exercises/check.svg": _check, ROOT / "exercises/watch.svg": _watch}
"""The pictures of reports in the pages, and what makes each."""


def words(svg: str) -> list[str]:
    """The words in a picture; their positions depend on the library that draws it."""
    return " ".join(re.findall(r"<text[^>]*>(.*?)</text>", svg)).replace("&#160;", " ").split()


def main() -> None:
    """Make all excerpts and pictures again, and name those that differ."""
    if sys.argv[1:] not in ([], ["--write"]):
        sys.exit("usage: python -m tests.kit.excerpts [--write]")
    for excerpt in EXCERPTS:
        before = read(excerpt.page)
        after = put(before, excerpt.number, excerpt.made())
        if after != before:
            print(f"{excerpt.id} differs")
            if sys.argv[1:]:
                (ROOT / excerpt.page).write_text(after, encoding="utf-8")
    for path, drawn in PICTURES.items():
        if not path.exists() or words(path.read_text(encoding="utf-8")) != words(drawn()):
            print(f"{path.relative_to(ROOT)} differs")
            if sys.argv[1:]:
                path.write_text(drawn(), encoding="utf-8")


if __name__ == "__main__":
    main()
