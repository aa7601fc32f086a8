"""Merges several recordings into one history, in parts, so that the whole is never in memory at once.

Checkers need a `HistoryIndex`. That of a million deliveries would take gigabytes, so they get small ones,
each with everything that a checker needs for its question:

- `whole` has all events but deliveries: connections, joins, sent messages; and each different message that
  was received, once. It is enough for properties of a message that do not depend on the receiver: its number,
  its content.
- `slices` have, for one room and some of its members, all that these received; and, again, each different
  message that any member received. It is enough to check what a member must receive.

The connection that receives each message once is the *witness*, with the number 0. It asked to join every
room and was never answered, so it need not receive anything.
"""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from math import inf
from sys import intern
from typing import Any

import msgspec

from harness.history import events as history
from harness.history.events import Event, History
from harness.history.frames import tag_in
from harness.load.record import HeardLive, HeardPage, Recording, numbers, seconds
from harness.load.room import Column, Room
from lab.protocol import SYSTEM

WITNESS = 0
SLICE = 12
"""Connections in one slice. Checkers take time by its square; data that all slices share, by its inverse."""


class Merged:
    """All recordings of a run, on one clock that begins at 0.

    Connections are numbered over all processes, from 1. `offsets` (seconds) are added to the times of a
    process whose clock differs. `began` is when the test began on the clock that they are added for; else
    the first event is its begin.
    """

    def __init__(
        self,
        recordings: list[Recording],
        offsets: dict[str, float] | None = None,
        began: float | None = None,
    ) -> None:
        self.events: History = []
        """All events but deliveries, in order."""
        self.rooms: dict[str, Room] = {}
        """All rooms of which anything was received, or that a client asked to join."""
        self.tags: list[str] = []
        """The tag of each message, by its index; empty if it has none, and for notices."""
        self.hosts: dict[int, str] = {}
        """The host of each connection."""
        self.dues: dict[str, float] = {}
        """When each message was due to be said, by its tag, where that was recorded."""
        self.probes: set[int] = set()
        """The connections of the probe."""
        self.busy_room = ""
        """The room that the probe shares with the users; "" if there was no probe."""
        self._offsets = offsets or {}
        self._messages: list[bytes] = []
        self._room_of: list[Room] = []
        self._frames: dict[int, dict[str, Any]] = {}
        self._clients: dict[int, str] = {}
        first = min((self._start_of(each) for each in recordings), default=0.0)
        self._began = first if began is None else min(began, first)
        known: dict[bytes, int] = {}
        conns = WITNESS
        for recording in recordings:
            conns = self._take(recording, known, conns)
        self._settle()
        heard = set(self.tags)
        self.events = [event for event in self.events if not self._is_unheard_of_probe(event, heard)]
        self.events.sort(key=lambda event: event.at)
        self._sort_events()

    @property
    def deliveries(self) -> int:
        """Live messages, counted once for each receiver, without those to the probe or by it."""
        return sum(
            len(column.at) - sum(map(by_probe.__contains__, column.messages) if by_probe else ())
            for room in self.rooms.values()
            for by_probe in (self._by_probe(room.name),)
            for conn, column in room.live.items()
            if conn not in self.probes
        )

    def _by_probe(self, room: str) -> set[int]:
        """The messages of a room that the probe has said."""
        if room != self.busy_room:
            return set()
        said = {
            tag_in(each.frame["data"]["content"])
            for each in self.said.get(room, ())
            if each.conn in self.probes
        }
        return {message for message in self.rooms[room].order if self.tags[message] in said}

    def _is_unheard_of_probe(self, event: Event, heard: set[str]) -> bool:
        """Whether the probe said something that nobody received: it does not stay until all has come."""
        match event:
            case history.Sent(frame={"type": "message", "data": {"content": str(content)}}):
                return event.conn in self.probes and tag_in(content) not in heard
        return False

    def shift(self, recording: Recording) -> float:
        """Seconds to add to the times of a recording."""
        return self._offset(recording) - self._began

    def _start_of(self, recording: Recording) -> float:
        return min((event.at for event in recording.events), default=inf) + self._offset(recording)

    def _offset(self, recording: Recording) -> float:
        return self._offsets.get(recording.process, 0.0)

    # --- merging ----------------------------------------------------------------------------------

    def _take(self, recording: Recording, known: dict[bytes, int], before: int) -> int:
        """Add a recording, whose connections are numbered from `before` + 1 on; returns the last number."""
        shift = self.shift(recording)
        for number in range(before + 1, before + recording.conns + 1):
            self.hosts[number] = recording.host
            if recording.busy_room:
                self.probes.add(number)
        self.busy_room = recording.busy_room or self.busy_room
        self.dues |= {tag: due + shift for tag, due in recording.dues.items()}
        for event in recording.events:
            changes: dict[str, Any] = {"at": event.at + shift}
            conn = getattr(event, "conn", None)
            if conn is not None:
                changes["conn"] = conn + before
                self._clients[conn + before] = getattr(event, "client", "")
            self.events.append(msgspec.structs.replace(event, **changes))
        index = [self._index(data, known) for data in recording.messages]
        for heard in recording.live:
            self._room(heard.room).live[heard.conn + before] = _column(heard, index, shift)
        for heard in recording.notices:
            self._room(heard.room).notices[heard.conn + before] = _column(heard, index, shift)
        for page in recording.pages:
            its = array("I", map(index.__getitem__, numbers(page.messages))).tobytes()
            conn = page.conn + before
            here = msgspec.structs.replace(page, at=page.at + shift, conn=conn, messages=its)
            self._room(page.room).pages[conn].append(here)
        return before + recording.conns

    def _room(self, name: str) -> Room:
        if name not in self.rooms:
            self.rooms[name] = Room(intern(name))
        return self.rooms[name]

    def _index(self, data: bytes, known: dict[bytes, int]) -> int:
        if data not in known:
            message = msgspec.json.decode(data)
            index = known[data] = len(self._messages)
            is_notice = message.get("user") == SYSTEM
            room = self._room(message["room"])
            if not is_notice:
                room.numbers[index] = int(message["sequence"])
            self._messages.append(data)
            self._room_of.append(room)
            self.tags.append("" if is_notice else tag_in(message["content"]) or "")
        return known[data]

    def _settle(self) -> None:
        for room in self.rooms.values():
            room.settle()
        for page in (page for room in self.rooms.values() for pages in room.pages.values() for page in pages):
            for message in numbers(page.messages):
                room = self._room_of[message]
                if message in room.numbers:
                    room.note_first(message, page.at, page.conn, in_page=True)

    def _sort_events(self) -> None:
        """Group the events as slices need them."""
        self.joined: list[str] = []
        """All rooms that any client asked to join, in that order."""
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
                case history.Joined() | history.Left():
                    self._comings[event.conn, event.room].append(event)
                case history.Opened() | history.Closed() | history.Fault() | history.Received():
                    self._life[event.conn].append(event)
        self.joined = list(dict.fromkeys(room for _, room in self._comings))
        for name in self.joined:
            self._room(name)

    def joins(self, room: str) -> Iterator[tuple[int, float, float]]:
        """For each join of a room that was answered: its connection, when it was asked, and when done."""
        for (conn, where), comings in self._comings.items():
            asked = 0.0
            for event in comings if where == room else ():
                if isinstance(event, history.Sent) and event.frame["type"] == "join":
                    asked = event.at
                elif isinstance(event, history.Joined):
                    yield conn, asked, event.at

    # --- histories for checkers -------------------------------------------------------------------

    def whole(self) -> History:
        """All events but deliveries; of these, each different message once, and the answers to retries."""
        witness = (event for room in self.rooms for event in self._witnessed(room))
        answers = (event for room in list(self.said) for event in self._answers_to_retries(room))
        return _in_order([*self.events, *witness, *answers])

    def _answers_to_retries(self, room: str) -> Iterator[Event]:
        """All deliveries of retried messages to the connections that sent them."""
        conns: dict[str, set[int]] = defaultdict(set)
        times: dict[str, int] = defaultdict(int)
        for sent in self.said[room]:
            tag = tag_in(sent.frame["data"]["content"]) or ""
            conns[tag].add(sent.conn)
            times[tag] += 1
        for conn in {conn for tag, count in times.items() if count > 1 for conn in conns[tag]}:
            for at, message in self._live(conn, room):
                tag = self.tags[message]
                if times.get(tag, 0) > 1 and conn in conns[tag]:
                    yield self._received(at, conn, self._frame(message))

    def conns(self, room: str) -> set[int]:
        """All connections that received anything of a room, or asked to join it."""
        heard = self.rooms[room]
        came = (conn for conn, where in self._comings if where == room)
        return {*heard.live, *heard.notices, *heard.pages, *came}

    def slices(self, room: str, conns: Collection[int]) -> Iterator[History]:
        """Histories of a room, each with all that some of these connections received."""
        self._frames.clear()  # they are those of another room
        senders = {sent.conn for sent in self.said[room]}
        ordered = sorted(conns)
        for start in range(0, len(ordered), SLICE):
            some = ordered[start : start + SLICE]
            events = [*self._witnessed(room, some), *self.said[room]]
            for conn in {*some, *senders}:
                events += self._life[conn]
            for conn in some:
                events += self._comings[conn, room]
                events += self._heard_by(conn, room)
            yield _in_order(events)

    def _live(self, conn: int, room: str) -> Iterator[tuple[float, int]]:
        column = self.rooms[room].live.get(conn)
        return zip(column.at, column.messages, strict=True) if column else iter(())

    def _heard_by(self, conn: int, room: str) -> Iterator[Event]:
        heard = self.rooms[room]
        for column in (heard.live.get(conn), heard.notices.get(conn)):
            for at, message in zip(column.at, column.messages, strict=True) if column else ():
                yield self._received(at, conn, self._frame(message))
        for page in heard.pages.get(conn, ()):
            yield self._received(page.at, conn, self._page(room, numbers(page.messages), page))

    def _witnessed(self, room: str, but: Collection[int] = ()) -> Iterator[Event]:
        """Each message of a room as the witness receives it: when a client first did, unless one of `but`."""
        yield history.Sent(0.0, "", WITNESS, {"type": "join", "room": room})
        heard = self.rooms[room]
        for place, (message, at, conn) in enumerate(
            zip(heard.order, heard.first, heard.first_by, strict=True)
        ):
            if at < inf and conn not in but:
                in_page = place in heard.first_in_page
                frame = self._page(room, [message]) if in_page else self._frame(message)
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


def _column(heard: HeardLive, index: list[int], shift: float) -> Column:
    at = array("d", map(shift.__add__, seconds(heard.at)))
    return Column(at, array("I", map(index.__getitem__, numbers(heard.messages))))


def _in_order(events: History) -> History:
    return sorted(events, key=lambda event: event.at)
