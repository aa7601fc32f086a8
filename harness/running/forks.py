"""The processes that play simulations: a parent that has imported everything, and forks a child for each job.

Importing takes longer than playing. And a play leaves its process in a state that cannot be cleaned up: tasks
of killed servers, whose `finally` blocks must not run, and modules that a server changed. So a child ends
with `os._exit`, and no destructor runs.
"""

from __future__ import annotations

import contextlib
import gc
import os
import selectors
import signal
import socket
import sys
import tempfile
import traceback
from collections import deque
from collections.abc import Iterator

from msgspec import Struct, field
from msgspec.structs import replace

from harness.history.as_json import from_json, to_json
from harness.history.events import Server
from harness.judged import targets
from harness.judged.process import end_with_parent, in_memory
from harness.running.fork_pool import DROP_ALL, LENGTH, SimJob, packed
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


class _Child(Struct):
    """A job that is running: the child's process, what it has written so far, and the watch over it."""

    number: int
    job: SimJob
    pid: int
    watch: Watch
    runs: list[bytes] = field(default_factory=list)
    """Runs from before, when another child played the first of the cases."""
    written: bytearray = field(default_factory=bytearray)
    stuck: Stuck | None = None
    """Why it was killed in the middle of a play."""
    tries: int = 0
    """How often that has happened to the case that it began with."""


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
            return True
        finally:
            self._drop_all()

    def _drop_all(self) -> None:
        """End all children, and forget what else was to be played."""
        self._jobs.clear()
        for reader, child in self._children.items():
            self._selector.unregister(reader)
            os.close(reader)
            with contextlib.suppress(ProcessLookupError, ChildProcessError):
                os.kill(child.pid, signal.SIGKILL)
                os.waitpid(child.pid, 0)  # else it could still write to the folder that is removed next
            child.watch.close()
        self._children.clear()

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
        number, job = from_json(message, tuple[int, SimJob])
        self._fork(number, job)

    def _fork(self, number: int, job: SimJob) -> _Child:
        """Let a child play a job."""
        reader, writer = os.pipe()
        watch = Watch(is_again=job.cases[0].until is not None)
        pid = os.fork()
        if pid == 0:
            _play_and_exit(job, writer, watch)
        os.close(writer)
        watch.begin(pid)
        child = self._children[reader] = _Child(number, job, pid, watch)
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
        _, status = os.waitpid(child.pid, 0)
        runs, error = _runs_in(child.written)
        code = os.waitstatus_to_exitcode(status)
        if code and code not in DISARMED and not error and child.stuck is None:
            child.stuck = child.watch.ended(code)
        child.watch.close()
        if code == 0:  # also if it seemed to be stuck a moment before
            self._answer(b'[%d,"",[%b]]' % (child.number, b",".join([*child.runs, *runs])))
        elif child.stuck is not None and child.tries < MOST_TRIES:
            stuck, *rest = child.job.cases[len(runs) :]
            cases = [replace(stuck, until=child.stuck), *rest]
            again = self._fork(child.number, replace(child.job, cases=cases))
            again.runs, again.tries = [*child.runs, *runs], 1 if runs else child.tries + 1
        else:
            by = signal.Signals(-code).name if code < 0 else DISARMED.get(code, "")
            text = by or text_of(error) or "a simulated play has just ended"
            self._answer(to_json([child.number, text, bool(by)]))

    def _answer(self, message: bytes) -> None:
        sys.stdout.buffer.write(packed(message))
        sys.stdout.buffer.flush()


def _runs_in(written: bytearray) -> tuple[list[bytes], bytes]:
    """The runs that a child has written, each with its length before it, and what comes after them."""
    runs, at = [], 0
    while len(written) >= at + LENGTH.size:
        (size,) = LENGTH.unpack_from(written, at)
        if size == 0 or len(written) < at + LENGTH.size + size:
            break
        runs.append(bytes(written[at + LENGTH.size : at + LENGTH.size + size]))
        at += LENGTH.size + size
    return runs, bytes(written[at + LENGTH.size :])


def _play_and_exit(job: SimJob, writer: int, watch: Watch) -> None:
    """In a child: play, write each run (or, after an empty one, an error), and exit without any cleanup."""
    status = 1
    try:
        with os.fdopen(out_of_the_way(writer), "wb") as file:
            try:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGTERM, signal.SIG_DFL)
                end_with_parent(signal.SIGKILL)
                _redirect_to_devnull()
                watch.is_watched()
                gc.disable()  # the process ends soon; during a play, the simulator collects garbage itself
                for run in _runs_of(job, watch):
                    file.write(packed(to_json(run)))
                    file.flush()
                status = 0
            except BaseException:
                if has_changed_python():
                    os._exit(CHANGED)
                file.write(packed(b"") + traceback.format_exc().encode(errors="backslashreplace"))
    except OSError:
        status = CLOSED
    finally:
        os._exit(status)


def _runs_of(job: SimJob, watch: Watch) -> Iterator[Run]:
    """The runs of a job, or of as many of its cases as can be played in one process."""
    for number, case in enumerate(job.cases):
        run = simulate(case, job.target, with_calls=job.with_calls, watched=watch.turns)
        if number and _needs_a_new_process(run):
            return  # the pool will ask for the rest again, and then this case is the first
        is_left = case.until is not None or _has_left_much(run)
        if job.lean:
            run.history = []
        yield run
        if is_left:
            return  # its server's code was left in the middle: the others are played in a new process


def _needs_a_new_process(run: Run) -> bool:
    """Whether its server may have failed to start only because it was started for another play before."""
    found = [event for event in run.history if isinstance(event, Server) and event.what == "not_simulated"]
    return any(event.detail["lacking"] == "restart" for event in found)


def _has_left_much(run: Run) -> bool:
    """Whether its server had more and more to do, all of which is kept until this process ends."""
    return any(isinstance(event, Server) and event.what == "unbounded" for event in run.history)


def _redirect_to_devnull() -> None:
    """Redirect stdin, stdout and stderr: what a server writes there must not mix with our messages."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)


def _warm_up() -> None:
    """Import everything that a play needs, by playing one."""
    simulate(Case(1, "warm", size=1), targets.reference())
    gc.collect()
    gc.freeze()


def main() -> None:
    """Play the jobs that are read from standard input."""
    end_with_parent(signal.SIGTERM)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides, and sends SIGTERM
    parent = _Parent(int(sys.argv[1]))
    with tempfile.TemporaryDirectory(prefix="chatlab-", dir=in_memory()) as folder:
        SimWorld.disk = folder
        _warm_up()
        finished = parent.run()
    sys.exit(0 if finished else 128 + signal.SIGTERM)


if __name__ == "__main__":
    main()
