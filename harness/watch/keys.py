"""Keys, as they are pressed, without Return after them."""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Callable
from importlib import import_module
from types import TracebackType
from typing import Any

from harness.posix import WINDOWS, termios

_windows: Any = import_module("msvcrt") if WINDOWS else None


class Keys:
    """The keyboard, while it is used as a context: it does not echo, and has each key at once.

    Where standard input is no terminal, there are no keys.
    """

    def __init__(self) -> None:
        self.are_there = sys.stdin is not None and sys.stdin.isatty() and bool(termios or _windows)
        self._before: list[Any] | None = None

    def __enter__(self) -> Keys:
        self.take()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if termios is not None and self._before is not None:
            termios.tcsetattr(sys.stdin, termios.TCSADRAIN, self._before)

    def take(self) -> None:
        """Take the keyboard, also again: a shell that had stopped us has changed it."""
        if not self.are_there or termios is None:
            return
        self._before = self._before or termios.tcgetattr(sys.stdin)
        ours = termios.tcgetattr(sys.stdin)
        ours[3] &= ~(termios.ICANON | termios.ECHO)
        termios.tcsetattr(sys.stdin, termios.TCSANOW, ours)

    def pressed(self) -> str:
        """The key that was pressed, in small letters; "" if there is none. It does not wait."""
        if not self.are_there:
            return ""
        read: Callable[[], str] = self._read if termios is not None else self._read_on_windows
        key = read().lower()
        return key if len(key) == 1 and key.isprintable() else ""

    def _read(self) -> str:
        ready, _, _ = select.select([sys.stdin], [], [], 0)
        data = os.read(sys.stdin.fileno(), 64) if ready else b""
        if ready and not data:  # the terminal was closed
            self.are_there = False
        return "" if data.startswith(b"\x1b") else data[:1].decode("ascii", "ignore")

    def _read_on_windows(self) -> str:
        return str(_windows.getwch()) if _windows.kbhit() else ""
