"""`sys.stdin`, `sys.stdout` and `sys.stderr` of a simulated host: what is written goes into its output.

They are real text files over a raw one of ours, so that all methods of a file have their usual results.
As in the live world, a server's standard input is empty, and its output unbuffered.
"""

from __future__ import annotations

import io
import sys
from typing import Any

from harness.texts.console import ERRORS_AT_THE_START
from harness.worlds.sim.machine import Machine, Scheduler
from lab.legible import text_of

NAMES = ("stdin", "stdout", "stderr")
"""By their file descriptors."""


class _Raw(io.RawIOBase):
    """A standard file of a host: of the one whose code is running, else of the one that it was made for."""

    def __init__(self, simulator: Scheduler, number: int, real: Any) -> None:
        self.name = f"<{NAMES[number]}>"
        self.mode = "wb" if number else "rb"
        self.closefd = False
        self._simulator = simulator
        self._number = number
        self._real = real
        self._owner = self._server()

    def _server(self) -> Machine | None:
        host = self._simulator.current
        return host if host is not None and host.is_server else None

    def readable(self) -> bool:
        """Only standard input is."""
        return not self._number

    def writable(self) -> bool:
        """The others are."""
        return bool(self._number)

    def isatty(self) -> bool:
        """Not for a server: its output goes to a file."""
        return self._server() is None and bool(self._real.isatty())

    def fileno(self) -> int:
        """Its file descriptor; `StdlibPatches` replaces the functions that take it."""
        return self._number if self._server() is not None else int(self._real.fileno())

    def readinto(self, buffer: Any) -> int:
        """There is nothing to be read."""
        if self._number:
            raise io.UnsupportedOperation("not readable")
        return 0

    def write(self, data: Any) -> int:
        """Add to the output of the host. Once that has ended, what still comes is discarded."""
        if not self._number:
            raise io.UnsupportedOperation("not writable")
        data = bytes(data)
        host = self._server() or self._owner
        if host is not None and host.is_alive:
            host.print(text_of(data))
        return len(data)


class Stream(io.TextIOWrapper):
    """One of the three as a text file. `real` is where our own code writes."""

    def __init__(self, simulator: Scheduler, number: int, real: Any) -> None:
        raw: Any = _Raw(simulator, number, real)
        super().__init__(
            raw if number else io.BufferedReader(raw),
            encoding=getattr(sys.__stdout__, "encoding", "utf-8"),
            errors="backslashreplace" if number == 2 else ERRORS_AT_THE_START,
            write_through=bool(number),
        )
        vars(self)["mode"] = "w" if number else "r"
        self._simulator = simulator
        self._real = real

    def write(self, text: str) -> int:
        """Add to the output of the host whose code is running."""
        host = self._simulator.current
        if host is None or not host.is_server:
            return int(self._real.write(text))
        return super().write(text)


def opened(simulator: Scheduler, number: int, mode: str, **more: Any) -> Any:
    """What `open(1, "w")` gives: another file that writes into the same output."""
    raw: Any = _Raw(simulator, number, None)
    if "b" in mode:
        return raw if number else io.BufferedReader(raw)
    options = {name: value for name, value in more.items() if name in ("encoding", "errors", "newline")}
    return io.TextIOWrapper(
        raw if number else io.BufferedReader(raw),
        write_through=bool(number),
        **{"encoding": "utf-8", **options},
    )
