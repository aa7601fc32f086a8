"""The server process and the connections: a server that dies, and clients that it disconnects."""

from __future__ import annotations

from itertools import pairwise
from math import inf
from typing import Any

from harness.checkers.catalogue import Anomaly
from harness.checkers.errors import served_again
from harness.history.events import Closed, Event, GaveUp, Opened, Sent, Server
from harness.history.faults import BAD_NAME
from harness.history.index import AT_ONCE, DYING_SECONDS, ENDS, HistoryIndex

OWN_LIMIT = "own_limit"
"""Why a connection was not opened, where this machine had too few of something, such as open files."""
ENDINGS = {
    "not_ready": "no_start",
    "died": "server_died",
    "hung": "server_hung",
    "blocked": "server_blocked",
    "slow": "server_slow",
    "unbounded": "unbounded_memory",
    "flooding": "flooding",
    "outlived": "outlived",
}
"""What ends a run, and the finding that it is."""
_KILLED = (-9, 137)
"""Exit codes of a program that was killed (SIGKILL), and of a shell or container in which one was."""
_NEVER = 3.0
"""Seconds after which a server that answers such questions at all has not answered one."""
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
            found.append(_died(index, event, params))
        elif event.what == "flooding":
            how = "replay" if 2 * params.get("messages", 0) > params.get("events", 0) else ""
            found.append(Anomaly("flooding", params, [event], how))
        elif event.what == "hung":
            found.append(_hung(index, event, params))
        elif event.what == "blocked":
            found.append(Anomaly("server_blocked", params, [event], "" if params["output"] else "somewhere"))
        elif event.what == "slow":
            found.append(Anomaly("server_slow", params, [event], "" if "due" in params else "in_all"))
        elif event.what == "unbounded":
            how = next((each for each in ("waiting", "processes", "written") if each in params), "")
            found.append(Anomaly("unbounded_memory", params, [*_sent_before(index, event.at), event], how))
        elif event.what == "outlived":
            how = event.detail.get("why") or ("" if event.detail["left"] else "connections")
            found.append(Anomaly("outlived", params, [event], how))
        elif event.what == "stopped" and not event.detail.get("in_time", True):
            how = "" if params.get("listens", True) else "left" if params.get("left") else "closed"
            asked = [e for e in index.server if e.what == "asked_to_stop" and e.at <= event.at][-1:]
            found.append(Anomaly("slow_stop", params, [*asked, event], how))
    return found


def _died(index: HistoryIndex, event: Server, params: dict[str, Any]) -> Anomaly:
    """An unexpected end, with the last frame that was sent before it; was that one invalid?"""
    code = params.get("code", 1)
    how = "detached" if params.get("left") else "killed" if code in _KILLED else "" if code else "ended"
    last = _sent_before(index, event.at)
    if last and last[-1].bad and not how:
        more = {"who": last[-1].client, "what": last[-1].bad}
        return Anomaly("server_died", params | more, [last[-1], event], "bad_frame")
    return Anomaly("server_died", params, [*last, event], how)


def _hung(index: HistoryIndex, event: Server, params: dict[str, Any]) -> Anomaly:
    """A server that answers nobody any more, with the last frame that it was sent; was that one invalid?"""
    sent = [
        s for s in index.sent if s.at <= event.at and not is_fence(s) and s.frame != {"type": "heartbeat"}
    ]
    if sent and sent[-1].bad:
        more = {"who": sent[-1].client, "what": sent[-1].bad}
        return Anomaly("server_hung", params | more, [sent[-1], event], "bad_frame")
    return Anomaly("server_hung", params, [*sent[-1:], event])


def _sent_before(index: HistoryIndex, at: float, conn: int | None = None) -> list[Sent]:
    """The last frame that was sent within some seconds before a moment, on one connection or on any.

    With it the question that only finds out whether a server is done, if that came after it.
    """
    sent = [s for s in index.sent if at - DYING_SECONDS - AT_ONCE <= s.at <= at and conn in (None, s.conn)]
    asked = next((n for n, s in enumerate(reversed(sent)) if not is_fence(s)), len(sent))
    return sent[-1 - asked :][:2] if conn is not None else sent[-1 - asked :][:1]


def is_fence(sent: Sent) -> bool:
    """Whether a client only asks in order to know when the server is done with all it sent before."""
    frame = sent.frame if isinstance(sent.frame, dict) else {}
    return frame.get("type") == "presence" and str(frame.get("room")).startswith("fence-")


def _no_start(index: HistoryIndex, event: Server, params: dict[str, Any]) -> Anomaly:
    """A start that failed: after the end of a file was torn off, on what an earlier process left, or any."""
    why = str(event.detail.get("why", ""))
    torn = [e for e in index.server if e.what == "torn" and index.start_before(event.at) < e.at < event.at]
    if why in ("exited", "ended") and torn:
        return Anomaly("no_start", params | torn[-1].detail, [torn[-1], event], "exited_torn")
    ended = [e for e in (index.beside or index).server if e.what in ENDS and e.at < event.at][-1:]
    if why == "exited" and ended:
        return Anomaly("no_start", params, [*ended, event], "exited_again")
    return Anomaly("no_start", params, [*ended, event], why)


def connections(index: HistoryIndex, start: float, stop: float, most: int = 3) -> list[Anomaly]:
    """Connections that were refused, never answered by `connected`, or closed for no reason in this time.

    Of these at most so many, and one on which nothing is answered any more.
    """
    found: list[Anomaly] = []
    for event in index.events:
        if not isinstance(event, Closed | GaveUp) or not start <= event.at <= stop:
            continue
        if isinstance(event, Closed) and event.by == "kit":
            found.append(_invalid_frame(index, event))
        elif isinstance(event, Closed) and event.by == "server" and not excused(index, event):
            found.append(dropped(index, event))
        elif (
            isinstance(event, GaveUp)
            and not _has_bad_name(index, event.conn)
            and not event.wanted.endswith(OWN_LIMIT)
        ):
            wanted = event.wanted.split(" ")[0]
            params = {"who": event.client, "wanted": wanted, "seconds": event.seconds, "room": event.room}
            if wanted in ("connection", "connected", "reading"):
                params["open"] = sum(c.opened < event.at < c.ended for c in index.conns.values())
                params["before"] = sum(c.opened < event.at for c in index.conns.values())
                found.append(Anomaly("no_connection", params, [event], wanted))
            else:
                found.append(_unanswered(index, event, params))
    stuck = [_stuck(index, *each) for each in stuck_at(index) if start <= each[1].at <= stop]
    return [*found[:most], *stuck[:1]]


def stuck_at(index: HistoryIndex) -> list[tuple[Sent, Sent]]:
    """Frames after which nothing was answered on their connection, with the first question after each.

    Servers that answer no such question at all are not meant, nor clients that were disturbed.
    """
    answered = {(received.conn, frame.room) for received, frame in index.presence_frames}
    works = min((r.at for r, frame in index.presence_frames if frame.room.startswith("fence-")), default=inf)
    end = index.events[-1].at if index.events else 0.0
    found: dict[int, tuple[Sent, Sent]] = {}
    last: dict[int, Sent] = {}
    for sent in index.sent:
        if not is_fence(sent):
            last[sent.conn] = sent
            continue
        conn, before = index.conn(sent.conn), last.get(sent.conn)
        is_quiet = min(conn.ended, end) >= sent.at + _NEVER and not conn.faults
        is_open = sent.at > works and is_quiet and (sent.conn, sent.frame["room"]) not in answered
        if is_open and before is not None and before.bad is None:
            found.setdefault(sent.conn, (before, sent))
    return list(found.values())


def _stuck(index: HistoryIndex, last: Sent, asked: Sent) -> Anomaly:
    """A connection on which nothing is answered any more."""
    ended = min(index.conn(last.conn).ended, index.events[-1].at)
    data = last.frame.get("data")
    params = {
        "who": last.client,
        "frame": last.frame.get("type"),
        "room": last.frame.get("room") or (data.get("room") if isinstance(data, dict) else ""),
        "seconds": round(ended - asked.at, 1),
    }
    before = [s for s in index.sent if s.at < last.at and is_in(s, str(params["room"]))][-1:]
    return Anomaly("unanswered_request", params, [*before, last, asked], "stuck")


def is_in(sent: Sent, room: str) -> bool:
    """Whether a frame asks for something in a room."""
    frame = sent.frame if isinstance(sent.frame, dict) else {}
    data = frame.get("data")
    return room in (frame.get("room"), data.get("room") if isinstance(data, dict) else None)


def _unanswered(index: HistoryIndex, event: GaveUp, params: dict[str, Any]) -> Anomaly:
    """A request that was not answered, with it: perhaps because its sender is no member of the room."""
    asked = [s for s in index.sent if s.conn == event.conn and s.at <= event.at and not is_fence(s)][-1:]
    inside = {(m.conn, m.room) for m in index.memberships if m.asked <= event.at}
    is_outside = event.room != "" and (event.conn, event.room) not in inside
    return Anomaly(
        "unanswered_request", params, [*asked, event], "outside" if is_outside else str(params["wanted"])
    )


def dropped(index: HistoryIndex, event: Closed) -> Anomaly:
    """A connection that the server ended: what came before it, of this client and of others."""
    conn = index.conn(event.conn)
    params: dict[str, Any] = {"who": event.client, "code": event.code, "reason": event.reason}
    evidence: list[Event] = [*_sent_before(index, event.at, event.conn), event]
    evidence = evidence if len(evidence) > 1 else [*_last_sent(index, event), event]
    bad = [s for s in index.sent if s.bad is not None and event.at - AT_ONCE <= s.at <= event.at][-1:]
    since = [s for s in index.sent if bad and s.conn == event.conn and bad[0].at < s.at <= event.at]
    is_silence = event.code == 1001 and conn.timeout  # then the server has another reason than that frame
    if bad and bad[0].conn != event.conn and not since and not is_silence:
        params |= {"other": bad[0].client, "what": bad[0].bad}
        return Anomaly("dropped_connection", params, [*bad, *evidence], "others_frame")
    deaf = [fault for fault in conn.faults if fault.kind.loses_inbound]
    if deaf:
        params |= {"seconds": round(event.at - deaf[0].at, 1), "timeout": conn.timeout}
        return Anomaly("dropped_connection", params, [deaf[0], *evidence], "unheard")
    if is_silence:
        opened = [e for e in index.events if isinstance(e, Opened) and e.conn == event.conn]
        params |= {
            "age": round(event.at - conn.opened, 1),
            "silence": round(_silence_before(index, event, ever=True), 1),
            "timeout": conn.timeout,
        }
        is_early = event.at - conn.opened < 0.95 * conn.timeout
        how = "early" if is_early else "unseen" if params["silence"] < conn.timeout else "1001"
        return Anomaly("dropped_connection", params, [*opened, *evidence], how)
    last = evidence[0].frame if isinstance(evidence[0], Sent) else None
    if event.code == 1013 and isinstance(last, dict) and last.get("type") == "join":
        params["room"] = last.get("room")
        return Anomaly("dropped_connection", params, evidence, "replay")
    return Anomaly("dropped_connection", params, evidence, str(event.code))


def _invalid_frame(index: HistoryIndex, event: Closed) -> Anomaly:
    """A connection that the client ended, because what came was not WebSocket."""
    violation, _, more = event.reason.partition(" ")
    params = {"who": event.client, "code": event.code, "violation": violation, "more": more}
    return Anomaly("invalid_frame", params, [*_last_sent(index, event), event], violation)


def excused(index: HistoryIndex, event: Closed) -> bool:
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


def _silence_before(index: HistoryIndex, end: Closed, *, ever: bool = False) -> float:
    """Seconds for which a connection had sent nothing when it was closed, or while its end was under way.

    With `ever`, the longest time for which it had sent nothing at all.
    """
    opened = index.conn(end.conn).opened
    sent = [s.at for s in index.sent if s.conn == end.conn and s.at <= end.at]
    signs = [opened if opened < end.at else 0.0, *sent, end.at]
    return max(later - before for before, later in pairwise(signs) if ever or later >= end.at - _UNDER_WAY)


def _has_bad_name(index: HistoryIndex, conn: int) -> bool:
    known = index.conns.get(conn)
    return known is not None and any(fault.fault == BAD_NAME for fault in known.faults)


def _last_sent(index: HistoryIndex, event: Closed) -> list[Event]:
    sent: list[Event] = [s for s in index.sent if s.conn == event.conn and s.at <= event.at]
    return sent[-1:]


def stopped_by(index: HistoryIndex) -> Server | None:
    """The event of the server that ended the run, if one did."""
    events = sorted((event for each in index.worlds for event in each.server), key=lambda event: event.at)
    ends = [event for event in events if event.what in ENDINGS]
    return ends[-1] if ends else None
