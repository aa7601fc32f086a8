"""Exceptions that a program has printed, and the places in its code, whatever language it is written in."""

from __future__ import annotations

import re
from collections.abc import Callable

from msgspec import Struct

_LIBRARY = re.compile(
    r"[/\\](site-packages|dist-packages|node_modules|lib[/\\]python3[^/\\]*)[/\\]|^<|^node:", re.IGNORECASE
)
_USUAL = ("ConnectionClosed", "ConnectionReset", "BrokenPipe", "CancelledError", "IncompleteRead", "EOFError")
"""How exceptions begin that a library raises because a client went away, or a task is ended."""
_USUAL_IN_NODE = re.compile(
    r"\b(ECONNRESET|EPIPE|ECONNABORTED|ERR_STREAM_DESTROYED|ERR_STREAM_WRITE_AFTER_END)\b"
    r"|WebSocket is not open|WebSocket was closed before"
)
"""The same in Node, where they all are of the type Error."""


class Frame(Struct, frozen=True):
    """A place in a traceback, with its line of code if that was printed."""

    file: str
    line: int
    function: str
    source: str = ""

    @property
    def place(self) -> str:
        """As reports name it: "pubsub.py, line 12, in publish"."""
        name = re.split(r"[/\\]", self.file)[-1]
        return f"{name}, line {self.line}" + (f", in {self.function}" if self.function else "")


class Raised(Struct, frozen=True):
    """An exception, with the places of its traceback, the innermost last."""

    error: str
    frames: list[Frame]
    is_end: bool = False
    """Whether the process ended by it, since nobody had caught it; only Node tells so."""

    @property
    def kind(self) -> str:
        """Its type."""
        return self.error.partition(":")[0].rpartition(".")[2]

    @property
    def is_usual(self) -> bool:
        """Whether a client that goes away may have caused it, and not the program itself."""
        return self.kind.startswith(_USUAL) or _USUAL_IN_NODE.search(self.error) is not None


class Unawaited(Struct, frozen=True):
    """A coroutine that was never awaited, and where it was last seen."""

    name: str
    frame: Frame


def is_no_library(file: str) -> bool:
    """Whether a file may be a program's own: it is no part of Python, and no installed package's."""
    return _LIBRARY.search(file) is None


def own_frame(frames: list[Frame], is_own: Callable[[str], bool]) -> Frame | None:
    """The innermost frame in the files of those whose code is judged."""
    return next((frame for frame in reversed(frames) if is_own(frame.file)), None)
