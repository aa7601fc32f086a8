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
from collections import deque
from collections.abc import Callable, Coroutine
from random import Random
from typing import Any, TypeVar

from greenlet import greenlet

from harness.worlds.sim import identity
from harness.worlds.sim.host import Host
from harness.worlds.sim.hostloop import Handle
from harness.worlds.sim.nature import Nature
from harness.worlds.sim.network import Network
from harness.worlds.sim.weather import Weather

T = TypeVar("T")

SPINS = 1000
"""Turns of the loop at one moment after which whoever waits busily is made to wait for the next event."""
_TURNS_PER_COLLECTION = 20_000
"""Turns between two collections of garbage: at fixed moments, since destructors are code that runs too."""
_FEW_TIMERS = 200


class Deadlock(Exception):  # noqa: N818 - named for what it is
    """Nothing is left to run, and somebody waits; the text says who, and where."""


class Simulator:
    """One simulated world: its hosts, their network, and its clock. `start` is its time of day at 0."""

    def __init__(self, seed: str, start: float, weather: Weather | None = None) -> None:
        self.seed = seed
        self.start = start
        self.now = 0.0
        """Seconds since the run began."""
        self.weather = weather or Weather(Random(f"{seed}/weather"))
        self.network = Network(self)
        self.hosts: list[Host] = []
        self.current: Host | None = None
        """The host whose code is running."""
        self.turns = 0
        self.handled = 0
        """Callbacks and steps of tasks that have been run."""
        self._ready: deque[Handle] = deque()
        self._timers: list[tuple[float, int, Handle]] = []
        self._cancelled_timers = 0
        self._numbers = itertools.count()
        self._nature = Nature(self)
        self._is_ahead = False  # whether the code that runs is on a host that has slept in vain

    def host(self, name: str) -> Host:
        """A new host."""
        host = Host(self, name, len(self.hosts))
        self.hosts.append(host)
        return host

    # --- what is to be done -----------------------------------------------------------------------

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

    def run(self, main: Coroutine[Any, Any, T], name: str = "harness") -> T:
        """Run a coroutine on a host of its own until it is done. Raises Deadlock if it never can be."""
        host = self.host(name)
        with self._nature, identity.serial_hashes():
            collecting = gc.isenabled()
            gc.disable()
            try:
                task: asyncio.Task[T] = host.loop.create_task(main)
                while not task.done():
                    # A host that ends itself is left where it stands, with the greenlet that it runs in.
                    greenlet(self._run_until).switch(task.done)
                return task.result()
            finally:
                self._enter(None)
                if collecting:
                    gc.enable()

    def _run_until(self, done: Callable[[], bool]) -> None:
        ready, spins = self._ready, 0
        while not done():
            if not ready:
                self._to_the_next_moment()
                spins = 0
            elif spins >= SPINS:
                # Somebody turns round and round with `await asyncio.sleep(0)`, until something happens.
                self._to_the_next_moment(busy=True)
                spins = 0
            spins += 1
            self.turns += 1
            if self.turns % _TURNS_PER_COLLECTION == 0:
                gc.collect()
            for _ in range(len(ready)):
                self._run_one(ready.popleft())

    def _run_one(self, handle: Handle) -> None:
        host = handle.loop.host
        if handle.is_cancelled or not host.is_alive:
            return
        if host.busy_until > self.now:
            host.postpone(handle)
            return
        if host is not self.current:
            self._enter(host)
        self.handled += 1
        try:
            handle.context.run(handle.callback, *handle.args)
        except (SystemExit, KeyboardInterrupt) as error:
            host.interrupt(error)
        except BaseException as error:
            handle.failed(error)

    def _enter(self, host: Host | None) -> None:
        """Have the code that runs next be this host's."""
        self.current = host
        events._set_running_loop(host.loop if host else None)
        if self._is_ahead or (host and host.busy_until > self.now):
            self._is_ahead = not self._is_ahead
            self._nature.tell_time()

    def current_task_vanishes(self) -> None:
        """The code that runs is left where it stands: asyncio should not take it for running still."""
        assert self.current is not None
        loop = self.current.loop
        events._set_running_loop(loop)
        task = asyncio.current_task(loop)
        if task is not None:
            asyncio.tasks._leave_task(loop, task)
        self._enter(None)

    def _to_the_next_moment(self, busy: bool = False) -> None:
        """Advance the clock to what is due next, and make that ready."""
        timers = self._timers
        while timers:
            when, _, handle = heapq.heappop(timers)
            if handle.is_cancelled:
                self._cancelled_timers -= 1
                continue
            if not handle.loop.host.is_alive:
                continue
            self.now = max(self.now, when)
            self._ready.append(handle)
            while timers and timers[0][0] <= self.now:
                self._ready.append(heapq.heappop(timers)[2])
            self._nature.tell_time()
            return
        raise Deadlock(self._who_waits(busy))

    def _who_waits(self, busy: bool) -> str:
        why = "somebody waits busily, and nothing else is left" if busy else "nothing is left"
        lines = [f"{host.name}: {line}" for host in self.hosts for line in host.waiting()]
        return "\n".join([f"{why} to run after {self.now:.3f} s; these tasks wait:", *lines])

    @property
    def local_now(self) -> float:
        """Seconds since the run began, for the code that runs: a host that sleeps in vain is ahead."""
        return max(self.now, self.current.busy_until) if self.current else self.now

    def called_from(self) -> str:
        """The place in the current host's own code that is running: "server.py, line 12, in say"."""
        from harness.worlds.sim.places import place_of

        return place_of(sys._getframe(1))
