"""How long messages took from when they were due, by what senders and receivers recorded.

A message is *due* at the moment at which its user would have said it had nothing held up the load process.
From then on its time counts: a load that is late is seen, and not taken off (this is what load testers call
coordinated omission). The probe hears some of the same messages in a process of its own, and counts from when
they were really sent: that is what the server takes.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from math import inf, isfinite, nan
from operator import sub
from typing import Any

from msgspec import Struct

from harness.history import events as history
from harness.history.frames import tag_in
from harness.load.merge import Merged
from harness.load.room import Column, Room
from harness.load.slots import Slots, Times


class Measured(Struct):
    """All that was timed: by the users, by the probe, and by the users of what the probe timed, too."""

    users: Times
    probe: Times
    compared: Times
    never: Times
    """What never came, by users alone; its seconds are infinite."""


class _Said(Struct, frozen=True):
    """A message: the connection that said it, when it was due, and when it was sent."""

    conn: int
    due: float
    sent: float


def measure(merged: Merged, slots: Slots) -> Measured:
    """The times of deliveries, and of joins of the room that the probe is in, too.

    Retried messages are left out, and deliveries to another host than the sender's, which has another clock.
    """
    measured = Measured(Times(slots), Times(slots), Times(slots), Times(slots))
    once = _said_once(merged)
    for room in merged.rooms.values():
        _Room(merged, slots, room, once).fill(measured)
    _add_unheard(merged, slots, once, measured.never)
    for conn, asked, done in merged.joins(merged.busy_room) if merged.busy_room else ():
        if asked > slots.lasted:
            continue
        (measured.probe if conn in merged.probes else measured.compared).add("join", asked, done - asked)
    return measured


def latencies(merged: Merged) -> tuple[list[float], list[float]]:
    """Seconds from when each message was due to all its live deliveries; and to that to its own sender."""
    users = measure(merged, Slots(0.0, [], [])).users
    return users.within("delivery", [0]), users.within("echo", [0])


def _said_once(merged: Merged) -> dict[str, _Said]:
    """Messages that were sent only once, by their tags."""
    sent: dict[str, history.Sent] = {}
    twice: set[str] = set()
    for event in (each for said in merged.said.values() for each in said):
        tag = tag_in(event.frame["data"]["content"]) or ""
        if sent.setdefault(tag, event) is not event:
            twice.add(tag)
    return {
        tag: _Said(event.conn, merged.dues.get(tag, event.at), event.at)
        for tag, event in sent.items()
        if tag not in twice
    }


def _add_unheard(merged: Merged, slots: Slots, once: dict[str, _Said], never: Times) -> None:
    """Add what users said and nobody received: as many deliveries as a message of its room has on average."""
    heard = set(merged.tags)
    for name, said in merged.said.items():
        room = merged.rooms.get(name)
        copies = (
            sum(len(each.at) for conn, each in room.live.items() if conn not in merged.probes) if room else 0
        )
        many = max(round(copies / len(room.order)), 1) if room and room.order else 1
        for event in said:
            tag = tag_in(event.frame["data"]["content"]) or ""
            one = once.get(tag)
            if one is None or tag in heard or one.conn in merged.probes or one.due > slots.lasted:
                continue
            never.add("echo", one.due, inf)
            never.row("delivery")[slots.at(one.due)].extend([inf] * many)


class _Room:
    """The messages of one room, in its order."""

    def __init__(self, merged: Merged, slots: Slots, room: Room, once: dict[str, _Said]) -> None:
        self._merged = merged
        self._slots = slots
        self._room = room
        self._said = [once.get(merged.tags[message]) for message in room.order]

    def fill(self, measured: Measured) -> None:
        """Add what is known of this room."""
        merged, name = self._merged, self._room.name
        by_users = [said if said and said.conn not in merged.probes else None for said in self._said]
        by_probe = [said if said and said.conn in merged.probes else None for said in self._said]
        rows = [measured.users.row("delivery")]
        if name == merged.busy_room:
            rows.append(measured.compared.row("delivery"))
            # What the probe says is due when it says so. What users say counts from when it was sent.
            sent = [_Said(said.conn, said.sent, said.sent) if said else None for said in by_users]
            heard = [mine or other for mine, other in zip(by_probe, sent, strict=True)]
            self._deliveries(heard, [measured.probe.row("delivery")], to_probe=True)
        self._deliveries(by_users, rows, to_probe=False)
        self._echoes(by_users, measured.users)
        if name != merged.busy_room:
            self._echoes(by_probe, measured.probe)

    def _deliveries(
        self, said: list[_Said | None], rows: list[list[array[float]]], *, to_probe: bool
    ) -> None:
        """Add all deliveries to the probe's connections, or to all others, to each of these rows."""
        merged = self._merged
        for host in set(merged.hosts.values()):
            here = [each if each and merged.hosts[each.conn] == host else None for each in said]
            due = array("d", (each.due if each else nan for each in here))
            # What has no time goes into the slot after the last.
            slot = array("I", (self._slots.at(each.due) if each else self._slots.count for each in here))
            for row in rows:
                add = [each.append for each in row]
                for conn, column in self._room.live.items():
                    if merged.hosts[conn] == host and (conn in merged.probes) is to_probe:
                        times = map(sub, column.at, self._in_column(column, due))
                        for seconds, place in zip(times, self._in_column(column, slot), strict=True):
                            add[place](seconds)

    def _in_column(self, column: Column, values: array[Any]) -> array[Any]:
        """The value of each message in a column."""
        if column.start is not None:
            return values[column.start : column.start + len(column.at)]
        return array(values.typecode, (values[self._room.places[message]] for message in column.messages))

    def _echoes(self, said: list[_Said | None], times: Times) -> None:
        """Add what senders waited for their own messages."""
        mine: dict[int, dict[int, _Said]] = {}
        for message, each in zip(self._room.order, said, strict=True):
            if each is not None:
                mine.setdefault(each.conn, {})[message] = each
        for conn, messages in mine.items():
            for at, each in self._heard_by(conn, messages):
                times.add("echo", each.due, at - each.due)

    def _heard_by(self, conn: int, messages: dict[int, _Said]) -> Iterator[tuple[float, _Said]]:
        column = self._room.live.get(conn)
        if column is None:
            return
        if column.start is None:
            heard = zip(column.at, column.messages, strict=True)
            yield from ((at, messages[message]) for at, message in heard if message in messages)
            return
        for message, each in messages.items():
            place = self._room.places[message] - column.start
            if 0 <= place < len(column.at) and isfinite(each.due):
                yield column.at[place], each
