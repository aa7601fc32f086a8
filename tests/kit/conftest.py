"""Fixtures for tests that judge real servers."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from harness.judged.targets import Target
from harness.running.play import play
from harness.running.run import Run
from harness.verdict.outcome import Outcome

SERVERS = Path(__file__).parent.parent / "servers"

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
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("needs node and npm, which are not installed")
    folder = SERVERS / "javascript"
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two workers must not install at the same time
        if not (folder / "node_modules" / "ws").is_dir():
            subprocess.run(
                [npm, "ci", "--silent", "--no-audit", "--no-fund"], cwd=folder, check=True, timeout=120
            )
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
