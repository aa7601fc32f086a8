"""What Locust counts as failures, so that its page, its tables and its files say what our report says."""

from __future__ import annotations

from typing import Any

from harness.load import sentences
from harness.load.judging import Result
from harness.reports.words import Words
from harness.verdict.outcome import Outcome

KIND = "LAB"
"""The type of request under which Locust lists what is no request: findings, and missed objectives."""


class WrongAnswer(Exception):  # noqa: N818 - what Locust shows as a failure's text
    """What the server did wrong, for Locust's table of failures."""


def tell_locust(environment: Any, result: Result, words: Words) -> bool:
    """Have Locust count each finding, and each objective that is not kept; returns whether there are any."""
    found = [("finding", words.title(anomaly)) for anomaly in result.findings.anomalies]
    found += [
        ("objective", sentences.objective(each, words))
        for each in result.objectives
        if each.outcome is Outcome.FAILED
    ]
    for name, text in found:
        environment.events.request.fire(
            request_type=KIND,
            name=name,
            response_time=0,
            response_length=0,
            exception=WrongAnswer(text),
            context={},
        )
    return bool(found)
