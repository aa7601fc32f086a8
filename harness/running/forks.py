"""The processes that play simulations and contracts: a parent that has imported everything forks a child for
each job.

Importing takes longer than playing. And a play leaves its process in a state that cannot be cleaned up: tasks
of killed servers, whose `finally` blocks must not run, and modules that a server changed. So a child ends
with `os._exit`, and no destructor runs.
"""

from __future__ import annotations

import contextlib
import gc
import os
import selectors
import shutil
import signal
import socket
import sys
import tempfile
import time
import traceback
from collections import deque
from collections.abc import Callable
from functools import cache
from pathlib import Path

import msgspec
from msgspec import Struct, field

from harness.contracts import running as contracts
from harness.contracts.result import Played
from harness.history.as_json import from_json, to_json
from harness.history.events import Server, shortened
from harness.history.source_files import guard_tracebacks
from harness.judged import targets
from harness.judged.bounds import (
    CONTRACT_BUSY_SECONDS,
    CONTRACT_MEMORY,
    CONTRACT_PROCESSOR_SECONDS,
    CONTRACT_SECONDS,
    LARGEST_FILE,
)
from harness.judged.families import children
from harness.judged.keeper import adopt_orphans, close_to_others
from harness.judged.process import in_memory
from harness.posix import end_with_parent, resource
from harness.running.fork_pool import DROP_ALL, LENGTH, ContractJob, Job, SimJob, packed
from harness.running.run import Case, Run
from harness.running.simulate import simulate
from harness.worlds.sim.watchdog import (
    CHANGED,
    CLOSED,
    DISARMED,
    MOST_TRIES,
    TICK,
    Stuck,
    Watch,
    has_changed_python,
    out_of_the_way,
)
from harness.worlds.sim.world import SimWorld
from lab.legible import text_of

_TIME_ZONE = "LAB-5:30"
"""Far from UTC (5:30 hours ahead), so that a component that takes local time for UTC is found."""
_exit = os._exit  # the real one, also inside of a simulated program
_REAP_SECONDS = 2.0
"""Seconds for which what a child has left is ended, again and again."""


class _Child(Struct):
    """A job that is running: the watch over its child process, and what that has written so far."""

    number: int
    job: Job
    watch: Watch
    results: list[bytes] = field(default_factory=list)
    """Results from before, when another child played the first of the cases."""
    written: bytearray = field(default_factory=bytearray)
    stuck: Stuck | None = None
    """Why it was killed in the middle of a play."""
    tries: int = 0
    """How often that has happened to the case that it began with."""

    def failure(self, code: int, error: bytes) -> tuple[str, str]:
        """Why it has no result, and what there is to say about that."""
        if self.stuck is not None and self.stuck.why == "late":
            return "late", f"{CONTRACT_SECONDS:g} s"
        if code < 0 or code in DISARMED:
            return "crash", DISARMED.get(code) or signal.Signals(-code).name
        if not error:  # nobody but the judged code would end the process in the middle of a play
            return "crash", f"os._exit({code})"
        return "defect", text_of(error) or "a play has just ended"


class _Parent:
    """Reads jobs from standard input, forks, and writes runs to standard output."""

    def __init__(self, at_once: int) -> None:
        self._at_once = at_once
        self._selector = selectors.DefaultSelector()
        self._jobs: deque[bytes] = deque()
        self._input = bytearray()
        self._children: dict[int, _Child] = {}
        self._more = True
        # An exception from a handler would be lost where Python ignores them, as it does around a fork, and
        # would end a simulated program while we warm up. So signals arrive on a socket, as their numbers.
        self._signals, writer = socket.socketpair()
        writer.setblocking(False)
        signal.set_wakeup_fd(writer.detach(), warn_on_full_buffer=False)
        signal.signal(signal.SIGTERM, lambda *_: None)

    def run(self) -> bool:
        """Run until the input ends and all jobs are done. Returns False if SIGTERM came before that."""
        self._selector.register(0, selectors.EVENT_READ)
        self._selector.register(self._signals, selectors.EVENT_READ)
        try:
            while self._more or self._jobs or self._children:
                while self._jobs and len(self._children) < self._at_once:
                    self._begin(self._jobs.popleft())
                for key, _ in self._selector.select(TICK if self._children else None):
                    if key.fileobj is self._signals:
                        if signal.SIGTERM in self._signals.recv(4096):
                            return False
                    elif key.fd == 0:
                        self._take_jobs()
                    else:
                        self._read_from(key.fd)
                for child in self._children.values():
                    child.stuck = child.stuck or child.watch.look()
                self._end_orphans()
            return True
        finally:
            self._drop_all()

    def _drop_all(self) -> None:
        """End all children, and forget what else was to be played."""
        self._jobs.clear()
        for reader, child in self._children.items():
            self._selector.unregister(reader)
            os.close(reader)
            child.watch.kill()
            child.watch.wait()  # else it could still write to the folder that is removed next
            child.watch.close()
        self._children.clear()
        self._end_orphans()

    def _end_orphans(self) -> None:
        """End what a child has started and let go of: we are the parent of such processes."""
        ours = {child.watch.pid for child in self._children.values()}
        deadline = time.monotonic() + _REAP_SECONDS
        while (left := set(children(os.getpid())) - ours) and time.monotonic() < deadline:
            for pid in left:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(pid, os.WNOHANG)

    def _take_jobs(self) -> None:
        data = os.read(0, 1 << 16)
        if not data:
            self._more = False
            self._selector.unregister(0)
        self._input += data
        while len(self._input) >= LENGTH.size:
            (size,) = LENGTH.unpack_from(self._input)
            if len(self._input) < LENGTH.size + size:
                break
            message = bytes(self._input[LENGTH.size : LENGTH.size + size])
            del self._input[: LENGTH.size + size]
            if message == DROP_ALL:
                self._drop_all()
            else:
                self._jobs.append(message)

    def _begin(self, message: bytes) -> None:
        number, job = from_json(message, tuple[int, Job])
        if isinstance(job, SimJob):
            _warm_up()
        self._fork(number, job)

    def _fork(self, number: int, job: Job) -> _Child:
        """Let a child play a job."""
        reader, writer = os.pipe()
        limits = (
            CONTRACT_BUSY_SECONDS,
            CONTRACT_MEMORY,
            CONTRACT_SECONDS,
            CONTRACT_PROCESSOR_SECONDS,
        )
        watch = Watch(*limits if isinstance(job, ContractJob) else (), is_again=job.until is not None)
        pid = os.fork()
        if pid == 0:
            _play_and_exit(job, writer, watch)
        os.close(writer)
        watch.begin(pid)
        child = self._children[reader] = _Child(number, job, watch)
        self._selector.register(reader, selectors.EVENT_READ)
        return child

    def _read_from(self, reader: int) -> None:
        child = self._children.get(reader)
        if child is None:
            return  # dropped a moment ago
        data = os.read(reader, 1 << 20)
        child.written += data
        if data:
            return
        self._selector.unregister(reader)
        os.close(reader)
        del self._children[reader]
        code = child.watch.wait()
        results, error = _results_in(child.written)
        if isinstance(child.job, ContractJob) and not all(map(_is_played, results)):
            results, error = [], b""  # the judged code has written them
        count = len(child.results) + len(results)
        is_answered = count >= child.job.count or (code == 0 and len(results) > 0)
        if not is_answered and code not in DISARMED and not error and child.stuck is None:
            child.stuck = child.watch.ended(code)
        child.watch.close()
        if is_answered:  # however it ended then, or seemed to be stuck
            found = [*child.results, *results][: child.job.count]
            self._answer(b'[%d,%f,"","",[%b]]' % (child.number, _spent(), b",".join(found)))
        elif child.stuck is not None and child.stuck.why != "late" and child.tries < MOST_TRIES:
            again = self._fork(child.number, child.job.again(len(results), child.stuck))
            again.results, again.tries = [*child.results, *results], 1 if results else child.tries + 1
        else:
            self._answer(to_json([child.number, _spent(), *child.failure(code, error), []]))

    def _answer(self, message: bytes) -> None:
        sys.stdout.buffer.write(packed(message))
        sys.stdout.buffer.flush()


def _spent() -> float:
    """Seconds of processor time that all children have taken which have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _results_in(written: bytearray) -> tuple[list[bytes], bytes]:
    """The results that a child has written, each with its length before it, and what comes after them."""
    results, at = [], 0
    while len(written) >= at + LENGTH.size:
        (size,) = LENGTH.unpack_from(written, at)
        if size == 0 or len(written) < at + LENGTH.size + size:
            break
        results.append(bytes(written[at + LENGTH.size : at + LENGTH.size + size]))
        at += LENGTH.size + size
    return results, bytes(written[at + LENGTH.size :])


def _is_played(result: bytes) -> bool:
    """Whether this is the result of direct calls."""
    try:
        from_json(result, Played)
    except msgspec.DecodeError:
        return False
    return True


def _play_and_exit(job: Job, writer: int, watch: Watch) -> None:
    """In a child: play, write each result (or an empty one and an error), and exit without any cleanup."""
    status = 1
    try:
        with os.fdopen(out_of_the_way(writer), "wb") as file:

            def answer(result: Run | Played) -> None:
                file.write(packed(to_json(result)))
                file.flush()

            try:
                close_to_others(is_closed=False)  # who watches it looks at what it does
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGTERM, signal.SIG_DFL)
                end_with_parent()
                _redirect_to_devnull()
                watch.is_watched()
                guard_tracebacks()
                _limit_files()
                if isinstance(job, ContractJob):
                    _play_contract(job, watch, answer)
                else:
                    _play_cases(job, watch, answer)
                status = 0
            except BaseException:
                if has_changed_python():
                    _exit(CHANGED)
                file.write(packed(b"") + traceback.format_exc().encode(errors="backslashreplace"))
    except OSError:
        status = CLOSED
    finally:
        _exit(status)


def _play_contract(job: ContractJob, watch: Watch, answer: Callable[[Played], None]) -> None:
    """Play the contract of a component, in a process that has the variables of its server."""
    os.environ.clear()
    os.environ.update(job.environment, PYTHONHASHSEED="0", TZ=_TIME_ZONE)
    time.tzset()
    sys.dont_write_bytecode = True
    folder = Path(tempfile.mkdtemp(dir=SimWorld.disk))

    def answer_and_exit(played: Played) -> None:
        """Answer where the component will not let us go on."""
        try:
            answer(played)
        except OSError:
            _exit(CLOSED)
        _exit(0)

    watched = contracts.Watched(watch.turns.count, job.until, answer_and_exit)
    played = contracts.play_contract(job.component, job.where, folder, watched=watched)
    watch.turns.count(0, is_judged=False)
    answer(played)
    shutil.rmtree(folder, ignore_errors=True)


def _play_cases(job: SimJob, watch: Watch, answer: Callable[[Run], None]) -> None:
    """Play the cases of a job, or as many of them as can be played in one process."""
    gc.disable()  # the process ends soon; during a play, the simulator collects garbage itself
    for number, case in enumerate(job.cases):
        run = simulate(case, job.target, with_calls=job.with_calls, watched=watch.turns)
        if number and _needs_a_new_process(run):
            return  # the pool will ask for the rest again, and then this case is the first
        is_left = case.until is not None or _has_left_much(run)
        run.history = [] if job.lean else shortened(run.history)
        answer(run)
        if is_left:
            return  # its server's code was left in the middle: the others are played in a new process


def _needs_a_new_process(run: Run) -> bool:
    """Whether its server may have failed to start only because it was started for another play before."""
    found = [event for event in run.history if isinstance(event, Server) and event.what == "not_simulated"]
    return any(event.detail["lacking"] == "restart" for event in found)


def _has_left_much(run: Run) -> bool:
    """Whether its server had more and more to do, all of which is kept until this process ends."""
    return any(isinstance(event, Server) and event.what == "unbounded" for event in run.history)


def _limit_files() -> None:
    """Let a write fail that makes a file far larger than any play does: our files are in memory."""
    with contextlib.suppress(OSError, ValueError):
        _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (LARGEST_FILE, most))


def _redirect_to_devnull() -> None:
    """Redirect stdin, stdout and stderr: what a server writes there must not mix with our messages."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)


@cache
def _warm_up() -> None:
    """Import everything that a simulated play needs, by playing one, before the first."""
    simulate(Case(1, "warm", size=1), targets.reference())
    _freeze()


def _freeze() -> None:
    """Leave what there is so far to all children: they collect what they make themselves."""
    gc.collect()
    gc.freeze()


def main() -> None:
    """Play the jobs that are read from standard input."""
    end_with_parent(signal.SIGTERM)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides, and sends SIGTERM
    adopt_orphans()
    close_to_others()  # what our children play is not to write what they answer
    parent = _Parent(int(sys.argv[1]))
    if os.getpid() == 1:  # in a namespace of our own, in which only our children could send it
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with tempfile.TemporaryDirectory(prefix="chatlab-", dir=in_memory()) as folder:
        SimWorld.disk = folder
        _freeze()
        finished = parent.run()
    sys.exit(0 if finished else 128 + signal.SIGTERM)


if __name__ == "__main__":
    main()
