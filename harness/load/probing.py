"""The probe as a process of the leading one: started with a test, listened to, and asked for its record."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import threading
from contextlib import suppress
from typing import Any

from harness.load.record import Recording, unpack

RECORD_SECONDS = 8.0
"""Seconds in which the record comes after it was asked for: more than what is under way is waited for."""


class ProbeProcess:
    """A probe of a test with this name. Raises OSError if it cannot be started."""

    def __init__(self, address: str, run: str, busy_room: str) -> None:
        command = [sys.executable, "-P", "-m", "harness.load.probe", address, run, busy_room]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._pieces: list[bytes] = []
        self._is_done = threading.Event()
        self._news: list[dict[str, Any]] = []
        threading.Thread(target=self._listen, name="listens to the probe", daemon=True).start()

    def news(self) -> list[dict[str, Any]]:
        """What it has measured since the last call."""
        news, self._news = self._news, []
        return news

    def stop(self) -> None:
        """Have it do nothing new, and send its record."""
        assert self._process.stdin is not None, "it is a pipe"
        with suppress(OSError):
            self._process.stdin.write("\n")
            self._process.stdin.flush()

    def record(self) -> Recording | None:
        """Its record, after `stop`; None if it does not come. The process ends."""
        self._is_done.wait(RECORD_SECONDS)
        self.end()
        with suppress(ValueError):
            return unpack(self._pieces)
        return None

    def end(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()

    def _listen(self) -> None:
        assert self._process.stdout is not None, "it is a pipe"
        for line in self._process.stdout:
            with suppress(ValueError):
                said = json.loads(line)
                if "piece" in said:
                    self._pieces.append(base64.b64decode(said["piece"]))
                elif "probe" in said:
                    self._news.append(said)
                elif "done" in said:
                    break  # its end may take longer: a mute server does not close connections
        self._is_done.set()
