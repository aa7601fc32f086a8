"""Plays simulations and contracts in child processes that all start in the same state.

There, strings are hashed without randomization, memory addresses are not randomized (if the system allows
it), and the time zone is UTC. This module is the parent's side, which imports nothing of the simulation; the
children's side is `forks.py`. Jobs and results go through pipes, each as its length in four bytes and then
JSON.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import struct
import sys
from functools import partial
from types import TracebackType
from typing import ClassVar

import msgspec
from msgspec import Struct, field
from msgspec.structs import replace

from harness.contracts.result import ENDED, Played
from harness.history.as_json import from_json, to_json
from harness.judged import keeper
from harness.judged.bubblewrap import wrapped
from harness.judged.environment import of_server
from harness.judged.isolation import Isolation
from harness.judged.targets import Target
from harness.posix import LINUX, before_start, fix_addresses, stay_on
from harness.running.run import Case, Run, nothing_known
from harness.texts.problem import Problem
from harness.verdict.judge import without_verdict
from harness.verdict.outcome import Text
from harness.worlds.sim.watchdog import Stuck

LENGTH = struct.Struct("!I")
"""The header of a message: the number of bytes that follow."""
DROP_ALL = b"drop"
"""The message that is no job: end all that are played, and forget those that wait."""
_ENDED = "the process that plays simulations has ended"
CLEAN_UP_SECONDS = 10.0


class SimJob(Struct, tag="sim"):
    """What one child plays: several cases, since a fork costs a third of what a small play does.

    With `lean`, the runs are returned without their histories, else with all events, but long texts cut: they
    may be hundreds of megabytes. With `with_calls`, the histories contain the calls between the components of
    the reference server.
    """

    target: Target
    cases: list[Case]
    lean: bool = True
    with_calls: bool = False

    @property
    def count(self) -> int:
        """How many results it has."""
        return len(self.cases)

    @property
    def until(self) -> Stuck | None:
        """Where the first case was stuck when it was played before."""
        return self.cases[0].until

    def again(self, done: int, stuck: Stuck) -> SimJob:
        """The rest of this job, after a child was stuck in its next case."""
        first, *rest = self.cases[done:]
        return replace(self, cases=[replace(first, until=stuck), *rest])


class ContractJob(Struct, tag="contract"):
    """A component to call directly: its name and its file, with these environment variables."""

    component: str
    where: str
    environment: dict[str, str] = field(default_factory=dict)
    until: Stuck | None = None
    """Where it was stuck when it was played before."""
    count: ClassVar[int] = 1
    """How many results it has."""

    @property
    def is_apart(self) -> bool:
        """Whether the component runs in a process of its own: Node's."""
        return self.where.endswith(".js")

    def again(self, done: int, stuck: Stuck) -> ContractJob:
        """The same, up to where a child was stuck."""
        return replace(self, until=stuck)


Job = SimJob | ContractJob


class ForkPoolError(Exception):
    """A child process died without returning a result; the text is what it printed."""


class CrashError(ForkPoolError, Problem):
    """It was ended by a signal, or its Python was changed: the cause is the server, whose code ran in it."""

    def __init__(self, by: str) -> None:
        Problem.__init__(self, "ui.crashed" if by.startswith("SIG") else "ui.changed_python", signal=by)
        self.by = by


class LateError(ForkPoolError):
    """It took too long; the text says how long."""


_FAILURES = {"crash": CrashError, "late": LateError, "defect": ForkPoolError}


class PoolSetting(Struct, frozen=True):
    """Where a pool's processes run: in what isolation, with which environment variables beside ours."""

    isolation: Isolation | None = None
    environment: dict[str, str] = field(default_factory=dict)
    passed: tuple[str, ...] | None = None
    """The names of our variables that they see; None for all."""
    cores: list[int] = field(default_factory=list)
    """The processor cores that they run on; all of them if there is none."""


_AS_WE_ARE = PoolSetting()


class ForkPool:
    """Plays jobs in child processes, `at_once` of them in parallel. Use it as an async context.

    Without `same_addresses`, memory addresses are randomized, as on systems where we cannot choose: tests
    ensure that the histories are the same nevertheless.
    """

    def __init__(
        self, at_once: int, *, same_addresses: bool = True, setting: PoolSetting = _AS_WE_ARE
    ) -> None:
        self._setting = setting
        self._at_once = at_once
        self._spent = 0.0
        self._same_addresses = same_addresses and LINUX
        self._waiting: dict[int, asyncio.Future[bytes]] = {}
        self._jobs = 0
        self._ended: ForkPoolError | None = None  # why nothing is played any more

    async def __aenter__(self) -> ForkPool:
        command = [sys.executable, "-P", "-m", "harness.running.forks", str(self._at_once)]
        isolation = self._setting.isolation
        if isolation is not None and isolation.kind == "bubblewrap":
            command = wrapped(isolation, command, has_network=False)
        self._process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={
                **of_server(self._setting.environment, self._setting.passed),
                "PYTHONHASHSEED": "0",
                "TZ": "UTC",
            },
            **before_start(partial(_before_start, self._same_addresses, self._setting)),
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

    @property
    def has_ended(self) -> bool:
        """Whether the processes have ended by themselves, so that nothing is played any more."""
        return self._ended is not None

    @property
    def spent(self) -> float:
        """Seconds that the jobs done so far would have taken if they had had all cores to themselves.

        It is processor time, which hardly grows when other programs compete for the cores.
        """
        return self._spent / self._at_once

    def drop_all(self) -> None:
        """End all jobs that are played or wait; for whoever awaits one, it is cancelled."""
        assert self._process.stdin is not None
        self._process.stdin.write(packed(DROP_ALL))
        for waiting in self._waiting.values():
            waiting.cancel()

    async def play(self, job: SimJob) -> list[Run]:
        """Play a job; return a run for each of its cases: without a verdict if its process has died."""
        runs: list[Run] = []
        while len(runs) < len(job.cases):  # a play that hung has ended its child early
            part = replace(job, cases=job.cases[len(runs) :])
            try:
                runs += from_json(await self._ask(part), list[Run])
            except ForkPoolError as error:
                return [*runs, *(_unplayed(case, job.target, error) for case in part.cases)]
        return runs

    async def call(self, job: ContractJob) -> Played:
        """Play the contract of a component; the same file gives the same result."""
        try:
            (played,) = from_json(await self._ask(job), list[Played])
        except CrashError as error:
            return Played(job.component, lacking=ENDED if job.is_apart else "crash", where=error.by)
        except LateError as error:
            return Played(job.component, lacking=ENDED if job.is_apart else "time", where=str(error))
        except ForkPoolError as error:
            return Played(job.component, defect=str(error))
        return played

    async def recall(self, target: Target, case: Case, digest: str) -> Run:
        """Play a case again whose history had this digest; return the run with its history and calls.

        Without calls if recording them changes what happens.
        """
        job = SimJob(target, [case], lean=False, with_calls=True)
        (run,) = await self.play(job)
        if run.digest != digest:
            (run,) = await self.play(replace(job, with_calls=False))
        return run

    async def _ask(self, job: Job) -> bytes:
        assert self._process.stdin is not None
        if self._ended is not None:
            raise self._ended
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
                number, self._spent, failure, text, results = msgspec.json.decode(
                    await self._process.stdout.readexactly(size),
                    type=tuple[int, float, str, str, msgspec.Raw],
                )
                waiting = self._waiting.get(number)
                if waiting is None or waiting.done():
                    continue
                if failure:
                    waiting.set_exception(_FAILURES[failure](text))
                else:
                    waiting.set_result(bytes(results))
        except (asyncio.IncompleteReadError, ConnectionError):
            code = await self._process.wait()
            self._ended = CrashError(signal.Signals(-code).name) if code < 0 else ForkPoolError(_ENDED)
            for waiting in self._waiting.values():
                if not waiting.done():
                    waiting.set_exception(self._ended)


def _unplayed(case: Case, target: Target, error: ForkPoolError) -> Run:
    """What is known of a case whose process has died: nothing. The other cases have their verdicts."""
    run = nothing_known(case.exercise, target, case.seed, "sim", case)
    match error:
        case CrashError():
            why = Text(error.key.replace("ui.", ""), error.params)
        case LateError():
            why = Text("late", {"seconds": str(error)})
        case _:
            why, run.defect = Text("kit_failed"), str(error)
    run.steps = [replace(step, receipt=why) for step in without_verdict(case.exercise, run.component)]
    return run


def _before_start(same_addresses: bool, setting: PoolSetting) -> None:
    """In the child: leave Ctrl-C to the parent, and turn off address randomization if possible."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    stay_on(setting.cores)
    if setting.isolation is not None:
        keeper.limit(setting.isolation.limits())
    if not same_addresses:
        return
    fix_addresses()


def packed(data: bytes) -> bytes:
    """A message with its header, as it is sent through a pipe."""
    return LENGTH.pack(len(data)) + data
