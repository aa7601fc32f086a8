"""Fixtures for tests that judge real servers."""

from __future__ import annotations

import fcntl
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from harness.judged.targets import Target
from harness.running.play import play
from harness.running.run import Run
from harness.verdict.outcome import Outcome
from tests.extras import needs_program

ROOT = Path(__file__).parent.parent.parent
SERVERS = ROOT / "tests" / "servers"

Judge = Callable[[int, Target], Awaitable[Run]]


@pytest.fixture
def judge() -> Judge:
    """Play one exercise against a target, with the same plan each time."""

    async def play_once(exercise: int, target: Target) -> Run:
        run = await play(exercise, target, "7")
        assert not run.defect, run.defect
        return run

    return play_once


@pytest.fixture(scope="session")
def javascript_server() -> str:
    """The command of the JavaScript server, with its one dependency installed."""
    node = needs_program("node", hint="install Node.js")
    needs_program("npm", hint="it comes with Node.js")
    make = needs_program("make", hint="install it")
    folder = SERVERS / "javascript"
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two workers must not install at the same time
        installed = (folder / "node_modules/.package-lock.json").relative_to(ROOT)
        subprocess.run([make, "--silent", str(installed)], cwd=ROOT, check=True, timeout=120)
    return f"{node} {folder / 'server.mjs'}"


def describe(run: Run) -> str:
    """The message of a failing test: each step with its outcome and findings."""
    return "; ".join(
        f"{step.step} {step.outcome} {[a.name for a in step.anomalies]} {step.receipt}" for step in run.steps
    )


def assert_right(run: Run) -> None:
    """All steps passed; where time is judged, a machine that was too slow may leave a step open."""
    for step in run.steps:
        slow = step.receipt is not None and step.receipt.key in ("slow_machine", "stalled")
        assert step.outcome is Outcome.PASSED or (step.outcome is Outcome.INCONCLUSIVE and slow), describe(
            run
        )
