"""Processes for simulated plays: a parent that has imported everything, and forks a child for each play.

To import takes longer than to play. And a play leaves its process in a state that nobody wants to clean
up: tasks that were killed and must not be tidied away, modules that a server changed. So each gets a
process of its own, which is the same as any other at its start: texts are hashed without a secret, memory
lies where it always lies (if the system lets us), and the time zone is UTC. The child ends by `os._exit`,
so that no destructor runs.

Jobs and runs go through pipes, each as its length in four bytes and then JSON.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import os
import selectors
import signal
import struct
import sys
import tempfile
import traceback
from collections import deque
from types import TracebackType
from typing import Any

import msgspec
from msgspec import Struct

from harness.play import Case, Run, scenario_of
from harness.targets import Target
from harness.worlds.process import end_with_parent
from harness.worlds.sim.world import SimWorld, in_memory

_LENGTH = struct.Struct("!I")
_NO_RANDOM_ADDRESSES = 0x0040000
"""ADDR_NO_RANDOMIZE, for `personality` of Linux."""
CLEAN_UP_SECONDS = 10.0


class SimJob(Struct):
    """What one child is to play, case by case: to fork costs a third of what a small play does.

    With `lean`, the runs come back without their histories.
    """

    target: Target
    cases: list[Case]
    skip_slow: bool = False
    lean: bool = True


class NurseryError(Exception):
    """A process that played has died without a run; the text is what it printed."""


class Nursery:
    """Plays jobs in child processes, `at_once` of them side by side. Use it as an async context.

    Without `same_addresses`, memory lies somewhere else in each nursery, as it does where the system does not
    let us choose: the histories are the same all the same, which tests make sure of.
    """

    def __init__(self, at_once: int, *, same_addresses: bool = True) -> None:
        self._at_once = at_once
        self._same_addresses = same_addresses and sys.platform == "linux"
        self._waiting: dict[int, asyncio.Future[list[Run]]] = {}
        self._jobs = 0

    async def __aenter__(self) -> Nursery:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",
            "-m",
            "harness.worlds.sim.nursery",
            str(self._at_once),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONHASHSEED": "0", "TZ": "UTC"},
            preexec_fn=_fix_addresses if self._same_addresses else None,
        )
        self._reader = asyncio.create_task(self._read(), name="reads runs")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        if kind is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGTERM)
        for seconds in (CLEAN_UP_SECONDS, 1.0):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._process.wait()
                    break
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
        self._reader.cancel()
        await asyncio.gather(self._reader, return_exceptions=True)

    @property
    def pid(self) -> int:
        """The parent of the processes that play."""
        return self._process.pid

    async def play(self, job: SimJob) -> list[Run]:
        """Play a job: a run for each of its cases. Raises NurseryError if its process dies."""
        runs: list[Run] = []
        while len(runs) < len(job.cases):  # a play that got stuck has ended its child
            runs += await self._ask(msgspec.structs.replace(job, cases=job.cases[len(runs) :]))
        return runs

    async def _ask(self, job: SimJob) -> list[Run]:
        assert self._process.stdin is not None
        self._jobs += 1
        number = self._jobs
        self._waiting[number] = asyncio.get_running_loop().create_future()
        self._process.stdin.write(_packed([number, job]))
        try:
            return await self._waiting[number]
        finally:
            del self._waiting[number]

    async def _read(self) -> None:
        assert self._process.stdout is not None
        try:
            while True:
                (size,) = _LENGTH.unpack(await self._process.stdout.readexactly(_LENGTH.size))
                number, error, raw = msgspec.json.decode(
                    await self._process.stdout.readexactly(size), type=tuple[int, str, msgspec.Raw]
                )
                waiting = self._waiting.get(number)
                if waiting is None or waiting.done():
                    continue
                if error:
                    waiting.set_exception(NurseryError(error))
                else:
                    waiting.set_result(msgspec.json.decode(raw, type=list[Run]))
        except (asyncio.IncompleteReadError, ConnectionError):
            for waiting in self._waiting.values():
                if not waiting.done():
                    waiting.set_exception(NurseryError("the process that plays simulations has ended"))


def _fix_addresses() -> None:
    """In the child, before the program starts: let memory lie where it did the last time, if we may."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).personality(_NO_RANDOM_ADDRESSES)


def _packed(message: Any) -> bytes:
    data = msgspec.json.encode(message)
    return _LENGTH.pack(len(data)) + data


# --- in the other process -----------------------------------------------------------------------------


class _Child(Struct):
    """One play under way: the child's process, and what it has written so far."""

    number: int
    pid: int
    written: bytearray


class _Parent:
    """Reads jobs from standard input, forks, and writes runs to standard output."""

    def __init__(self, at_once: int) -> None:
        self._at_once = at_once
        self._selector = selectors.DefaultSelector()
        self._jobs: deque[bytes] = deque()
        self._input = bytearray()
        self._children: dict[int, _Child] = {}
        self._more = True

    def run(self) -> None:
        """Go on until there is no more input, and nothing left to do."""
        self._selector.register(0, selectors.EVENT_READ)
        try:
            while self._more or self._jobs or self._children:
                while self._jobs and len(self._children) < self._at_once:
                    self._begin(self._jobs.popleft())
                for key, _ in self._selector.select():
                    if key.fd == 0:
                        self._take_jobs()
                    else:
                        self._hear_of(key.fd)
        finally:
            for child in self._children.values():
                with contextlib.suppress(ProcessLookupError, ChildProcessError):
                    os.kill(child.pid, signal.SIGKILL)
                    os.waitpid(child.pid, 0)  # else it would go on writing into what is removed next

    def _take_jobs(self) -> None:
        data = os.read(0, 1 << 16)
        if not data:
            self._more = False
            self._selector.unregister(0)
        self._input += data
        while len(self._input) >= _LENGTH.size:
            (size,) = _LENGTH.unpack_from(self._input)
            if len(self._input) < _LENGTH.size + size:
                break
            self._jobs.append(bytes(self._input[_LENGTH.size : _LENGTH.size + size]))
            del self._input[: _LENGTH.size + size]

    def _begin(self, message: bytes) -> None:
        number, job = msgspec.json.decode(message, type=tuple[int, SimJob])
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            _play_and_exit(job, writer)
        os.close(writer)
        self._children[reader] = _Child(number, pid, bytearray())
        self._selector.register(reader, selectors.EVENT_READ)

    def _hear_of(self, reader: int) -> None:
        child = self._children[reader]
        data = os.read(reader, 1 << 20)
        child.written += data
        if data:
            return
        self._selector.unregister(reader)
        os.close(reader)
        del self._children[reader]
        _, status = os.waitpid(child.pid, 0)
        if status == 0:
            message = b'[%d,"",%b]' % (child.number, bytes(child.written))
        else:
            text = child.written.decode(errors="replace") or f"a simulated play ended with status {status}"
            message = msgspec.json.encode([child.number, text, None])
        sys.stdout.buffer.write(_LENGTH.pack(len(message)) + message)
        sys.stdout.buffer.flush()


def _play_and_exit(job: SimJob, writer: int) -> None:
    """In a child: play, write the run (or why there is none), and end without any tidying up."""
    from harness.worlds.sim.simulate import simulate

    def end(status: int, answer: bytes) -> None:
        with os.fdopen(writer, "wb") as file:
            file.write(answer)
        os._exit(status)

    runs: list[Run] = []

    def stuck(run: Run) -> None:
        end(0, msgspec.json.encode([*runs, run]))

    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        end_with_parent(signal.SIGKILL)
        for case in job.cases:
            run = simulate(case, job.target, skip_slow=job.skip_slow, stuck=stuck)
            if job.lean:
                run.history = []
            runs.append(run)
        end(0, msgspec.json.encode(runs))
    except BaseException:
        end(1, traceback.format_exc().encode())


def _warm_up() -> None:
    """Import all that a play needs, by playing."""
    from harness import targets
    from harness.steps import EXERCISES
    from harness.worlds.sim.simulate import simulate

    for exercise in EXERCISES:
        scenario_of(exercise)
    simulate(Case(1, "warm", size=1), targets.reference())
    gc.collect()
    gc.freeze()


def main() -> None:
    """Play what comes by standard input."""
    end_with_parent(signal.SIGTERM)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who asked us to play will tell us
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory(prefix="chatlab-", dir=in_memory()) as folder:
        SimWorld.disk = folder
        _warm_up()
        _Parent(int(sys.argv[1])).run()


if __name__ == "__main__":
    main()
