"""An index of a history: who was where when, who said what, and who heard it.

Checkers ask questions such as "what was live in this room on that connection?" many times. This reads the
events once and keeps the answers. It never raises on an odd history: what does not fit is left out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Any

from harness.history import events as history
from harness.history import frames
from harness.history.events import History
from harness.history.frames import Reading, tag_in
from lab.protocol import SYSTEM, Message

ENDS = ("asked_to_stop", "killed", "died", "hung", "blocked", "slow", "unbounded", "flooding", "outlived")
"""What ends the server, or the whole run: after that, nothing is required of it."""
AT_ONCE = 0.5
"""Seconds before the end of the server in which connections break because of it."""
DYING_SECONDS = 1.0
"""Seconds that a process may take to end once its connections are gone: the system closes those first."""


@dataclass
class Said:
    """A message that a client sent, once or (with the same `id`) several times."""

    tag: str
    conn: int
    client: str
    user: str
    room: str
    content: str
    id: str | None
    sent: list[history.Sent]

    @property
    def at(self) -> float:
        """When it was first sent."""
        return self.sent[0].at


@dataclass
class Heard:
    """A message that a client received: live, or in a page of history."""

    at: float
    conn: int
    client: str
    message: Message
    said: Said | None
    live: bool
    event: history.Received

    @property
    def may_answer_retry(self) -> bool:
        """Whether it may be the answer to a retry: one more copy, which need not come in order."""
        retries = self.said.sent[1:] if self.said else []
        return any(sent.conn == self.conn and sent.at <= self.at for sent in retries)


@dataclass
class Membership:
    """A client's time in a room on one connection.

    `end` is "leave", "close", "stop" (the server was asked to stop), "fault" or "" (open).
    """

    conn: int
    client: str
    user: str
    room: str
    since: int | None
    asked: float
    event: history.Sent
    start: float = inf
    stop: float = inf
    end: str = ""
    left: float = inf

    @property
    def confirmed(self) -> bool:
        """Whether the server did everything that the join asked for."""
        return self.start < inf


@dataclass
class Conn:
    """One connection."""

    number: int
    client: str
    user: str = ""
    opened: float = inf
    closed: history.Closed | None = None
    faults: list[history.Fault] = field(default_factory=list)
    ended: float = inf
    """When it was closed or broke, its server ended, or its client no longer read."""
    heartbeat: float = 0.0
    timeout: float = 0.0


@dataclass
class ReceivedFrame:
    """A frame received, with its reading."""

    at: float
    conn: int
    client: str
    reading: Reading
    event: history.Received


class HistoryIndex:
    """The index. All lists are in the order of the history; calls between components are left out.

    `readings` are those of the received frames, in their order, if they have been read already. What
    happened with the second server, which ran on a copy of the data, is in an index of its own: `second`.
    """

    def __init__(
        self, events: History, readings: Sequence[Reading] = (), *, beside: HistoryIndex | None = None
    ) -> None:
        self.events: History = []
        self.beside = beside
        """The index of the first server, if this is that of the second one."""
        self.second: HistoryIndex | None = None
        self._readings: Iterator[Reading] = beside._readings if beside else iter(readings)
        self.began: history.Began = beside.began if beside else history.Began(0.0, 0, "", "", "", 0.0)
        self.conns: dict[int, Conn] = {}
        self.said: dict[str, Said] = beside.said if beside else {}
        self._said_in: dict[str, list[Said]] = defaultdict(list)
        self.bad: dict[str, history.Sent] = {}
        """Bad frames, by the tag of their content, or by the content where it has none."""
        self.heard: list[Heard] = []
        self._heard_in: dict[str, list[Heard]] = defaultdict(list)
        self._live_on: dict[tuple[int, str], list[Heard]] = defaultdict(list)
        self.first_heard: dict[str, float] = {}
        """When any client first received a message, by its tag."""
        self.notices: list[Heard] = []
        self.memberships: list[Membership] = []
        self._of_conn: dict[int, list[Membership]] = defaultdict(list)
        self._of_room: dict[str, list[Membership]] = defaultdict(list)
        self.received: list[ReceivedFrame] = []
        self.pages: list[tuple[ReceivedFrame, frames.History]] = []
        self.presence_frames: list[tuple[ReceivedFrame, frames.PresenceFrame]] = []
        self.errors: list[tuple[ReceivedFrame, frames.Error]] = []
        self.heartbeats: dict[int, list[float]] = defaultdict(list)
        self.sent: list[history.Sent] = []
        self.gave_up: list[history.GaveUp] = []
        self.server: list[history.Server] = []
        self.notes: dict[str, list[Any]] = defaultdict(list)
        self.stalls: list[history.Stalled] = []
        self.steps: dict[str, tuple[float, float]] = {}
        self._take_all(history.seen_outside(events))

    def _take_all(self, events: History) -> None:
        """Give each event to the index of the server that it belongs to."""
        elsewhere = {event.conn for event in events if isinstance(event, history.Opened) and event.second}
        if elsewhere or any(isinstance(event, history.Server) and event.second for event in events):
            self.second = HistoryIndex([], beside=self)
        for event in events:
            index = self
            if self.second:
                is_second = getattr(event, "second", False) or getattr(event, "conn", 0) in elsewhere
                index = self.second if is_second else self
            index.events.append(event)
            index._take(event)

    @property
    def worlds(self) -> list[HistoryIndex]:
        """This index, and that of the second server if there was one."""
        return [self, self.second] if self.second else [self]

    def _take(self, event: history.Event) -> None:
        match event:
            case history.Received():
                self._received(event)
            case history.Sent():
                self._sent(event)
            case history.Opened():
                conn = self._conn(event.conn, event.client)
                conn.user, conn.opened = event.user, event.at
                conn.heartbeat, conn.timeout = event.heartbeat, event.timeout
            case history.Joined():
                for membership in self._open(event.conn, event.room):
                    membership.start = min(membership.start, event.at)
            case history.Left():
                for membership in self._of_conn[event.conn]:
                    if membership.room == event.room:
                        membership.left = min(membership.left, event.at)
            case history.Closed():
                conn = self._conn(event.conn, event.client)
                conn.closed, conn.ended = event, min(conn.ended, event.at)
                self._end(event.conn, None, event.at, "close")
            case history.Fault():
                conn = self._conn(event.conn, event.client)
                conn.faults.append(event)
                conn.ended = min(conn.ended, event.at)
                if event.kind.ends:
                    self._end(event.conn, None, event.at, event.kind.ends)
            case history.GaveUp():
                self.gave_up.append(event)
            case history.Server():
                self.server.append(event)
                if event.what in ENDS:
                    self._all_end(event)
            case history.Step():
                start = self.steps.get(event.step, (event.at, inf))[0]
                self.steps[event.step] = (start, event.at if event.done else inf)
            case history.Noted():
                self.notes[event.what].append(event.value)
            case history.Stalled():
                self.stalls.append(event)
            case history.Began():
                self.began = event

    def _conn(self, number: int, client: str) -> Conn:
        return self.conns.setdefault(number, Conn(number, client))

    def _open(self, conn: int, room: str | None) -> list[Membership]:
        return [m for m in self._of_conn[conn] if m.stop == inf and (room is None or m.room == room)]

    def _end(self, conn: int, room: str | None, at: float, how: str) -> None:
        for membership in self._open(conn, room):
            membership.stop, membership.end = at, how

    def _all_end(self, event: history.Server) -> None:
        for conn in self.conns.values():
            conn.ended = min(conn.ended, event.at)
        for membership in self.memberships:
            if membership.stop == inf:
                how = "stop" if event.what == "asked_to_stop" else "fault"
                membership.stop, membership.end = event.at, how

    def _sent(self, event: history.Sent) -> None:
        self.sent.append(event)
        if event.bad is not None:
            self._sent_bad(event)
            return
        if not isinstance(event.frame, dict):
            return
        conn = self._conn(event.conn, event.client)
        match event.frame:
            case {"type": "message", "data": {"room": str(room), "content": str(content)} as data}:
                tag = tag_in(content)
                id = data["id"] if isinstance(data.get("id"), str) else None
                if tag in self.said:
                    self.said[tag].sent.append(event)
                elif tag is not None:
                    said = Said(tag, event.conn, event.client, conn.user, room, content, id, [event])
                    self.said[tag] = said
                    self._said_in[room].append(said)
            case {"type": "join", "room": str(room)}:
                since = event.frame.get("since")
                if not self._open(event.conn, room):
                    known = since if isinstance(since, int) else None
                    self._joins(Membership(event.conn, event.client, conn.user, room, known, event.at, event))
            case {"type": "leave", "room": str(room)}:
                self._end(event.conn, room, event.at, "leave")

    def _joins(self, membership: Membership) -> None:
        self.memberships.append(membership)
        self._of_conn[membership.conn].append(membership)
        self._of_room[membership.room].append(membership)

    def _sent_bad(self, event: history.Sent) -> None:
        """A bad frame must change nothing; its tag or content is kept, to recognize it if it does."""
        data = event.frame.get("data") if isinstance(event.frame, dict) else None
        content = data.get("content") if isinstance(data, dict) else event.text
        if isinstance(content, str):
            self.bad[tag_in(content) or content] = event

    def _received(self, event: history.Received) -> None:
        reading = next(self._readings, None) or frames.read(event.frame, event.size)
        received = ReceivedFrame(event.at, event.conn, event.client, reading, event)
        self.received.append(received)
        match reading.meaning:
            case Message() as message:
                if message.user == SYSTEM:
                    self.notices.append(Heard(event.at, event.conn, event.client, message, None, True, event))
                else:
                    self._hear(event, message, live=True)
            case frames.History() as page:
                self.pages.append((received, page))
                for message in page.messages:
                    if message.user != SYSTEM:
                        self._hear(event, message, live=False)
            case frames.PresenceFrame() as presence_frame:
                self.presence_frames.append((received, presence_frame))
            case frames.Error() as error:
                self.errors.append((received, error))
            case frames.Heartbeat():
                self.heartbeats[event.conn].append(event.at)

    def _hear(self, event: history.Received, message: Message, live: bool) -> None:
        said = self.said.get(tag_in(message.content) or "")
        heard = Heard(event.at, event.conn, event.client, message, said, live, event)
        for index in (self, self.beside) if self.beside else (self,):
            index.heard.append(heard)
            if said:
                index.first_heard.setdefault(said.tag, event.at)
            index._heard_in[message.room].append(heard)
        if live:
            self._live_on[event.conn, message.room].append(heard)

    def has(self, conn: int) -> bool:
        """Whether a connection was one to this server, and not to the other."""
        return conn in self.conns if self.beside else not (self.second and conn in self.second.conns)

    # --- questions --------------------------------------------------------------------------------

    def conn(self, number: int) -> Conn:
        """A connection, to either server; a blank one if the history has none with this number."""
        found = (index.conns[number] for index in self.worlds if number in index.conns)
        return next(found, Conn(number, ""))

    def in_room(self, room: str) -> list[Heard]:
        """All messages of a room that any client received, live or by replay."""
        return self._heard_in.get(room, [])

    @property
    def keeps_ids(self) -> bool:
        """Whether the server keeps the ids that clients give to messages: if not, it offers no retry."""
        return any(heard.said is not None and heard.said.id == heard.message.id for heard in self.heard)

    def live_on(self, conn: int, room: str) -> list[Heard]:
        """The live messages of one room that one connection received."""
        return self._live_on.get((conn, room), [])

    def live_in(self, membership: Membership) -> list[Heard]:
        """The live messages that a client received in a room from a join until its next join of that room."""
        where = (membership.conn, membership.room)
        later = (
            m.asked
            for m in self._of_conn[membership.conn]
            if m.room == membership.room and m.asked > membership.asked
        )
        again = min(later, default=inf)
        return [heard for heard in self.live_on(*where) if membership.asked <= heard.at < again]

    def members(self, room: str) -> list[Membership]:
        """All memberships of a room that the server confirmed."""
        return [m for m in self.memberships_of(room) if m.confirmed]

    def memberships_of(self, room: str) -> list[Membership]:
        """All memberships of a room, also those that the server never confirmed."""
        return self._of_room.get(room, [])

    def said_in(self, room: str) -> list[Said]:
        """The messages that clients sent to a room."""
        return self._said_in.get(room, [])

    def last_break(self, user: str, room: str, before: float) -> tuple[str, list[history.Event]]:
        """How a user last lost a connection or left a room: the name of a fault or `leave`, and the event.

        Both are empty if that never happened.
        """
        mine = {conn.number for conn in self.conns.values() if conn.user == user}
        leave = {"type": "leave", "room": room}
        found: list[tuple[float, str, history.Event]] = [
            (fault.at, fault.fault, fault) for number in mine for fault in self.conns[number].faults
        ]
        found += [(sent.at, "leave", sent) for sent in self.sent if sent.conn in mine and sent.frame == leave]
        found = [each for each in found if each[0] <= before]
        _, how, event = max(found, key=lambda each: each[0], default=(0.0, "", None))
        return how, [event] if event is not None else []

    def server_ended_at(self, at: float) -> bool:
        """Whether the server had ended then, or was about to (connections may break a moment before)."""
        for event in self.server:
            if event.what in ENDS:
                again = (e.at for e in self.server if e.what == "ready" and e.at > event.at)
                if self._end_began(event) <= at <= min(again, default=inf):
                    return True
        return False

    def _end_began(self, end: history.Server) -> float:
        """From when on the end of the server may be why a connection broke.

        When a process ends by itself, its connections break some time before the harness notices its end. So
        the end may have begun right after the last frame that any client received.
        """
        if end.what != "died":
            return end.at - AT_ONCE
        heard = (e.at for e in reversed(self.received) if e.at <= end.at)
        return min(end.at - AT_ONCE, max(next(heard, 0.0), end.at - AT_ONCE - DYING_SECONDS))

    def start_before(self, at: float) -> float:
        """When the server had last become ready before a moment."""
        return max((e.at for e in self.server if e.what == "ready" and e.at <= at), default=0.0)

    def finished(self, step: str) -> bool:
        """Whether a step was played to its end."""
        return self.steps.get(step, (inf, inf))[1] < inf

    def longest_stall(self) -> float:
        """Seconds of the longest time for which the harness was held up."""
        return max((stall.seconds for stall in self.stalls), default=0.0)
