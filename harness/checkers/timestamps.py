"""The times of day that a server sends: when a message was accepted, and when a user was last seen.

The harness and a server that it starts share a machine and so its clock. A message was accepted after it was
sent, and before any client received it; a user was last seen after it connected, and before a client received
that. A server elsewhere may have another clock, so its times are not judged.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from math import inf

from harness.checkers.catalogue import Anomaly
from harness.history.events import Event
from harness.history.index import HistoryIndex

TOLERANCE = 300.0
"""Seconds by which clocks may differ, as that of a container whose virtual machine had been suspended. The
least difference between two time zones is three times as much."""
_QUARTER = 900
"""Seconds: time zones differ by multiples of this."""
_FARTHEST = 14 * 3600
"""Seconds between UTC and the time zone that differs most from it."""
_EXACT = 60.0
"""Seconds by which a difference may miss that of a time zone and still count as one."""
_APART = 2.0
"""Seconds: a clock shows different times at moments so far apart, even if it counts whole seconds."""


@dataclass(frozen=True)
class _ReceivedTime:
    """A time that a client received, in milliseconds; it must be between `first` and `last`.

    Those are moments of the run. `user` sent the message, or is the one who was seen.
    """

    who: str
    room: str
    user: str
    millis: int
    first: float
    last: float
    evidence: tuple[Event, ...]


def of_messages(index: HistoryIndex) -> list[Anomaly]:
    """Messages whose `timestamp` is not when they were accepted, each judged as it was first received."""
    return _judged(index, "timestamp", _messages(index)) if _is_here(index) else []


def of_presence(index: HistoryIndex) -> list[Anomaly]:
    """Users whose `lastSeen` is before they first connected, or later than it was received."""
    return _judged(index, "lastSeen", _presence(index)) if _is_here(index) else []


def elsewhere(index: HistoryIndex) -> str | None:
    """How far off the times of a server are that the harness did not start; None if they are right."""
    if _is_here(index):
        return None
    found = _judged(index, "timestamp", _messages(index)) or _judged(index, "lastSeen", _presence(index))
    return str(found[0].params["off"]) if found else None


def _is_here(index: HistoryIndex) -> bool:
    """Whether the harness started the server."""
    return any(event.what == "started" for event in index.server)


def _messages(index: HistoryIndex) -> Iterable[_ReceivedTime]:
    known: set[tuple[str, int]] = set()
    for heard in index.heard:
        said, message = heard.said, heard.message
        if said is None or (said.tag, message.sequence) in known:
            continue  # other checkers compare later copies with this one
        known.add((said.tag, message.sequence))
        yield _ReceivedTime(
            heard.client,
            message.room,
            message.user,
            message.timestamp,
            said.at,
            heard.at,
            (said.sent[0], heard.event),
        )


def _presence(index: HistoryIndex) -> Iterable[_ReceivedTime]:
    first_opened: dict[str, float] = {}
    for conn in index.conns.values():
        if conn.opened < inf:
            first_opened[conn.user] = min(conn.opened, first_opened.get(conn.user, inf))
    for received, presence_frame in index.presence_frames:
        for user, presence in presence_frame.users.items():
            if user in first_opened:
                yield _ReceivedTime(
                    received.client,
                    presence_frame.room,
                    user,
                    presence.last_seen,
                    first_opened[user],
                    received.at,
                    (received.event,),
                )


def _judged(index: HistoryIndex, field: str, times: Iterable[_ReceivedTime]) -> list[Anomaly]:
    """One anomaly for all the times that are impossible, with the first of them."""
    clock, received = index.began.clock, list(times)
    moved = max((abs(seconds) for seconds in index.notes["clock_moved"]), default=0.0)
    off = [(each, _off(each, each.millis / 1000 - clock)) for each in received]
    still = _stands_still(received, _APART + moved)
    wrong = still or [each for each, seconds in off if abs(seconds) > TOLERANCE + moved]
    if not wrong:
        return []
    first, seconds = next(pair for pair in off if pair[0] is wrong[0])
    params = {
        "who": first.who,
        "field": field,
        "user": first.user,
        "room": first.room,
        "shown": _date(first.millis / 1000),
        "right": _date(first.millis / 1000 - seconds),
        "off": _duration(seconds),
        "count": len(wrong),
    }
    evidence, zone = list(first.evidence), _is_zone(seconds)
    return [Anomaly("wrong_time", params, evidence, "still" if still else "zone" if zone else "")]


def _off(time: _ReceivedTime, shown: float) -> float:
    """Seconds by which a time that was received is too early (below 0) or too late."""
    return min(0.0, shown - time.first) + max(0.0, shown - time.last)


def _stands_still(times: list[_ReceivedTime], apart: float) -> list[_ReceivedTime]:
    """The times that repeat an earlier one, though they are more than so many seconds apart."""
    known: dict[int, float] = {}
    return [each for each in times if each.first - known.setdefault(each.millis, each.last) > apart]


def _is_zone(seconds: float) -> bool:
    """Whether a difference is that of a time zone to UTC."""
    rest = abs(seconds) % _QUARTER
    return min(rest, _QUARTER - rest) <= _EXACT and abs(seconds) <= _FARTHEST + _EXACT


def _date(seconds: float) -> str:
    """Seconds since the Unix epoch as a date and a time of day."""
    return f"{datetime.fromtimestamp(round(seconds), UTC):%Y-%m-%d %H:%M:%S}"


def _duration(seconds: float) -> str:
    """A difference in hours and minutes, or in seconds if it is less than a minute, with its sign."""
    sign, rest = "-" if seconds < 0 else "+", abs(seconds)
    if rest < 60:
        return f"{sign}{rest:.0f} s"
    hours, minutes = divmod(round(rest / 60), 60)
    return sign + " ".join([f"{hours} h"] * (hours > 0) + [f"{minutes} min"] * (minutes > 0))
