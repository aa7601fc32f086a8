"""The reference server as a process: started, killed, measured, and its log read."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import psutil

START_SECONDS = 10.0
"""Within which a server that was started says where it listens."""
STOP_SECONDS = 8.0
"""Within which a server that was asked to stop has ended: its own 5 seconds, and a busy machine."""
MIB = 1024 * 1024
ROOT = Path(__file__).parent.parent.parent


@dataclass(frozen=True)
class Measure:
    """A server's use of resources at one time. `memory` is its resident memory in bytes."""

    memory: int
    descriptors: int
    threads: int
    connections: int
    rooms: int

    def __str__(self) -> str:
        return (
            f"{self.memory / MIB:.1f} MiB, {self.descriptors} descriptors, {self.threads} threads, "
            f"{self.connections} connections, {self.rooms} rooms"
        )

    def growth_to(self, later: Measure, memory: float) -> list[str]:
        """What grew until `later`: any counted figure at all, memory by more than `memory` bytes."""
        counted = ("descriptors", "threads", "connections", "rooms")
        grew = [name for name in counted if getattr(later, name) > getattr(self, name)]
        return grew + (["memory"] if later.memory > self.memory + memory else [])


class Server:
    """A server on a free port of loopback, with its data and its log in `folder`."""

    def __init__(self, folder: Path, *options: str) -> None:
        self._folder = folder
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0

    def start(self) -> None:
        """Start it on the existing data, and wait until it listens. Raises AssertionError if it does not."""
        assert self._process is None, "it runs already"
        said = self._folder / "stdout.txt"
        command = [sys.executable, "-m", "lab", "--port", "0", "--log-level", "warning", *self._options]
        command += ["--data-dir", str(self._folder / "data")]
        with said.open("wb") as out, self._log.open("ab") as err:
            self._process = subprocess.Popen(
                command,
                stdout=out,
                stderr=err,
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONASYNCIODEBUG": ""},
            )
        deadline = time.monotonic() + START_SECONDS
        while not said.read_bytes().endswith(b"\n"):
            assert self.lives, f"it does not start: {self.log()}"
            assert time.monotonic() < deadline, f"it does not listen: {self.log()}"
            time.sleep(0.005)
        self.port = int(said.read_text().partition("ws://127.0.0.1:")[2].partition("/")[0])

    @property
    def lives(self) -> bool:
        """Whether it was started and has not ended since."""
        return self._process is not None and self._process.poll() is None

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(STOP_SECONDS)
            self._process = None

    def stop(self, within: float = STOP_SECONDS) -> int:
        """SIGTERM; returns the exit code. Raises subprocess.TimeoutExpired if it does not end."""
        assert self._process is not None, "it does not run"
        self._process.send_signal(signal.SIGTERM)
        code = self._process.wait(within)
        self._process = None
        return code

    def log(self) -> str:
        """What all its processes wrote to standard error; it is set to write warnings and worse."""
        return self._log.read_text(errors="replace")

    def memory(self) -> int:
        """Its resident memory now, in bytes."""
        assert self._process is not None, "it does not run"
        return int(psutil.Process(self._process.pid).memory_info().rss)

    def get(self, path: str) -> str:
        """Its answer to a plain GET. Blocks; raises OSError if it does not answer in 10 seconds."""
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"http://127.0.0.1:{self.port}{path}", timeout=10) as answer:
            return str(answer.read().decode())

    def measure(self) -> Measure:
        """Its current use of resources. Blocks while it is asked for its figures."""
        assert self._process is not None, "it does not run"
        figures = dict(
            line.rsplit(" ", 1) for line in self.get("/metrics").splitlines() if not line.startswith("#")
        )
        seen = psutil.Process(self._process.pid)
        with seen.oneshot():
            return Measure(
                seen.memory_info().rss,
                seen.num_fds(),
                seen.num_threads(),
                int(figures["chatlab_connections"]),
                int(figures["chatlab_rooms"]),
            )

    @property
    def _log(self) -> Path:
        return self._folder / "stderr.txt"
