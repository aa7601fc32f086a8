"""Reads what Python prints of exceptions, and of coroutines that were never awaited.

Of several exceptions, one raised while another was handled, or in a group, the one that began it counts.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from msgspec import Struct

_PREFIX = re.compile(r"^\s*[|+](?:-[+-]*)? ?")
"""What the lines of an exception group begin with."""
_FRAME = re.compile(r'\s*File "(?P<file>.+)", line (?P<line>\d+)(?:, in (?P<function>.+))?$')
_EXCEPTION = re.compile(r"[A-Za-z_][\w.]*(?:: .*|:)?$")
_HEADER = "Traceback (most recent call last):"
_UNAWAITED = re.compile(r"(?P<file>.+?):(?P<line>\d+): RuntimeWarning: coroutine '(?P<name>.+)' was never")
_LIBRARY = re.compile(r"[/\\](site-packages|dist-packages|lib[/\\]python3[^/\\]*)[/\\]|^<", re.IGNORECASE)
_USUAL = ("ConnectionClosed", "ConnectionReset", "BrokenPipe", "CancelledError", "IncompleteRead", "EOFError")
"""How exceptions begin that a library raises because a client went away, or a task is ended."""


class Frame(Struct, frozen=True):
    """A place in a traceback, with its line of code."""

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

    @property
    def kind(self) -> str:
        """Its type."""
        return self.error.partition(":")[0].rpartition(".")[2]

    @property
    def is_usual(self) -> bool:
        """Whether a client that goes away may have caused it, and not the program itself."""
        return self.kind.startswith(_USUAL)


class Unawaited(Struct, frozen=True):
    """A coroutine that was never awaited, and where it was last seen."""

    name: str
    frame: Frame


def raised_in(lines: list[str], is_own: Callable[[str], bool]) -> Raised | None:
    """The exception that began what a traceback shows; None if it shows none.

    The first one from the judged code, if one is; what a library raised because a client went away is handled
    by programs all the time, so an exception that was raised meanwhile counts more.
    """
    found = _all_in(lines)
    found = [each for each in found if not each.kind.endswith("Group")] or found
    found = [each for each in found if not each.is_usual] or found
    own = [each for each in found if own_frame(each.frames, is_own) is not None]
    return next(iter(own or found), None)


def unawaited_in(lines: list[str]) -> Unawaited | None:
    """The coroutine that a warning names; None if it is another one."""
    found = _UNAWAITED.match(lines[0]) if lines else None
    if found is None:
        return None
    source = lines[1].strip() if len(lines) > 1 and lines[1].startswith("  ") else ""
    return Unawaited(found["name"], Frame(found["file"], int(found["line"]), "", source))


def essence(lines: list[str]) -> list[str]:
    """What is shown of a printed text in one line: of a traceback, the first exception and its place."""
    raised, forgotten = raised_in(lines, is_no_library), unawaited_in(lines)
    if raised is not None:
        frame = own_frame(raised.frames, is_no_library) or raised.frames[-1]
        return [raised.error, f"{frame.place}: {frame.source}"]
    return [f"{forgotten.frame.place}: {lines[0].rpartition('Warning: ')[2]}"] if forgotten else lines[:1]


def is_no_library(file: str) -> bool:
    """Whether a file may be a program's own: it is no part of Python, and no installed package's."""
    return _LIBRARY.search(file) is None


def own_frame(frames: list[Frame], is_own: Callable[[str], bool]) -> Frame | None:
    """The innermost frame in the files of those whose code is judged."""
    return next((frame for frame in reversed(frames) if is_own(frame.file)), None)


def _all_in(lines: list[str]) -> list[Raised]:
    found: list[Raised] = []
    frames: list[Frame] = []
    for line in map(_without_prefix, lines):
        match = _FRAME.match(line)
        if line.endswith(_HEADER):
            frames = []
        elif match:
            frames.append(Frame(match["file"], int(match["line"]), match["function"] or ""))
        elif line.startswith("    ") and frames and not frames[-1].source and line.strip(" ^~"):
            frames[-1] = Frame(frames[-1].file, frames[-1].line, frames[-1].function, line.strip())
        elif frames and _EXCEPTION.match(line):
            found.append(Raised(line, frames))
            frames = []
    return found


def _without_prefix(line: str) -> str:
    return _PREFIX.sub("", line) if line.lstrip()[:1] in ("|", "+") else line
