"""What is certain in the middle of a play."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

from harness.checkers.catalogue import Anomaly
from harness.contracts.result import Breach, Played
from harness.history.events import Step
from harness.running.play import PreparedRun, _so_far
from harness.running.run import Run
from harness.verdict.outcome import Outcome, StepResult, Text
from tests.harness.stories import Story

TIMED = Anomaly("lost", {})
CERTAIN = Anomaly("reorder", {})


def certain(found: dict[str, StepResult], contract: Played | None = None) -> Run:
    """What is certain once steps 1.1 to 1.3 are over and 1.4 is being played, if this is the verdict."""
    story = Story()
    for step in ("1.1", "1.2", "1.3"):
        with story.step(step):
            story.passes(1)
    story.add(Step(story.at, "1.4", False))
    steps = [found.get(step, StepResult(step, Outcome.PASSED, 2, 2, None)) for step in ("1.1", "1.2", "1.3")]
    steps += [
        found.get("1.4", StepResult("1.4", Outcome.FAILED, 0, 2, None, [], [Anomaly("not_reached", {})]))
    ]
    world: Any = SimpleNamespace(
        history=story.events,
        timeline=SimpleNamespace(with_asides=lambda: story.events),
        causes=list,
        readings={},
        lags={},
        kind="live",
        nonce="",
        target=SimpleNamespace(label="x", component=None, track="python"),
        output=list,
        check_disk=Mock(),
        remarks=Mock(return_value=[]),
        now=lambda: 3.5,
    )
    return _so_far(world, PreparedRun(Mock(), lambda index: steps), contract)


def verdicts(run: Run) -> dict[str, list[str]]:
    """The findings in each step that has a verdict."""
    return {step.step: [each.name for each in step.anomalies] for step in run.steps}


def failed(step: str, *anomalies: Anomaly) -> StepResult:
    """A step that failed like this."""
    return StepResult(step, Outcome.FAILED, 0, 2, None, [], list(anomalies))


def test_steps_that_are_over_have_a_verdict() -> None:
    """The one that is being played has none, nor has what was not reached."""
    assert verdicts(certain({})) == {"1.1": [], "1.2": [], "1.3": []}


def test_what_may_still_come_is_not_missing_yet() -> None:
    """Only findings that nothing can change any more are told, and none of the step that is being played."""
    run = certain(
        {
            "1.2": failed("1.2", TIMED),
            "1.3": failed("1.3", TIMED, CERTAIN),
            "1.4": failed("1.4", CERTAIN),
        }
    )
    assert verdicts(run) == {"1.1": [], "1.3": ["reorder"]}


def test_inconclusive_is_no_verdict_yet() -> None:
    """What was not done may still be done."""
    doubt = StepResult("1.3", Outcome.INCONCLUSIVE, 0, 2, Text("nothing_done"))
    assert verdicts(certain({"1.3": doubt})) == {"1.1": [], "1.2": []}


def test_what_direct_calls_have_shown_is_certain() -> None:
    """In whatever step: they are over."""
    breach = Breach("1.4", "wrong_delivery", "", "publish", {}, [])
    run = certain({}, Played("pubsub", plays=1, calls=2, found=[breach]))
    assert verdicts(run)["1.4"] == ["wrong_delivery"]
