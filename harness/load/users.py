"""The users of one process: their names and profiles, what they share, and their record."""

from __future__ import annotations

import secrets
import threading
import time
from random import Random

from harness.history import events as history
from harness.load.client import Chatter, Measure
from harness.load.core import Core
from harness.load.profile import Habits, UserProfile
from harness.load.record import Recorder, this_host

TICK = 0.02
"""Seconds between two measurements of how late this process is."""
BEAT = 1.0
"""Seconds between two measurements of how busy it is."""
STALL = 0.1
"""Seconds of lateness from which on it is recorded."""


def room_name(number: int, run: str) -> str:
    """The name of a room, counted from 0 by its popularity, in a test with this name."""
    return f"room{number + 1}-{run}"


class Users:
    """All users of this process in one test. `run` is part of every name, and the same in all processes."""

    def __init__(self, address: str, run: str, index: int, seed: int, habits: Habits) -> None:
        self.recorder = Recorder(secrets.token_hex(3), this_host())
        self.quiet = threading.Event()
        """Set when all users should stop talking, and reconnect if they are away."""
        self.people: list[Chatter] = []
        self._address = address
        self._run = run
        self._index = index
        self._seed = seed
        self._habits = habits
        self._over = threading.Event()
        threading.Thread(target=self._watch, name="watches the machine", daemon=True).start()

    def room(self, number: int) -> str:
        """The name of a room, counted from 0."""
        return room_name(number, self._run)

    def new_user(self, measure: Measure) -> tuple[Chatter, UserProfile]:
        """A new user, with the profile that follows from the seed."""
        number = len(self.people) + 1
        name = f"user{self._index}.{number}"
        profile = UserProfile(Random(f"{self._seed}/{self._index}/{number}"), self._habits)
        tag = f"{self.recorder.host}{self.recorder.process}u{number}"
        chatter = Chatter(self.recorder, self._address, name, f"{name}-{self._run}", tag, measure)
        chatter.rooms = [self.room(each) for each in profile.favourites()]
        self.people.append(chatter)
        return chatter, profile

    def storm(self) -> None:
        """Reset all connections at once."""
        for person in self.people:
            person.reset()

    def be_quiet(self) -> None:
        """Ask all users to be quiet."""
        self.quiet.set()
        for person in self.people:
            person.wake.set()

    def awaited(self) -> int:
        """How much is still missing: messages without an answer, and users that are not connected."""
        here = [person for person in self.people if not person.finished]
        return sum(len(p.unanswered) + (not (p.settled and p.is_open)) for p in here)

    def end(self, patience: float) -> None:
        """Note who has waited in vain for so many seconds, and stop measuring how late this process is."""
        for person in self.people:
            person.conclude(patience)
        self._over.set()

    def _watch(self) -> None:
        """Note how late this process wakes up, and once a second how much of a core it takes."""
        core = Core()
        while not self._over.is_set():
            before = time.monotonic()
            time.sleep(TICK)
            now = time.monotonic()
            late = now - before - TICK
            self.recorder.lags.append(late)
            if late > STALL:
                self.recorder.add(history.Stalled(self.recorder.now(), round(late, 3)))
            if core.age >= BEAT:
                self.recorder.beat(*core.shares())
