"""What was asked of `chatlab load`, as data and as the words that Locust is told."""

from __future__ import annotations

import random
from pathlib import Path

from msgspec import Struct

from harness.judged.process import free_port

PARENT = "CHATLAB_PARENT"
"""The variable that tells Locust which process it ends with."""


FOLDER = "CHATLAB_LOAD_FOLDER"
"""The variable that tells it where the two exchange files: see `exchange.py`."""
MOST_OF_EACH = 50.0
"""Messages a second of one user: a server owes 100, and the load may be late and catch up."""
SIZES = (64, 65536)
"""Bytes of a message's content: at least its tag, at the most what the protocol allows."""


class Options(Struct, frozen=True):
    """See the help of `chatlab load`."""

    users: int
    spawn_rate: float | None
    seconds: int
    shape: str
    rooms: int
    pace: float
    processes: int
    objectives: tuple[str, ...]
    seed: int | None
    web_port: int | None
    """None: without Locust's web page."""
    json_file: str | None
    html_file: str | None
    openmetrics_file: str | None
    csv: str | None
    otel: bool
    scenario: str | None
    lang: str
    steps: int = 5
    rate: float | None = None
    churn: float | None = None
    size: int | None = None
    probe: bool = True

    def for_locust(self, label: str) -> list[str]:
        """The options of Locust and of our locustfile, for a server that is called `label`."""
        values = {
            "--users": self.users,
            "--spawn-rate": self.spawn_rate or max(5 * self.users / self.seconds, 1),
            "--run-time": f"{self.seconds}s",
            "--lab-shape": self.shape,
            "--lab-rooms": self.rooms,
            "--lab-pace": self.pace,
            "--lab-objective": ",".join(self.objectives),
            "--lab-steps": self.steps,
            "--lab-rate": self.rate or 0,
            "--lab-churn": self.churn or 0,
            "--lab-size": self.size or 0,
            "--lab-probe": "on" if self.probe else "off",
            "--lab-json": _absolute(self.json_file),
            "--lab-scenario": _absolute(self.scenario),
            "--lab-html": _absolute(self.html_file),
            "--lab-openmetrics": _absolute(self.openmetrics_file),
            "--lab-seed": random.SystemRandom().randrange(10**6) if self.seed is None else self.seed,
            "--lab-lang": self.lang,
            "--lab-label": label,
        }
        words = [f"{name}={value}" for name, value in values.items()]
        if self.csv is not None:
            words.append(f"--csv={Path(self.csv).absolute()}")
        if self.otel:
            words.append("--lab-otel")
        if self.web_port is None:
            words += ["--headless", "--only-summary"]
        else:
            words += ["--web-host=127.0.0.1", f"--web-port={self.web_port}"]
        if self.processes > 1:
            port = free_port()
            words += [f"--processes={self.processes}", f"--master-bind-port={port}", f"--master-port={port}"]
            words += ["--master-bind-host=127.0.0.1"]
        return words


def _absolute(file: str | None) -> str:
    """The path of a file, for Locust, which runs in another folder."""
    return str(Path(file).absolute()) if file else ""
