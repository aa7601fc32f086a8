"""Histories as stories: a test tells who said and heard what, and the events and their times follow.

    story = Story()
    alice, bob = story.clients("alice", "bob")
    alice.joins("red"), bob.joins("red")
    hello = alice.says("red", "hello")
    alice.hears(hello, 1)
    assert names_of(delivery.lost(story.index, "red")) == ["lost"]

Each thing that happens takes a millisecond; `story.passes(seconds)` lets more time go by. What a test does
not give is right: users have the names that they asked for, messages the ids that were given.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from hypothesis import settings

from harness.checkers.catalogue import CATALOGUE, Anomaly
from harness.history.events import (
    Began,
    Closed,
    Event,
    Fault,
    GaveUp,
    History,
    Joined,
    Left,
    Noted,
    Opened,
    Received,
    Sent,
    Server,
    Stalled,
    Step,
)
from harness.history.index import HistoryIndex
from harness.reports.words import Words
from harness.texts import texts

Json = dict[str, Any]

TICK = 0.001
EPOCH = 1_767_225_600_000
NONCE = "a1b2c3"
PROPERTY = settings(derandomize=True, database=None, deadline=None)
"""The same examples each time, and nothing left on disk."""

_WORDS = Words(texts("en"), NONCE)
_UNFILLED = re.compile(r"\{\w+\}|anomaly\.\w+")


@dataclass(frozen=True)
class Line:
    """A message without its number, as it can be said and heard."""

    tag: str
    room: str
    user: str
    content: str
    id: str | None
    stored_id: str
    timestamp: int

    def numbered(self, sequence: Any, **changes: Any) -> Json:
        """The message as the server sends it; `changes` are fields that the server has altered."""
        return {
            "id": self.stored_id,
            "room": self.room,
            "user": self.user,
            "content": self.content,
            "sequence": sequence,
            "timestamp": self.timestamp,
            **changes,
        }


Numbered = tuple[Line, int]


class Story:
    """A history under construction."""

    def __init__(self, exercise: int = 1, world: str = "story") -> None:
        self.at = 0.0
        self.events: History = [Began(0.0, exercise, "1", NONCE, world, EPOCH / 1000)]
        self.seen = 0.0
        """How much `lastSeen` goes on in a second."""
        self._tick = TICK
        self._conns = 0
        self._lines = 0

    @property
    def index(self) -> HistoryIndex:
        """The index of the history so far."""
        return HistoryIndex(self.events)

    @property
    def last(self) -> Event:
        """The last event."""
        return self.events[-1]

    def tick(self) -> float:
        """The time of the next event."""
        self.at = round(self.at + self._tick, 6)
        return self.at

    def next_at(self, moment: float) -> None:
        """Let time pass until just before a moment, so that the next event is at that moment."""
        self.at = round(moment - TICK, 6)

    @contextmanager
    def moment(self, at: float | None = None) -> Iterator[float]:
        """All events inside have the same time: a simulated clock stands still while programs compute."""
        if at is not None:
            self.next_at(at)
        now = self.tick()
        self._tick = 0.0
        yield now
        self._tick = TICK

    def add(self, event: Event) -> None:
        """Add an event."""
        self.events.append(event)

    def passes(self, seconds: float) -> float:
        """Let time pass; returns the time that it is then."""
        self.at = round(self.at + seconds, 6)
        return self.at

    def next_conn(self) -> int:
        """The number of a new connection."""
        self._conns += 1
        return self._conns

    def next_line(self) -> int:
        """A number for something new to be said."""
        self._lines += 1
        return self._lines

    # --- clients ----------------------------------------------------------------------------------

    def client(self, name: str, user: str | None = None, **more: Any) -> Person:
        """A client that is connected."""
        person = Person(self, name, user or name, **more)
        person.connects()
        return person

    def clients(self, *names: str) -> list[Person]:
        """Several clients that are connected."""
        return [self.client(name) for name in names]

    def members(self, room: str, *names: str) -> list[Person]:
        """Several clients that are connected, and members of a room."""
        people = self.clients(*names)
        for person in people:
            person.joins(room)
        return people

    def line(self, person: Person, room: str, text: str = "hello", id: str | None = None) -> Line:
        """A message that somebody may say later."""
        number = self.next_line()
        tag = f"{NONCE}-{number}"
        stored = id or f"server-{number}"
        return Line(tag, room, person.user, f"{tag}. {text}", id, stored, EPOCH + number)

    def all_hear(self, people: Iterable[Person], *said: Numbered) -> None:
        """All of them receive the same messages, live, in this order."""
        for person in people:
            for line, number in said:
                person.hears(line, number)

    def talk(self, people: list[Person], room: str, count: int, first: int = 1) -> list[Numbered]:
        """They speak in turn, and all hear everything; `first` is the number of the first message."""
        said = [(people[n % len(people)].says(room, f"no. {n}"), first + n) for n in range(count)]
        self.all_hear(people, *said)
        return said

    # --- the server -------------------------------------------------------------------------------

    def server(self, what: str, *, second: bool = False, **detail: Any) -> Server:
        """An event of the server."""
        event = Server(self.tick(), what, detail, second)
        self.add(event)
        return event

    def ends(self, how: str, *people: Person) -> None:
        """The server is "killed" or "asked_to_stop" or has "died",
        and these clients lose their connections.
        """
        self.server(how)
        for person in people:
            person.is_dropped(1001 if how == "asked_to_stop" else 1006)

    def restarts(self, how: str, *people: Person) -> None:
        """The server ends, is ready again, and these clients come back."""
        self.ends(how, *people)
        self.passes(0.5)
        self.server("ready")
        for person in people:
            person.connects()

    # --- the run ----------------------------------------------------------------------------------

    @contextmanager
    def step(self, step: str) -> Iterator[None]:
        """What happens inside is one of the course's steps, played to its end."""
        self.begins(step)
        yield
        self.add(Step(self.tick(), step, True))

    def begins(self, step: str) -> None:
        """A step begins, and may not come to its end."""
        self.add(Step(self.tick(), step, False))

    def notes(self, what: str, value: Any) -> None:
        """Add a note that something was counted."""
        self.add(Noted(self.tick(), what, value))

    def stalls(self, seconds: float) -> None:
        """The harness was blocked for so long, until now."""
        self.add(Stalled(self.passes(seconds), seconds))


class Person:
    """A client, with one connection at a time."""

    def __init__(
        self,
        story: Story,
        name: str,
        user: str,
        *,
        second: bool = False,
        heartbeat: float = 0.5,
        timeout: float = 1.5,
    ) -> None:
        self.story = story
        self.name = name
        self.user = user
        self.second = second
        self.heartbeat = heartbeat
        self.timeout = timeout
        self.conn = 0

    # --- coming and going -------------------------------------------------------------------------

    def connects(self, user: str | None = None) -> None:
        """Opens a connection, answered by `connected`, possibly under another name."""
        self.conn = self.story.next_conn()
        asked, self.user = self.user, user or self.user
        data = {"clientId": str(self.conn), "user": self.user, "heartbeatInterval": self.heartbeat}
        self.gets({"type": "connected", "data": {**data, "offlineTimeout": self.timeout}})
        where = (self.story.tick(), self.name, self.conn)
        self.story.add(Opened(*where, self.user, asked, self.heartbeat, self.timeout, self.second))

    def joins(
        self,
        room: str,
        since: int | None = None,
        replay: Iterable[Numbered] | None = None,
        *,
        pages: Iterable[Iterable[Numbered]] = (),
        confirmed: bool = True,
    ) -> None:
        """Asks to be a member, and becomes one: answered by `replay` in one page or by several `pages`."""
        self.asks_to_join(room, since)
        for page in [*([replay] if replay is not None else []), *pages]:
            self.gets_page(room, page)
        if confirmed:
            self.is_member(room)

    def asks_to_join(self, room: str, since: int | None = None) -> None:
        """Sends `join`."""
        self.sends({"type": "join", "room": room, **({} if since is None else {"since": since})})

    def is_member(self, room: str) -> None:
        """Everything that `join` asked for is done."""
        self.story.add(Joined(self.story.tick(), self.name, self.conn, room))

    def leaves(self, room: str) -> None:
        """Asks to leave, and has left."""
        self.asks_to_leave(room)
        self.has_left(room)

    def asks_to_leave(self, room: str) -> None:
        """Sends `leave`."""
        self.sends({"type": "leave", "room": room})

    def has_left(self, room: str) -> None:
        """Everything that `leave` asked for is done."""
        self.story.add(Left(self.story.tick(), self.name, self.conn, room))

    def faults(self, fault: str) -> None:
        """The harness injects a fault."""
        self.story.add(Fault(self.story.tick(), fault, self.name, self.conn))

    def is_closed(self, by: str, code: int, reason: str = "") -> None:
        """The connection has ended."""
        self.story.add(Closed(self.story.tick(), self.name, self.conn, by, code, reason))

    def closes(self) -> None:
        """Closes the connection normally."""
        self.faults("close")
        self.is_closed("client", 1000)

    def is_cut(self) -> None:
        """The connection is reset by the harness."""
        self.faults("reset")
        self.is_closed("client", 1006)

    def is_dropped(self, code: int) -> None:
        """The connection is closed by the server."""
        self.is_closed("server", code)

    # --- saying -----------------------------------------------------------------------------------

    def sends(self, frame: Any, text: str | None = None, bad: str | None = None) -> None:
        """Sends any frame."""
        self.story.add(Sent(self.story.tick(), self.name, self.conn, frame, text, bad))

    def says(self, room: str, text: str = "hello", id: str | None = None) -> Line:
        """Says something new."""
        line = self.story.line(self, room, text, id)
        self.repeats(line)
        return line

    def repeats(self, line: Line) -> None:
        """Says a message again, or for the first time if it was not said before."""
        data = {"room": line.room, "content": line.content} | ({"id": line.id} if line.id else {})
        self.sends({"type": "message", "data": data})

    def misbehaves(self, rule: str, frame: Any = None, text: str | None = None) -> None:
        """Sends a bad frame."""
        self.sends(frame if frame is not None or text else {"type": "dance"}, text, rule)

    def asks_history(self, room: str, since: int | None = None, limit: int | None = None) -> None:
        """Asks for a page."""
        more = {key: value for key, value in (("since", since), ("limit", limit)) if value is not None}
        self.sends({"type": "history", "room": room, **more})

    def asks_presence(self, room: str) -> None:
        """Asks who is present."""
        self.sends({"type": "presence", "room": room})

    def fences(self) -> None:
        """Asks who is in an empty room, and is answered: everything it sent before is processed."""
        room = f"fence-{self.story.tick()}"
        self.asks_presence(room)
        self.is_shown(room, {}, full=True)

    # --- hearing ----------------------------------------------------------------------------------

    def gets(self, frame: Any, size: int = 100, text: str | None = None) -> None:
        """Receives any frame."""
        self.story.add(Received(self.story.tick(), self.name, self.conn, frame, size, text))

    def hears(self, line: Line, number: Any, size: int = 100, **changes: Any) -> None:
        """Receives a message live."""
        self.gets({"type": "message", "data": line.numbered(number, **changes)}, size)

    def gets_notice(self, room: str, content: str, number: int = 0) -> None:
        """Receives an announcement of `system`."""
        data = {"id": "n", "room": room, "user": "system", "content": content, "sequence": number}
        self.gets({"type": "message", "data": {**data, "timestamp": EPOCH}})

    def gets_page(
        self, room: str, said: Iterable[Numbered], last: int | None = None, more: bool | None = None
    ) -> None:
        """Receives a page of history; `last` and `more` are left out unless they are given."""
        data: Json = {"room": room, "messages": [line.numbered(number) for line, number in said]}
        data |= {key: value for key, value in (("last", last), ("more", more)) if value is not None}
        self.gets({"type": "history", "data": data})

    def reads(
        self,
        room: str,
        said: Iterable[Numbered],
        since: int | None = None,
        limit: int | None = None,
        **hints: Any,
    ) -> None:
        """Asks for a page, and receives it."""
        self.asks_history(room, since, limit)
        self.gets_page(room, said, **hints)

    def is_shown(self, room: str, users: dict[str, str], full: bool | None = None) -> None:
        """Receives presence: changes, or the full list, or a list that does not say which."""
        seen = EPOCH + round(1000 * self.story.at * self.story.seen)
        shown = [{"user": user, "status": status, "lastSeen": seen} for user, status in users.items()]
        more = {} if full is None else {"full": full}
        self.gets({"type": "presence", "data": {"room": room, "users": shown, **more}})

    def asks_who(self, room: str, users: dict[str, str], full: bool | None = True) -> None:
        """Asks who is present, and is answered."""
        self.asks_presence(room)
        self.is_shown(room, users, full)

    def is_refused(
        self, code: str | None = "bad_request", message: str = "no", id: str | None = None
    ) -> None:
        """Receives an error."""
        data = {"message": message} | ({"code": code} if code else {}) | ({"id": id} if id else {})
        self.gets({"type": "error", "data": data})

    def gets_beat(self) -> None:
        """Receives a heartbeat."""
        self.gets({"type": "heartbeat"})

    def gives_up(self, wanted: str, seconds: float = 6.0, room: str = "") -> None:
        """Has waited for something in vain."""
        self.story.add(GaveUp(self.story.tick(), self.name, self.conn, wanted, seconds, room))


def names_of(found: Iterable[Anomaly]) -> list[str]:
    """The names of findings, as `name` or `name/variant`;
    also renders their texts and looks up their evidence.
    """
    names = []
    for anomaly in found:
        assert anomaly.name in CATALOGUE
        assert anomaly.kind.section
        for text in (_WORDS.title(anomaly), _WORDS.message(anomaly), _WORDS.cause(anomaly)):
            assert text
            assert not _UNFILLED.search(text), f"{anomaly.name}/{anomaly.variant}: {text}"
        assert _WORDS.rule(anomaly)
        assert _WORDS.course(anomaly)
        for event in anomaly.evidence:
            assert len(_WORDS.event(event)) == 3
        names.append(f"{anomaly.name}/{anomaly.variant}" if anomaly.variant else anomaly.name)
    return names


def facts(found: list[Anomaly], *keys: str) -> list[Any]:
    """These facts of the only finding."""
    assert len(found) == 1, names_of(found)
    return [found[0].params[key] for key in keys]
