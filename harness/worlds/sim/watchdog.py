"""A watch, from outside, over a process that plays: it notices code that never returns, or takes all memory.

While such code runs nothing else does, the clock of the simulation included. And where it is inside of a C
function that holds the interpreter's lock (a huge power, a regular expression that backtracks), no handler
written in Python runs either. So the parent process watches: how many turns of the simulation were taken,
which both can read; how much processor time that took, since a busy machine is no endless loop; and how much
memory. A process that is stuck writes down where it is (`faulthandler` does so whatever the interpreter does)
and is killed. Then the parent plays the same again in a new process, up to that turn, and it is judged there:
in order, between two turns. So whatever the code has done to its own process, the verdict is made in a clean
one.
"""

from __future__ import annotations

import asyncio
import builtins
import contextlib
import faulthandler
import json
import mmap
import os
import re
import signal
import tempfile
import time
from math import inf
from typing import IO

import psutil
from msgspec import Struct

import lab
from harness.judged.bounds import (
    BLOCKED_SECONDS,
    BUSY_SECONDS,
    PLAY_MEMORY,
    PROCESSES,
    STILL_SECONDS,
    WRITTEN,
)
from harness.judged.families import descendants, memory_of, written_by
from harness.posix import with_high_number
from harness.worlds.sim.source_locations import is_library, place_at

TICK = 0.025
"""Seconds between two looks."""
MORE_MEMORY = 1.4
"""The same for a play up to where another one had taken too much, by which factor."""
MOST_TRIES = 3
"""Attempts to play up to the turn where a process was stuck: mostly the first one comes there."""
CLOSED = 99
"""The exit code of a child that cannot answer, since the judged code has closed descriptors not its own."""
CHANGED = 98
"""The exit code of a child whose judged code has changed Python's own modules, so that ours failed."""
DISARMED = {CLOSED: "os.close", CHANGED: "builtins"}
"""What the judged code has done, by these exit codes."""
_OWN = (builtins, asyncio, asyncio.BaseEventLoop, asyncio.Task, asyncio.Event, os, time, json)
"""What of Python's own our code relies on most, where it plays."""
_BEFORE = [{name: value for name, value in vars(each).items() if callable(value)} for each in _OWN]
_exit, _getpid = os._exit, os.getpid  # the real ones, also inside of a simulated program
_HIGH = 900
"""The least number of the descriptor for answers: code that closes `range(3, 256)` shall not close it."""
_SIGNAL = getattr(signal, "SIGUSR1", None)
_END_SECONDS = 3.0
"""For which a process may live on when it has answered: ending takes some milliseconds."""
_DUMP_SECONDS = 0.5
"""Seconds in which a process writes down where it is."""
_LOOKS = 10
"""Times that it does so, until it is in code that is no library's."""
_LAB = f"{os.path.dirname(lab.__file__)}{os.sep}"
_FRAME = re.compile(r'  File "(?P<file>.*)", line (?P<line>\d+) in (?P<function>.*)')


class Stuck(Struct, frozen=True):
    """A process that did not go on: in which turn, why (`busy`, `blocked`), and where in the code.

    Or it took too much (`memory`, `processes`, `files`); or (`ended`) it was ended in that turn, with this
    exit code; or (`late`) it went on for too long.
    """

    turn: int
    why: str
    where: str = ""
    code: int = 0


class Turns:
    """The turns taken by a simulation, in memory that parent and child share: make it before the fork."""

    def __init__(self) -> None:
        self._numbers = memoryview(mmap.mmap(-1, 16)).cast("Q")
        self.owner = 0
        """The process whose turns these are."""

    def count(self, turn: int, is_judged: bool) -> None:
        """In the child: a turn begins; `is_judged` if it is of the judged code, and not of our own.

        A copy of the child that the judged code has made ends here: it would play, and answer, too.
        """
        if self.owner and _getpid() != self.owner:
            _exit(0)
        self._numbers[0] = turn
        self._numbers[1] = is_judged

    @property
    def last(self) -> int:
        """The last turn that has begun."""
        return self._numbers[0]

    @property
    def is_judged(self) -> bool:
        """Whether it is one of the judged code's."""
        return bool(self._numbers[1])


class Watch:
    """What the parent knows of a child. Make it before the fork, and call `is_watched` in the child."""

    def __init__(
        self,
        busy: float = BUSY_SECONDS,
        memory: int = PLAY_MEMORY,
        seconds: float = inf,
        processor: float = inf,
        *,
        is_again: bool = False,
    ) -> None:
        self.turns = Turns()
        self._deadline, self._processor = time.monotonic() + seconds, processor
        self._busy = busy
        self._memory = memory * (MORE_MEMORY if is_again else 1.0)
        self._places: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - as long as the child lives
        self._pid = 0
        self._process: psutil.Process | None = None
        self._before = 0
        """Bytes that the process had when its play began: it may play several, one after the other."""
        self._turn, self._used, self._slept, self._looked = -1, 0.0, 0.0, 0.0
        self._last, self._still = -1, 0.0

    def is_watched(self) -> None:
        """In the child: be ready to say where its code is. What it starts is in its group, and is killed."""
        self.turns.owner = _getpid()
        with contextlib.suppress(OSError):
            os.setpgid(0, 0)
        if _SIGNAL is not None:
            faulthandler.register(_SIGNAL, self._places, all_threads=False, chain=False)

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self._pid

    def begin(self, pid: int) -> None:
        """In the parent: this is the child."""
        self._pid = pid
        with contextlib.suppress(OSError):  # the child does it, too: neither can know who comes first
            os.setpgid(pid, pid)
        with contextlib.suppress(psutil.Error):
            self._process = psutil.Process(pid)
            self._before = self._process.memory_info().rss

    def look(self) -> Stuck | None:
        """In the parent, several times a second: whether it is stuck. Then it is killed (but not reaped)."""
        if self._process is None:
            return None
        try:
            status = self._process.status()
            if status == psutil.STATUS_ZOMBIE:
                self.kill()  # what it has started may live on, and hold the pipe for its answer
                return None
            if status == psutil.STATUS_STOPPED:  # who else but the judged code would stop it?
                why = "blocked"
            else:
                why = self._why_stuck(self._process, is_asleep=status == psutil.STATUS_SLEEPING)
        except psutil.Error:  # it has ended
            return None
        if not why:
            return None
        others = descendants(self._pid) if why in ("memory", "processes") else []
        self._kill(others)  # they would go on while we ask, and more would come
        turn, where = self.turns.last, self._where(1 if others else _LOOKS)
        self.kill()
        return Stuck(turn, why, where)

    def kill(self) -> None:
        """In the parent: end the child, and all that it has started."""
        if not self._pid:
            return
        below = descendants(self._pid)  # those that have left its group, too
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._pid, signal.SIGKILL)
        self._kill(below)

    @staticmethod
    def _kill(pids: list[int]) -> None:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)

    def wait(self) -> int:
        """In the parent, when it has answered: wait for its end, and end what it has started; its exit code.

        If it lives on, its answer was not its own end: the judged code has closed the pipe (`CLOSED`).
        """
        deadline = time.monotonic() + _END_SECONDS
        while self._is_alive() and time.monotonic() < deadline:
            time.sleep(0.0005)
        lives_on = self._is_alive()
        self.kill()  # the child is not reaped yet, so its number is not another's
        _, status = os.waitpid(self._pid, 0)
        return CLOSED if lives_on else os.waitstatus_to_exitcode(status)

    def _is_alive(self) -> bool:
        with contextlib.suppress(psutil.Error):
            return self._process is not None and self._process.status() != psutil.STATUS_ZOMBIE
        return False

    def ended(self, code: int) -> Stuck | None:
        """What to say of a child that has just ended in the middle of a play: who else but the judged code
        would end it? None where that is not certain: after SIGKILL, which a system without memory sends.
        """
        if code == -signal.SIGKILL or not self.turns.is_judged:
            return None
        return Stuck(self.turns.last, "ended", code=code)

    def close(self) -> None:
        """The child has ended, and nothing more is asked of it."""
        self._places.close()

    def _why_stuck(self, process: psutil.Process, *, is_asleep: bool) -> str:
        turn, now, memory = self.turns.last, time.monotonic(), process.memory_info().rss
        if now > self._deadline:
            return "late"
        passed, self._looked = min(now - self._looked, 2 * TICK), now
        if turn < self._turn:
            self._before = memory
        self._still = 0.0 if turn != self._last else self._still + passed
        self._last = turn
        if self._still > STILL_SECONDS:
            return "late"
        below = {pid: size for pid in descendants(self._pid) if (size := memory_of(pid))}  # 0: it has ended
        if len(below) > PROCESSES:
            return "processes"
        memory += sum(max(0, size - self._before) for size in below.values())
        if sum(map(written_by, (self._pid, *below))) > WRITTEN:
            return "files"
        if (self.turns.is_judged or below) and memory - self._before > self._memory:
            return "memory"
        times = process.cpu_times()
        used = times.user + times.system
        if used > self._processor:
            return "late"
        if turn != self._turn or not self.turns.is_judged:
            self._turn, self._used, self._slept = turn, used, 0.0
        elif used - self._used >= self._busy:
            return "busy"
        elif is_asleep:  # and not just kept from the processor
            self._slept += passed
        return "blocked" if self._slept >= BLOCKED_SECONDS else ""

    def _where(self, looks: int) -> str:
        """Let it write down where it is; returns the innermost place that is no library's.

        Where it begins something again and again, it is now in its own code and then in the simulation's.
        """
        for _ in range(looks):
            place = _own_place(self._written_down())
            if place:
                return place
        return ""

    def _written_down(self) -> str:
        before = os.fstat(self._places.fileno()).st_size
        if _SIGNAL is None:
            return ""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._pid, _SIGNAL)
        deadline = time.monotonic() + _DUMP_SECONDS
        text = ""
        while not text.endswith("\n") and time.monotonic() < deadline:
            time.sleep(0.005)
            size = os.fstat(self._places.fileno()).st_size
            text = os.pread(self._places.fileno(), size - before, before).decode(errors="replace")
        return text


def has_changed_python() -> bool:
    """Whether Python's own functions, such as `len`, are others than at the start; builtins are restored."""
    has_changed = any(
        vars(each).get(name) is not value
        for each, before in zip(_OWN, _BEFORE, strict=True)
        for name, value in before.items()
    )
    vars(builtins).update(_BEFORE[0])
    return has_changed


def out_of_the_way(descriptor: int) -> int:
    """The same file by a descriptor with a high number, if that can be had."""
    return with_high_number(descriptor, _HIGH)


def _own_place(text: str) -> str:
    """The innermost place in what `faulthandler` has written that is no library's, if there is one.

    Where a student's component is at work, that is its place, and not one in our server that it has called.
    """
    frames = [(found["file"], int(found["line"]), found["function"]) for found in _FRAME.finditer(text)]
    own = [frame for frame in frames if not is_library(frame[0])]
    own.sort(key=lambda frame: frame[0].startswith(_LAB))
    return place_at(*own[0]) if own else ""
