"""Joining and leaving are announced to who is in the room (rule L)."""

from __future__ import annotations

from math import inf

from harness.anomalies import Anomaly
from harness.checkers.delivery import undisturbed
from harness.history import Event, Fault, Joined, Sent
from harness.log import Log, Membership


def missing(log: Log, room: str, what: str) -> list[Anomaly]:
    """Announcements of joining (`what` is "joined") or leaving ("left") that somebody did not get."""
    found = []
    for subject in log.members(room):
        moment = subject.asked if what == "joined" else _end(log, subject)
        if moment == inf or _accompanied(log, subject, moment) or _server_ended(log, moment):
            continue
        for witness in log.members(room):
            present = witness.start < moment and witness.stop > moment
            if witness.user == subject.user or not present or not undisturbed(log, witness):
                continue
            told = _heard_of(log, subject, moment)
            # Who was gone before anybody was told could not be told.
            if witness.conn not in told and (
                witness.stop == inf or min(told.values(), default=inf) < witness.stop
            ):
                params = {"who": witness.client, "subject": subject.user, "room": room}
                evidence = _evidence(log, subject, moment)
                found.append(Anomaly("missing_notice", params, evidence, what))
    return found[:2]


def _end(log: Log, subject: Membership) -> float:
    """When a membership ended, at the earliest: a server that cuts somebody off may tell the others first."""
    closed = log.conns[subject.conn].closed
    if subject.end == "close" and closed is not None and closed.by == "server":
        return max(
            (s.at for s in log.sent if s.conn == subject.conn and s.at <= closed.at), default=subject.stop
        )
    return subject.stop


def heard(log: Log, room: str) -> int:
    """How many announcements of the room were heard."""
    return sum(notice.message.room == room for notice in log.notices)


def unjustified(log: Log, room: str) -> list[Anomaly]:
    """Announcements that a user left, while another connection of that user is still there."""
    found = []
    for subject in log.members(room):
        if subject.stop == inf or not _accompanied(log, subject, subject.stop):
            continue
        for notice in log.notices:
            about = notice.message.room == room and subject.user in notice.message.content
            if about and subject.stop <= notice.at and _accompanied(log, subject, notice.at):
                params = {"who": notice.client, "subject": subject.user, "room": room}
                found.append(Anomaly("premature_offline", params, [notice.event], "notice"))
                break
    return found[:1]


def _accompanied(log: Log, subject: Membership, moment: float) -> bool:
    """Whether another connection of the same user is in the room at that moment."""
    return any(
        other.user == subject.user and other is not subject and other.start < moment < other.stop
        for other in log.members(subject.room)
    )


def _server_ended(log: Log, moment: float) -> bool:
    """Whether it was the server that ended then, so that nobody could be told."""
    return any(
        event.what in ("killed", "asked_to_stop", "died")
        and event.at <= moment + 0.001
        and moment - event.at < 0.001
        for event in log.server
    )


def _heard_of(log: Log, subject: Membership, moment: float) -> dict[int, float]:
    """The connections that were told after that moment, and when."""
    told: dict[int, float] = {}
    for notice in log.notices:
        about = notice.message.room == subject.room and subject.user in notice.message.content
        if about and notice.at >= moment:
            told.setdefault(notice.conn, notice.at)
    return told


def _evidence(log: Log, subject: Membership, moment: float) -> list[Event]:
    found: list[Event] = [
        event
        for event in log.events
        if isinstance(event, Sent | Fault | Joined)
        and event.conn == subject.conn
        and abs(event.at - moment) < 0.0005
    ]
    return found[:1]
