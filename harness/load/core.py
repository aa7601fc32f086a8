"""How much of a processor core this process takes, and for how long it waits for one."""

from __future__ import annotations

import time
from contextlib import suppress

from harness.posix import proc

_SCHEDULED = proc("self", "schedstat")
"""On Linux: nanoseconds that the main thread ran, and that it was ready to run and others did."""


class Core:
    """Measures since the last time that it was asked. Times are in seconds."""

    def __init__(self) -> None:
        self._at, self._used, self._waited = time.monotonic(), time.process_time(), _waited()

    @property
    def age(self) -> float:
        """Seconds since then."""
        return time.monotonic() - self._at

    def shares(self) -> tuple[float, float]:
        """The share of the time in which this process ran, and in which its main thread waited for a core."""
        was = self._at, self._used, self._waited
        self._at, self._used, self._waited = time.monotonic(), time.process_time(), _waited()
        passed = max(self._at - was[0], 1e-9)
        return (self._used - was[1]) / passed, max(self._waited - was[2], 0.0) / passed


def _waited() -> float:
    with suppress(OSError, ValueError, IndexError):
        return int(_SCHEDULED.read_text().split()[1]) / 1e9
    return 0.0
