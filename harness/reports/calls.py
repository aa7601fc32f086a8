"""Calls as text: one a line, each with its result."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from msgspec import Struct

from harness.history.events import Called, Event

E = TypeVar("E")


class Line(Struct, frozen=True):
    """A call: when, by whom (empty: by the check itself), and what. `depth` is how far it is nested."""

    at: float
    who: str
    what: str
    depth: int = 0


def lines_of(events: list[Event]) -> list[Line]:
    """The calls among these events. A call that ends before anything else happens is one line."""
    calls = [event for event in events if isinstance(event, Called)]
    # Concurrent callers, such as `accept#1` and `accept#2`, are shown by name; nested calls by their depth.
    depths = {_name(event.what): 0 for event in calls if event.who == ""}
    lines = []
    for event in joined_calls(calls):
        caller = event.who.partition("#")[0]
        depth = depths.get(caller, -1) + 1
        if depth:  # a caller that is known: what it calls may call something in turn
            depths.setdefault(_name(event.what), depth)
        what = event.what if event.result is None else f"{event.what} → {event.result}"
        lines.append(Line(event.at, "" if depth else event.who, what, depth))
    return lines


def _name(what: str) -> str:
    return what.partition("(")[0]


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
