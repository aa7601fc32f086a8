"""Tests of the instructor's own, with the kit's fixtures: each file is one more thing that has points."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import signal
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from functools import partial
from pathlib import Path

from harness.grading.result import Mark
from harness.grading.rubric import Check
from harness.judged.problems import BadTarget, Unclear
from harness.posix import before_start, stay_on
from harness.running.worker import end
from harness.submissions.paths import without_paths
from harness.submissions.submission import Submission
from harness.texts import Texts
from harness.verdict.outcome import Outcome
from harness.verdict.steps import EXERCISES
from lab.legible import text_of

_FAILED_AT_START = 'failed on setup with "Failed: '
_OF_PYTEST = re.compile(r"[^\s'\"]*chat-lab-submission-[^/]*/job/")
_SAID = 300
"""Characters of what a failed test says."""


def hash_of(checks: tuple[Check, ...], place: Path) -> str:
    """What the results of checks rest on, beside the submission; their files are below `place`."""
    files = [(place / check.file).read_bytes() for check in checks]
    return hashlib.sha256(b"\0".join([repr(checks).encode(), *files])).hexdigest()[:16]


async def judge_by(check: Check, place: Path, given: Submission, said: Texts) -> Mark:
    """The result of the tests in a file: passed if all of them pass."""
    name = check.name or Path(check.file).stem
    mark = Mark(name, Outcome.INCONCLUSIVE, 0, check.points, is_hidden=check.hidden, kit_of=check.points)
    problems = [each for n in EXERCISES if isinstance(each := given.target(n), BadTarget)]
    if len(problems) == len(EXERCISES):
        unclear = next((each for each in problems if isinstance(each, Unclear)), None)
        mark.verdict = Outcome.INCONCLUSIVE if unclear else Outcome.FAILED
        mark.said = [_plain((unclear or problems[0]).said_in(said), given)]
        return mark
    with tempfile.TemporaryDirectory(dir=given.staged.folder.parent) as folder:
        report = Path(folder) / "report.xml"
        try:
            async with asyncio.timeout(given.rules.deadline):
                output = await _run(check, place, given, report)
        except TimeoutError:
            mark.said = [said.say("grade.deadline", seconds=f"{given.rules.deadline:g}")]
            return mark
        try:
            cases = list(ElementTree.parse(report).iter("testcase"))
        except (OSError, ElementTree.ParseError):
            mark.said = [said.say("grade.crashed", why=_last(output))]
            return mark
    errors = [each for each in cases if each.find("error") is not None]
    # A server that does not start fails while a test is set up, which pytest takes for an error.
    at_start = [each for each in errors if _FAILED_AT_START in _told(each)]
    broken = [each for each in errors if each not in at_start]
    failed = [*at_start, *(each for each in cases if each.find("failure") is not None)]
    if not cases or broken:
        why = _told(broken[0]) if broken else _last(output)
        mark.said = [said.say("grade.crashed", why=_plain(why, given))]
        return mark
    mark.verdict = Outcome.FAILED if failed else Outcome.PASSED
    mark.points = 0 if failed else check.points
    said_of = {each.get("name", ""): _plain(_told(each), given) for each in failed}
    mark.said = [f"{name}: {text.replace(_FAILED_AT_START, '')}" for name, text in said_of.items()]
    return mark


async def _run(check: Check, place: Path, given: Submission, report: Path) -> str:
    """Run pytest on the file; its output."""
    words = [sys.executable, "-P", "-m", "pytest", str((place / check.file).absolute())]
    words += [f"--lab-submission={given.staged.folder}", f"--lab-isolation={_wish(given)}"]
    words += [f"--junitxml={report}", "-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:locust", "-q"]
    process = await asyncio.create_subprocess_exec(
        *words,
        cwd=report.parent,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        **before_start(partial(stay_on, given.cores)),
    )
    try:
        output, _ = await process.communicate()
    except asyncio.CancelledError:
        await end(process, signal.SIGINT)
        raise
    return text_of(output)


def _wish(given: Submission) -> str:
    return {"bubblewrap": "required", "user": "auto", "none": "none"}[given.rules.isolation]


def _plain(text: str, given: Submission) -> str:
    """A text without folders of this machine: of the copy, and of the one that pytest has made of it."""
    return _OF_PYTEST.sub("", without_paths(text, given.staged, given.place))


def _told(case: ElementTree.Element) -> str:
    found = next((child for child in case if child.tag in ("failure", "error")), None)
    text = (found.get("message") or found.text or "") if found is not None else ""
    return " ".join(text.split())[:_SAID]


def _last(output: str) -> str:
    lines = output.strip().splitlines()
    return lines[-1][:_SAID] if lines else "pytest"
