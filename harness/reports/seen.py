"""What each client has seen of its rooms up to any moment: messages in their order, presence, connection.

A history is read once, client by client, since what a client has seen depends on its own lane alone. What it
received in between two moments is then a matter of their places in the history.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from harness.history.events import Closed, Event, Fault, History, Left, Opened, Received, Sent
from harness.history.frames import PresenceFrame
from harness.history.index import Heard, HistoryIndex
from harness.reports.excerpt import contents, is_telling
from harness.reports.strip import Span, between

_GAPS = 50
"""Gaps between numbers that are kept of a room, those of the highest numbers."""


@dataclass(frozen=True)
class Line:
    """A message as a client received it. `mark` is the key of a text that says what is odd, or empty."""

    number: int
    user: str
    content: str
    mark: str = ""


@dataclass
class View:
    """What has changed in a client's view of a room. What is None is as it was before."""

    lines: list[Line] = field(default_factory=list)
    missing: list[Span] | None = None
    """Numbers that are missing between those that it has received."""
    presence: dict[str, str] | None = None
    """The status of each user."""


@dataclass
class Change:
    """What has changed for a client: in rooms, by their full names, and its connection, as a key of texts."""

    rooms: dict[str, View] = field(default_factory=dict)
    connection: str | None = None

    def follow(self, later: Change) -> None:
        """Add what has changed later on."""
        for room, view in later.rooms.items():
            known = self.rooms.setdefault(room, View())
            known.lines += view.lines
            known.missing = known.missing if view.missing is None else view.missing
            known.presence = known.presence if view.presence is None else view.presence
        self.connection = self.connection if later.connection is None else later.connection


class Record:
    """A history as its clients saw it. Nothing in it raises, whatever a server has sent."""

    def __init__(self, history: History, index: HistoryIndex | None = None) -> None:
        self.size = len(history)
        self._places = {id(event): place for place, event in enumerate(history)}
        self._when: dict[str, list[int]] = defaultdict(list)
        self._what: dict[str, list[Change]] = defaultdict(list)
        reader = _Reader(index or HistoryIndex(history))
        for place, event in enumerate(history):
            change = reader.read(event)
            if change.rooms or change.connection is not None:
                client = str(getattr(event, "client", ""))
                self._when[client].append(place)
                self._what[client].append(change)

    def place_of(self, event: object) -> int | None:
        """The place of an event in the history, from 0; None if it is none of it."""
        return self._places.get(id(event))

    def between(self, client: str, begin: int, end: int) -> Change:
        """What changed for a client from the place `begin` on, up to and without `end`."""
        when = self._when.get(client, [])
        found = Change()
        for change in self._what.get(client, [])[bisect_right(when, begin - 1) : bisect_right(when, end - 1)]:
            found.follow(change)
        return found

    def rooms(self, events: Iterable[Event]) -> list[str]:
        """The full names of the rooms of which anything was seen in some events, the busiest first."""
        counts = Counter(
            room
            for event in events
            if is_telling(event) and (place := self.place_of(event)) is not None
            for room in self.between(str(getattr(event, "client", "")), place, place + 1).rooms
        )
        return sorted(counts, key=lambda room: (-counts[room], room))


class _Reader:
    """Reads events in their order, and says what each one changes for its client."""

    def __init__(self, index: HistoryIndex) -> None:
        self._heard: dict[int, list[Heard]] = defaultdict(list)
        self._presence: dict[int, PresenceFrame] = {}
        for world in index.worlds:
            for heard in world.heard:
                self._heard[id(heard.event)].append(heard)
            for received, frame in world.presence_frames:
                self._presence[id(received.event)] = frame
        self._conns: dict[str, int] = {}
        self._rooms: dict[tuple[str, str], _Room] = {}

    def read(self, event: Event) -> Change:
        match event:
            case Opened(client=client, conn=conn):
                self._conns[client] = conn
                return Change(connection="scrubber.connected")
            case Closed(client=client, conn=conn) if self._conns.get(client) == conn:
                return Change(connection="scrubber.not_connected")
            case Fault(kind=kind) if kind.heals:
                return Change(connection="scrubber.connected")
            case Fault(fault=fault, kind=kind) if kind.drawn:
                return Change(connection=f"diagram.{fault}")
            case Sent(client=client, bad=None):
                frame, _ = contents(event)
                if frame.get("type") == "join":
                    self._room(client, str(frame.get("room"))).join()
            case Left(client=client, room=room):
                self._room(client, room).left = True
            case Received():
                return Change(self._receives(event))
        return Change()

    def _receives(self, event: Received) -> dict[str, View]:
        found: dict[str, View] = {}
        for heard in self._heard.get(id(event), ()):
            room = self._room(event.client, heard.message.room)
            view = found.setdefault(heard.message.room, View())
            before = room.gaps
            view.lines.append(room.take(heard))
            if room.gaps != before:
                view.missing = room.gaps
        frame = self._presence.get(id(event))
        if frame is not None:
            room = self._room(event.client, frame.room)
            shown = {user: str(each.status) for user, each in frame.users.items()}
            room.presence = shown if frame.full else room.presence | shown
            found.setdefault(frame.room, View()).presence = room.presence
        return found

    def _room(self, client: str, room: str) -> _Room:
        return self._rooms.setdefault((client, room), _Room())


class _Room:
    """A room as one client has seen it so far. Numbers may be huge: nothing is done for each in a gap."""

    def __init__(self) -> None:
        self.left = False
        self.gaps: list[Span] = []
        self.presence: dict[str, str] = {}
        self._contents: dict[int, str] = {}
        self._live: set[int] = set()  # since the last join, and so are those that follow
        self._newest_live = 0
        self._span: tuple[int, int] | None = None
        self._highest = 0  # ever

    def join(self) -> None:
        """What is missed while away is no gap: what comes now is counted from its own beginning."""
        self.left = False
        self._live, self._newest_live, self._span = set(), 0, None

    def take(self, heard: Heard) -> Line:
        """A message that is received: as `strip.py` has it, what answers a retry need not come in order."""
        message, number = heard.message, heard.message.sequence
        mark = "" if heard.live else "page.strip_replayed"
        if heard.live and self.left:
            mark = "diagram.after_leaving"
        elif self._contents.get(number, message.content) != message.content:
            mark = "diagram.number_taken"
        elif heard.live and not heard.may_answer_retry:
            if number in self._live:
                mark = "diagram.again"
            elif number < self._newest_live:
                mark = "diagram.late"
        counts = heard.live and not heard.may_answer_retry
        self._count(number, rises=counts or not (heard.live or self._live))
        if counts:
            self._live.add(number)
            self._newest_live = max(self._newest_live, number)
        self._contents.setdefault(number, message.content)
        return Line(number, message.user, message.content, mark)

    def _count(self, number: int, *, rises: bool) -> None:
        """Fill the gap that a number was missing in, or open one before it."""
        if any(number in gap for gap in self.gaps):
            self.gaps = [
                part
                for gap in self.gaps
                for part in (between([gap.first - 1, number, gap.last + 1]) if number in gap else [gap])
            ]
        if not rises:
            return
        oldest, newest = self._span or (number, number)
        if number > newest + 1:
            self._open(newest, number)
        elif number < oldest - 1:
            self._open(number, oldest)
        self._span = (min(number, oldest), max(number, newest))
        self._highest = max(self._highest, number)

    def _open(self, begin: int, end: int) -> None:
        """What it has not received between two numbers is missing from now on."""
        known = [] if begin >= self._highest else sorted(n for n in self._contents if begin < n < end)
        others = [gap for gap in self.gaps if not begin < gap.first <= gap.last < end]
        self.gaps = sorted([*others, *between([begin, *known, end])], key=lambda gap: gap.first)[-_GAPS:]
