"""The part of a history that shows what went wrong: the blamed events, and what belongs to them.

A play has thousands of events, of which a finding names a few. An excerpt adds all events of the messages in
question, what the same clients saw just before and after, and the faults in between. What is left out in
between is folded: a line says how much it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from msgspec import Struct

from harness.history.events import (
    Began,
    Called,
    Closed,
    Event,
    Fault,
    History,
    Noted,
    Opened,
    Printed,
    Received,
    Sent,
    Server,
    Stalled,
    Step,
)
from harness.history.frames import tag_in
from harness.history.index import ENDS
from lab.protocol import SYSTEM

AROUND = 2
"""Events that are shown before and after a blamed one, of the same client and room."""
MOST = 40
"""Events in an excerpt, besides the blamed ones."""
LANES = 3
"""Clients in an excerpt, unless more are blamed, named, or have said the messages in question."""
CALLERS = 4
"""Calls of the sequencer that are shown with the calls they make, if they concern what is blamed."""
PRINTED = 2
"""Lines and tracebacks of the server in an excerpt."""
CALLS = 24
"""Events of these calls in an excerpt."""
_OURS = re.compile(r'\((?:"fence-|probe)')
"""The begin of calls that the harness itself causes: by the rooms of fences, and by the readiness probe."""
_SMALL = 3
"""So few events are shown rather than folded."""
_BREAKS = 3
"""Faults that are shown, each with its end."""
_SOON = 1.0
"""Seconds before the first blamed event in which a fault may be its cause."""
_AT_ONCE = 0.05
"""Seconds from a blamed event within which even a fault of another client may be its cause."""


class Fold(Struct, frozen=True):
    """Events that are left out: how many by clients that are shown, and over how many seconds."""

    count: int
    seconds: float


class Excerpt(Struct):
    """Some events of a history in their order, with folds between them.

    `guilty` are the blamed ones among them, and `unheard` the tags of messages that no client received in the
    whole history.
    """

    events: list[Event | Fold]
    guilty: list[Event]
    unheard: set[str]


def excerpt(
    history: History,
    evidence: Sequence[Event],
    *,
    named: Iterable[str] = (),
    around: int = AROUND,
    others: bool = True,
) -> Excerpt:
    """The excerpt that shows a finding, whose blamed events are the `evidence`. Empty if none are known.

    `named` are clients or their users (and other words, which are ignored) that the finding mentions. Without
    `others`, it has only clients that are blamed or named, or have said the messages in question.
    """
    guilty = blamed(history, evidence)
    if not guilty:
        return Excerpt([], [], set())
    chosen = _Chosen(history, guilty, around, set(named), others=others)
    began = history[:1] if isinstance(history[0], Began) else []
    events = [*began, *_folded(history, chosen, _SMALL if others else 1)]
    return Excerpt(events, [history[place] for place in guilty], _unheard(history, guilty))


def blamed(history: History, evidence: Iterable[Event]) -> list[int]:
    """The places of a finding's events, found by kind and time, since long texts may have been cut."""
    wanted = {(type(event), event.at, _client(event)) for event in evidence if not isinstance(event, Called)}
    return [place for place, event in enumerate(history) if (type(event), event.at, _client(event)) in wanted]


def is_telling(event: Event) -> bool:
    """Whether an event belongs in a table of what happened, and is not just part of how we measure."""
    if isinstance(event, Received | Sent):
        frame, _ = contents(event)
        return not room_of(event).startswith("fence-") and frame.get("type") not in ("connected", "heartbeat")
    if isinstance(event, Called):
        return not _OURS.search(event.what)
    if isinstance(event, Closed):
        return event.by != "client"  # else it did so on purpose, which is an event of its own
    return not isinstance(event, Began | Noted | Step | Stalled)


def contents(event: Received | Sent) -> tuple[dict[str, Any], dict[str, Any]]:
    """The frame, and its `data`; empty if it has none, or is not an object."""
    frame = event.frame if isinstance(event.frame, dict) else {}
    data = frame.get("data")
    return frame, data if isinstance(data, dict) else {}


def room_of(event: Event) -> str:
    """The room that an event is about; empty if it is about none."""
    if isinstance(event, Received | Sent):
        frame, data = contents(event)
        return str(data.get("room") or frame.get("room") or "")
    return str(getattr(event, "room", ""))


def tags_of(event: Event) -> set[str]:
    """The tags of the messages in an event."""
    if not isinstance(event, Received | Sent):
        return set()
    frame, data = contents(event)
    if frame.get("type") not in ("message", "history"):
        return set()
    pages = data.get("messages")
    said = [data, *(pages if isinstance(pages, list) else [])]
    texts = [each.get("content") for each in said if isinstance(each, dict)]
    return {tag for tag in (tag_in(text) for text in texts if isinstance(text, str)) if tag}


class _Chosen:
    """Chooses the events that belong to the blamed ones."""

    def __init__(
        self, history: History, guilty: list[int], around: int, named: set[str], *, others: bool
    ) -> None:
        self.history = history
        self.guilty = guilty
        self.around = around
        self.others = others
        blamed_events = [history[place] for place in guilty]
        # A page holds many messages: they do not count as blamed, or their events would fill the excerpt.
        self.tags = {tag for event in blamed_events if not _is_page(event) for tag in tags_of(event)}
        self.rooms = {room_of(event) for event in blamed_events} - {""}
        self.named = _named(history, named)
        self.clients = self._clients(blamed_events)
        self.users = self._users(self.clients)
        self.newcomers = self._users([_client(event) for event in blamed_events if _is_of_a_join(event)])
        self.callers = self._callers()

    def is_about(self, event: Event) -> bool:
        """Whether an event is of these clients or the server, and of these rooms, if it is of any room."""
        if isinstance(event, Called):
            return event.who in self.callers
        if isinstance(event, Printed):
            return False  # chosen apart, else a talkative program would fill the excerpt
        is_in = not self.rooms or room_of(event) in ("", *self.rooms)
        return is_in and is_telling(event) and _client(event) in ("", *self.clients)

    def places(self) -> list[int]:
        """The places in the history of the events that are shown, in rising order."""
        near = self._said_and_heard() | self._faults() | self._neighbours()
        far = sorted(near - set(self.guilty), key=self._distance)
        calls = sorted(self._calls(), key=self._distance)
        return sorted({*self.guilty, *far[:MOST], *calls[:CALLS], *self._printed()})

    def _printed(self) -> list[int]:
        """What the server printed just before a blamed event, or soon after it."""
        found = [
            place
            for place, event in enumerate(self.history)
            if isinstance(event, Printed) and self._seconds_off(place) < _AT_ONCE
        ]
        return sorted(found, key=self._distance)[:PRINTED]

    def _callers(self) -> set[str]:
        """The sequencer's calls for the messages in question, and for the joins that should return them."""
        places = [
            place
            for place, event in enumerate(self.history)
            if isinstance(event, Called) and event.who and self._is_cause(event.what)
        ]
        nearest = sorted(places, key=self._distance)
        return set(list(dict.fromkeys(_caller(self.history[place]) for place in nearest))[:CALLERS])

    def _is_cause(self, what: str) -> bool:
        if what.startswith("sequencer.attach("):
            return _names(what, self.newcomers) and _names(what, self.rooms)
        return _names(what, self.tags)

    def _is_near(self, event: Called, place: int) -> bool:
        is_in = not event.what.startswith("pubsub.") or _names(event.what, self.rooms)
        return (
            is_in
            and is_telling(event)
            and _names(event.what, self.users)
            and self._seconds_off(place) < _SOON
        )

    def _calls(self) -> set[int]:
        """The calls of these callers, and the server's about these users just around the blamed events."""
        found = {place for place, event in enumerate(self.history) if _caller(event) in self.callers}
        others = [
            place
            for place, event in enumerate(self.history)
            if isinstance(event, Called) and not event.who and self._is_near(event, place)
        ]
        for guilty in self.guilty:
            before = [place for place in others if place < guilty]
            after = [place for place in others if place > guilty]
            found |= {*before[-self.around :], *after[: self.around]}
        return found

    def _users(self, clients: Iterable[str]) -> set[str]:
        return {event.user for event in self.history if isinstance(event, Opened) and event.client in clients}

    def _clients(self, blamed_events: list[Event]) -> list[str]:
        """The clients that are shown: blamed, senders of the messages, named, and some receivers."""
        about = [event for event in self.history if tags_of(event) & self.tags]
        said_it = [_client(event) for event in about if isinstance(event, Sent)]
        found = dict.fromkeys(client for client in (*map(_client, blamed_events), *said_it) if client)
        found |= dict.fromkeys(self.named)
        for event in about if self.others else ():
            if len(found) < LANES:
                found[_client(event)] = None
        return list(found)

    def _distance(self, place: int) -> int:
        return min(abs(place - other) for other in self.guilty)

    def _said_and_heard(self) -> set[int]:
        """All events of these clients with the messages in question."""
        return {
            place
            for place, event in enumerate(self.history)
            if _client(event) in self.clients
            and (isinstance(event, Sent) or (self.others and not _is_page(event)))
            and tags_of(event) & self.tags
        }

    def _faults(self) -> set[int]:
        """Faults of these clients or the server shortly before or between the blamed events."""
        found: list[list[int]] = []  # each fault, with its end
        broken: dict[str, list[int]] = {}
        for place, event in enumerate(self.history[: self.guilty[-1] + 1]):
            match event:
                case Fault(client=client) if client in self.clients or self._seconds_off(place) < _AT_ONCE:
                    found.append([place])
                    broken[client] = found[-1]
                case Server(what=what, second=False) if what in ENDS:
                    found.append([place])
                    broken[""] = found[-1]
                case Opened(client=client) if client in broken:
                    broken.pop(client).append(place)
                case Server(what="ready", second=False) if "" in broken:
                    broken.pop("").append(place)
                case Server(what="torn") if found:
                    found[-1].append(place)
        began = self.history[self.guilty[0]].at - _SOON
        recent = [each for each in found if self.history[each[-1]].at >= began]
        nearest = sorted(recent, key=lambda each: min(map(self._seconds_off, each)))[:_BREAKS]
        return {place for each in nearest for place in each}

    def _seconds_off(self, place: int) -> float:
        """Seconds between an event and the nearest blamed one."""
        return min(abs(self.history[place].at - self.history[other].at) for other in self.guilty)

    def _neighbours(self) -> set[int]:
        """Similar events of the blamed clients just before and after, and any events of the named ones."""
        found: set[int] = set()
        for place in self.guilty:
            event = self.history[place]
            for step in (-1, 1):
                if _client(event) or isinstance(event, Server):
                    found |= self._next(place, step, _client(event), event)
                for name in set(self.named) - {_client(event)}:
                    found |= self._next(place, step, name, None)
        return found

    def _next(self, place: int, step: int, client: str, like: Event | None) -> set[int]:
        """The nearest events of a client in one direction, similar to `like` if it is given."""
        found: set[int] = set()
        place += step
        while 0 <= place < len(self.history) and len(found) < self.around:
            event = self.history[place]
            if _client(event) == client and self.is_about(event) and (like is None or _is_like(event, like)):
                found.add(place)
            place += step
        return found


def _named(history: History, words: set[str]) -> list[str]:
    """The clients that are named, by their own names or those of their users."""
    found = [e.client for e in history if isinstance(e, Opened) and {e.client, e.user} & words]
    return list(dict.fromkeys(found))


def _folded(history: History, chosen: _Chosen, few: int) -> list[Event | Fold]:
    """The events that are shown, with folds; gaps of no more than `few` events are filled instead."""
    events: list[Event | Fold] = []
    before: int | None = None
    for place in chosen.places():
        if before is not None:
            between = [event for event in history[before + 1 : place] if chosen.is_about(event)]
            if len(between) > few:
                events.append(Fold(len(between), history[place].at - history[before].at))
            else:
                events.extend(between)
        events.append(history[place])
        before = place
    return events


def _unheard(history: History, guilty: list[int]) -> set[str]:
    said = {tag for place in guilty for tag in tags_of(history[place])}
    if not said:
        return set()
    heard = {tag for event in history if isinstance(event, Received) for tag in tags_of(event)}
    return said - heard


def _is_like(event: Event, other: Event) -> bool:
    """Whether both are bad frames, or of the same kind and room; an event without a room is like any."""
    if isinstance(event, Sent) and event.bad is not None:
        return isinstance(other, Sent) and other.bad is not None
    if not room_of(event) or not room_of(other):
        return True
    return room_of(event) == room_of(other) and _likeness(event) == _likeness(other)


def _likeness(event: Event) -> str:
    """Whether it is sent or received, and its type; empty for other events."""
    if not isinstance(event, Received | Sent):
        return ""
    frame, data = contents(event)
    kind = "notice" if data.get("user") == SYSTEM else str(frame.get("type"))
    return f"{type(event).__name__} {kind}"


def _client(event: Event) -> str:
    return str(getattr(event, "client", ""))


def _caller(event: Event) -> str:
    return event.who if isinstance(event, Called) else ""


def _names(what: str, words: set[str]) -> bool:
    """Whether a call contains one of these as a whole word."""
    return any(re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", what) for word in words)


def _is_of_a_join(event: Event) -> bool:
    """Whether a client joins a room, or is sent what it missed there."""
    is_join = isinstance(event, Sent) and contents(event)[0].get("type") == "join"
    return is_join or _is_page(event)


def _is_page(event: Event) -> bool:
    return isinstance(event, Received) and contents(event)[0].get("type") == "history"
