"""Calls as a person reads them: one a line, each with what came of it."""

from __future__ import annotations

from msgspec import Struct

from harness.history import Called, Event


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
    for place, event in enumerate(calls):
        ends_at_once = place + 1 < len(calls) and calls[place + 1].number == event.number
        if event.result is None and ends_at_once:
            continue
        is_nested = event.who.partition("#")[0] in begun
        what = event.what if event.result is None else f"{event.what} → {event.result}"
        told.append(Line(event.at, "" if is_nested else event.who, what, int(is_nested)))
    return told
