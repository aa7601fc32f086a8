"""Delivery times of messages, from what senders and receivers recorded."""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Iterator
from math import isfinite, nan
from operator import sub

from harness.history import events as history
from harness.history.frames import tag_in
from harness.load.merge import Merged
from harness.load.room import Column, Room


def latencies(merged: Merged) -> tuple[list[float], list[float]]:
    """Seconds from the sending of each message to all its live deliveries; and to that to its own sender.

    Retried messages are left out, and those from another host, which has another clock. Both are sorted.
    """
    once = _said_once(merged)
    every: list[float] = []
    own: list[float] = []
    for room in merged.rooms.values():
        said = [once.get(merged.tags[message]) for message in room.order]
        for host in set(merged.hosts.values()):
            sent = array("d", (s.at if s and merged.hosts[s.conn] == host else nan for s in said))
            for conn, column in room.live.items():
                if merged.hosts[conn] == host:
                    every += filter(isfinite, map(sub, column.at, _in_column(room, column, sent)))
        own += _echoes(room, said)
    return sorted(every), sorted(own)


def _said_once(merged: Merged) -> dict[str, history.Sent]:
    """Messages that were sent only once, by their tags."""
    sent: dict[str, history.Sent] = {}
    twice: set[str] = set()
    for event in (each for said in merged.said.values() for each in said):
        tag = tag_in(event.frame["data"]["content"]) or ""
        if sent.setdefault(tag, event) is not event:
            twice.add(tag)
    return {tag: event for tag, event in sent.items() if tag not in twice}


def _in_column(room: Room, column: Column, sent: array[float]) -> array[float]:
    """The time of sending of each message in a column."""
    if column.start is not None:
        return sent[column.start : column.start + len(column.at)]
    return array("d", (sent[room.places[message]] for message in column.messages))


def _echoes(room: Room, said: list[history.Sent | None]) -> Iterator[float]:
    """Seconds that senders waited for their own messages."""
    by_conn: dict[int, dict[int, float]] = defaultdict(dict)
    for message, event in zip(room.order, said, strict=True):
        if event is not None:
            by_conn[event.conn][message] = event.at
    for conn, mine in by_conn.items():
        column = room.live.get(conn)
        if column is None:
            continue
        if column.start is not None:
            places = {message: room.places[message] - column.start for message in mine}
            yield from (
                column.at[place] - mine[message]
                for message, place in places.items()
                if 0 <= place < len(column.at)
            )
        else:
            heard = zip(column.at, column.messages, strict=True)
            yield from (at - mine[message] for at, message in heard if message in mine)
