"""Joining and leaving are announced to the members of the room (rule L)."""

from __future__ import annotations

from collections import defaultdict
from itertools import permutations
from math import inf

from harness.checkers.catalogue import Anomaly
from harness.checkers.delivery import LONG_AGO, undisturbed
from harness.checkers.lifecycle import is_fence, stuck_at
from harness.history.events import Closed, Event, Fault, Joined, Sent
from harness.history.faults import Way
from harness.history.index import ENDS, Heard, HistoryIndex, Membership

SOON = 1.0
"""Seconds after a second join in which an announcement counts as one of that join."""


def missing(index: HistoryIndex, room: str, what: str) -> list[Anomaly]:
    """Announcements of joining (`what` is "joined") or leaving ("left") that a member did not receive.

    One for each user whom they are about: a scenario may ask for that of a certain user.
    """
    found: dict[str, Anomaly] = {}
    changes = _changes(index, room)
    for change, subject, moment in changes:
        if change != what:
            continue
        later = [at for _, other, at in changes if other.user == subject.user and at > moment]
        announced = _announcements_of(index, subject, moment)
        first = min((times[0] for times in announced.values()), default=inf)
        for witness in index.members(room):
            present = witness.start < moment and witness.stop > moment
            if witness.user == subject.user or not present or not undisturbed(index, witness):
                continue
            mine = announced.get(witness.conn, [])
            # A member that was gone before the first announcement could not receive it.
            grace = 0.0 if witness.end == "leave" else LONG_AGO
            due = witness.stop == inf or first + grace < witness.stop
            if due and not _is_among(mine, [at for at in later if at < witness.stop]):
                params = {"who": witness.client, "subject": subject.user, "room": room}
                evidence = _evidence(index, subject, moment)
                how = what if what == "joined" else _how_it_left(index, subject)
                found.setdefault(subject.user, Anomaly("missing_notice", params, evidence, how))
    return list(found.values())


def _how_it_left(index: HistoryIndex, subject: Membership) -> str:
    """By `leave`, by closing the connection, because it broke, or because it fell silent."""
    if subject.end == "leave":
        return "left"
    broke = [fault for fault in index.conn(subject.conn).faults if fault.kind.ends == "fault"]
    if subject.end != "fault" or not broke:
        return "left_closed"
    return "left_broken" if broke[-1].kind.outbound is broke[-1].kind.inbound is Way.LOST else "left_silent"


def _changes(index: HistoryIndex, room: str) -> list[tuple[str, Membership, float]]:
    """The joins and ends of membership that had to be announced, and when each was."""
    found = []
    stuck = min((last.at for last, _ in stuck_at(index)), default=inf)
    for subject in index.members(room):
        for what, moment in (("joined", subject.asked), ("left", _end(index, subject))):
            # A server that has stopped answering a client is a finding of its own, from which others follow.
            silent = (
                moment >= stuck or _has_second_conn(index, subject, moment) or _server_ended(index, moment)
            )
            if not silent and not _unnoticed(index, subject, what):
                found.append((what, subject, moment))
    return found


def _unnoticed(index: HistoryIndex, subject: Membership, what: str) -> bool:
    """Whether the user lost the connection and was back before a server had to notice."""
    mine = [m for m in index.members(subject.room) if m.user == subject.user]
    for one, back in permutations(mine, 2):
        conn = index.conn(one.conn)
        soon = one.stop < back.asked < one.stop + conn.timeout + conn.heartbeat
        if one.end == "fault" and soon and subject is (one if what == "left" else back):
            return True
    return False


def _is_among(notices: list[float], later: list[float]) -> bool:
    """Whether a change is among those that were announced to a member.

    A notice does not say what it announces. It announces this change if it came before the user's next
    change; if it came late, there are more notices than later changes.
    """
    return bool(notices) and (not later or notices[0] < min(later) or len(notices) > len(later))


def _end(index: HistoryIndex, subject: Membership) -> float:
    """When a membership ended, at the earliest: a server that disconnects a client may announce it first."""
    closed = index.conn(subject.conn).closed
    if subject.end == "close" and closed is not None and closed.by != "client":
        return max(
            (s.at for s in index.sent if s.conn == subject.conn and s.at <= closed.at), default=subject.stop
        )
    return subject.stop


def heard(index: HistoryIndex, room: str) -> int:
    """How many announcements of the room were received."""
    return sum(notice.message.room == room for notice in index.notices)


def repeated(index: HistoryIndex, room: str) -> list[Anomaly]:
    """Announcements of a member that joined a second time, which changes nothing."""
    for member in index.members(room):
        joins = [
            sent
            for sent in index.sent
            if sent.conn == member.conn
            and member.start < sent.at < member.stop
            and isinstance(sent.frame, dict)
            and (sent.frame.get("type"), sent.frame.get("room")) == ("join", room)
        ]
        for notice in index.notices if joins else []:
            soon = joins[0].at < notice.at < min(member.stop, joins[0].at + SOON)
            if soon and notice.message.room == room and _users_in(index, notice) == {member.user}:
                params = {"who": notice.client, "subject": member.user, "room": room}
                return [Anomaly("duplicate", params, [joins[0], notice.event], "notice")]
    return []


def unjustified(index: HistoryIndex, room: str) -> list[Anomaly]:
    """Announcements that a user left, while another connection of that user is still there."""
    found = []
    for subject in index.members(room):
        if subject.stop == inf or not _has_second_conn(index, subject, subject.stop):
            continue
        about = [
            notice
            for notice in index.notices
            if notice.message.room == room and _users_in(index, notice) == {subject.user}
        ]
        # A notice does not say what it announces, and that of a join may come late: it has the text of one
        # that was received before, or it is one that was required.
        before = {notice.message.content for notice in about if notice.at < subject.stop}
        due = sum(other.user == subject.user for _, other, _ in _changes(index, room))
        heard_by: dict[int, int] = defaultdict(int)
        for notice in about:
            heard_by[notice.conn] += 1
            late = notice.message.content in before or heard_by[notice.conn] <= due
            if subject.stop <= notice.at and _has_second_conn(index, subject, notice.at) and not late:
                how, cause = index.last_break(subject.user, room, notice.at)
                params = {"who": notice.client, "subject": subject.user, "room": room, "how": how}
                found.append(Anomaly("premature_offline", params, [*cause, notice.event], "notice"))
                break
    return found[:1]


def _users_in(index: HistoryIndex, notice: Heard) -> set[str]:
    """The users whose names a notice contains: it may also say who else is there."""
    return {m.user for m in index.members(notice.message.room) if m.user in notice.message.content}


def _has_second_conn(index: HistoryIndex, subject: Membership, moment: float) -> bool:
    """Whether another connection of the same user is in the room at that moment."""
    return any(
        other.user == subject.user and other is not subject and other.start < moment < other.stop
        for other in index.members(subject.room)
    )


def _server_ended(index: HistoryIndex, moment: float) -> bool:
    """Whether it was the server that ended then, so that it could announce nothing."""
    return any(
        event.what in ENDS and event.at <= moment + 0.001 and moment - event.at < 0.001
        for event in index.server
    )


def _announcements_of(index: HistoryIndex, subject: Membership, moment: float) -> dict[int, list[float]]:
    """When each connection received announcements about a user, from that moment on."""
    times: dict[int, list[float]] = defaultdict(list)
    for notice in index.notices:
        about = notice.message.room == subject.room and subject.user in notice.message.content
        if about and notice.at >= moment:
            times[notice.conn].append(notice.at)
    return times


def _evidence(index: HistoryIndex, subject: Membership, moment: float) -> list[Event]:
    """The event that had to be announced: a fault or the end of a connection, or else what was sent."""
    found: list[Event] = [
        event
        for event in index.events
        if isinstance(event, Sent | Fault | Joined | Closed)
        and event.conn == subject.conn
        and abs(event.at - moment) < 0.0005
        and not (isinstance(event, Sent) and is_fence(event))
    ]
    kinds = (Fault, Closed, Sent, Joined)
    return sorted(found, key=lambda event: [isinstance(event, kind) for kind in kinds].index(True))[:1]
