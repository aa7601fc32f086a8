"""A real NATS server, for the tests that need one."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

from tests.lab.helpers import PATIENCE

PROGRAM = Path(sys.executable).with_name("nats-server")


class NatsServer:
    """A NATS server with JetStream on a free port of this machine, a process of its own."""

    def __init__(self, folder: Path, has_jetstream: bool = True) -> None:
        self.folder = folder
        self.port = -1  # it chooses one, which it keeps
        self._jetstream = ["-js", "-sd", str(folder / "store")] if has_jetstream else []
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"nats://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it; returns when it listens."""
        where = ["-a", "127.0.0.1", "-p", str(self.port), "--ports_file_dir", str(self.folder)]
        with (self.folder / "nats.log").open("ab") as log:
            self._process = subprocess.Popen([PROGRAM, *where, *self._jetstream], stdout=log, stderr=log)
        ports = self.folder / f"nats-server_{self._process.pid}.ports"
        deadline = time.monotonic() + PATIENCE
        while self.port == -1 or not ports.exists():
            assert time.monotonic() < deadline, (self.folder / "nats.log").read_text()
            try:
                self.port = int(json.loads(ports.read_text())["nats"][0].rpartition(":")[2])
            except (OSError, ValueError):  # it is not there yet, or half of it
                time.sleep(0.005)

    def kill(self) -> None:
        """End it with SIGKILL."""
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None
