"""Reads what Python prints of exceptions, and of coroutines that were never awaited."""

from __future__ import annotations

import re

from harness.history.exceptions import Frame, Raised, Unawaited

_PREFIX = re.compile(r"^\s*[|+](?:-[+-]*)? ?")
"""What the lines of an exception group begin with."""
_FRAME = re.compile(r'\s*File "(?P<file>.+)", line (?P<line>\d+)(?:, in (?P<function>.+))?$')
_EXCEPTION = re.compile(r"[A-Za-z_][\w.]*(?:: .*|:)?$")
_HEADER = "Traceback (most recent call last):"
_UNAWAITED = re.compile(r"(?P<file>.+?):(?P<line>\d+): RuntimeWarning: coroutine '(?P<name>.+)' was never")


def all_raised(lines: list[str]) -> list[Raised]:
    """All exceptions of a traceback, in the order in which they were raised."""
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


def unawaited_in(lines: list[str]) -> Unawaited | None:
    """The coroutine that a warning names; None if it is another one."""
    found = _UNAWAITED.match(lines[0]) if lines else None
    if found is None:
        return None
    source = lines[1].strip() if len(lines) > 1 and lines[1].startswith("  ") else ""
    return Unawaited(found["name"], Frame(found["file"], int(found["line"]), "", source))


def _without_prefix(line: str) -> str:
    return _PREFIX.sub("", line) if line.lstrip()[:1] in ("|", "+") else line
