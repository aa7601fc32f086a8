"""Who is shown as present, and when (rule P).

A client is shown users by two sources: *broadcasts*, which come unasked, and *answers* to `presence`. A
listener that never asks receives broadcasts only; so both sources can be judged alone, and compared.

A timeout is judged on the harness's clock: from the moment when the silent client sent its last frame to the
moment when another client received the news. The way there and back takes time too, on a loaded machine much
of it. So a client asks the server something all the time, and `slack` is the longest that an answer took.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from itertools import pairwise
from math import inf
from typing import Any

from harness.checkers import lifecycle
from harness.checkers.catalogue import Anomaly
from harness.history import frames
from harness.history.events import Closed, Event, Fault, Opened, Received, Sent
from harness.history.faults import GO_SILENT
from harness.history.index import Conn, HistoryIndex, ReceivedFrame
from lab.protocol import Status

EARLY = 0.02
"""Seconds by which a timeout may seem early: the resolution of clocks and timers."""
_AFTER = 1.0
"""Seconds for which the end of a connection may come after the news of it."""
_HEARTBEAT = {"type": "heartbeat"}
TOO_OFTEN = 10
"""How many times more often than required a server may send heartbeats: few servers are exact."""


@dataclass(frozen=True)
class Shown:
    """What a client was shown of a user: `here` is true for online and away."""

    at: float
    here: bool
    event: Event
    lacks_its_receiver: bool = False
    """Whether it says that it lists all users, and its receiver, who is in the room, is not listed."""


def shown(index: HistoryIndex, witness: int, room: str, user: str, *, answers: bool) -> list[Shown]:
    """What the connection `witness` was shown of a user, by answers or by broadcasts."""
    found = []
    asked_for = [s.at for s in index.sent if s.conn == witness and _is_question(s, room)]
    for received, presence_frame in index.presence_frames:
        if received.conn != witness or presence_frame.room != room:
            continue
        is_answer = _is_whole(index, received, presence_frame) and (
            presence_frame.full or min(asked_for, default=inf) < received.at
        )
        if is_answer is not answers:
            continue
        if user in presence_frame.users:
            here = presence_frame.users[user].status is not Status.OFFLINE
            found.append(Shown(received.at, here, received.event))
        elif is_answer:
            lacks = presence_frame.full is True and _is_inside(index, received, presence_frame)
            lacks = lacks and bool(presence_frame.users)
            lacks = lacks and index.conn(witness).user not in presence_frame.users
            found.append(Shown(received.at, False, received.event, lacks))
    return found


def _is_whole(index: HistoryIndex, received: ReceivedFrame, presence_frame: frames.PresenceFrame) -> bool:
    """Whether a list is of all users: where it does not say, it is if it contains its receiver.

    A client that is not in the room is sent nothing but answers.
    """
    if presence_frame.full is not None:
        return presence_frame.full
    is_inside = _is_inside(index, received, presence_frame)
    return not is_inside or index.conn(received.conn).user in presence_frame.users


def _is_inside(index: HistoryIndex, received: ReceivedFrame, presence_frame: frames.PresenceFrame) -> bool:
    """Whether a connection that was shown a room's presence was in that room, or might have been."""
    return any(
        m.conn == received.conn and m.room == presence_frame.room and m.asked <= received.at <= m.left
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
    """The change that the witness should have been shown after `since`, and was not."""
    seen = [s for s in shown(index, witness, room, user, answers=False) if s.at >= since and s.here is here]
    # A server may also send the whole list when something changed.
    seen += [s for s in shown(index, witness, room, user, answers=True) if s.at >= since and s.here is here]
    if seen:
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
        (received, presence_frame)
        for received, presence_frame in index.presence_frames
        if received.conn == witness
        and presence_frame.room == room
        and since <= received.at <= until
        and _is_whole(index, received, presence_frame)
    ]
    if not answers:
        return []
    received, presence_frame = answers[-1]
    here = {user for user, presence in presence_frame.users.items() if presence.status is not Status.OFFLINE}
    client = index.conn(witness).client
    found = []
    for user in sorted(expected - here):
        params = {"who": client, "subject": user, "room": room}
        found.append(_not_listed(index, params, received.event))
    for user in sorted((here & possible) - expected):
        params = {"who": client, "subject": user, "room": room}
        found.append(_still_listed(index, params, received.event))
    return found[:2]


def _not_listed(index: HistoryIndex, params: dict[str, Any], answer: Event) -> Anomaly:
    """A user who is in the room, but not in an answer: it may have left another room."""
    joins, leaves = _moves(index, params["subject"], params["room"], answer.at)
    evidence: list[Event] = [*joins, *leaves, answer]
    if leaves:
        params = {**params, "other_room": leaves[-1].frame["room"]}
    return Anomaly("presence_disagrees", params, evidence, "missing_left" if leaves else "missing")


def _moves(index: HistoryIndex, user: str, room: str, at: float) -> tuple[list[Sent], list[Sent]]:
    """The last `join` of a room by a user by a moment, and the last `leave` of any room since then."""
    mine = [m for m in index.memberships if m.user == user and m.room == room and m.asked <= at][-1:]
    leaves = [
        sent
        for sent in index.sent
        if mine
        and sent.conn == mine[0].conn
        and mine[0].asked < sent.at <= at
        and isinstance(sent.frame, dict)
        and sent.frame.get("type") == "leave"
        and sent.bad is None
    ]
    return [m.event for m in mine], leaves[-1:]


def _still_listed(index: HistoryIndex, params: dict[str, Any], answer: Received) -> Anomaly:
    """A user in an answer who is not in the room: it left, its connection is gone, or it was never there."""
    user, room = params["subject"], params["room"]
    mine = [m for m in index.memberships if m.user == user and m.room == room]
    how, cause = index.last_break(user, room, answer.at)
    if any(m.left == inf for m in mine):
        return Anomaly("zombie_presence", {**params, "gone": how}, [*cause, answer], "listed")
    if mine:
        left = cause if how == "leave" else []
        return Anomaly("presence_leak", params, [*left, answer], "listed_left")
    return Anomaly("presence_leak", params, [answer], "listed")


def leaks(index: HistoryIndex) -> list[Anomaly]:
    """Presence of a room that reached a connection which is not in it and did not ask."""
    for received, presence_frame in index.presence_frames:
        if _is_inside(index, received, presence_frame):
            continue
        questions = any(
            s.conn == received.conn
            and s.at <= received.at
            and _is_question(s, presence_frame.room)
            and s.frame["type"] == "presence"
            for s in index.sent
        )
        # A bad frame may ask for odd rooms; what a server makes of those is judged elsewhere.
        misbehaved = any(s.conn == received.conn and s.bad for s in index.sent)
        if not questions and not misbehaved:
            params = {
                "who": received.client,
                "room": presence_frame.room,
                "subject": ", ".join(presence_frame.users),
            }
            return [Anomaly("presence_leak", params, [received.event])]
    return []


@dataclass(frozen=True)
class Silence:
    """A user who fell silent: since when at the latest, and how long the others watched after that."""

    user: str
    room: str
    last_sign: float
    watched_until: float
    heartbeat: float
    timeout: float
    at_once: bool
    """Whether the connection broke, so that the server may show the user as gone at once."""


def offline(index: HistoryIndex, silence: Silence, listener: int, asker: int, slack: float) -> list[Anomaly]:
    """Whether a silent user is shown as offline, in time, to a client that listens and to one that asks."""
    found = []
    heard = _first_gone(shown(index, listener, silence.room, silence.user, answers=False), silence)
    heard = heard or _first_gone(shown(index, listener, silence.room, silence.user, answers=True), silence)
    answers = shown(index, asker, silence.room, silence.user, answers=True)
    answers = [answer for answer in answers if answer.at <= silence.watched_until]
    answered = _first_gone(answers, silence)
    since = silence.last_sign
    base = {
        "subject": silence.user,
        "room": silence.room,
        "timeout": silence.timeout,
        "interval": silence.heartbeat,
        "watched": round(silence.watched_until - since, 2),
    }
    how, fault = index.last_break(silence.user, silence.room, silence.watched_until)
    base["gone"] = how or GO_SILENT
    signs = [*_last_sent(index, silence.user, since), *fault]
    if heard is None and answered is None:
        evidence = [*signs, *(answer.event for answer in answers[-1:])]
        age = answers[-1].at - since if answers else 0.0
        if age <= silence.timeout + silence.heartbeat + slack:
            return []  # no client was answered after that, so no answer was wrong
        base["watched"] = round(age, 2)
        params = {**base, "who": index.conn(asker).client}
        return [Anomaly("zombie_presence", params, evidence, _why_still_here(index, asker, silence))]
    if heard is None:
        joins, _ = _moves(index, silence.user, silence.room, since)
        if joins and not any(answer.here for answer in answers):  # who was never shown does not vanish
            never = announced(
                index, listener, silence.room, silence.user, joins[-1].at, here=True, why="join"
            )
            if never:
                return never
        who = index.conn(listener).client
        evidence = [*signs, *([answered.event] if answered else [])]
        return [Anomaly("unannounced_presence", {**base, "who": who}, evidence, "timeout")]
    later = [answer for answer in answers if answer.at > heard.at]
    if later and later[-1].here:
        who = index.conn(asker).client
        evidence = [heard.event, later[-1].event]
        return [Anomaly("presence_disagrees", {**base, "who": who}, evidence, "still_listed")]
    latest = since + silence.timeout + silence.heartbeat
    for first, witness in ((heard, listener), (answered, asker)):
        if first is None:
            continue
        params = {
            **base,
            "who": index.conn(witness).client,
            "seconds": round(first.at - since, 2),
        }
        if first.at < since + silence.timeout - EARLY and not silence.at_once:
            variant = "full" if first.lacks_its_receiver else ""
            found.append(Anomaly("premature_offline", params, [*signs, first.event], variant))
        elif first.at > latest + slack + 0.5 * silence.heartbeat:
            found.append(Anomaly("late_offline", params, [*signs, first.event]))
    return found[:1]


def _why_still_here(index: HistoryIndex, asker: int, silence: Silence) -> str:
    """What `lastSeen` says of a user still shown, by the server's own clock: `refreshed` if it went on,
    `stale` if it stood still, and nothing where it is not clear."""
    seen = [
        (received.at, presence_frame.users[silence.user].last_seen / 1000)
        for received, presence_frame in index.presence_frames
        if received.conn == asker
        and presence_frame.room == silence.room
        and silence.user in presence_frame.users
        if silence.last_sign + silence.heartbeat < received.at <= silence.watched_until
    ]
    if not seen or seen[-1][0] - seen[0][0] < silence.timeout:
        return ""
    share = (seen[-1][1] - seen[0][1]) / (seen[-1][0] - seen[0][0])
    return "refreshed" if share > 0.5 else "stale" if share == 0 else ""


def delay(index: HistoryIndex, silence: Silence, listener: int) -> float:
    """Seconds from the last sign of life until the listener is shown the user as offline, or infinity."""
    heard = _first_gone(shown(index, listener, silence.room, silence.user, answers=False), silence)
    heard = heard or _first_gone(shown(index, listener, silence.room, silence.user, answers=True), silence)
    return heard.at - silence.last_sign if heard else inf


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
                    if each.lacks_its_receiver:
                        return [Anomaly("premature_offline", params, [each.event], "full")]
                    if answers and not _was_shown(index, user, room, witnesses, each.at):
                        return [_not_listed(index, params, each.event)]
                    if why != "twin":
                        sent = _last_sent(index, user, each.at)
                        return [Anomaly("premature_offline", params, [*sent, each.event], why)]
                    params["how"], cause = index.last_break(user, room, each.at)
                    dropped = _dropped(index, user, each.at)
                    if dropped and not (cause and each.at <= cause[0].at + _AFTER):
                        return [lifecycle.dropped(index, dropped[-1])]
                    listed_still = not answers and _is_listed(index, user, room, witnesses, each.at, until)
                    variant = "twin_told" if listed_still else "twin"
                    return [Anomaly("premature_offline", params, [*cause, each.event], variant)]
    return []


def _last_sent(index: HistoryIndex, user: str, until: float) -> list[Event]:
    """The last frame that a user sent by some moment, on any connection."""
    mine = {conn.number for conn in index.conns.values() if conn.user == user}
    sent: list[Event] = [s for s in index.sent if s.conn in mine and s.at <= until + 1e-9]
    return sent[-1:]


def _dropped(index: HistoryIndex, user: str, at: float) -> list[Closed]:
    """The connections of a user that the server ended for no reason, by an interval after some moment."""
    return [
        conn.closed
        for conn in index.conns.values()
        if conn.user == user and conn.closed is not None and conn.closed.by == "server"
        if conn.closed.at <= at + conn.heartbeat and not lifecycle.excused(index, conn.closed)
    ]


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


def _was_shown(index: HistoryIndex, user: str, room: str, witnesses: list[int], until: float) -> bool:
    """Whether any of these clients was shown a user as present before some moment."""
    return any(
        each.here and each.at < until
        for witness in witnesses
        for answers in (False, True)
        for each in shown(index, witness, room, user, answers=answers)
    )


def heartbeats(
    index: HistoryIndex, conns: list[Conn], since: float, until: float, interval: float, slack: float
) -> list[Anomaly]:
    """Whether the server's heartbeats came every interval on connections that were open all the time."""
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
            return [_missing_heartbeat(index, conn, params, start, after, is_last=after not in times)]
    return []


def _missing_heartbeat(
    index: HistoryIndex, conn: Conn, params: dict[str, Any], start: float, after: float, *, is_last: bool
) -> Anomaly:
    """A gap between the heartbeats of a connection: did others receive some meanwhile, and did it end?"""
    around = [*_heartbeat_at(index, conn, start), *_heartbeat_at(index, conn, after)]
    others = [
        received.event
        for received in index.received
        if received.reading.kind == "heartbeat"
        and start + _AFTER < received.at <= after
        and received.conn != conn.number
    ]
    if not params["count"]:
        opened: list[Event] = [e for e in index.events if isinstance(e, Opened) and e.conn == conn.number]
        is_outside = bool(others) and not any(m.conn == conn.number for m in index.memberships)
        evidence = [*opened, *others[:1]]
        return Anomaly("missing_heartbeat", params, evidence, "outside" if is_outside else "none")
    lately = (
        after - 1.5 * params["interval"]
    )  # in their last round, some may have been sent one before it ended
    if is_last and not any(received.at > lately for received in others):
        ends = [e for e in index.events if isinstance(e, Closed | Fault) and start <= e.at < after]
        return Anomaly("missing_heartbeat", params, [*around, *ends[:1]], "stopped")
    return Anomaly("missing_heartbeat", params, around)


def _heartbeat_at(index: HistoryIndex, conn: Conn, moment: float) -> list[Event]:
    """The heartbeat that a connection received at a moment, if any."""
    return [
        received.event
        for received in index.received
        if received.conn == conn.number and received.at == moment and received.reading.kind == "heartbeat"
    ]


def too_many_heartbeats(index: HistoryIndex, conns: list[Conn], interval: float) -> list[Anomaly]:
    """Whether they came so often that they must be answers to heartbeats; a few too many do no harm."""
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
            return [Anomaly("flooding", params, _first_heartbeats(index, conn), "heartbeats")]
    return []


def _first_heartbeats(index: HistoryIndex, conn: Conn) -> list[Event]:
    """The first heartbeats of a connection, in both directions."""
    found: list[Event] = [
        event
        for event in index.events
        if isinstance(event, Sent | Received) and (event.conn, event.frame) == (conn.number, _HEARTBEAT)
    ]
    return found[:4]


def slowest_answer(index: HistoryIndex, conn: int, room: str, since: float, until: float) -> float:
    """The longest time in seconds that the server took to answer `presence` on a connection."""
    questions = [
        s.at for s in index.sent if s.conn == conn and _is_question(s, room) and since <= s.at <= until
    ]
    replies = sorted(
        reply.at
        for reply, presence_frame in index.presence_frames
        if reply.conn == conn and presence_frame.room == room and _is_whole(index, reply, presence_frame)
    )
    first_replies = [(at, replies[bisect_left(replies, at) :][:1]) for at in questions]
    return max((reply[0] - at for at, reply in first_replies if reply), default=0.0)


def _events_at(index: HistoryIndex, moment: float) -> list[Event]:
    found: list[Event] = [event for event in index.events if abs(event.at - moment) < 1e-9]
    return found[:1]
