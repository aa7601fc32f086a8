"""What `chatlab load` and its Locust tell each other: three files in a folder of their own.

The journal is what is left of a test whose leading process is killed. It has one line of JSON for the begin
of the test, and one for each second of it.
"""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from harness.history.events import Server
from harness.load.options import FOLDER


class Order(Struct):
    """Why Locust is told to stop, before it is."""

    ended: str
    """interrupted or server_ended."""
    server: list[Server]
    """What became of the server, at times of the clock that all processes share."""


class Exchange:
    """The files of one call of the command."""

    def __init__(self, folder: Path) -> None:
        self.result = folder / "result.json"
        """The result of the last test."""
        self.journal = folder / "journal.jsonl"
        self._order = folder / "order.json"

    @classmethod
    def of_parent(cls) -> Exchange | None:
        """That of the command which has started this process, if one has."""
        folder = os.environ.get(FOLDER)
        return cls(Path(folder)) if folder else None

    def order(self, order: Order) -> None:
        """Say why Locust will be told to stop."""
        part = self._order.with_suffix(".part")
        part.write_bytes(msgspec.json.encode(order))
        part.replace(self._order)

    def ordered(self) -> Order | None:
        """Why it was told to stop, if it was."""
        with suppress(OSError, msgspec.DecodeError):
            return msgspec.json.decode(self._order.read_bytes(), type=Order)
        return None

    def begin(self, **what: Any) -> None:
        """Note that a test begins, and what is known of it: the journal of the last one is dropped."""
        with suppress(OSError):
            self.result.unlink(missing_ok=True)
            self.journal.write_text(_line(what))

    def note(self, **what: Any) -> None:
        """Add a second to the journal."""
        with suppress(OSError), self.journal.open("a") as file:
            file.write(_line(what))

    def noted(self) -> list[dict[str, Any]]:
        """The lines of the journal; one that was being written is left out."""
        found: list[dict[str, Any]] = []
        with suppress(OSError, ValueError):
            found.extend(map(json.loads, self.journal.read_text().splitlines()))
        return found


def _line(what: dict[str, Any]) -> str:
    return json.dumps({"at": time.monotonic(), **what}) + "\n"
