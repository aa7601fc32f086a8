"""Who is shown as present, and when (rule P).

What a client was shown of a user is a little history of its own, of two sources: *broadcasts*, which come
unasked, and *answers* to `presence`. A listener that never asks hears broadcasts only; so both sources can
be judged alone, and compared.

A time-out is judged on the harness's clock: from the moment when the vanished client sent its last frame
to the moment when others were told. The way there and back takes time too, on a loaded machine much of it.
Somebody therefore asks the server something all the time, and `slack` is the longest that this took.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from itertools import pairwise
from math import inf

from harness.checkers.catalogue import Anomaly
from harness.history import frames
from harness.history.events import Event, Sent
from harness.history.index import Asked, Conn, HistoryIndex
from lab.protocol import Status

EARLY = 0.02
"""Seconds by which a time-out may seem early: the resolution of clocks and timers."""
TOO_OFTEN = 10
"""How many times more often than it should a server may send heartbeats: rarely is it exact."""


@dataclass(frozen=True)
class Shown:
    """What a client was shown of a user: `here` is true for online and away."""

    at: float
    here: bool
    event: Event


def shown(index: HistoryIndex, witness: int, room: str, user: str, *, answers: bool) -> list[Shown]:
    """What the connection `witness` was shown of a user, by answers or by broadcasts."""
    found = []
    asked_for = [s.at for s in index.sent if s.conn == witness and _is_question(s, room)]
    for asked, presence_frame in index.presence_frames:
        if asked.conn != witness or presence_frame.room != room:
            continue
        is_answer = _is_whole(index, asked, presence_frame) and (
            presence_frame.full or min(asked_for, default=inf) < asked.at
        )
        if is_answer is not answers:
            continue
        if user in presence_frame.users:
            here = presence_frame.users[user].status is not Status.OFFLINE
            found.append(Shown(asked.at, here, asked.event))
        elif is_answer:
            found.append(Shown(asked.at, False, asked.event))
    return found


def _is_whole(index: HistoryIndex, asked: Asked, presence_frame: frames.PresenceFrame) -> bool:
    """Whether a list is of everybody: where it does not say, it is if it holds its receiver.

    Who is not in the room is sent nothing but answers.
    """
    if presence_frame.full is not None:
        return presence_frame.full
    return not _is_inside(index, asked, presence_frame) or index.conn(asked.conn).user in presence_frame.users


def _is_inside(index: HistoryIndex, asked: Asked, presence_frame: frames.PresenceFrame) -> bool:
    """Whether a connection that was shown a room's presence was in that room, or might have been."""
    return any(
        m.conn == asked.conn and m.room == presence_frame.room and m.asked <= asked.at <= m.left
        for m in index.memberships
    )


def _is_question(sent: Sent, room: str) -> bool:
    frame = sent.frame
    return (
        sent.bad is None
        and isinstance(frame, dict)
        and frame.get("type") in ("presence", "join")
        and frame.get("room") == room
    )


def announced(
    index: HistoryIndex, witness: int, room: str, user: str, since: float, *, here: bool, why: str
) -> list[Anomaly]:
    """The change that the witness should have been told of after `since`, and was not."""
    told = [s for s in shown(index, witness, room, user, answers=False) if s.at >= since and s.here is here]
    # A server may also send the whole list when something changed.
    told += [s for s in shown(index, witness, room, user, answers=True) if s.at >= since and s.here is here]
    if told:
        return []
    params = {"who": index.conn(witness).client, "subject": user, "room": room}
    return [Anomaly("unannounced_presence", params, _events_at(index, since), why)]


def listed(
    index: HistoryIndex,
    witness: int,
    room: str,
    expected: set[str],
    since: float,
    until: float,
    possible: set[str],
) -> list[Anomaly]:
    """The last answer to a question in a span of time should list `expected`, and of `possible` no other."""
    answers = [
        (asked, presence_frame)
        for asked, presence_frame in index.presence_frames
        if asked.conn == witness
        and presence_frame.room == room
        and since <= asked.at <= until
        and _is_whole(index, asked, presence_frame)
    ]
    if not answers:
        return []
    asked, presence_frame = answers[-1]
    here = {user for user, presence in presence_frame.users.items() if presence.status is not Status.OFFLINE}
    client = index.conn(witness).client
    found = []
    for user in sorted(expected - here):
        params = {"who": client, "subject": user, "room": room}
        found.append(Anomaly("presence_disagrees", params, [asked.event], "missing"))
    for user in sorted((here & possible) - expected):
        was_there = any(m.user == user and m.room == room and m.left == inf for m in index.memberships)
        params = {"who": client, "subject": user, "room": room}
        found.append(
            Anomaly("zombie_presence" if was_there else "presence_leak", params, [asked.event], "listed")
        )
    return found[:2]


def leaks(index: HistoryIndex) -> list[Anomaly]:
    """Presence of a room that reached a connection which is not in it and did not ask."""
    for asked, presence_frame in index.presence_frames:
        if _is_inside(index, asked, presence_frame):
            continue
        questions = any(
            s.conn == asked.conn
            and s.at <= asked.at
            and _is_question(s, presence_frame.room)
            and s.frame["type"] == "presence"
            for s in index.sent
        )
        # A bad frame may ask for odd rooms; what a server makes of those is judged elsewhere.
        misbehaved = any(s.conn == asked.conn and s.bad for s in index.sent)
        if not questions and not misbehaved:
            params = {
                "who": asked.client,
                "room": presence_frame.room,
                "subject": ", ".join(presence_frame.users),
            }
            return [Anomaly("presence_leak", params, [asked.event])]
    return []


@dataclass(frozen=True)
class Silence:
    """A user who fell silent: since when at the latest, and how long we watched after that."""

    user: str
    room: str
    last_sign: float
    watched_until: float
    heartbeat: float
    timeout: float
    at_once: bool
    """Whether the connection broke, so that the user may count as gone at once."""


def offline(index: HistoryIndex, silence: Silence, listener: int, asker: int, slack: float) -> list[Anomaly]:
    """Whether somebody who fell silent is offline, in time, for those who listen and those who ask."""
    found = []
    told = _first_gone(shown(index, listener, silence.room, silence.user, answers=False), silence)
    told = told or _first_gone(shown(index, listener, silence.room, silence.user, answers=True), silence)
    answers = shown(index, asker, silence.room, silence.user, answers=True)
    answers = [answer for answer in answers if answer.at <= silence.watched_until]
    asked = _first_gone(answers, silence)
    since = silence.last_sign
    base = {
        "subject": silence.user,
        "room": silence.room,
        "timeout": silence.timeout,
        "interval": silence.heartbeat,
        "watched": round(silence.watched_until - since, 2),
    }
    signs = _events_at(index, since)
    if told is None and asked is None:
        evidence = [*signs, *(answer.event for answer in answers[-1:])]
        age = answers[-1].at - since if answers else 0.0
        if age <= silence.timeout + silence.heartbeat + slack:
            return []  # nobody was told anything after that, so nobody was told a wrong thing
        base["watched"] = round(age, 2)
        params = {**base, "who": index.conn(asker).client}
        return [Anomaly("zombie_presence", params, evidence, _why_still_here(index, asker, silence))]
    if told is None:
        who = index.conn(listener).client
        evidence = [*signs, *([asked.event] if asked else [])]
        return [Anomaly("unannounced_presence", {**base, "who": who}, evidence, "timeout")]
    later = [answer for answer in answers if answer.at > told.at]
    if later and later[-1].here:
        who = index.conn(asker).client
        evidence = [told.event, later[-1].event]
        return [Anomaly("presence_disagrees", {**base, "who": who}, evidence, "still_listed")]
    latest = since + silence.timeout + silence.heartbeat
    for first, witness in ((told, listener), (asked, asker)):
        if first is None:
            continue
        params = {
            **base,
            "who": index.conn(witness).client,
            "seconds": round(first.at - since, 2),
        }
        if first.at < since + silence.timeout - EARLY and not silence.at_once:
            found.append(Anomaly("premature_offline", params, [*signs, first.event]))
        elif first.at > latest + slack + 0.5 * silence.heartbeat:
            found.append(Anomaly("late_offline", params, [*signs, first.event]))
    return found[:1]


def _why_still_here(index: HistoryIndex, asker: int, silence: Silence) -> str:
    """What `lastSeen` tells of a zombie, by the server's own clock: `refreshed` if it went on, `stale` if it
    stood still, and nothing where it is not clear."""
    seen = [
        (asked.at, presence_frame.users[silence.user].last_seen / 1000)
        for asked, presence_frame in index.presence_frames
        if asked.conn == asker
        and presence_frame.room == silence.room
        and silence.user in presence_frame.users
        if silence.last_sign + silence.heartbeat < asked.at <= silence.watched_until
    ]
    if not seen or seen[-1][0] - seen[0][0] < silence.timeout:
        return ""
    share = (seen[-1][1] - seen[0][1]) / (seen[-1][0] - seen[0][0])
    return "refreshed" if share > 0.5 else "stale" if share == 0 else ""


def delay(index: HistoryIndex, silence: Silence, listener: int) -> float:
    """Seconds from the last sign of life to the news that the user is offline; infinite without news."""
    told = _first_gone(shown(index, listener, silence.room, silence.user, answers=False), silence)
    told = told or _first_gone(shown(index, listener, silence.room, silence.user, answers=True), silence)
    return told.at - silence.last_sign if told else inf


def _first_gone(history: list[Shown], silence: Silence) -> Shown | None:
    """The first time that the user was shown as gone after it fell silent."""
    after = [each for each in history if silence.last_sign <= each.at <= silence.watched_until]
    return next((each for each in after if not each.here), None)


def always_here(
    index: HistoryIndex, user: str, room: str, witnesses: list[int], since: float, until: float, why: str
) -> list[Anomaly]:
    """Whether a user who shows signs of life was ever shown as gone; a `twin` may have lost a connection."""
    for witness in witnesses:
        for answers in (False, True):
            for each in shown(index, witness, room, user, answers=answers):
                if since <= each.at <= until and not each.here:
                    params = {
                        "who": index.conn(witness).client,
                        "subject": user,
                        "room": room,
                        "seconds": round(each.at - since, 2),
                    }
                    if why != "twin":
                        return [Anomaly("premature_offline", params, [each.event], why)]
                    params["how"], cause = index.last_break(user, room, each.at)
                    listed_still = not answers and _is_listed(index, user, room, witnesses, each.at, until)
                    variant = "twin_told" if listed_still else "twin"
                    return [Anomaly("premature_offline", params, [*cause, each.event], variant)]
    return []


def _is_listed(
    index: HistoryIndex, user: str, room: str, witnesses: list[int], since: float, until: float
) -> bool:
    """Whether all answers in a span of time, of which there are some, show a user as present."""
    answers = [
        each.here
        for witness in witnesses
        for each in shown(index, witness, room, user, answers=True)
        if since < each.at <= until
    ]
    return bool(answers) and all(answers)


def heartbeats(
    index: HistoryIndex, conns: list[Conn], since: float, until: float, interval: float, slack: float
) -> list[Anomaly]:
    """Whether the server's heartbeats came every interval on connections that stood all the time."""
    for conn in conns:
        end = min(until, conn.closed.at) if conn.closed is not None else until
        times = [at for at in index.heartbeats.get(conn.number, []) if since <= at <= end]
        params = {
            "who": conn.client,
            "interval": interval,
            "count": len(times),
            "seconds": round(end - since, 1),
        }
        edges = [since, *times, end]
        start, after = max(pairwise(edges), key=lambda each: each[1] - each[0])
        if after - start > 1.5 * interval + slack:
            params["gap"] = round(after - start, 2)
            evidence = [*_beat_at(index, conn, start), *_beat_at(index, conn, after)]
            return [Anomaly("missing_heartbeat", params, evidence, "" if times else "none")]
    return []


def _beat_at(index: HistoryIndex, conn: Conn, moment: float) -> list[Event]:
    """The heartbeat that a connection got at a moment, if it got one then."""
    return [
        asked.event
        for asked in index.received
        if asked.conn == conn.number and asked.at == moment and asked.reading.kind == "heartbeat"
    ]


def too_many_heartbeats(index: HistoryIndex, conns: list[Conn], interval: float) -> list[Anomaly]:
    """Whether they came so often that they must be answers to answers; a few too many do no harm."""
    for conn in conns:
        times = index.heartbeats.get(conn.number, [0.0])
        seconds = times[-1] - times[0]
        if len(times) > TOO_OFTEN * (seconds / interval + 1):
            params = {
                "who": conn.client,
                "interval": interval,
                "count": len(times),
                "seconds": round(seconds, 1),
            }
            return [Anomaly("flooding", params, _events_at(index, times[0]), "heartbeats")]
    return []


def slowest_answer(index: HistoryIndex, conn: int, room: str, since: float, until: float) -> float:
    """Seconds of the longest that the server took to answer `presence` on a connection."""
    questions = [
        s.at for s in index.sent if s.conn == conn and _is_question(s, room) and since <= s.at <= until
    ]
    replies = sorted(
        asked.at
        for asked, presence_frame in index.presence_frames
        if asked.conn == conn and presence_frame.room == room and _is_whole(index, asked, presence_frame)
    )
    first_replies = [(asked, replies[bisect_left(replies, asked) :][:1]) for asked in questions]
    return max((reply[0] - asked for asked, reply in first_replies if reply), default=0.0)


def _events_at(index: HistoryIndex, moment: float) -> list[Event]:
    found: list[Event] = [event for event in index.events if abs(event.at - moment) < 1e-9]
    return found[:1]
