"""The Locust user: it acts by its profile until it is ordered to be quiet."""

from __future__ import annotations

import time
import traceback
from typing import Any

from locust import User

from harness.load.client import Gone
from lab.legible import both_ends

PAUSE = 0.5
"""Seconds between two polls while it only waits for the end."""


_LONGEST = 100
"""Characters of an error that Locust keeps: it shows them in one line, as Python writes a text."""


class WrongAnswer(Exception):  # noqa: N818 - what Locust shows as a failure's text
    """What the server did wrong, for Locust's table of failures."""


class Person(User):  # type: ignore[misc]  # the type checker does not read Locust
    """A user that chats at a human's pace, changes rooms, loses its connection and reconnects."""

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        self.users = environment.lab_users
        self.chatter, self.profile = self.users.new_user(self._measure)

    def on_start(self) -> None:
        """Connect, unless the test is about to end."""
        if self.users.quiet.is_set():
            self.chatter.finished = True
            return
        try:
            self.chatter.arrive()
        except Gone:
            self.users.quiet.wait(PAUSE)

    def on_stop(self) -> None:
        """Close the connection."""
        self.chatter.close()

    def wait_time(self) -> float:
        """Rest here and not in Locust, so that a lost connection or the order to be quiet ends the rest."""
        if self.users.quiet.is_set():
            time.sleep(PAUSE)
        else:
            self.chatter.wake.wait(self.profile.rest())
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
                self.users.quiet.wait(self.profile.rng.random())
                self.chatter.come_back()
            else:
                getattr(self, self.profile.action())()
        except Gone:
            time.sleep(PAUSE)
        except Exception:  # Locust would print it, and go on
            self.users.recorder.defect = traceback.format_exc()
            time.sleep(PAUSE)

    tasks = [live]  # noqa: RUF012 - required by Locust

    def talk(self) -> None:
        """Say a message in one of its rooms."""
        self.chatter.say(self._some_room(), self.profile.words())

    def look_back(self) -> None:
        """Read a page of old history."""
        room = self._some_room()
        self.chatter.look_back(room, self.profile.rng.randint(0, self.chatter.newest(room)))

    def wander(self) -> None:
        """Leave a room, and join another."""
        room = self._some_room()
        other = self.users.room(self.profile.popularity.choose(self.profile.rng))
        if other not in self.chatter.rooms:
            self.chatter.leave(room)
            self.chatter.join(other)

    def reconnect(self) -> None:
        """Lose the connection, and reconnect after a while."""
        self.chatter.reset()
        self.users.quiet.wait(self.profile.away())
        self.chatter.come_back()

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
