"""Protocols for type hints: a machine with a process, and the simulator that schedules it.

Loops, sockets, streams and patches are given the host that they belong to, and the host is made of them. So
that none of these modules imports one above it, they know it by these protocols, which `host.py` and
`simulator.py` implement.
"""

from __future__ import annotations

import asyncio
from typing import Any, NoReturn, Protocol

from harness.worlds.sim.latency_model import LatencyModel
from harness.worlds.sim.threads import WorkerThread


class Scheduler(Protocol):
    """The simulator, as its hosts see it: virtual time, what is to run, and the network."""

    now: float
    """What the clocks show, in seconds."""
    start: float
    """The time of day at the beginning, in seconds since the Unix epoch."""
    seed: str
    handled: int
    """Callbacks and steps of tasks that have been run."""
    latency: LatencyModel

    @property
    def current(self) -> Machine | None:
        """The host whose code is running."""

    @property
    def harness_loop(self) -> asyncio.AbstractEventLoop:
        """The loop of the host that the harness itself runs on."""

    @property
    def network(self) -> Any:
        """See `network.py`."""

    @property
    def local_now(self) -> float:
        """The clock as the code that runs sees it."""

    def soon(self, handle: Any) -> None:
        """Run this in the next turn."""

    def at(self, when: float, handle: Any) -> None:
        """Run this when its time has come."""

    def timer_cancelled(self) -> None:
        """One of the timers will not be needed."""

    def called_from(self) -> str:
        """The place in the current host's own code that is running."""

    def abandon_current_task(self) -> None:
        """Leave the code that runs where it is, for good."""


class Machine(Protocol):
    """A host: one process on a machine of its own. See `Host`, which has more."""

    busy_until: float
    thread: WorkerThread | None
    submitted_from: str
    environ: dict[str, str]
    handlers: dict[int, Any]
    blocked: set[int]
    pending: set[int]
    kept: dict[Any, Any]

    @property
    def simulator(self) -> Scheduler:
        """The simulator that runs its code."""

    @property
    def is_server(self) -> bool:
        """Whether it runs a server, and not our own code."""

    @property
    def is_alive(self) -> bool:
        """Whether its process has not ended."""

    @property
    def pid(self) -> int:
        """The id of its process."""

    @property
    def system(self) -> asyncio.AbstractEventLoop:
        """What happens on it outside of any loop of its own."""

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The last loop that its program has made."""

    def refuse(self, what: str, where: str = "", name: str = "") -> NoReturn:
        """End the play: this is not simulated."""

    def print(self, text: str) -> None:
        """Add to its output."""

    def send_signal(self, number: int) -> None:
        """Send it a signal."""

    def drop(self, handle: Any) -> None:
        """A callback will not be called."""

    def postpone(self, handle: Any) -> None:
        """Keep something that can run when it is not busy any more."""

    def interrupt(self, error: BaseException) -> None:
        """A callback raised what ends a process."""

    def workers_of(self, executor: Any) -> Any:
        """The threads of an executor; see `hostloop.Workers`."""

    def new_thread(self, name: str) -> WorkerThread:
        """A thread with an identity of its own."""

    def wait_for_loop(self) -> None:
        """In the main part: wait until its loop is stopped."""

    def resume_main(self) -> None:
        """Let the main part go on."""
