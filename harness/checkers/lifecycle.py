"""The server process and the connections: a server that dies, and clients that it disconnects."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from harness.checkers.catalogue import Anomaly
from harness.checkers.errors import served_again
from harness.history.events import Closed, Event, GaveUp, Server
from harness.history.faults import BAD_NAME
from harness.history.index import HistoryIndex

OWN_LIMIT = "own_limit"
"""Why a connection was not opened, where this machine had too few of something, such as open files."""
_ENDS = ("not_ready", "died", "hung", "blocked", "unbounded", "flooding", "outlived")
"""What ends a run."""
_UNDER_WAY = 0.25
"""Seconds that the end of a connection may take to reach the client: frames sent meanwhile are too late."""


def server(index: HistoryIndex, start: float, stop: float) -> list[Anomaly]:
    """Starts that failed and unexpected ends, between two moments."""
    found = []
    for event in index.server:
        if not start <= event.at <= stop:
            continue
        again = any(e.what == "ready" and e.at < event.at for e in index.server)
        params = {**event.detail, "output": "\n".join(event.detail.get("output", []))}
        if event.what == "not_ready":
            params["which"] = "copy" if event.second else "again" if again else "first"
            found.append(_no_start(index, event, params))
        elif event.what == "died":
            how = "detached" if params.get("left") else "" if params.get("code", 1) else "ended"
            found.append(Anomaly("server_died", params, [event], how))
        elif event.what == "flooding":
            how = "replay" if 2 * params.get("messages", 0) > params.get("events", 0) else ""
            found.append(Anomaly("flooding", params, [event], how))
        elif event.what == "hung":
            found.append(Anomaly("server_hung", params, [event]))
        elif event.what == "blocked":
            found.append(Anomaly("server_blocked", params, [event], "" if params["output"] else "somewhere"))
        elif event.what == "unbounded":
            found.append(Anomaly("unbounded_memory", params, [event]))
        elif event.what == "outlived":
            how = event.detail.get("why") or ("" if event.detail["left"] else "connections")
            found.append(Anomaly("outlived", params, [event], how))
        elif event.what == "stopped" and not event.detail.get("in_time", True):
            how = "" if params.get("listens", True) else "left" if params.get("left") else "closed"
            found.append(Anomaly("slow_stop", params, [event], how))
    return found


def _no_start(index: HistoryIndex, event: Server, params: dict[str, Any]) -> Anomaly:
    """A start that failed; if it was the first after the end of a file was torn off, with that event."""
    why = str(event.detail.get("why", ""))
    torn = [e for e in index.server if e.what == "torn" and index.start_before(event.at) < e.at < event.at]
    if why not in ("exited", "ended") or not torn:
        return Anomaly("no_start", params, [event], why)
    return Anomaly("no_start", params | torn[-1].detail, [torn[-1], event], "exited_torn")


def connections(index: HistoryIndex, start: float, stop: float) -> list[Anomaly]:
    """Connections that were refused, never answered by `connected`, or closed for no reason in this time."""
    found: list[Anomaly] = []
    for event in index.events:
        if not isinstance(event, Closed | GaveUp) or not start <= event.at <= stop:
            continue
        if isinstance(event, Closed) and event.by == "kit":
            found.append(_invalid_frame(index, event))
        elif isinstance(event, Closed) and event.by == "server" and not _excused(index, event):
            params = {"who": event.client, "code": event.code, "reason": event.reason}
            found.append(
                Anomaly("dropped_connection", params, [*_last_sent(index, event), event], str(event.code))
            )
        elif (
            isinstance(event, GaveUp)
            and not _has_bad_name(index, event.conn)
            and not event.wanted.endswith(OWN_LIMIT)
        ):
            wanted = event.wanted.split(" ")[0]
            params = {"who": event.client, "wanted": wanted, "seconds": event.seconds, "room": event.room}
            name = (
                "no_connection" if wanted in ("connection", "connected", "reading") else "unanswered_request"
            )
            found.append(Anomaly(name, params, [event], wanted))
    return found[:3]


def _invalid_frame(index: HistoryIndex, event: Closed) -> Anomaly:
    """A connection that the client ended, because what came was not WebSocket."""
    violation, _, more = event.reason.partition(" ")
    params = {"who": event.client, "code": event.code, "violation": violation, "more": more}
    return Anomaly("invalid_frame", params, [*_last_sent(index, event), event], violation)


def _excused(index: HistoryIndex, event: Closed) -> bool:
    """Whether the server had a reason to close this connection, or was ended itself."""
    conn = index.conns.get(event.conn)
    if conn is None or index.beside is not None:
        return True
    if any(fault.kind.excuses for fault in conn.faults):
        return True
    bad = [sent for sent in index.sent if sent.conn == event.conn and sent.bad is not None]
    if bad and served_again(index, bad[-1]) > event.at:
        return True  # errors.unanswered checks those
    if conn.timeout and _silence_before(index, event) >= conn.timeout - 0.02:
        return True  # it had been silent for so long that the server had to
    return index.server_ended_at(event.at)


def _silence_before(index: HistoryIndex, end: Closed) -> float:
    """Seconds for which a connection had sent nothing when it was closed, or while its end was under way."""
    opened = index.conn(end.conn).opened
    sent = [s.at for s in index.sent if s.conn == end.conn and s.at <= end.at]
    signs = [opened if opened < end.at else 0.0, *sent, end.at]
    return max(later - before for before, later in pairwise(signs) if later >= end.at - _UNDER_WAY)


def _has_bad_name(index: HistoryIndex, conn: int) -> bool:
    known = index.conns.get(conn)
    return known is not None and any(fault.fault == BAD_NAME for fault in known.faults)


def _last_sent(index: HistoryIndex, event: Closed) -> list[Event]:
    sent: list[Event] = [s for s in index.sent if s.conn == event.conn and s.at <= event.at]
    return sent[-1:]


def stopped_by(index: HistoryIndex) -> Server | None:
    """The event of the server that ended the run, if one did."""
    events = sorted((event for each in index.worlds for event in each.server), key=lambda event: event.at)
    ends = [event for event in events if event.what in _ENDS]
    return ends[-1] if ends else None
