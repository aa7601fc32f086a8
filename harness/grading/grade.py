"""Judges one submission: each exercise in a process of its own, isolated, and within a deadline.

So a submission can harm only that process and the servers that it starts, and the other submissions are
judged nevertheless.
"""

from __future__ import annotations

import asyncio
import shlex
import time
import traceback
from collections.abc import Callable, Sequence
from io import StringIO
from typing import Any

from msgspec import structs

from harness.checkers import lifecycle
from harness.grading.result import Grade, Mark, Part
from harness.judged.environment import names_passed
from harness.judged.problems import BadTarget, Unclear
from harness.judged.submission_toml import NAME
from harness.judged.submission_toml import read as read_toml
from harness.reports.alike import Alike
from harness.reports.counts import frequency
from harness.reports.jsonreport import report
from harness.reports.page import page
from harness.reports.summary import Summary
from harness.reports.terminal import Terminal
from harness.running.run import Run
from harness.running.worker import Job, WorkerKilled, run_in_process
from harness.submissions.fingerprints import Rules
from harness.submissions.paths import run_without_paths, without_paths
from harness.submissions.submission import Submission
from harness.texts import LANGUAGES, Texts
from harness.texts.defect import told
from harness.verdict.outcome import Outcome
from harness.verdict.steps import COMPONENTS, points_for, steps_of


async def judge(
    given: Submission, exercise: int, texts: Texts, *, is_hurried: bool = False
) -> tuple[Part, str]:
    """Judge one exercise of a submission, whatever state it is in.

    Returns the result and, if not all steps passed, an HTML page that shows what happened.
    """
    began, rests_on = time.monotonic(), given.fingerprint(exercise)  # before the code can change its files
    shown = ""
    try:
        part, shown = await _judge(given, exercise, texts, is_hurried)
    except (OSError, WorkerKilled) as error:  # by this machine
        part = _open(exercise, _alone(exercise, given.rules), texts.say("grade.crashed", why=str(error)))
    except Exception:
        part = _failed(exercise, _alone(exercise, given.rules), traceback.format_exc(), texts)
    part.seconds, part.fingerprint = round(time.monotonic() - began, 1), rests_on
    return part, shown


async def _judge(given: Submission, exercise: int, texts: Texts, is_hurried: bool) -> tuple[Part, str]:
    rules, target = given.rules, given.target(exercise)
    if isinstance(target, BadTarget):
        return _nothing(given, exercise, target, texts), ""
    runs: list[Run] = []
    try:
        async with asyncio.timeout(rules.deadline):
            contract = await given.contract(exercise)
        for number in range(rules.runs):
            seed = str(rules.seed + number)
            hurried = is_hurried and not target.uses
            job = Job(exercise, target, seed, False, contract, is_hurried=hurried, cores=given.cores)
            async with asyncio.timeout(rules.deadline):
                run = await run_in_process(job)
            runs.append(run_without_paths(run, given.staged, given.place))
    except TimeoutError:
        why = texts.say("grade.deadline", seconds=f"{rules.deadline:g}")
        return _open(exercise, target.component, why), ""
    defect = next((run.defect for run in runs if run.defect), "")
    if defect:
        return _failed(exercise, target.component, defect, texts), ""
    label = runs[0].target
    summary = Summary(rules.seed, "live", label, sum(run.seconds for run in runs), [[r] for r in runs])
    unknown = _unknown_program(runs)
    if unknown is not None:
        return _open(exercise, target.component, texts.say("grade.not_here", program=unknown)), ""
    part = _part(summary, texts, rules.hidden)
    if not target.uses:
        names = ", ".join(names_passed(rules.passed))
        part.log += "\n" + texts.say("grade.environment", names=names) + "\n"
    shown = _without(summary, rules.hidden)
    if shown.outcome in (Outcome.PASSED, Outcome.SKIPPED):
        return part, ""
    try:
        return part, page([shown], texts, _command(given.staged.name, exercise, rules, texts.language))
    except Exception:  # the verdict does not need it
        part.kit_failed = True
        part.log += "\n" + told(traceback.format_exc(), texts) + "\n"
        return part, ""


def _nothing(given: Submission, exercise: int, problem: BadTarget, texts: Texts) -> Part:
    """The result where nothing can be judged: open if a person has to look, else no points."""
    said = without_paths(problem.said_in(texts), given.staged, given.place)
    component = None if _is_whole_server(given) else _alone(exercise, given.rules)
    if isinstance(problem, Unclear):
        return _open(exercise, component, texts.say("grade.unclear", why=said))
    return _unplayed(exercise, component, Outcome.FAILED, texts.say("grade.nothing", why=said))


def _is_whole_server(given: Submission) -> bool:
    """Whether a whole server was meant: a `submission.toml` says so, unless it only names the track."""
    for path in given.staged.folder.rglob(NAME):
        try:
            return not (settings := read_toml(path, NAME)).track or bool(settings.words)
        except BadTarget as error:
            return error.key not in ("target.no_track", "target.track_near")
    return False


def _unknown_program(runs: list[Run]) -> str | None:
    """A program that this machine lacks, and the author's perhaps has: so that is no zero."""
    for anomaly in (anomaly for run in runs for step in run.steps for anomaly in step.anomalies):
        if anomaly.name == "no_start" and anomaly.params.get("problem") in _NOT_HERE:
            return str(anomaly.params["program"])
    return None


_NOT_HERE = ("program.unknown", "program.not_shown")


def _command(name: str, exercise: int, rules: Rules, language: str) -> str:
    """The command that plays the same again, to be run in the submission's parent folder."""
    command = f"chatlab check {exercise} --submission {shlex.quote(name)}"
    command += " --together" if rules.together else ""
    command += f" --runs {rules.runs}" if rules.runs > 1 else ""
    command += f" --lang {language}" if language != LANGUAGES[0] else ""
    return f"{command} --seed {rules.seed}"


def _without(summary: Summary, hidden: Sequence[str]) -> Summary:
    """A summary without the steps that are hidden from the author."""
    if not hidden:
        return summary
    runs = [
        [structs.replace(run, steps=[step for step in run.steps if step.step not in hidden]) for run in some]
        for some in summary.runs
    ]
    return Summary(summary.seed, summary.world, summary.target, summary.seconds, runs)


def _part(summary: Summary, texts: Texts, hidden: Sequence[str] = ()) -> Part:
    text = StringIO()
    terminal = Terminal(texts, out=text)
    alike, shown = Alike(), _without(summary, hidden)
    for (run,) in shown.runs:
        if alike.is_new(run):
            terminal.run(run)
    for sentence in (*alike.folded(texts), *frequency(shown, texts)):
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
    of = step["of"]
    return Mark(step["step"], verdict, step["points"], of, step["title"], said, names, kit_of=of)


def _open(exercise: int, component: str | None, problem: str) -> Part:
    """A part without a verdict on any step of its exercise."""
    return _unplayed(exercise, component, Outcome.INCONCLUSIVE, problem)


def _unplayed(exercise: int, component: str | None, verdict: Outcome, problem: str) -> Part:
    """The part of an exercise that was not played, with the same verdict on all of its steps."""
    worth = {step: points_for(step, component) for step in steps_of(exercise)}
    steps = [Mark(step, verdict, 0, of, "", [problem], kit_of=of) for step, of in worth.items()]
    return Part(verdict, 0, sum(worth.values()), 0.0, steps, problem, problem + "\n")


def _failed(exercise: int, component: str | None, details: str, texts: Texts) -> Part:
    """A part without a verdict, because the kit itself failed."""
    part = _open(exercise, component, texts.say("grade.crashed", why=told(details, texts)))
    part.kit_failed = True
    return part


def _alone(exercise: int, rules: Rules) -> str | None:
    """The component that is judged, if it is judged alone."""
    return None if rules.together else COMPONENTS[exercise]


async def grade(
    given: Submission,
    exercises: list[int],
    mark: Grade,
    texts: Texts,
    progress: Callable[[int], None],
    keep: Callable[[int, str], None],
) -> None:
    """Judge exercises of a submission, and put what comes of it into its grade.

    `progress` is called with each exercise as it begins, and `keep` with it and its page, which is empty if
    there is nothing to show, as soon as there is a verdict.
    """
    await given.build(exercises)
    given.call_directly(exercises)
    try:
        for exercise in exercises:
            progress(exercise)
            hurried = any(map(_was_stopped, mark.parts.values()))
            mark.parts[exercise], shown = await judge(given, exercise, texts, is_hurried=hurried)
            mark.sum_up()
            keep(exercise, shown)
    finally:
        await given.close()


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
