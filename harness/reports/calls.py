"""Calls as text: one a line, each with its result."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from msgspec import Struct

from harness.history.events import Called, Event

E = TypeVar("E")


class Line(Struct, frozen=True):
    """A call: when, by whom (empty: by the check itself), and what. `depth` is 1 for nested calls."""

    at: float
    who: str
    what: str
    depth: int = 0


def lines_of(events: list[Event]) -> list[Line]:
    """The calls among these events. A call that ends before anything else happens is one line."""
    calls = [event for event in events if isinstance(event, Called)]
    # Concurrent callers, such as `accept#1` and `accept#2`, are shown by name; nested calls by their depth.
    begun = {event.what.partition("(")[0] for event in calls if event.who == ""}
    lines = []
    for event in joined_calls(calls):
        is_nested = event.who.partition("#")[0] in begun
        what = event.what if event.result is None else f"{event.what} → {event.result}"
        lines.append(Line(event.at, "" if is_nested else event.who, what, int(is_nested)))
    return lines


def joined_calls(events: Iterable[E]) -> list[E]:
    """The events that get a line: all; but of a call with nothing between begin and end, only the end."""
    found: list[E] = []
    for event in events:
        if found and is_one_line(found[-1], event):
            found[-1] = event
        else:
            found.append(event)
    return found


def is_one_line(event: object, after: object) -> bool:
    """Whether two consecutive events are the begin and the end of one call."""
    return isinstance(event, Called) and isinstance(after, Called) and event.number == after.number
