"""The Locust user: it acts by its profile until it is ordered to be quiet."""

from __future__ import annotations

import time
import traceback
from typing import Any

from locust import User

from harness.load.client import Gone
from harness.load.failures import WrongAnswer
from lab.legible import both_ends

PAUSE = 0.5
"""Seconds between two polls while it only waits for the end."""
_LONGEST = 100
"""Characters of an error that Locust keeps: it shows them in one line, as Python writes a text."""


class Person(User):  # type: ignore[misc]  # the type checker does not read Locust
    """A user that chats at a human's pace, changes rooms, loses its connection and reconnects."""

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        self.users = environment.lab_users
        self.chatter, self.profile = self.users.new_user(self._measure)
        self.recorder = self.users.recorder
        # Locust starts users in batches, one a second; people come one by one.
        self._arrives = self.recorder.now() + self.profile.rng.random()

    def on_start(self) -> None:
        """Connect, unless the test is about to end."""
        due = self._arrives
        self.users.quiet.wait(max(due - self.recorder.now(), 0.0))
        if self.users.quiet.is_set():
            self.chatter.finished = True
            return
        self._note_late(due)
        try:
            self.chatter.arrive(due)
        except Gone:
            self.users.quiet.wait(PAUSE)
        self.recorder.arrivals.extend((due, self.recorder.now()))

    def on_stop(self) -> None:
        """Close the connection."""
        self.chatter.close()

    def wait_time(self) -> float:
        """Rest here and not in Locust, so that a lost connection or the order to be quiet ends the rest."""
        if self.users.quiet.is_set():
            time.sleep(PAUSE)
        else:
            now = self.recorder.now()
            _, due = self.profile.upcoming(now)
            self.chatter.wake.wait(max(due - now, 0.0))
        return 0.0

    def live(self) -> None:
        """Do the next action."""
        try:
            if self.chatter.finished:
                time.sleep(PAUSE)
            elif self.users.quiet.is_set():
                self._settle()
            elif not self.chatter.is_open:
                # Well-written clients do not all reconnect in the same instant.
                self._come_back_after(self.profile.rng.random())
            elif self.profile.upcoming(self.recorder.now())[1] <= self.recorder.now():
                action, due = self.profile.take()
                self._note_late(due)
                getattr(self, action)(due)
        except Gone:
            time.sleep(PAUSE)
        except Exception:  # Locust would print it, and go on
            self.recorder.defect = traceback.format_exc()
            time.sleep(PAUSE)

    tasks = [live]  # noqa: RUF012 - required by Locust

    def talk(self, due: float) -> None:
        """Say a message in one of its rooms."""
        self.chatter.say(self._some_room(), self.profile.words(), due, self.profile.size)

    def look_back(self, due: float) -> None:
        """Read a page of old history."""
        room = self._some_room()
        self.chatter.look_back(room, self.profile.rng.randint(0, self.chatter.newest(room)), due)

    def wander(self, due: float) -> None:
        """Leave a room, and join another."""
        room = self._some_room()
        other = self.users.room(self.profile.popularity.choose(self.profile.rng))
        if other not in self.chatter.rooms:
            self.chatter.leave(room)
            self.chatter.join(other)

    def reconnect(self, due: float) -> None:
        """Lose the connection, and reconnect after a while."""
        self.chatter.reset()
        self._come_back_after(self.profile.away())

    def _come_back_after(self, seconds: float) -> None:
        due = self.recorder.now() + seconds
        self.profile.stay_away(seconds)
        self.users.quiet.wait(seconds)
        if self.users.quiet.is_set():
            due = min(due, self.recorder.now())
        self._note_late(due)
        self.chatter.come_back(due)

    def _note_late(self, due: float) -> None:
        """Note by how much this process is late with what it does: what it times does not begin earlier."""
        self.recorder.timings["late"].extend((due, max(self.recorder.now() - due, 0.0)))

    def _some_room(self) -> str:
        if not self.chatter.rooms:  # it lost its connection while it changed rooms
            self.chatter.join(self.users.room(0))
        return str(self.profile.rng.choice(self.chatter.rooms))

    def _settle(self) -> None:
        """Be connected and have all requests answered, so that only lost messages are missing."""
        if not self.chatter.is_open:
            self.chatter.settled = False
            self.chatter.come_back()
        if not self.chatter.settled:
            self.chatter.fence()
            self.chatter.settled = True

    def _measure(self, name: str, seconds: float, size: int, error: str | None) -> None:
        self.environment.events.request.fire(
            request_type="WS",
            name=name,
            response_time=seconds * 1000,
            response_length=size,
            exception=None if error is None else WrongAnswer(both_ends(error, _LONGEST)),
            context={},
        )
