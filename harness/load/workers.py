"""Locust's workers as its master sees them: who is there, what they still wait for, and their records.

Each has a clock of its own. The fastest message gives the best estimate of the difference to ours.
"""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any

import psutil
from locust import runners
from locust.runners import STATE_MISSING

from harness.load.record import Recording, unpack

# Seconds after which Locust gives a silent worker's users to others. It would do so after three; but a worker
# on a busy machine comes back, and what it has done meanwhile counts.
runners.HEARTBEAT_LIVENESS = 30


def _has_ended(process: psutil.Process) -> bool:
    with suppress(psutil.Error):
        return process.status() == psutil.STATUS_ZOMBIE
    return True


class Workers:
    """The workers of one test; without any, this process has the only record itself."""

    def __init__(self, runner: Any) -> None:
        self._runner = runner
        self._known: set[str] = set()
        self._status: dict[str, tuple[int, int]] = {}
        self._pieces: dict[str, dict[int, bytes]] = {}
        self._expected: dict[str, int] = {}
        self._offsets: dict[str, float] = {}
        # Those that Locust has forked; the probe is started later.
        self._forked = psutil.Process().children()
        runner.register_message("lab_status", self._on_status)
        runner.register_message("lab_record", self._on_piece)

    def forget(self) -> None:
        """A new test begins."""
        for each in (
            self._known,
            self._status,
            self._pieces,
            self._expected,
            self._offsets,
        ):
            each.clear()

    def look(self) -> None:
        """Note who is there: from now on, its record is expected."""
        self._known |= {each.id for each in self._runner.clients.all if each.state != STATE_MISSING}

    @property
    def count(self) -> int:
        """How many were there."""
        return len(self._known)

    @property
    def lost(self) -> int:
        """How many of them have ended, or have not been heard of for long."""
        clients = self._runner.clients
        silent = sum(each not in clients or clients[each].state == STATE_MISSING for each in self._known)
        return max(int(silent), sum(map(_has_ended, self._forked)))

    # --- the end of a test ------------------------------------------------------------------------

    def ask_status(self) -> None:
        """What they have said so far does not count any more."""
        self._status.clear()

    def awaited(self) -> tuple[int, int]:
        """How much is still missing, and how much has arrived, over all of them."""
        awaited = [status[0] for status in self._status.values()]
        silent = max(len(self._known) - self.lost - len(awaited), 0)
        return sum(awaited) + silent, sum(status[1] for status in self._status.values())

    def clocks(self, recordings: list[Recording]) -> dict[str, float]:
        """Offsets to add to the times of each process: none, unless they are on several hosts."""
        return self._offsets if len({recording.host for recording in recordings}) > 1 else {}

    def gather(self, patience: float, poll: float) -> list[Recording]:
        """Their records, without those that will not come, or have not made progress for so many seconds."""
        progress, last = time.monotonic(), -1
        while len(self._whole()) < len(self._known):
            count = sum(map(len, self._pieces.values()))
            if count != last:
                progress, last = time.monotonic(), count
            missing = len(self._known) - len(self._whole())
            is_hopeless = missing <= self.lost
            if is_hopeless or time.monotonic() - progress > patience:
                break
            time.sleep(poll)
        return [
            unpack([self._pieces[worker][number] for number in sorted(self._pieces[worker])])
            for worker in self._whole()
        ]

    def _whole(self) -> list[str]:
        return [w for w in sorted(self._expected) if len(self._pieces[w]) == self._expected[w]]

    def _on_status(self, environment: Any, msg: Any) -> None:
        status = msg.data
        self._status[msg.node_id] = (status["awaited"], status["heard"])
        offset = time.monotonic() - status["clock"]
        self._offsets[status["process"]] = min(offset, self._offsets.get(status["process"], offset))

    def _on_piece(self, environment: Any, msg: Any) -> None:
        self._expected[msg.node_id] = msg.data["of"]
        self._pieces.setdefault(msg.node_id, {})[msg.data["number"]] = msg.data["data"]
