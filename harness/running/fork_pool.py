"""Runs simulated plays in child processes that all start in the same state.

There, strings are hashed without randomization, memory addresses are not randomized (if the system allows
it), and the time zone is UTC. This module is the parent's side, which imports nothing of the simulation; the
children's side is `forks.py`. Jobs and runs go through pipes, each as its length in four bytes and then JSON.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import signal
import struct
import sys
from functools import partial
from types import TracebackType

import msgspec
from msgspec import Struct

from harness.history.as_json import from_json, to_json
from harness.judged.environment import of_server
from harness.judged.targets import Target
from harness.running.run import Case, Run
from harness.texts.problem import Problem

LENGTH = struct.Struct("!I")
"""The header of a message: the number of bytes that follow."""
DROP_ALL = b"drop"
"""The message that is no job: end all that are played, and forget those that wait."""
_NO_RANDOM_ADDRESSES = 0x0040000
"""ADDR_NO_RANDOMIZE, for `personality` of Linux."""
CLEAN_UP_SECONDS = 10.0


class SimJob(Struct):
    """What one child plays: several cases, since a fork costs a third of what a small play does.

    With `lean`, the runs are returned without their histories; with `with_calls`, the histories contain the
    calls between the components of the reference server.
    """

    target: Target
    cases: list[Case]
    lean: bool = True
    with_calls: bool = False


class ForkPoolError(Exception):
    """A child process died without returning a run; the text is what it printed."""


class CrashError(ForkPoolError, Problem):
    """It was ended by a signal, or its Python was changed: the cause is the server, whose code ran in it."""

    def __init__(self, by: str) -> None:
        Problem.__init__(self, "ui.crashed" if by.startswith("SIG") else "ui.changed_python", signal=by)


class ForkPool:
    """Plays jobs in child processes, `at_once` of them in parallel. Use it as an async context.

    Without `same_addresses`, memory addresses are randomized, as on systems where we cannot choose: tests
    ensure that the histories are the same nevertheless.
    """

    def __init__(self, at_once: int, *, same_addresses: bool = True) -> None:
        self._at_once = at_once
        self._same_addresses = same_addresses and sys.platform == "linux"
        self._waiting: dict[int, asyncio.Future[list[Run]]] = {}
        self._jobs = 0

    async def __aenter__(self) -> ForkPool:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",
            "-m",
            "harness.running.forks",
            str(self._at_once),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={**of_server({}), "PYTHONHASHSEED": "0", "TZ": "UTC"},
            preexec_fn=partial(_before_start, self._same_addresses),
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
        """The parent of the processes that play: see forks.py."""
        return self._process.pid

    def drop_all(self) -> None:
        """End all jobs that are played or wait; for whoever awaits one, it is cancelled."""
        assert self._process.stdin is not None
        self._process.stdin.write(packed(DROP_ALL))
        for waiting in self._waiting.values():
            waiting.cancel()

    async def play(self, job: SimJob) -> list[Run]:
        """Play a job; return a run for each of its cases. Raises ForkPoolError if its process dies."""
        runs: list[Run] = []
        while len(runs) < len(job.cases):  # a play that hung has ended its child early
            runs += await self._ask(msgspec.structs.replace(job, cases=job.cases[len(runs) :]))
        return runs

    async def recall(self, target: Target, case: Case, digest: str) -> Run:
        """Play a case again whose history had this digest; return the run with its history and calls.

        Without calls if recording them changes what happens. Raises ForkPoolError if its process dies.
        """
        job = SimJob(target, [case], lean=False, with_calls=True)
        (run,) = await self.play(job)
        if run.digest != digest:
            (run,) = await self.play(msgspec.structs.replace(job, with_calls=False))
        return run

    async def _ask(self, job: SimJob) -> list[Run]:
        assert self._process.stdin is not None
        self._jobs += 1
        number = self._jobs
        self._waiting[number] = asyncio.get_running_loop().create_future()
        self._process.stdin.write(packed(to_json([number, job])))
        try:
            return await self._waiting[number]
        finally:
            del self._waiting[number]

    async def _read(self) -> None:
        assert self._process.stdout is not None
        try:
            while True:
                (size,) = LENGTH.unpack(await self._process.stdout.readexactly(LENGTH.size))
                number, error, raw = msgspec.json.decode(
                    await self._process.stdout.readexactly(size), type=tuple[int, str, msgspec.Raw]
                )
                waiting = self._waiting.get(number)
                if waiting is None or waiting.done():
                    continue
                if error:
                    waiting.set_exception((CrashError if bytes(raw) == b"true" else ForkPoolError)(error))
                else:
                    waiting.set_result(from_json(bytes(raw), list[Run]))
        except (asyncio.IncompleteReadError, ConnectionError):
            for waiting in self._waiting.values():
                if not waiting.done():
                    waiting.set_exception(ForkPoolError("the process that plays simulations has ended"))


def _before_start(same_addresses: bool) -> None:
    """In the child: leave Ctrl-C to the parent, and turn off address randomization if possible."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if not same_addresses:
        return
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).personality(_NO_RANDOM_ADDRESSES)


def packed(data: bytes) -> bytes:
    """A message with its header, as it is sent through a pipe."""
    return LENGTH.pack(len(data)) + data
