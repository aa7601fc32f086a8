"""Runs the unnamed server of a level, for a player who wants to see it with his own eyes.

It runs in this very process: neither a command nor a process tells its name, and none is left.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

from harness.check.files import make_ours
from harness.zoo.servers import SERVERS

HOST = "127.0.0.1"


def prepare(folder: Path) -> None:
    """Make the folder for the messages. Raises OSError."""
    make_ours()
    folder.mkdir(parents=True, exist_ok=True)


def run(quarry: str, port: int, folder: Path) -> None:
    """Serve until Ctrl-C or SIGTERM, with the messages in a folder."""
    os.environ.update(HOST=HOST, PORT=str(port), DATA_DIR=str(folder))
    signal.signal(signal.SIGINT, lambda *_: os.kill(os.getpid(), signal.SIGTERM))
    start: Callable[[], None] | None = SERVERS[quarry].start
    assert start is not None, "a component is no server"
    start()
