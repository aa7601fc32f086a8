from __future__ import annotations

import json
import os
from typing import Any
from xml.etree import ElementTree as Xml

import jsonschema  # type: ignore[import-untyped]  # it comes with check-jsonschema, without types
import pytest

from harness.grading.exports import ctrf, junit
from harness.grading.exports.dated import Dated
from harness.grading.result import Grade, Mark
from harness.texts import texts
from harness.verdict.outcome import Outcome
from tests.grading.exports.grades import PASSED, failed, grade_of, undecided
from tests.grading.exports.schemas import CTRF, check_junit

NAMES = ["=1+1", "a\nb", "1E5", "<a&b>", os.fsdecode(b"\xe9mile"), "\x1b[31m", "\ufffe", "]]>", "\ud800"]
WHEN = 1_790_000_000.0


def as_junit(*grades: Grade, lang: str = "en") -> Xml.Element:
    """The XML as a program reads it, found to be as the schema wants it."""
    root = Xml.fromstring(junit.report([Dated(grade, WHEN) for grade in grades], texts(lang)))
    check_junit(root)
    return root


def as_ctrf(*grades: Grade, lang: str = "en") -> dict[str, Any]:
    """The JSON as a program reads it, found to be as the schema wants it."""
    report: dict[str, Any] = json.loads(ctrf.report([Dated(grade, WHEN) for grade in grades], texts(lang)))
    jsonschema.validate(report, CTRF)
    results: dict[str, Any] = report["results"]
    return results


def every_kind() -> Grade:
    """A grade with a step of each verdict, late, with a test of the rubric's own."""
    skipped = Mark("1.5", Outcome.SKIPPED, 0, 2)
    grade = grade_of(
        "ada", Mark("1.1", PASSED, 1, 1), failed("1.3", "A", "B"), undecided("1.4", "why"), skipped
    )
    grade.checks = [Mark("load", PASSED, 2.5, 3, "Ours", is_hidden=True)]
    grade.penalty, grade.late_days, grade.remarks = 0.5, 1, ["Found in /tmp/x/ada/b.zip."]
    grade.sum_up()
    return grade


def test_junit_has_a_suite_for_each_submission_and_a_case_for_each_step() -> None:
    """Failed is a failure, inconclusive an error, and what was not asked for is skipped."""
    (suite,) = as_junit(every_kind())
    counts = [suite.get(key) for key in ("name", "tests", "failures", "errors", "skipped", "time")]
    assert counts == ["ada", "5", "1", "1", "1", "2.5"]
    assert suite.get("timestamp") == "2026-09-21T14:13:17"
    cases = list(suite.iter("testcase"))
    assert [[each.tag for each in case] for case in cases] == [[], ["failure"], ["error"], ["skipped"], []]
    failure = cases[1][0]
    assert (failure.get("message"), failure.get("type"), failure.text) == ("A", "lost", "A\nB")
    assert cases[0].get("name") == "1.1 The server starts"
    assert [case.get("time") for case in cases] == ["2.5", "0.0", "0.0", "0.0", "0.0"]


def test_junit_tells_the_points_and_the_penalty() -> None:
    """As properties of the suite, since those of a case are not in the schemas."""
    (suite,) = as_junit(every_kind())
    told = {each.get("name"): each.get("value") for each in suite[0]}
    assert told["chat-lab points"] == "3"
    assert told["chat-lab of"] == "14"
    assert told["chat-lab penalty"] == "0.5"
    assert told["chat-lab late days"] == "1"
    assert told["chat-lab points 1.3"] == "0 of 4"
    assert suite.findtext("system-out") == "Found in ada/b.zip."


def test_ctrf_has_a_test_for_each_step() -> None:
    """With its points, and the counts of each status; an inconclusive step is another one."""
    results = as_ctrf(every_kind())
    statuses = ["passed", "failed", "other", "skipped", "passed"]
    assert [test["status"] for test in results["tests"]] == statuses
    summary = results["summary"]
    assert {key: summary[key] for key in ("tests", "passed", "failed", "other", "skipped", "suites")} == {
        "tests": 5,
        "passed": 2,
        "failed": 1,
        "other": 1,
        "skipped": 1,
        "suites": 1,
    }
    assert (summary["start"], summary["stop"]) == (1_789_999_997_500, 1_790_000_000_000)
    (submission,) = summary["extra"]["submissions"]
    assert (submission["points"], submission["of"], submission["penalty"]) == (3, 14, 0.5)
    first, wrong, *_, own = results["tests"]
    assert (first["suite"], first["duration"]) == (["ada", "Basic chat"], 2500)
    assert (wrong["message"], wrong["trace"], wrong["extra"]["anomalies"]) == ("A", "A\nB", ["lost"])
    assert (own["extra"]["points"], own["extra"]["hidden"]) == (2.5, True)


def test_an_empty_class() -> None:
    """Both reports are valid, and have no test."""
    assert len(as_junit()) == 0
    assert as_ctrf()["summary"]["tests"] == 0


@pytest.mark.parametrize("name", NAMES)
def test_hostile_names_and_sentences(name: str) -> None:
    """What XML or UTF-8 cannot hold is an escape; nothing else comes into the report."""
    grade = grade_of(name, failed("1.4", name), Mark(name, PASSED, 1, 1, name))
    (suite,) = as_junit(grade)
    assert suite.get("name")
    assert as_ctrf(grade)["tests"][0]["suite"][0] == suite.get("name")


def test_both_languages() -> None:
    """What is ours is said in the language that was asked for."""
    grade = grade_of("ada", Mark("1.1", PASSED, 1, 1))
    english, french = (as_junit(grade, lang=lang)[0][1].get("name") for lang in ("en", "fr"))
    assert english != french
    assert as_ctrf(grade, lang="fr")["tests"][0]["name"] == french


def test_where_the_kit_failed_no_file_of_this_machine_is_named() -> None:
    """The sentence that names the file with the details stays in the log."""
    grade = grade_of("ada", undecided("1.4", "see /tmp/chatlab-failed-1.txt"))
    grade.parts[1].kit_failed = True
    assert "kit itself failed" in as_ctrf(grade)["tests"][0]["message"]
    assert b"/tmp" not in junit.report([Dated(grade, WHEN)], texts())
