"""Virtual time: hosts whose code runs when something is due, and a clock that jumps to the next such moment.

Code takes no time here; what takes time is the network, the disk, and sleeping. So whatever happens follows
from the delays alone, which come from a seed: the same seed gives the same run. The idea is FoundationDB's
(Zhou et al., SIGMOD 2021); what is new is that it carries unmodified asyncio and websockets code.

Each host has an event loop of its own (`hostloop.py`), so that asyncio itself keeps their tasks apart. All of
them share the two queues of the one simulator: what can run now, and what is due later.
"""

from __future__ import annotations

import asyncio
import gc
import heapq
import itertools
import sys
from asyncio import events
from collections import Counter, deque
from collections.abc import Callable, Coroutine
from random import Random
from typing import Any, TypeVar

from greenlet import greenlet

from harness.worlds.sim import stable_hash as identity
from harness.worlds.sim.host import Host
from harness.worlds.sim.hostloop import Handle, HostLoop
from harness.worlds.sim.latency_model import LatencyModel
from harness.worlds.sim.network import Network
from harness.worlds.sim.source_locations import own_frame, place_of
from harness.worlds.sim.stdlib_patches import StdlibPatches

T = TypeVar("T")

UPTIME = 100_000.0
"""What the clock shows at the start of a run, in seconds: its zero has no meaning."""
SPINS = 1000
"""Turns of the loop at one moment after which some code waits busily, and the clock has to go on."""
_MORE_SPINS = 10
"""Turns until it is advanced again, as long as the busy wait lasts."""
_STEP = 0.01
"""Seconds by which it is advanced then, unless something is due before."""
_LONG_SPIN = 1.0
"""Seconds of a busy wait after which it is no short one, and may be one for ever."""
_FEW_SPINS = 100
"""Turns in which what is due during a long one can be done, before the clock is advanced again."""
_BUSY_SECONDS = 3600.0
"""Seconds of a busy wait after which it counts as in vain, unless something else is due."""
_TURNS_PER_COLLECTION = 20_000
"""Turns between two collections of garbage: at fixed moments, since destructors are code that runs too."""
MOST_WAITING = 20_000
"""Callbacks and steps of tasks that may be ready, or due later: a large play has some hundreds."""
_FEW_TIMERS = 200

_MUCH_GARBAGE = 300_000
"""Objects, made and not freed since the last collection, that are too many to wait for the next one."""

_earlier: list[Simulator] = []
"""Earlier simulators: what was killed in them is never finalized, for that would run it."""


class Endless(Exception):  # noqa: N818 - named for what it is
    """More and more waits to be run, and where it comes from: `where`."""

    def __init__(self, where: str) -> None:
        super().__init__(where)
        self.where = where


class TurnReached(Exception):  # noqa: N818 - named for what it is
    """The simulation was to go no further than this turn."""


class Deadlock(Exception):  # noqa: N818 - named for what it is
    """Nothing is left to run, and some task waits; the text says which, and where."""


def collect_much_garbage() -> None:
    """Collect garbage if there may be much of it, as Python would do by itself: it is nobody's memory."""
    if gc.get_count()[0] > _MUCH_GARBAGE:
        gc.collect()


class Simulator:
    """One simulated world: its hosts, their network, and its clock. `start` is its time of day at first."""

    def __init__(self, seed: str, start: float, latency: LatencyModel | None = None) -> None:
        self.seed = seed
        self.start = start
        self.now = UPTIME
        """What `time.monotonic()` and the loops' `time()` show, in seconds."""
        self.latency = latency or LatencyModel(Random(f"{seed}/weather"))
        self.network = Network(self)
        self.hosts: list[Host] = []
        self.current: Host | None = None
        """The host whose code is running."""
        self._loop: HostLoop | None = None
        self.turns = 0
        self.handled = 0
        """Callbacks and steps of tasks that have been run."""
        self.most = sys.maxsize
        """How many are run at the most: then `run` raises TurnReached."""
        self.on_turn: Callable[[int, bool], None] = lambda turn, is_judged: None
        """Called before each with its number, and whether it is of the judged code: see `watchdog.py`."""
        self._ready: deque[Handle] = deque()
        self._timers: list[tuple[float, int, Handle]] = []
        self._cancelled_timers = 0
        self._last_event = self.now  # steps for a busy wait do not count
        self._last_quiet = self.now  # when nothing was ready
        self._numbers = itertools.count()
        self._patches = StdlibPatches(self)

    def host(self, name: str) -> Host:
        """A new host."""
        host = Host(self, name, len(self.hosts))
        self.hosts.append(host)
        return host

    # --- what is to be done -----------------------------------------------------------------------

    @property
    def harness_loop(self) -> HostLoop:
        """The loop of the host that the harness itself runs on: the first one."""
        return self.hosts[0].loop

    def soon(self, handle: Handle) -> None:
        """Run this in the next turn."""
        self._ready.append(handle)

    def at(self, when: float, handle: Handle) -> None:
        """Run this when its time has come."""
        heapq.heappush(self._timers, (when, next(self._numbers), handle))

    def timer_cancelled(self) -> None:
        """One of the timers will not be needed; once there are many of these, they are thrown out."""
        self._cancelled_timers += 1
        if self._cancelled_timers > _FEW_TIMERS and 2 * self._cancelled_timers > len(self._timers):
            self._timers = [entry for entry in self._timers if not entry[2].is_cancelled]
            heapq.heapify(self._timers)
            self._cancelled_timers = 0

    # --- running ----------------------------------------------------------------------------------

    def run(self, main: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on a host of its own until it is done.

        Raises Deadlock if it never can be, Endless if there is more and more to do, and TurnReached where it
        was to go no further.
        """
        _earlier.append(self)
        host = self.host("harness")
        with self._patches, identity.serial_hashes():
            collecting = gc.isenabled()
            gc.disable()
            try:
                task: asyncio.Task[T] = host.loop.create_task(main)
                while not task.done():
                    # A host that ends itself is left where it is, with the greenlet that it runs in.
                    greenlet(self._run_until).switch(task.done)
                return task.result()
            finally:
                self._enter(None)
                self._patches.restore()
                if collecting:
                    gc.enable()

    def _run_until(self, done: Callable[[], bool]) -> None:
        ready, spins = self._ready, 0
        while not done():
            if not ready:
                self._advance()
                self._last_quiet, spins = self.now, 0
            elif spins >= SPINS:
                # Some task loops with `await asyncio.sleep(0)`, until it is late enough.
                spins = SPINS - self._advance_a_step()
            if len(ready) + len(self._timers) > MOST_WAITING:
                raise Endless(self._mostly_waits())
            spins += 1
            self.turns += 1
            if self.turns % _TURNS_PER_COLLECTION == 0:
                gc.collect()
            collect_much_garbage()
            for _ in range(len(ready)):
                self._run_one(ready.popleft())

    def _run_one(self, handle: Handle) -> None:
        loop = handle.loop
        if handle.is_cancelled or loop.is_over:
            loop.host.drop(handle)
            return
        host = loop.host
        if host.busy_until > self.now:
            host.postpone(handle)
            return
        if loop is not self._loop:
            self._enter(loop)
        self.handled += 1
        if self.handled >= self.most:
            raise TurnReached
        self.on_turn(self.handled, host.is_server)
        try:
            handle.context.run(handle.callback, *handle.args)
        except (SystemExit, KeyboardInterrupt) as error:
            host.interrupt(error)
        except BaseException as error:
            handle.failed(error)

    def _enter(self, loop: HostLoop | None) -> None:
        """Make this loop and its host the ones whose code runs next."""
        self._loop = loop
        host = loop.host if loop else None
        assert host is None or isinstance(host, Host)
        self.current = host
        events._set_running_loop(loop)

    def new_process(self) -> None:
        """Restore the standard library to what a new process finds."""
        self._patches.new_process()

    def step_outside(self) -> None:
        """From here on, the code that runs counts as the harness's, in the middle of a turn."""
        self._enter(self.hosts[0].loop)

    def abandon_current_task(self) -> None:
        """Leave the code that runs where it is: asyncio should not take it for running still."""
        loop = self._loop
        assert loop is not None
        events._set_running_loop(loop)
        task = asyncio.current_task(loop)
        if task is not None:
            asyncio.tasks._leave_task(loop, task)
        self._enter(None)

    def _advance(self) -> None:
        """Advance the clock to what is due next, and make that ready."""
        when = self._next_due()
        if when is None:
            raise Deadlock(self._waiting_tasks("nothing is left"))
        self.now = self._last_event = max(self.now, when)
        timers = self._timers
        while timers and timers[0][0] <= self.now:
            self._ready.append(heapq.heappop(timers)[2])

    def _advance_a_step(self) -> int:
        """Advance the clock during a busy wait. Returns after how many turns it is advanced again."""
        when = self._next_due()
        lasted = self.now - self._last_quiet
        is_long = lasted > _LONG_SPIN
        step = lasted / 10 if is_long else _STEP
        if when is not None and when <= self.now + step:
            self._advance()
            return _FEW_SPINS if is_long else SPINS
        if when is None and self.now - self._last_event > _BUSY_SECONDS:
            raise Deadlock(self._waiting_tasks("somebody waits busily, and nothing else is left"))
        self.now += step
        return 1 if is_long else _MORE_SPINS

    def _mostly_waits(self) -> str:
        """Where most of what waits comes from, as far as that is known."""
        some = [*itertools.islice(reversed(self._ready), 100), *(entry[2] for entry in self._timers[-100:])]
        places = Counter(place for handle in some if (place := handle.where))
        return places.most_common(1)[0][0] if places else ""

    def _next_due(self) -> float | None:
        """When the next timer is due that is still needed."""
        timers = self._timers
        while timers:
            when, _, handle = timers[0]
            if not (handle.is_cancelled or handle.loop.is_over):
                return when
            handle.loop.host.drop(handle)
            heapq.heappop(timers)
            self._cancelled_timers -= handle.is_cancelled
        return None

    def _waiting_tasks(self, why: str) -> str:
        lines = [f"{host.name}: {line}" for host in self.hosts for line in host.waiting()]
        return "\n".join([f"{why} to run after {self.now - UPTIME:.3f} s; these tasks wait:", *lines])

    @property
    def local_now(self) -> float:
        """The clock as the code that runs sees it: a host in `time.sleep` is ahead."""
        return max(self.now, self.current.busy_until) if self.current else self.now

    def called_from(self) -> str:
        """The place in the current host's own code that is running: "server.py, line 12, in say".

        A library's function that an executor runs has none: then it is where that was submitted.
        """
        frame, host = sys._getframe(1), self.current
        if host is not None and host.thread is not None and own_frame(frame) is None:
            return host.submitted_from
        return place_of(frame)
