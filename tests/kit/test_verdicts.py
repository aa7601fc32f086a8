"""The kit on real servers: right ones pass, stubs and broken ones fail for the right reason."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import pytest

from harness.judged import targets
from harness.verdict.outcome import Outcome
from harness.verdict.steps import COMPONENTS, EXERCISES
from tests.kit.conftest import Judge, assert_right, describe

pytestmark = pytest.mark.live

BY_EXERCISE = [
    pytest.param(number, id=slug, marks=pytest.mark.xdist_group(f"live{number % 2}"))
    for number, slug in EXERCISES.items()
]


@pytest.mark.parametrize("exercise", BY_EXERCISE)
async def test_reference_passes(exercise: int, judge: Judge) -> None:
    """The reference server passes every step, each with a receipt."""
    run = await judge(exercise, targets.reference())
    assert_right(run)
    assert all(step.receipt is not None for step in run.steps)


@pytest.mark.parametrize("exercise", BY_EXERCISE)
async def test_model_answer_passes(exercise: int, judge: Judge) -> None:
    """Each model answer passes its exercise, with all the points that its component can earn."""
    target = targets.submission(targets.find_folder("solutions"), exercise, together=False)
    run = await judge(exercise, target)
    assert_right(run)
    assert target.component == COMPONENTS[exercise]


ONCE = [
    each
    if each.values == (max(EXERCISES),)
    else pytest.param(*each.values, id=each.id, marks=[*each.marks, pytest.mark.thorough])
    for each in BY_EXERCISE
]
"""The last exercise, which restarts what all four have made; the others in -m thorough."""


@pytest.mark.parametrize("exercise", ONCE)
async def test_model_answers_pass_together(exercise: int, judge: Judge) -> None:
    """The four model answers make a right server together, too."""
    assert_right(await judge(exercise, targets.submission(targets.find_folder("solutions"), exercise, True)))


@pytest.mark.parametrize("exercise", BY_EXERCISE)
async def test_server_in_another_language_passes(exercise: int, judge: Judge, javascript_server: str) -> None:
    """A server that was written from PROTOCOL.md alone, in JavaScript, passes every step."""
    assert_right(await judge(exercise, targets.whole_server(javascript_server)))


@pytest.mark.xdist_group("live0")
async def test_server_runs_where_it_was_asked_for(judge: Judge, tmp_path: Path) -> None:
    """`--server` starts its command in the directory where the kit was called."""
    target = targets.whole_server(f"{shlex.quote(sys.executable)} -m lab", tmp_path)
    assert_right(await judge(4, target))
    assert list(tmp_path.iterdir()) == [], "it stores in DATA_DIR, and nowhere else"


STUB_FAILS_BY = {
    1: ("1.4", {"lost", "missing_notice"}),
    2: ("2.2", {"split_sequence"}),
    3: ("3.2", {"unannounced_presence", "presence_disagrees"}),
    4: ("4.4", {"lost_after_crash"}),
}
"""The step, and the anomalies, that each exercise's stub must fail by as it is shipped."""


@pytest.mark.parametrize("exercise", BY_EXERCISE)
async def test_stub_fails_as_its_exercise_says(exercise: int, judge: Judge) -> None:
    """As handed out, each stub starts, and fails by the anomaly of its exercise."""
    target = targets.submission(targets.find_folder("exercises"), exercise, together=False)
    run = await judge(exercise, target)
    step, names = STUB_FAILS_BY[exercise]
    result = next(each for each in run.steps if each.step == step)
    assert result.outcome is Outcome.FAILED, describe(run)
    assert names & {anomaly.name for anomaly in result.anomalies}, describe(run)
