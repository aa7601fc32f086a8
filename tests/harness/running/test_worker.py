"""Plays in a process of their own."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from harness.judged import targets
from harness.running.worker import Job, WorkerKilled, run_in_process
from harness.verdict.outcome import Outcome

JOB = Job(1, targets.reference(), "1", skip_slow=False)


@pytest.fixture
def instead(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A script of the shell that is run in place of the worker."""
    start, script = asyncio.create_subprocess_exec, [""]

    async def other(*_: str, **pipes: Any) -> asyncio.subprocess.Process:
        return await start("sh", "-c", f"cat >/dev/null; {script[0]}", **pipes)

    monkeypatch.setattr(asyncio, "create_subprocess_exec", other)
    return script


async def test_a_worker_that_was_killed(instead: list[str]) -> None:
    """That is the machine's, and no defect of the kit."""
    instead[0] = "kill -KILL $$"
    with pytest.raises(WorkerKilled, match="was ended by SIGKILL"):
        await run_in_process(JOB)


@pytest.mark.parametrize(
    ("script", "words"),
    [("echo oops >&2; exit 1", "oops"), ("exit 0", "the worker returned nothing"), ("echo {", "nothing")],
)
async def test_a_worker_that_returns_nothing(instead: list[str], script: str, words: str) -> None:
    """It failed, which is a defect of the kit: so says the run that comes of it, and the others go on."""
    instead[0] = script
    run = await run_in_process(JOB)
    assert words in run.defect
    assert {step.outcome for step in run.steps} == {Outcome.INCONCLUSIVE}
    assert len(run.steps) == 5
