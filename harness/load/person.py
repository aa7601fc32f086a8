"""The Locust user: it acts as its scenario says until it is ordered to be quiet."""

from __future__ import annotations

import time
import traceback
from functools import partial
from pathlib import Path
from typing import Any

from locust import User

from harness.load.client import Gone
from harness.load.failures import WrongAnswer
from harness.load.scenario import BadScenario, mistake_in, rest_of
from harness.verdict.outcome import Text
from lab.legible import both_ends

PAUSE = 0.5
"""Seconds between two polls while it only waits for the end."""
_LONGEST = 100
"""Characters of an error that Locust keeps: it shows them in one line, as Python writes a text."""


class Person(User):  # type: ignore[misc]  # the type checker does not read Locust
    """A user of the scenario, which is `harness.load.User` unless a file names another."""

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        self.users = environment.lab_users
        self.chatter, self.profile = self.users.new_user(self._measure)
        self.recorder = self.users.recorder
        self.user = environment.lab_scenario(
            self.chatter, self.profile, self.users.room, self._come_back_after
        )
        if self.user.has_own_act():
            self.profile.act_at_rate()
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
            self.chatter.wake.wait(self._seconds_to_go())
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
            elif self._seconds_to_go() == 0.0:
                action, due = self.profile.take()
                self._note_late(due)
                self.user.due = due
                getattr(self.user, action)()
        except Gone:
            time.sleep(PAUSE)
        except Exception as error:  # Locust would print it, and go on
            self._failed(error)
            time.sleep(PAUSE)

    def _seconds_to_go(self) -> float:
        """How long it is until the next action is due; never, after a mistake in the scenario."""
        try:
            now = self.recorder.now()
            return float(
                max(self.profile.upcoming(now, partial(rest_of, self.user, self._file))[1] - now, 0.0)
            )
        except Exception as error:
            self._failed(error)
            return PAUSE

    def _failed(self, error: Exception) -> None:
        """Note whose mistake it was: that of the scenario, which ends the load, or one of ours."""
        if isinstance(error, BadScenario):
            mistake: BadScenario | None = error
        else:
            mistake = mistake_in(self._file, error) if self._file.name else None
        if mistake is None:
            self.recorder.defect = traceback.format_exc()
            return
        self.chatter.finished = True
        self.environment.conductor.end_for(Text(mistake.key, mistake.params))

    @property
    def _file(self) -> Path:
        """That of the scenario; without a name if there is none."""
        return Path(self.environment.parsed_options.lab_scenario)

    tasks = [live]  # noqa: RUF012 - required by Locust

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
