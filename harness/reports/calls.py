"""Calls as a person reads them: one a line, each with what came of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from msgspec import Struct

from harness.history.events import Called, Event

E = TypeVar("E")


class Line(Struct, frozen=True):
    """A call: when, by whom (empty: by the check itself), and what. `depth` is 1 for what a method calls."""

    at: float
    who: str
    what: str
    depth: int = 0


def lines_of(events: list[Event]) -> list[Line]:
    """The calls among these events. One that ends before anything else happens is one line."""
    calls = [event for event in events if isinstance(event, Called)]
    # Who acts by itself, such as `accept#1` beside `accept#2`, is told by name; else it is told by depth.
    begun = {event.what.partition("(")[0] for event in calls if event.who == ""}
    told = []
    for event in joined_calls(calls):
        is_nested = event.who.partition("#")[0] in begun
        what = event.what if event.result is None else f"{event.what} → {event.result}"
        told.append(Line(event.at, "" if is_nested else event.who, what, int(is_nested)))
    return told


def joined_calls(events: Iterable[E]) -> list[E]:
    """What gets a line of its own: all events, but of a call with nothing between its ends, the end alone."""
    found: list[E] = []
    for event in events:
        if found and is_one_line(found[-1], event):
            found[-1] = event
        else:
            found.append(event)
    return found


def is_one_line(event: object, after: object) -> bool:
    """Whether two events that follow one another are the two ends of a call."""
    return isinstance(event, Called) and isinstance(after, Called) and event.number == after.number
