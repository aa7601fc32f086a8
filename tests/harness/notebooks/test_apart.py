from __future__ import annotations

import asyncio
import os
import time

import psutil
import pytest

from harness.notebooks.apart import Failed, Late, Sentence, apart


async def test_result_and_output_come_back(capsys: pytest.CaptureFixture[str]) -> None:
    """Data is returned from another process; what the function prints is printed here."""

    def function() -> tuple[int, str]:
        print("said there")
        return os.getpid(), "x" * 300_000

    pid, text = await apart(function)
    assert pid != os.getpid()
    assert len(text) == 300_000
    assert capsys.readouterr().out == "said there\n"
    assert not psutil.pid_exists(pid)


async def test_exception_is_told_by_its_place_outside_of_the_kit() -> None:
    """It has the line that raised it, and none of ours; a notebook shows just that."""

    def function() -> None:
        raise ZeroDivisionError("by hand")

    with pytest.raises(Failed) as caught:
        await apart(function)
    told = caught.value._render_traceback_()
    assert told[-1] == "ZeroDivisionError: by hand"
    assert 'raise ZeroDivisionError("by hand")' in str(caught.value)
    assert "apart.py" not in "\n".join(told).replace("test_apart.py", "")


async def test_sentence_stays_one() -> None:
    """What is told to the reader is raised as it was."""

    def function() -> None:
        raise Sentence("Do this instead.")

    with pytest.raises(Sentence, match="Do this instead"):
        await apart(function)


async def test_what_never_returns_is_ended() -> None:
    """After some seconds; nothing is left of it."""

    def function() -> None:
        while True:
            time.sleep(1)

    before = psutil.Process().children()
    with pytest.raises(Late):
        await apart(function, 0.1)
    assert psutil.Process().children() == before


async def test_who_interrupts_it_ends_the_child() -> None:
    """A notebook cancels the cell; nothing is left, and nobody waits."""

    def function() -> None:
        while True:
            time.sleep(1)

    before = psutil.Process().children()
    task = asyncio.create_task(apart(function))
    while psutil.Process().children() == before:
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert psutil.Process().children() == before


async def test_a_process_that_dies_is_told() -> None:
    """It has no result, and that is no defect of the kit."""
    with pytest.raises(Failed, match="without a result"):
        await apart(lambda: os._exit(3))
