"""Reads what programs print of exceptions, in Python and in Node.

Of several exceptions, one raised while another was handled, or in a group, the one that began it counts.
"""

from __future__ import annotations

from collections.abc import Callable

from harness.history import raised_by_node, raised_by_python
from harness.history.exceptions import Frame, Raised, Unawaited, is_no_library, own_frame
from harness.history.raised_by_node import Blocked, blocked_in, heap_in
from harness.history.raised_by_python import unawaited_in

__all__ = [
    "Blocked",
    "Frame",
    "Raised",
    "Unawaited",
    "blocked_in",
    "essence",
    "heap_in",
    "is_no_library",
    "own_frame",
    "raised_in",
    "unawaited_in",
]

_GROUPS = ("Group", "AggregateError")
"""How the types of exceptions end that only hold others."""


def raised_in(lines: list[str], is_own: Callable[[str], bool]) -> Raised | None:
    """The exception that began what a traceback shows; None if it shows none.

    The first one from the judged code, if one is; what a library raised because a client went away is handled
    by programs all the time, so an exception that was raised meanwhile counts more.
    """
    found = raised_by_python.all_raised(lines) or raised_by_node.all_raised(lines)
    found = [each for each in found if not each.kind.endswith(_GROUPS)] or found
    found = [each for each in found if not each.is_usual] or found
    own = [each for each in found if own_frame(each.frames, is_own) is not None]
    return next(iter(own or found), None)


def essence(lines: list[str]) -> list[str]:
    """What is shown of a printed text in one line: of a traceback, the first exception and its place."""
    raised, forgotten = raised_in(lines, is_no_library), unawaited_in(lines)
    if raised is not None:
        frame = own_frame(raised.frames, is_no_library) or raised.frames[-1]
        return [raised.error, f"{frame.place}: {frame.source}" if frame.source else frame.place]
    return [f"{forgotten.frame.place}: {lines[0].rpartition('Warning: ')[2]}"] if forgotten else lines[:1]
