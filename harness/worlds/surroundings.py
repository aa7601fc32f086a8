"""What a client knows of its world: the timeline, how to wait, and how to reach the server."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
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
STOP_SECONDS = 5.0
"""What a server has for a stop, by the protocol."""


class PlayStopped(Exception):  # noqa: N818 - it ends a play; it is not an error of the harness
    """The scenario cannot go on; the history says why."""


class Gone(PlayStopped):
    """A client has no connection any more, and its next action needs one."""


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
        left, waited = int(remaining()), 0.0
        limit = self.patience if patience is None else patience
        while left:
            if waited > limit:
                # After a wait in vain, later ones are shorter: the verdict is clear, and each costs time.
                self.patience = max(self.patience / 2, LEAST_PATIENCE)
                if not may_hang:
                    await self.check_alive()
                return False
            self.check_server()
            if self.flooded:
                raise PlayStopped
            waited += await self.moment()
            less = int(remaining())
            if less < left:
                waited = 0.0
            left = less
        return True

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
    async def check_alive(self) -> None:
        """Raise PlayStopped if the server no longer accepts clients."""
