"""Plays in a process of their own."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from harness.judged import targets
from harness.running.worker import Job, WorkerKilled, run_in_process


@pytest.mark.parametrize(
    ("script", "error", "words"),
    [
        ("kill -KILL $$", WorkerKilled, "was ended by SIGKILL"),
        ("echo oops >&2; exit 1", RuntimeError, "oops"),
        ("exit 0", RuntimeError, "the worker returned nothing"),
    ],
)
async def test_a_worker_that_returns_nothing(
    monkeypatch: pytest.MonkeyPatch, script: str, error: type[Exception], words: str
) -> None:
    """It was killed, which is the machine's, or it failed, which is a defect of the kit."""
    start = asyncio.create_subprocess_exec

    async def instead(*_: str, **pipes: Any) -> asyncio.subprocess.Process:
        return await start("sh", "-c", f"cat >/dev/null; {script}", **pipes)

    monkeypatch.setattr(asyncio, "create_subprocess_exec", instead)
    with pytest.raises(error, match=words) as raised:
        await run_in_process(Job(1, targets.reference(), "1", skip_slow=False))
    assert raised.type is error
