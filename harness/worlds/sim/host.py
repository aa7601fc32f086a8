"""A simulated machine with one process on it: its code, its event loop, its end.

A program's main part runs in a greenlet of its own, since `asyncio.run` has to return to it. Callbacks and
tasks run in the simulator's, but all of that is one thread, as in a real process: databases and whatever
else belongs to a thread can be opened in the main part and used in a coroutine.

SIGKILL is `kill`: nothing of the host runs any more, no `finally` and no destructor. What it has left
behind is kept until the run ends, so that Python does not finalize it. The code of a host that ends itself
(`os._exit`) stays where it is: its greenlet is never switched to again.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import io
import itertools
import os
import signal
import traceback
import weakref
from asyncio import events
from collections import deque
from collections.abc import Callable, Mapping
from random import Random
from typing import Any, NoReturn

from greenlet import getcurrent, greenlet

from harness.history import calls
from harness.worlds.sim import observed, threads
from harness.worlds.sim.hostloop import Handle, HostLoop, Workers
from harness.worlds.sim.machine import Scheduler
from harness.worlds.sim.source_locations import is_library, raised_where, waits_where
from harness.worlds.sim.stand_ins import NotSimulated, own_fault
from harness.worlds.sim.threads import WorkerThread

KEPT_LINES = 200
"""Lines of a host's output that are kept."""
LOCKS = ("Lock.acquire", "Semaphore.acquire", "Condition.wait", "Barrier.wait")
"""Where tasks wait for another one to release them; in a correct server, for a moment only."""
ANOTHER = (*LOCKS, "Event.wait", "Queue.get", "Queue.put")
"""Where tasks wait for one another, and not for the network or the clock."""
_OBSERVERS = tuple(f'  File "{inspect.getfile(each)}"' for each in (calls, observed, threads))
"""How the lines of a traceback begin that show a frame of ours around a call."""
_IGNORED = (signal.SIGCHLD, signal.SIGCONT, signal.SIGPIPE, signal.SIGURG, signal.SIGWINCH)
"""Signals that do nothing to a program that has no handler for them."""


class Host:
    """One process on a machine of its own. `exit_code` is None while it runs; negative: by that signal."""

    def __init__(self, simulator: Scheduler, name: str, number: int) -> None:
        self.simulator = simulator
        self.name = name
        self.number = number
        self.pid = 1000 + number
        self.rng = Random(f"{simulator.seed}/{name}/{number}")
        """The source of the host's own random numbers."""
        self.environ: dict[str, str] = {}
        self.is_server = False
        """Whether it runs a server, and not our own code: then system calls are replaced or refused."""
        self.system = HostLoop(self)
        """What happens on it outside of any loop of its own, such as work in threads."""
        self.loop = self.system
        """The last loop that its program has made."""
        self.loops = [self.loop]
        self.is_alive = True
        self.exit_code: int | None = None
        self.refused: NotSimulated | None = None
        """What it used that the simulated world does not have."""
        self.busy_until = 0.0
        """Until when `time.sleep` holds up everything on it."""
        self.slept: dict[str, float] = {}
        """Where it called `time.sleep`, and for how many seconds in all."""
        self.last_slept = ""
        """Where it called that last."""
        self.on_block: Callable[[str, float], None] = lambda where, seconds: None
        """Called with the place and the seconds of each call that keeps its loop from running."""
        self.output: deque[str] = deque(maxlen=KEPT_LINES)
        self.printed = 0
        self.on_print: Callable[[str], None] = lambda text: None
        """Called with what it prints, at that moment."""
        self.thread: WorkerThread | None = None
        """The executor's thread whose work is running, if any."""
        self._threads = itertools.count(1)
        self.submitted_from = ""
        """Where that work was submitted to the executor."""
        self.handlers: dict[int, Any] = {signal.SIGINT: signal.default_int_handler}
        """What `signal.signal` was given, by number."""
        self.blocked: set[int] = set()
        """Signals that it has blocked."""
        self.pending: set[int] = set()
        """Blocked signals that have come."""
        self.kept: dict[Any, Any] = {}
        """What else the system keeps for it. See `system.py`."""
        self.error: BaseException | None = None
        """The exception that it ended with."""
        self.at_exit: list[tuple[Callable[..., object], Callable[[], object]]] = []
        """What `atexit` has registered, and how it is called."""
        self.synced: dict[int, int] = {}
        """By inode, how many bytes of its files are surely on the disk."""
        self.files: list[weakref.ref[io.IOBase]] = []
        """The files that it has opened, as long as they exist."""
        self._line = ""
        self._postponed: list[Handle] = []
        self._workers: dict[int, Workers] = {}
        self._main: greenlet | None = None
        self._alarm: asyncio.TimerHandle | None = None
        self._to_raise: BaseException | None = None
        self._left_behind: list[object] = []

    # --- its main part ----------------------------------------------------------------------------

    def start(self, main: Callable[[], object], environ: Mapping[str, str]) -> None:
        """Run a program's main part, from the next turn on."""
        self.environ = dict(environ)
        self.is_server = True

        self._main = greenlet(lambda: self._finish(main))
        self.system.call_soon(self.resume_main)

    def _finish(self, main: Callable[[], object]) -> None:
        """Run the main part to its end, and all that Python does at the end of a process."""
        code: object = 0
        try:
            main()
        except SystemExit as error:
            code, self.error = error.code, error
        except KeyboardInterrupt:
            code = -signal.SIGINT  # so does Python
        except BaseException as error:
            self.error, self.refused = error, self.refused or own_fault(error)
            trace = error.__traceback__
            while trace is not None and is_library(trace.tb_frame.f_code.co_filename):
                trace = trace.tb_next  # its author need not see how we started it
            self.print("".join(traceback.format_exception(type(error), error, trace)))
            code = 1
        if isinstance(code, str):
            self.print(f"{code}\n")
            code = 1
        for workers in self._workers.values():
            workers.finish()
        for _, each in reversed(self.at_exit):
            try:
                each()
            except Exception:
                self.print(traceback.format_exc())
        for file in self._open_files():
            with contextlib.suppress(OSError, ValueError):
                file.close()  # as Python does for files that were left open
        self._end(code if isinstance(code, int) else 0)

    def wait_for_loop(self) -> None:
        """In the main part: let the simulation go on until `resume_main`."""
        assert self._main is not None
        self._main.parent.switch()
        error, self._to_raise = self._to_raise, None
        if error is not None:
            raise error

    def resume_main(self) -> None:
        """In the simulation: let the main part go on, until it waits again or is done."""
        if self.is_alive and self._main is not None:
            before = events._get_running_loop()
            events._set_running_loop(None)
            self._main.parent = getcurrent()
            self._main.switch()
            events._set_running_loop(before)

    def interrupt(self, error: BaseException) -> None:
        """A callback raised what ends a process: raise it in the main part, as asyncio does."""
        if self.is_alive:
            self._to_raise = error
            self.resume_main()

    # --- its loops and threads --------------------------------------------------------------------

    def new_loop(self) -> HostLoop:
        """A loop for its program."""
        self.loop = HostLoop(self)
        self.loops.append(self.loop)
        return self.loop

    def workers_of(self, executor: Any) -> Workers:
        """The threads of an executor, or of a loop's own."""
        workers = self._workers.get(id(executor))
        if workers is None:
            workers = self._workers[id(executor)] = Workers(self, executor)
        return workers

    def new_thread(self, name: str) -> WorkerThread:
        """A thread for an executor."""
        return WorkerThread(name, self.pid * 1000 + next(self._threads))

    @property
    def most_threads(self) -> int:
        """Threads of one executor that were at work at the same time."""
        return max((workers.most_at_once for workers in self._workers.values()), default=0)

    def shut_down(self, executor: Any, wait: bool, cancel: bool) -> None:
        """An executor takes no more work."""
        if id(executor) in self._workers:
            workers = self._workers[id(executor)]
            if cancel:
                workers.cancel()
            if wait:
                workers.finish()

    # --- its end ----------------------------------------------------------------------------------

    def send_signal(self, number: int) -> None:
        """Send it a signal: it runs its handler, or ends. From elsewhere that happens in the next turn."""
        handler = self.handlers.get(number, signal.SIG_DFL)
        if not self.is_alive or handler is signal.SIG_IGN or number == 0:
            return
        if number in self.blocked and number != signal.SIGKILL:
            self.pending.add(number)
            return
        if callable(handler) and (wakeup := self.kept.get("wakeup", -1)) >= 0:
            with contextlib.suppress(OSError):
                os.write(wakeup, bytes([number]))
        if handler is signal.SIG_DFL or number == signal.SIGKILL:
            if number not in _IGNORED:
                self.kill(number)
        elif self.simulator.current is self:
            handler(number, None)
        else:
            running = [loop for loop in self.loops if loop.is_running()]
            (running or [self.system])[-1].call_soon(handler, number, None)

    def set_alarm(self, seconds: float) -> float:
        """Send it SIGALRM after so many seconds; 0: do not. Returns how many were left of the last one."""
        outside = self.simulator.harness_loop
        left = 0.0
        if self._alarm is not None:
            left = max(0.0, self._alarm.when() - outside.time())
            self._alarm.cancel()
        self._alarm = outside.call_later(seconds, self.send_signal, signal.SIGALRM) if seconds else None
        return left

    def kill(self, number: int = signal.SIGKILL) -> None:
        """End it at once. Its connections are closed by the system; nothing else happens.

        Does not return to the host's own code.
        """
        self._end(-int(number))
        if self.simulator.current is self:
            self._stop_here()

    def exit(self, code: int) -> NoReturn:
        """`os._exit`: end it at once, from within."""
        self._end(code)
        self._stop_here()

    def refuse(self, what: str, where: str = "", name: str = "") -> NoReturn:
        """Stop a host that does what cannot be simulated, there and then."""
        if not self.is_server:
            raise NotImplementedError(f"{what} {name}: not in the simulated world")
        self.refused = self.refused or NotSimulated(what, where or self.simulator.called_from(), name)
        self._end(1)
        self._stop_here()

    def _stop_here(self) -> NoReturn:
        """Leave the running code of the host where it is, and let the other hosts go on."""
        running = getcurrent()
        self._left_behind.append(running)  # else Python would unwind it
        self.simulator.abandon_current_task()
        assert running.parent is not None
        running.parent.switch()
        raise AssertionError("a host that has ended is never switched to")

    def _end(self, code: int) -> None:
        if not self.is_alive:
            return
        self._left_behind += [*self._unfinished(), *self._open_files()]
        self.is_alive = False
        self.exit_code = code
        for loop in self.loops:
            loop.is_over = True
            self.simulator.network.loop_ended(loop)

    def _open_files(self) -> list[io.IOBase]:
        return [file for each in self.files if (file := each()) is not None]

    def _unfinished(self) -> list[asyncio.Task[Any]]:
        return [task for loop in self.loops for task in loop.unfinished()]

    def keep(self, thing: object) -> None:
        """Keep something until the run ends, so that no destructor of it runs."""
        self._left_behind.append(thing)

    def drop(self, handle: Handle) -> None:
        """A callback will not be called."""
        if not self.is_alive:
            self.keep(handle)

    # --- what it does with time -------------------------------------------------------------------

    def sleep(self, seconds: float) -> None:
        """`time.sleep`: for so long, nothing else happens on this host."""
        where = self.simulator.called_from() if self.thread is None else ""
        self.busy_until = max(self.busy_until, self.simulator.now) + seconds
        if where:
            self.slept[where] = self.slept.get(where, 0.0) + seconds
            self.last_slept = where
            self.on_block(where, seconds)

    def postpone(self, handle: Handle) -> None:
        """Keep something that can run when the host is not busy any more."""
        if not self._postponed:
            self.simulator.harness_loop.call_at(self.busy_until, self._go_on)
        self._postponed.append(handle)

    def _go_on(self) -> None:
        postponed, self._postponed = self._postponed, []
        for handle in postponed:
            self.simulator.soon(handle)

    # --- its output -------------------------------------------------------------------------------

    def print(self, text: str) -> None:
        """Add to its output."""
        self.printed += len(text)
        self.on_print(text)
        *lines, self._line = (self._line + text[-100_000:]).split("\n")
        self.output.extend(lines)

    def lines(self) -> list[str]:
        """The end of its output; in tracebacks, without the frames that record its calls."""
        return without_observers([*self.output, *([self._line] if self._line else [])])

    def waiting(self, inside: tuple[str, ...] = ()) -> list[str]:
        """The places where its tasks wait; with `inside`, only those that wait in one of these functions."""
        found = []
        for task in self._unfinished():
            place, function = waits_where(task.get_coro())
            if place and (not inside or function.endswith(inside)):
                found.append(place)
        return found

    def unseen_errors(self) -> dict[str, str]:
        """By place, the exceptions by which tasks have ended, and which were never retrieved."""
        errors = [error for loop in self.loops for error in loop.unseen_errors()]
        return {raised_where(error): traceback.format_exception_only(error)[-1].strip() for error in errors}


def without_observers(lines: list[str]) -> list[str]:
    """The lines of tracebacks without the frames that record calls."""
    found: list[str] = []
    is_ours = False
    for line in lines:
        is_ours = line.startswith(_OBSERVERS) or (is_ours and line.startswith("    "))
        if not is_ours:
            found.append(line)
    return found
