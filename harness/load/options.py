"""What was asked of `chatlab load`, as data and as the words that Locust is told."""

from __future__ import annotations

import random
from pathlib import Path

from msgspec import Struct

from harness.judged.process import free_port

PARENT = "CHATLAB_PARENT"
"""The variable that tells Locust which process it ends with."""


class Options(Struct, frozen=True):
    """See the help of `chatlab load`."""

    users: int
    spawn_rate: float | None
    seconds: int
    shape: str
    rooms: int
    pace: float
    processes: int
    p99_ms: float | None
    seed: int | None
    web_port: int | None
    """None: without Locust's web page."""
    json_file: str | None
    csv: str | None
    lang: str

    def for_locust(self, label: str) -> list[str]:
        """The options of Locust and of our locustfile, for a server that is called `label`."""
        values = {
            "--users": self.users,
            "--spawn-rate": self.spawn_rate or max(5 * self.users / self.seconds, 1),
            "--run-time": f"{self.seconds}s",
            "--lab-shape": self.shape,
            "--lab-rooms": self.rooms,
            "--lab-pace": self.pace,
            "--lab-p99-ms": self.p99_ms or 0,
            "--lab-seed": random.SystemRandom().randrange(10**6) if self.seed is None else self.seed,
            "--lab-lang": self.lang,
            "--lab-label": label,
        }
        words = [f"{name}={value}" for name, value in values.items()]
        if self.csv is not None:
            words.append(f"--csv={Path(self.csv).absolute()}")
        if self.web_port is None:
            words += ["--headless", "--only-summary"]
        else:
            words += ["--web-host=127.0.0.1", f"--web-port={self.web_port}"]
        if self.processes > 1:
            port = free_port()
            words += [f"--processes={self.processes}", f"--master-bind-port={port}", f"--master-port={port}"]
            words += ["--master-bind-host=127.0.0.1"]
        return words
