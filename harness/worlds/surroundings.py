"""What a client knows of its world: the timeline, how to wait, and how to reach the server."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
from math import inf
from time import process_time
from typing import Any

from harness.history import events as history
from harness.history.events import Event
from harness.worlds.connection import Connection
from harness.worlds.timeline import Timeline

POLL = 0.005
"""Seconds between two checks of what is waited for."""
PATIENCE = 6.0
"""Seconds without any progress after which we stop waiting. Only failures take that long."""
LEAST_PATIENCE = 1.5
"""Seconds of patience that remain after several waits in vain."""
BLOCKED = 0.5
"""Seconds in which nothing comes from the server, although something is due, that count as being blocked."""
MOST_BLOCKED = 5.0
"""Seconds of being blocked, in all, that are enough if they were most of the time for which we waited."""
SLOW_SECONDS = 12.0
"""Seconds of one wait after which a server is too slow if only a small part has come of what was due."""
SMALL_PART = 1 / 6
MANY = 10**9
"""What a wait counts down from where nobody knows how much is due."""
STOP_SECONDS = 5.0
"""What a server has for a stop, by the protocol."""


class PlayStopped(Exception):  # noqa: N818 - it ends a play; it is not an error of the harness
    """The scenario cannot go on; the history says why."""


class Gone(PlayStopped):
    """A client has no connection any more, and its next action needs one."""


class Pace:
    """Whether the server goes on while something is due from it, or is blocked again and again.

    Of a server whose event loop is blocked, no client hears anything; and then it goes on. (What never comes
    is another matter.) A moment for which this process did not get the processor is counted as a short one:
    see `moment`.
    """

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline
        self._heard = 0
        self.quiet = 0.0
        """Seconds since something came."""
        self.waited = 0.0
        """Seconds for which something was due."""
        self.blocked = 0.0
        """Those of them in which nothing came for half a second or longer, until something came."""
        self.longest = 0.0

    def passed(self, seconds: float) -> None:
        """So many seconds have passed, and something is due."""
        self.waited += seconds
        if self._timeline.frames == self._heard:
            self.quiet += seconds
            return
        if self.quiet > BLOCKED:
            self.blocked += self.quiet
            self.longest = max(self.longest, self.quiet)
        self.begin()

    def begin(self) -> None:
        """What happened before does not count: nothing was due, or it never came."""
        self._heard, self.quiet = self._timeline.frames, 0.0

    @property
    def may_be_blocked(self) -> bool:
        """Whether it was blocked for too long already, and may be now."""
        is_too_much = self.blocked > MOST_BLOCKED and self.blocked > self.waited / 2
        return is_too_much and self.quiet > BLOCKED


class Surroundings(ABC):
    """The part of a world that its clients use; `World` in base.py is the whole.

    It has shortcuts to what worlds that run side by side share: their timeline.
    """

    is_second = False
    """Whether it is a second world beside another one, with a copy of its data."""

    def __init__(self, timeline: Timeline) -> None:
        self.timeline = timeline
        self.history = timeline.history
        self.readings = timeline.readings
        self.nonce = timeline.nonce
        self.next_conn = timeline.next_conn
        self.next_number = timeline.next_number
        self.same = timeline.same
        self.patience = PATIENCE
        self.vain = 0.0
        """Seconds that were waited in vain: once there are some, a failure is certain."""
        self.most_vain = inf
        """Seconds of them after which nothing more is waited for."""
        self.slow_seconds = SLOW_SECONDS
        self.longest_wait = inf
        """Seconds after which one wait is in vain, however much has come meanwhile."""
        self.quiet = inf
        """Seconds without a frame that is due, after which we look whether new clients are accepted."""
        self.pace = Pace(timeline)
        self.fences = True
        """Whether the server answers `presence`, so that an answer shows that all before it was handled."""

    @property
    def flooded(self) -> bool:
        """Whether the server sent so much that nothing more is read."""
        return self.timeline.flooded

    def now(self) -> float:
        """Seconds since the run began."""
        return self.timeline.now()

    def record(self, event: Event) -> None:
        """Add an event to the history."""
        self.timeline.record(event)

    def note(self, what: str, value: Any) -> None:
        """Record something that was counted or measured."""
        self.record(history.Noted(self.now(), what, value))

    def name(self, text: str) -> str:
        """A name that no other run uses, for a room or a user."""
        return f"{text}-{self.nonce}"

    def tag(self) -> str:
        """A new tag, for a message to begin with."""
        return f"{self.nonce}-{self.next_number()}"

    async def pause(self, seconds: float) -> None:
        """Let time pass: the pace of a plan. Only scenes (scenarios/script.py), in virtual time, wait so."""
        await asyncio.sleep(seconds)

    @abstractmethod
    async def moment(self) -> float:
        """Wait until something may have happened; returns the seconds that count as waiting."""

    async def until(
        self, remaining: Callable[[], int], patience: float | None = None, *, may_hang: bool = False
    ) -> bool:
        """Wait until `remaining()` is 0 (or False); True if it is.

        Patience begins again whenever `remaining()` has become less. A moment for which this process did not
        get the processor does not count, so that a loaded machine is not mistaken for a silent server.
        Raises PlayStopped if the server dies meanwhile, or (unless it `may_hang`) no longer accepts clients.
        """
        due = left = int(remaining())
        waited = in_all = 0.0
        busy = process_time()
        is_probed = False
        limit = self.patience if patience is None else patience
        self.pace.begin()
        while left:
            used = process_time() - busy  # a flood keeps us from waiting, and counts as that
            if waited > limit or max(in_all, used) > max(self.longest_wait, 3 * limit):
                await self._in_vain(limit, may_hang=may_hang)
                return False
            self.check_server()
            if self.flooded:
                raise PlayStopped
            passed = await self.moment()
            waited, in_all = waited + passed, in_all + passed
            if patience is None and not may_hang:
                self.pace.passed(passed)
                if self.pace.may_be_blocked:
                    await self.check_blocked()
                if not is_probed and self.pace.quiet > self.quiet:
                    is_probed = True
                    await self.check_alive()  # which it does not have to be for as long as our patience lasts
                if in_all > self.slow_seconds > waited and due - left < SMALL_PART * due < MANY / 10:
                    self.too_slow(in_all, due - left, due)
            less = int(remaining())
            if less < left:
                waited = 0.0
            left = less
        return True

    async def _in_vain(self, seconds: float, *, may_hang: bool) -> None:
        """A wait was in vain: later ones are shorter, since the verdict is clear, and each costs time."""
        self.patience = max(self.patience / 2, LEAST_PATIENCE)
        if not may_hang:
            self.vain += min(seconds, PATIENCE)
            await self.check_alive()
            if self.vain > self.most_vain:
                raise PlayStopped

    @abstractmethod
    async def dial(self, user: str, *, narrow: bool) -> Connection:
        """Open a WebSocket to the server. Raises NotOpened."""

    @abstractmethod
    def reset(self, connection: Connection) -> None:
        """Break a connection without a closing handshake."""

    @abstractmethod
    def check_server(self) -> None:
        """Raise PlayStopped if the server ended without being asked to."""

    @abstractmethod
    def too_slow(self, seconds: float, came: int, due: int) -> None:
        """Record that so little came of what was due in this time, and raise PlayStopped."""

    @abstractmethod
    async def check_blocked(self) -> None:
        """If the server is blocked once more, record where, and raise PlayStopped."""

    @abstractmethod
    async def check_alive(self) -> None:
        """Raise PlayStopped if the server no longer accepts clients."""
