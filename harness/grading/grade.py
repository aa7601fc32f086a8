"""Judges one submission: its four exercises, each played in a process of its own and within a deadline.

Whatever a submission does, it does to that process and to the servers which it starts: the class goes on.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable
from contextlib import suppress
from importlib.metadata import version
from io import StringIO
from pathlib import Path
from typing import Any

from msgspec import Struct

from harness.play import Run
from harness.reports.jsonreport import report
from harness.reports.summary import Summary
from harness.reports.terminal import Terminal
from harness.steps import COMPONENTS, points_for, steps_of
from harness.targets import BadTarget, Target, submission
from harness.texts import Texts
from harness.verdict import Outcome
from harness.worker import Job, run_in_process

_LARGE = 1024 * 1024
_NOT_THEIRS = {".git", "node_modules", "__pycache__", ".venv", "venv"}
_COUNTS = (Outcome.PASSED, Outcome.FAILED)


class Rules(Struct, frozen=True):
    """How a class is judged: alike for everybody."""

    exercises: list[int]
    seed: int
    runs: int
    together: bool
    deadline: float
    """Seconds for one exercise of one submission."""


class Grade(Struct):
    """The mark of one submission.

    `exercises` has the points and the possible points of each exercise that has a verdict. `missing` names
    those that were not handed in (no points), `open` those that have no verdict; `problems` says why.
    """

    name: str
    fingerprint: str
    seconds: float
    exercises: dict[int, tuple[int, int]]
    missing: list[int]
    open: list[int]
    failed_steps: list[str]
    open_steps: list[str]
    problems: list[str]
    report: dict[str, Any]

    @property
    def points(self) -> int:
        """Points reached."""
        return sum(points for points, _ in self.exercises.values())

    @property
    def of(self) -> int:
        """Points that could be reached where there is a verdict."""
        return sum(of for _, of in self.exercises.values())

    @property
    def verdict(self) -> Outcome:
        """Inconclusive as long as any step is: a mark is only given for what was seen."""
        if self.open or self.open_steps:
            return Outcome.INCONCLUSIVE
        return Outcome.PASSED if self.points == self.of else Outcome.FAILED


async def grade(
    folder: Path, rules: Rules, texts: Texts, progress: Callable[[int], None]
) -> tuple[Grade, str]:
    """Judge the submission in `folder`: its grade, and the report that its author would see.

    `progress` is told of each exercise as it begins.
    """
    began = time.monotonic()
    marks = Grade(folder.name, fingerprint(folder, rules), 0.0, {}, [], [], [], [], [], {})
    text = StringIO()
    terminal = Terminal(texts, out=text)
    played: list[list[Run]] = [[] for _ in range(rules.runs)]
    why_missing = ""
    for exercise in rules.exercises:
        progress(exercise)
        try:
            target = submission(folder, exercise, rules.together)
        except BadTarget as error:
            why_missing = why_missing or str(error)
            marks.missing.append(exercise)
            marks.exercises[exercise] = (0, _possible(exercise, rules))
            continue
        runs = await _play(target, exercise, rules, texts, marks)
        for number, run in enumerate(runs):
            played[number].append(run)
            terminal.run(run)
        _mark(marks, exercise, runs)
    if marks.missing:
        numbers = ", ".join(map(str, marks.missing))
        marks.problems.append(texts.say("grade.nothing", exercises=numbers, why=why_missing))
    for problem in marks.problems:
        terminal.block(problem, 0)
    marks.seconds = round(time.monotonic() - began, 1)
    summary = Summary(rules.seed, "live", folder.name, marks.seconds, played)
    if any(played):
        terminal.summary(summary, hints=False)
    marks.report = report(summary, texts)
    return marks, text.getvalue()


async def _play(target: Target, exercise: int, rules: Rules, texts: Texts, marks: Grade) -> list[Run]:
    """All runs of an exercise, or none if one of them has no end; what kept us from it is written down."""
    runs = []
    for number in range(rules.runs):
        job = Job(exercise, target, str(rules.seed + number), skip_slow=False)
        try:
            async with asyncio.timeout(rules.deadline):
                runs.append(await run_in_process(job))
        except TimeoutError:
            why = texts.say("grade.deadline", exercise=exercise, seconds=f"{rules.deadline:g}")
        except RuntimeError as error:
            why = texts.say("grade.crashed", exercise=exercise, why=str(error))
        else:
            continue
        marks.problems.append(why)
        marks.open.append(exercise)
        return []
    return runs


def _possible(exercise: int, rules: Rules) -> int:
    component = None if rules.together else COMPONENTS[exercise]
    return sum(points_for(step, component) for step in steps_of(exercise))


def _mark(marks: Grade, exercise: int, runs: list[Run]) -> None:
    """Write down the points of an exercise."""
    if not runs:
        return
    defect = next((run.defect for run in runs if run.defect), None)
    if defect:
        marks.problems.append(defect)
        marks.open.append(exercise)
        return
    steps = Summary(0, "", "", 0.0, [[run] for run in runs]).steps
    marks.exercises[exercise] = (sum(step.points for step in steps), sum(step.of for step in steps))
    marks.failed_steps += [step.step for step in steps if step.outcome is Outcome.FAILED]
    marks.open_steps += [step.step for step in steps if step.outcome is Outcome.INCONCLUSIVE]


def fingerprint(folder: Path, rules: Rules) -> str:
    """A text that changes with the files of a submission, with the rules, and with the kit.

    Large files count by their size, and what a package manager put there does not count.
    """
    digest = hashlib.sha256(f"{version('chat-lab')} {rules}".encode())
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        if _NOT_THEIRS.intersection(parts) or not path.is_file():
            continue
        size = path.stat().st_size
        digest.update(f"{parts} {size} ".encode(errors="surrogateescape"))
        with suppress(OSError):  # what we cannot read, its author's server cannot either
            digest.update(path.read_bytes() if size <= _LARGE else b"")
    return digest.hexdigest()[:16]
