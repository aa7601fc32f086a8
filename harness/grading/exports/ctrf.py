"""The marks of a class in the Common Test Report Format (https://ctrf.io): a test for each step of each
submission, whose suite is the submission and the exercise.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

from harness import version
from harness.grading.exports.dated import Dated
from harness.grading.exports.marks import Entry, entries, reasons, title_of
from harness.grading.result import Grade, number
from harness.texts import Texts
from harness.verdict.outcome import Outcome
from lab.legible import one_line

_SPECIFICATION = "0.0.0"
_STATUS = {
    Outcome.PASSED: "passed",
    Outcome.FAILED: "failed",
    Outcome.SKIPPED: "skipped",
    Outcome.INCONCLUSIVE: "other",  # it is neither a pass nor a failure, nor was it left out
}


def report(grades: Sequence[Dated], said: Texts) -> bytes:
    """The JSON of a class."""
    tests = [_test(each.grade, entry, said) for each in grades for entry in entries(each.grade)]
    counts = Counter(test["status"] for test in tests)
    summary = {
        "tests": len(tests),
        **{status: counts[status] for status in ("passed", "failed", "skipped", "pending", "other")},
        "suites": len(grades),
        "start": _milliseconds(min((each.began for each in grades), default=0)),
        "stop": _milliseconds(max((each.written for each in grades), default=0)),
        "extra": {"submissions": [_submission(each.grade) for each in grades]},
    }
    tool = {"name": "chat-lab", "version": version()}
    whole = {
        "reportFormat": "CTRF",
        "specVersion": _SPECIFICATION,
        "generatedBy": "chat-lab",
        "results": {"tool": tool, "summary": summary, "tests": tests},
    }
    return (json.dumps(whole, indent=2, ensure_ascii=False) + "\n").encode()


def _submission(grade: Grade) -> dict[str, Any]:
    """The sum of a submission, which the marks alone do not tell where something was taken off."""
    return {
        "name": one_line(grade.name),
        "verdict": str(grade.verdict),
        "points": number(grade.points),
        "of": number(grade.of),
        "penalty": number(grade.penalty),
        "lateDays": grade.late_days,
    }


def _test(grade: Grade, entry: Entry, said: Texts) -> dict[str, Any]:
    mark = entry.mark
    group = said.say(f"exercise.{entry.exercise}") if entry.exercise else said.say("export.own_tests")
    test = {
        "name": one_line(f"{mark.step} {title_of(mark, said)}".strip()),
        "status": _STATUS[mark.verdict],
        "rawStatus": str(mark.verdict),
        "duration": _milliseconds(entry.seconds),
        "suite": [one_line(grade.name), group],
        "extra": {
            "step": one_line(mark.step),
            "points": number(mark.points),
            "of": number(mark.of),
            "anomalies": [one_line(name) for name in mark.anomalies],
            "hidden": mark.is_hidden,
        },
    }
    why = [one_line(each) for each in reasons(grade, entry, said)]
    if why:
        test |= {"message": why[0], "trace": "\n".join(why)}
    return test


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)
