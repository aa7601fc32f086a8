"""The TypeScript track on real servers: model answers pass, and stubs fail for the right reason."""

from __future__ import annotations

import pytest

from harness.judged import typescript
from harness.judged.target import Target
from harness.typescript.build import SOLUTIONS
from harness.typescript.tools import PROJECT, Tools
from harness.verdict.outcome import Outcome
from harness.verdict.steps import COMPONENTS, EXERCISES
from tests.kit.conftest import Judge, assert_right, describe
from tests.kit.test_verdicts import BY_EXERCISE, STUB_FAILS_BY

pytestmark = pytest.mark.live


def target(exercise: int, folder: str, tools: Tools) -> Target:
    """The server with one component from a folder; `tools` have been found."""
    path = {"stubs": tools.project / "src", "answers": SOLUTIONS}[folder]
    return typescript.target(typescript.files_in(path, exercise, False), exercise, False, "")


_AT_ONCE = (2, 4)
"""Exercises whose stubs fail in a short time; the others wait for what never comes, in -m thorough."""
IN_TURN = [
    each if each.values[0] in _AT_ONCE else pytest.param(*each.values, id=each.id, marks=pytest.mark.thorough)
    for each in BY_EXERCISE
]


@pytest.mark.parametrize("exercise", BY_EXERCISE)
async def test_model_answer_passes(exercise: int, judge: Judge, tools: Tools) -> None:
    """Each passes its exercise, with all the points that its component can earn."""
    chosen = target(exercise, "answers", tools)
    assert_right(await judge(exercise, chosen))
    assert chosen.component == COMPONENTS[exercise]


@pytest.mark.parametrize("exercise", IN_TURN)
async def test_stub_fails_as_its_exercise_says(exercise: int, judge: Judge, tools: Tools) -> None:
    """As handed out, each stub starts, and fails by the same anomaly as the one in Python."""
    run = await judge(exercise, target(exercise, "stubs", tools))
    step, names = STUB_FAILS_BY[exercise]
    result = next(each for each in run.steps if each.step == step)
    assert result.outcome is Outcome.FAILED, describe(run)
    assert names & {anomaly.name for anomaly in result.anomalies}, describe(run)


def test_each_exercise_has_its_files() -> None:
    """A stub and a model answer."""
    for exercise in EXERCISES:
        for folder in (PROJECT / "src", SOLUTIONS):
            assert (folder / typescript.file_of(exercise)).is_file()
