"""The one history of a run, with its clock, and unique names and numbers."""

from __future__ import annotations

import asyncio

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
        if len(self.history) > self.most_events and not self.flooded:
            self.flooded = True
            self.record(history.Server(self.now(), "flooding", {"events": self.most_events}))

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
