"""The parent of the processes that play: what it makes of a child that has ended."""

from __future__ import annotations

import asyncio
import os
import selectors
import signal

import msgspec
import psutil
import pytest

from harness.judged import targets
from harness.running import forks
from harness.running.fork_pool import SimJob, packed
from harness.running.run import Case
from harness.worlds.sim import watchdog
from harness.worlds.sim.watchdog import CLOSED, Stuck, Watch, _own_place
from lab import protocol


def ended(monkeypatch: pytest.MonkeyPatch, written: bytes, code: int, stuck: Stuck | None) -> tuple[int, str]:
    """What is answered for a child with one case that has written this: the number of runs, and why none."""
    parent = object.__new__(forks._Parent)  # a whole one would take over the signals of this process
    parent._children, parent._selector = {}, selectors.DefaultSelector()
    answers: list[bytes] = []
    monkeypatch.setattr(parent, "_answer", answers.append)
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(writer, written)
        os._exit(code)
    os.close(writer)
    job = SimJob(targets.reference(), [Case(1, "1")])
    watch = Watch()
    watch.begin(pid)
    parent._children[reader] = forks._Child(7, job, watch, stuck=stuck)
    parent._selector.register(reader, 1)
    while parent._children:
        parent._read_from(reader)
    (answer,) = answers
    _, _, failure, text, runs = msgspec.json.decode(answer)
    return (0 if failure else len(runs)), text


def test_a_child_that_ends_while_it_seems_stuck_has_played(monkeypatch: pytest.MonkeyPatch) -> None:
    """All its runs are there, so there is nothing to be played again."""
    stuck = Stuck(5, "memory", "server.py, line 3")
    assert ended(monkeypatch, packed(b"{}"), 0, stuck) == (1, "")


@pytest.mark.parametrize(
    ("written", "code", "error"),
    [(packed(b"") + b"Traceback", 1, "Traceback"), (b"", CLOSED, "os.close")],
)
def test_a_child_without_runs_says_why(
    monkeypatch: pytest.MonkeyPatch, written: bytes, code: int, error: str
) -> None:
    """An error of ours is its text; what the judged code did to its process is named."""
    assert ended(monkeypatch, written, code, None) == (0, error)


def test_a_child_that_closes_its_pipe_and_lives_on_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing more can come from it, and the judged code has closed what is not its own."""
    monkeypatch.setattr(watchdog, "_END_SECONDS", 0.05)
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(writer)
        signal.pause()
    os.close(writer)
    watch = Watch()
    watch.begin(pid)
    assert os.read(reader, 1) == b""
    assert watch.wait() == CLOSED
    watch.close()
    os.close(reader)
    assert not psutil.pid_exists(pid)


def test_the_place_where_it_is_stuck_is_the_students() -> None:
    """Not one of a library, nor in our server that the component has called; else the innermost there is."""
    library, ours = asyncio.__file__, protocol.__file__
    frames = [(library, 1, "run"), (ours, 2, "encode"), ("mine/pubsub.py", 3, "publish"), (ours, 4, "serve")]
    lines = [f'  File "{file}", line {line} in {function}' for file, line, function in frames]
    assert _own_place("\n".join(lines)) == "pubsub.py, line 3, in publish"
    assert _own_place("\n".join(lines[:2])).startswith("protocol.py, line 2, in encode")
    assert _own_place(lines[0]) == ""
