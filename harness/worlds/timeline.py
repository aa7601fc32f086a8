"""The one history of a run, with its clock, and unique names and numbers."""

from __future__ import annotations

import asyncio
import os

from harness.history import events as history
from harness.history.events import Event, History
from harness.history.frames import Reading
from harness.judged.bounds import FRAME_BYTES, MAX_BYTES, MAX_EVENTS, MAX_VALUES, OWN_MEMORY, WEIGH_EVERY
from harness.judged.families import memory_of

_BLOWN_UP = 100
"""Bytes here that one byte of JSON may become at most: what is more, others than the server have made."""
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
        """Events, and messages in pages, after which a server counts as flooding."""
        self.frames = 0
        """Frames that have come, to all clients."""
        self._messages = 0
        self._bytes = self._values = 0
        self._unweighed = 0
        self._memory = self._before = self._weight()
        self.flooded = False
        """Whether the server sent so much that nothing more is read."""
        self._asides: list[tuple[int, Event]] = []  # each with the number of events before it
        self._clock = asyncio.get_running_loop().time
        self._began = self._clock()
        self._conns = 0
        self._numbers = 0
        self._long_texts: dict[str, str] = {}

    def now(self) -> float:
        """Seconds since the run began."""
        return self._clock() - self._began

    @property
    def just_now(self) -> float:
        """The same, for what must not move any other event."""
        return self.now()

    def record(self, event: Event) -> None:
        """Add an event to the history. A server that sends without end is recorded once."""
        self.history.append(event)
        is_many = len(self.history) + self._messages > self.most_events or self._values > MAX_VALUES
        if is_many or self._bytes > MAX_BYTES or self._is_heavy:
            self._flooded()

    def heard(self, size: int, values: int = 0, messages: int = 0) -> None:
        """A frame of so many bytes and values has come, with so many messages in a page of history."""
        self.frames += 1
        self._bytes += size
        self._values += values
        self._messages += messages
        self._unweighed += size + FRAME_BYTES
        if self._unweighed > WEIGH_EVERY:
            self._unweighed = 0
            self._memory = self._weight()

    @property
    def _is_heavy(self) -> bool:
        """Whether what came has taken too much of our memory, by the last look."""
        grown = self._memory - self._before
        return OWN_MEMORY < grown < _BLOWN_UP * self._bytes + FRAME_BYTES * self.frames

    def _weight(self) -> int:
        """Bytes that this process has."""
        return memory_of(os.getpid())

    def _flooded(self) -> None:
        if not self.flooded:
            self.flooded = True
            frames = len(self.history)
            sent = {"events": frames, "messages": self._messages, "mebibytes": self._bytes // 2**20}
            self.history.append(history.Server(self.now(), "flooding", sent))

    def aside(self, event: Event) -> None:
        """Add an event that nobody waits for or judges: a call between components, or what was printed."""
        place = len(self.history)
        while place and self.history[place - 1].at > event.at:
            place -= 1
        self._asides.append((place, event))

    def with_asides(self) -> History:
        """The history with these, each where it happened."""
        found: History = []
        before = 0
        for place, event in sorted(self._asides, key=lambda each: (each[0], each[1].at)):
            found += [*self.history[before:place], event]
            before = place
        return [*found, *self.history[before:]]

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
