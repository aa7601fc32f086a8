"""The one history of a run, with its clock, and unique names and numbers."""

from __future__ import annotations

import asyncio
from typing import Any

from harness.history import events as history
from harness.history.events import Event, History
from harness.history.frames import Reading

MAX_EVENTS = 150_000
"""Events after which a server counts as flooding: a run has some thousands."""
_LONG = 1024
"""Characters above which one copy of a text is kept for all frames that contain it."""


class Timeline:
    """What worlds that run side by side share. `nonce` is part of every name and tag of the run.

    Create it inside the event loop whose clock it is to use.
    """

    def __init__(self, nonce: str) -> None:
        self.nonce = nonce
        self.history: History = []
        self.readings: list[Reading] = []
        """The readings of all frames received, in their order."""
        self.most_events = MAX_EVENTS
        """Events after which a server counts as flooding."""
        self.flooded = False
        """Whether the server sent so much that nothing more is read."""
        self._clock = asyncio.get_running_loop().time
        self._began = self._clock()
        self._conns = 0
        self._numbers = 0
        self._long_texts: dict[str, str] = {}

    def now(self) -> float:
        """Seconds since the run began."""
        return self._clock() - self._began

    def record(self, event: Event) -> None:
        """Add an event to the history. A server that sends without end is recorded once."""
        self.history.append(event)
        if len(self.history) > self.most_events and not self.flooded:
            self.flooded = True
            self.record(history.Server(self.now(), "flooding", {"events": self.most_events}))

    def next_conn(self) -> int:
        """The number of a new connection."""
        self._conns += 1
        return self._conns

    def next_number(self) -> int:
        """A new number, unique in the run."""
        self._numbers += 1
        return self._numbers

    def same(self, text: str) -> str:
        """The one copy that is kept of a long text, which hundreds of frames may contain."""
        return self._long_texts.setdefault(text, text) if len(text) > _LONG else text


class Recorder:
    """The base of classes that write into a timeline, with shortcuts to its attributes and methods."""

    def __init__(self, timeline: Timeline) -> None:
        self.timeline = timeline
        self.history = timeline.history
        self.readings = timeline.readings
        self.nonce = timeline.nonce
        self.next_conn = timeline.next_conn
        self.next_number = timeline.next_number
        self.same = timeline.same

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

    @property
    def flooded(self) -> bool:
        """Whether the server sent so much that nothing more is read."""
        return self.timeline.flooded
