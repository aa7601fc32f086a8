"""Judges one submission: each exercise in a process of its own, within a deadline.

So a submission can harm only that process and the servers that it starts, and the other submissions are
judged nevertheless.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import shlex
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from io import StringIO
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from harness.checkers import lifecycle
from harness.grading.result import HAS_VERDICT, Grade, Mark, Part
from harness.judged.environment import IN_CLASS, names_passed
from harness.judged.submission_toml import NAME
from harness.judged.submissions import INSTALLED
from harness.judged.targets import ROOT, BadTarget, Unclear, submission
from harness.reports.alike import Alike
from harness.reports.counts import frequency
from harness.reports.jsonreport import report
from harness.reports.page import page
from harness.reports.summary import Summary
from harness.reports.terminal import Terminal
from harness.running.direct_calls import called_alone
from harness.running.run import Run
from harness.running.worker import Job, WorkerKilled, run_in_process
from harness.texts import LANGUAGES, Texts
from harness.texts.defect import told
from harness.verdict.outcome import Outcome
from harness.verdict.steps import COMPONENTS, points_for, steps_of

_LARGE = 1024 * 1024
"""Bytes above which a file counts by its size alone."""
_READ = 64 * 1024 * 1024
"""Bytes that are read of a submission to see whether it has changed; of what is beyond, the sizes count."""


class Rules(Struct, frozen=True):
    """How a class is judged: the same for all submissions."""

    seed: int
    runs: int
    together: bool
    deadline: float
    """Seconds for each run of an exercise."""
    passed: tuple[str, ...] = IN_CLASS
    """The environment variables that a server may see."""


async def judge(
    folder: Path, exercise: int, rules: Rules, texts: Texts, *, is_hurried: bool = False
) -> tuple[Part, str]:
    """Judge one exercise of the submission in `folder`, whatever state it is in.

    Returns the result and, if not all steps passed, an HTML page that shows what happened.
    """
    began = time.monotonic()
    shown = ""
    try:
        part, shown = await _judge(folder, exercise, rules, texts, is_hurried)
    except (OSError, WorkerKilled) as error:  # by this machine
        part = _open(exercise, _alone(exercise, rules), texts.say("grade.crashed", why=str(error)))
    except Exception:
        part = _failed(exercise, _alone(exercise, rules), traceback.format_exc(), texts)
    part.seconds = round(time.monotonic() - began, 1)
    return part, shown


async def _judge(
    folder: Path, exercise: int, rules: Rules, texts: Texts, is_hurried: bool
) -> tuple[Part, str]:
    try:
        target = submission(folder, exercise, rules.together)
    except Unclear as error:
        why = texts.say("grade.unclear", why=error.said_in(texts))
        return _open(exercise, _alone(exercise, rules), why), ""
    except BadTarget as error:
        problem = texts.say("grade.nothing", why=error.said_in(texts))
        is_whole_server = os.path.lexists(folder / NAME)
        component = None if is_whole_server else _alone(exercise, rules)
        possible = _possible(exercise, component)
        steps = _steps(exercise, component, Outcome.FAILED, problem)
        return Part(Outcome.FAILED, 0, possible, 0.0, steps, problem, problem + "\n"), ""
    # Python must not write `.pyc` files into what was handed in.
    target = replace(target, passed=rules.passed, env={"PYTHONDONTWRITEBYTECODE": "1"})
    contract = await called_alone(exercise, target)
    runs: list[Run] = []
    try:
        for number in range(rules.runs):
            seed = str(rules.seed + number)
            hurried = is_hurried and not target.uses
            job = Job(exercise, target, seed, skip_slow=False, contract=contract, is_hurried=hurried)
            async with asyncio.timeout(rules.deadline):
                runs.append(await run_in_process(job))
    except TimeoutError:
        why = texts.say("grade.deadline", seconds=f"{rules.deadline:g}")
        return _open(exercise, target.component, why), ""
    defect = next((run.defect for run in runs if run.defect), "")
    if defect:
        return _failed(exercise, target.component, defect, texts), ""
    summary = Summary(rules.seed, "live", target.label, sum(run.seconds for run in runs), [[r] for r in runs])
    unknown = _unknown_program(runs)
    if unknown is not None:
        return _open(exercise, target.component, texts.say("grade.not_here", program=unknown)), ""
    part = _part(summary, texts)
    if not target.uses:
        names = ", ".join(names_passed(rules.passed))
        part.log += "\n" + texts.say("grade.environment", names=names) + "\n"
    if summary.outcome in (Outcome.PASSED, Outcome.SKIPPED):
        return part, ""
    try:
        return part, page([summary], texts, _command(folder, exercise, rules, texts.language))
    except Exception:  # the verdict does not need it
        part.kit_failed = True
        part.log += "\n" + told(traceback.format_exc(), texts) + "\n"
        return part, ""


def _unknown_program(runs: list[Run]) -> str | None:
    """A program that this machine lacks, and the author's perhaps has: so that is no zero."""
    for anomaly in (anomaly for run in runs for step in run.steps for anomaly in step.anomalies):
        if anomaly.name == "no_start" and anomaly.params.get("problem") == "program.unknown":
            return str(anomaly.params["program"])
    return None


def _command(folder: Path, exercise: int, rules: Rules, language: str) -> str:
    """The command that plays the same again, to be run in the submission's parent folder."""
    command = f"chatlab check {exercise} --submission {shlex.quote(os.fsdecode(folder.name))}"
    command += " --together" if rules.together else ""
    command += f" --runs {rules.runs}" if rules.runs > 1 else ""
    command += f" --lang {language}" if language != LANGUAGES[0] else ""
    return f"{command} --seed {rules.seed}"


def _part(summary: Summary, texts: Texts) -> Part:
    text = StringIO()
    terminal = Terminal(texts, out=text)
    alike = Alike()
    for (run,) in summary.runs:
        if alike.is_new(run):
            terminal.run(run)
    for sentence in (*alike.folded(texts), *frequency(summary, texts)):
        terminal.block(sentence, 0)
    said = report(summary, texts)
    points, of = summary.points
    steps = [_mark(step) for step in said["steps"]]
    is_open = any(mark.verdict is Outcome.INCONCLUSIVE for mark in steps)
    verdict = Outcome.PASSED if summary.outcome is Outcome.SKIPPED else summary.outcome
    return Part(
        # An open step leaves the verdict open, even if another step failed.
        Outcome.INCONCLUSIVE if is_open else verdict,
        points,
        of,
        0.0,
        steps,
        next((f"{mark.step}: {mark.said[0]}" for mark in steps if mark.anomalies), ""),
        text.getvalue(),
        said,
    )


def _mark(step: dict[str, Any]) -> Mark:
    """The mark for a step of a report."""
    found = step["anomalies"]
    said = [anomaly["title"] for anomaly in found]
    if not found and step["verdict"] == Outcome.INCONCLUSIVE:
        said = [step["receipt"]]
    names = [anomaly["name"] for anomaly in found]
    verdict = Outcome(step["verdict"])
    return Mark(step["step"], verdict, step["points"], step["of"], step["title"], said, names)


def _steps(exercise: int, component: str | None, verdict: Outcome, why: str) -> list[Mark]:
    """The marks of an exercise that was not played."""
    return [Mark(step, verdict, 0, points_for(step, component), "", [why]) for step in steps_of(exercise)]


def _open(exercise: int, component: str | None, problem: str) -> Part:
    """A part without a verdict on any step of its exercise."""
    steps = _steps(exercise, component, Outcome.INCONCLUSIVE, problem)
    possible = _possible(exercise, component)
    return Part(Outcome.INCONCLUSIVE, 0, possible, 0.0, steps, problem, problem + "\n")


def _failed(exercise: int, component: str | None, details: str, texts: Texts) -> Part:
    """A part without a verdict, because the kit itself failed."""
    part = _open(exercise, component, texts.say("grade.crashed", why=told(details, texts)))
    part.kit_failed = True
    return part


def _alone(exercise: int, rules: Rules) -> str | None:
    """The component that is judged, if it is judged alone."""
    return None if rules.together else COMPONENTS[exercise]


def _possible(exercise: int, component: str | None) -> int:
    return sum(points_for(step, component) for step in steps_of(exercise))


async def grade(
    folder: Path,
    name: str,
    exercises: list[int],
    rules: Rules,
    texts: Texts,
    known: Grade | None,
    progress: Callable[[int], None],
    keep_page: Callable[[int, str], None],
) -> Grade:
    """The grade of the submission in `folder`; exercises that `known` has a verdict on are not played again.

    `progress` is called with each exercise as it begins, and `keep_page` with its page, which is empty if
    there is nothing to show.
    """
    kept = known.parts if known else {}
    mark = Grade(name, parts={n: part for n, part in kept.items() if part.verdict in HAS_VERDICT})
    for exercise in exercises:
        if exercise not in mark.parts:
            progress(exercise)
            hurried = any(map(_was_stopped, mark.parts.values()))
            mark.parts[exercise], shown = await judge(folder, exercise, rules, texts, is_hurried=hurried)
            mark.parts[exercise].fingerprint = fingerprint(folder, rules)
            keep_page(exercise, shown)
    mark.sum_up()
    return mark


def _was_stopped(part: Part) -> bool:
    """Whether a play had to be stopped, or could not begin, and no step of it passed but its start.

    Only then is less waited for in the next one: a server that can do something is not to get fewer points
    for that because of what it did in another exercise.
    """
    steps = part.report.get("steps", [])
    if any(step["verdict"] == Outcome.PASSED and step["step"] != _START for step in steps):
        return False
    found = {anomaly["name"] for step in steps for anomaly in step["anomalies"]}
    return not found.isdisjoint({"not_reached", *lifecycle.ENDINGS.values()})


_START = "1.1"
"""The step that asks for no more than a start."""
# --- when a grade is still valid --------------------------------------------------------------------


def fingerprint(folder: Path, rules: Rules) -> str:
    """A hash that changes with the files of a submission, with the rules, and with the kit.

    Of large files only the size counts, and of links where they lead; what tools have installed does not.
    """
    how = f"{rules.seed} {rules.runs} {rules.together} {sorted(rules.passed)}"
    digest = hashlib.sha256(f"{_kit()} {how}".encode())
    left = _READ
    for path in _files(folder):
        with suppress(OSError):  # a file that we cannot read, the server cannot read either
            name = os.fsencode(path.relative_to(folder))
            if path.is_symlink():
                digest.update(name + b" -> " + os.fsencode(os.readlink(path)))
            elif path.is_file():
                size = path.stat().st_size
                is_read = size <= min(_LARGE, left)
                left -= size if is_read else 0
                digest.update(name + f" {size} ".encode() + (path.read_bytes() if is_read else b""))
    return digest.hexdigest()[:16]


def _files(folder: Path) -> Iterator[Path]:
    """All files and links below a folder."""
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(set(folders) - INSTALLED)
        links = [name for name in folders if os.path.islink(os.path.join(place, name))]
        yield from (Path(place, name) for name in sorted([*files, *links]))


@cache
def _kit() -> str:
    """A hash of the kit's code: in a clone, it changes without the version."""
    digest = hashlib.sha256()
    for package in ("lab", "harness"):
        for path in sorted((ROOT / package).rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()
