"""Several recordings as one history again, piece by piece, so that its whole never lies in memory at once.

Checkers want a `Log`. The log of a million deliveries would take gigabytes, so they are given small ones,
which hold everything that a checker needs to know for what it is asked about:

- `whole` has all that happened but deliveries: connections, joins, what was said; and each different message
  that was heard, once. It is enough for what is true of a message whoever hears it: its number, its content.
- `slices` have, for one room and some of its members, all that these heard; and, again, each different
  message that anybody heard. It is enough for what is owed to a member.

The one that hears each message once is the *witness*, a connection with the number 0. It asked to join every
room and was never answered, so nothing is owed to it.
"""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from math import inf
from sys import intern
from typing import Any

import msgspec

from harness import history
from harness.frames import tag_in
from harness.history import Event, History
from harness.load.record import HeardPage, Recording, numbers, seconds
from lab.protocol import SYSTEM

WITNESS = 0
SLICE = 12
"""Connections in one slice. Checkers take time by its square, and what all slices share by its inverse."""


class _Heard:
    """What one connection heard of one room: live messages (times and indexes) and pages."""

    __slots__ = ("at", "messages", "pages")

    def __init__(self) -> None:
        self.at = array("d")
        self.messages = array("I")
        self.pages: list[tuple[float, array[int], HeardPage]] = []


class Merged:
    """All recordings of a run, on one clock that begins at 0.

    Connections are numbered over all processes, from 1. `offsets` (seconds) are added to the times of a
    process whose clock differs.
    """

    def __init__(self, recordings: list[Recording], offsets: dict[str, float] | None = None) -> None:
        self.events: History = []
        """All events but deliveries, in order."""
        self.deliveries = 0
        """Messages that came live, counted once for each receiver; and so below."""
        self._offsets = offsets or {}
        self._messages: list[bytes] = []
        self._room_of: list[str] = []
        self._tags: list[str] = []
        self._first: list[tuple[float, int, bool]] = []  # first heard when, by whom, and if live
        self._of_room: dict[str, list[int]] = defaultdict(list)
        self._frames: dict[int, dict[str, Any]] = {}
        self._hosts: dict[int, str] = {}
        self._heard: dict[str, dict[int, _Heard]] = defaultdict(lambda: defaultdict(_Heard))
        self._clients: dict[int, str] = {}
        self._began = min((self._start_of(each) for each in recordings), default=0.0)
        known: dict[bytes, int] = {}
        conns = WITNESS
        for recording in recordings:
            conns = self._take(recording, known, conns)
        self.events.sort(key=lambda event: event.at)
        self._sort_events()

    def _start_of(self, recording: Recording) -> float:
        return min((event.at for event in recording.events), default=inf) + self._offset(recording)

    def _offset(self, recording: Recording) -> float:
        return self._offsets.get(recording.process, 0.0)

    def _take(self, recording: Recording, known: dict[bytes, int], before: int) -> int:
        """Add a recording, whose connections are numbered from `before` + 1 on; returns the last number."""
        shift = self._offset(recording) - self._began
        for number in range(before + 1, before + recording.conns + 1):
            self._hosts[number] = recording.host
        for event in recording.events:
            changes: dict[str, Any] = {"at": event.at + shift}
            conn = getattr(event, "conn", None)
            if conn is not None:
                changes["conn"] = conn + before
                self._clients[conn + before] = getattr(event, "client", "")
            self.events.append(msgspec.structs.replace(event, **changes))
        index = array("I", (self._index(data, known) for data in recording.messages))
        columns = (seconds(recording.at), numbers(recording.conn), numbers(recording.message))
        for at, conn, message in zip(*columns, strict=True):
            heard = self._heard[self._room_of[index[message]]][conn + before]
            heard.at.append(at + shift)
            heard.messages.append(index[message])
            self._witness(index[message], at + shift, conn + before, live=True)
            self.deliveries += bool(self._tags[index[message]])
        for page in recording.pages:
            its = array("I", (index[number] for number in numbers(page.messages)))
            self._heard[page.room][page.conn + before].pages.append((page.at + shift, its, page))
            for message in its:
                self._witness(message, page.at + shift, page.conn + before, live=False)
        return before + recording.conns

    def _index(self, data: bytes, known: dict[bytes, int]) -> int:
        if data not in known:
            message = msgspec.json.decode(data)
            room = intern(message["room"])
            known[data] = len(self._messages)
            self._of_room[room].append(len(self._messages))
            self._messages.append(data)
            self._room_of.append(room)
            self._tags.append("" if message.get("user") == SYSTEM else tag_in(message["content"]) or "")
            self._first.append((inf, WITNESS, False))
        return known[data]

    def _witness(self, message: int, at: float, conn: int, live: bool) -> None:
        if at < self._first[message][0]:
            self._first[message] = (at, conn, live)

    def _sort_events(self) -> None:
        """Put each event where slices look for it."""
        self.rooms: list[str] = []
        """All rooms that anybody asked to join, in that order."""
        self.said: dict[str, list[history.Sent]] = defaultdict(list)
        """What was said in each room, retries included."""
        self._comings: dict[tuple[int, str], History] = defaultdict(list)
        self._life: dict[int, History] = defaultdict(list)
        for event in self.events:
            match event:
                case history.Sent(frame={"type": "message", "data": {"room": room}}):
                    self.said[room].append(event)
                case history.Sent(frame={"type": "join" | "leave", "room": room}):
                    self._comings[event.conn, room].append(event)
                    if room not in self.rooms:
                        self.rooms.append(room)
                case history.Joined() | history.Left():
                    self._comings[event.conn, event.room].append(event)
                case history.Opened() | history.Closed() | history.Fault() | history.Received():
                    self._life[event.conn].append(event)

    # --- what checkers are given ------------------------------------------------------------------

    def whole(self) -> History:
        """Everything but deliveries; of these, each different message once, and the answers to retries."""
        witness = (event for room in self._heard for event in self._witnessed(room))
        answers = (event for room in list(self.said) for event in self._answers_to_retries(room))
        return _in_order([*self.events, *witness, *answers])

    def _answers_to_retries(self, room: str) -> Iterator[Event]:
        """All deliveries of what was said again, to the connections that said it."""
        conns: dict[str, set[int]] = defaultdict(set)
        times: dict[str, int] = defaultdict(int)
        for sent in self.said[room]:
            tag = tag_in(sent.frame["data"]["content"]) or ""
            conns[tag].add(sent.conn)
            times[tag] += 1
        for conn in {conn for tag, count in times.items() if count > 1 for conn in conns[tag]}:
            heard = self._heard[room][conn]
            for at, message in zip(heard.at, heard.messages, strict=True):
                tag = self._tags[message]
                if times.get(tag, 0) > 1 and conn in conns[tag]:
                    yield self._received(at, conn, self._frame(message))

    def slices(self, room: str) -> Iterator[History]:
        """Histories of a room, each with all that some of its connections heard."""
        self._frames.clear()  # those of another room
        senders = {sent.conn for sent in self.said[room]}
        conns = sorted({*self._heard[room], *(conn for conn, where in self._comings if where == room)})
        for start in range(0, len(conns), SLICE):
            some = conns[start : start + SLICE]
            events = [*self._witnessed(room, some), *self.said[room]]
            for conn in {*some, *senders}:
                events += self._life[conn]
            for conn in some:
                events += self._comings[conn, room]
                events += self._heard_by(conn, room)
            yield _in_order(events)

    def _heard_by(self, conn: int, room: str) -> Iterator[Event]:
        heard = self._heard[room].get(conn, _Heard())
        for at, message in zip(heard.at, heard.messages, strict=True):
            yield self._received(at, conn, self._frame(message))
        for at, messages, page in heard.pages:
            yield self._received(at, conn, self._page(room, messages, page))

    def _witnessed(self, room: str, but: Collection[int] = ()) -> Iterator[Event]:
        """Each message of a room as the witness heard it: when it was first heard, unless by one of `but`."""
        yield history.Sent(0.0, "", WITNESS, {"type": "join", "room": room})
        for message in self._of_room[room]:
            at, conn, live = self._first[message]
            if at < inf and conn not in but:
                frame = self._frame(message) if live else self._page(room, [message])
                yield history.Received(at, self._clients.get(conn, ""), WITNESS, frame, 0)

    def _received(self, at: float, conn: int, frame: dict[str, Any]) -> Event:
        return history.Received(at, self._clients.get(conn, ""), conn, frame, 0)

    def _frame(self, message: int) -> dict[str, Any]:
        if message not in self._frames:
            data = msgspec.json.decode(self._messages[message])
            self._frames[message] = {"type": "message", "data": data}
        return self._frames[message]

    def _page(self, room: str, messages: Iterable[int], page: HeardPage | None = None) -> dict[str, Any]:
        data: dict[str, Any] = {
            "room": room,
            "messages": [self._frame(message)["data"] for message in messages],
        }
        if page is not None:
            data |= {"last": page.last, "more": page.more}
        return {"type": "history", "data": data}

    # --- figures ----------------------------------------------------------------------------------

    def latencies(self) -> tuple[list[float], list[float]]:
        """Seconds from each message's sending to each of its live deliveries; and those to its own sender.

        What was said twice is left out, and what came from another host, whose clock is another.
        """
        sent: dict[str, history.Sent] = {}
        twice: set[str] = set()
        for event in (each for said in self.said.values() for each in said):
            tag = tag_in(event.frame["data"]["content"]) or ""
            if sent.setdefault(tag, event) is not event:
                twice.add(tag)
        once = [sent.get(tag) if tag not in twice else None for tag in self._tags]
        every, own = [], []
        for conns in self._heard.values():
            for conn, heard in conns.items():
                for at, message in zip(heard.at, heard.messages, strict=True):
                    said = once[message]
                    if said is not None and self._hosts[said.conn] == self._hosts[conn]:
                        every.append(at - said.at)
                        if said.conn == conn:
                            own.append(at - said.at)
        return sorted(every), sorted(own)


def _in_order(events: History) -> History:
    return sorted(events, key=lambda event: event.at)
