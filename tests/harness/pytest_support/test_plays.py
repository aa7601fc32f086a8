"""The plays of a session are shared by its processes: each exercise is played once."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from threading import Event

import pytest

from harness.pytest_support.plays import NotKept, Plays
from harness.running.run import Run
from harness.verdict.outcome import Outcome, StepResult


def a_run(seed: str) -> Run:
    """A run of exercise 1 with this seed."""
    step = StepResult("1.1", Outcome.PASSED, 1, 1, None, [], [])
    return Run(1, seed, "live", "reference", 0.1, [step], [], [], 0.0, [])


def never() -> list[Run]:
    """Fail: there is a play already."""
    raise AssertionError("it is played a second time")


def play_in(folder: Path) -> None:
    """Play exercise 1."""
    Plays(folder).of(1, lambda: [a_run("7")])


def die_in(folder: Path) -> None:
    """End in the middle of a play."""
    Plays(folder).of(1, lambda: os._exit(3))


def in_another_process(what: Callable[[Path], None], folder: Path) -> int | None:
    """Call a function in a process of its own, and return the exit code of that."""
    process = get_context("spawn").Process(target=what, args=(folder,))
    process.start()
    process.join(60)
    return process.exitcode


def test_whoever_asks_first_plays(tmp_path: Path) -> None:
    """The others read what came of it, one play for each exercise."""
    assert Plays(tmp_path).of(1, lambda: [a_run("7")]) == [a_run("7")]
    assert Plays(tmp_path).of(1, never) == [a_run("7")]
    assert Plays(tmp_path).of(2, lambda: [a_run("8"), a_run("9")]) == [a_run("8"), a_run("9")]


def test_who_asks_meanwhile_waits(tmp_path: Path) -> None:
    """For the end of a play that is under way, and plays nothing."""
    begun, go_on = Event(), Event()

    def slow() -> list[Run]:
        begun.set()
        assert go_on.wait(20)
        return [a_run("7")]

    with ThreadPoolExecutor() as pool:
        first = pool.submit(Plays(tmp_path).of, 1, slow)
        assert begun.wait(20)
        second = pool.submit(Plays(tmp_path).of, 1, never)
        assert not first.done()
        assert not second.done()
        go_on.set()
        assert first.result(20) == second.result(20) == [a_run("7")]


def test_a_process_of_its_own_shares_its_play(tmp_path: Path) -> None:
    """As plugins have one for each test."""
    assert in_another_process(play_in, tmp_path) == 0
    assert Plays(tmp_path).of(1, never) == [a_run("7")]


def test_a_process_that_dies_holds_nobody_up(tmp_path: Path) -> None:
    """A worker that ends in the middle of a play leaves it to the next."""
    assert in_another_process(die_in, tmp_path) == 3
    assert Plays(tmp_path).of(1, lambda: [a_run("8")]) == [a_run("8")]


def test_no_room_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that is gone, or a disk that is full, is said, with the reason; nothing half is read."""
    with pytest.raises(NotKept, match="No such file or directory"):
        Plays(tmp_path / "gone").of(1, never)

    def full(run: object) -> bytes:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("msgspec.json.encode", full)
    with pytest.raises(NotKept, match="No space left on device"):
        Plays(tmp_path).of(1, lambda: [a_run("7")])
    monkeypatch.undo()
    assert Plays(tmp_path).of(1, lambda: [a_run("8")]) == [a_run("8")]
