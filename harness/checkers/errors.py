"""Bad frames: each is answered by `error`, changes nothing, and leaves all clients connected (rule E)."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from math import inf
from typing import Any
from unicodedata import category

from harness.checkers.catalogue import Anomaly
from harness.history.events import Sent
from harness.history.frames import tag_in
from harness.history.index import HistoryIndex
from lab.legible import both_ends, one_line
from lab.protocol import ErrorCode

BINARY = "binary"
"""The rule that a JSON object in a binary frame breaks."""
AFTER_LEAVE = "after_leave"
"""The rule that a message breaks whose sender has just left the room."""
LARGE = "frame_large"
"""The rule that a frame of more than MAX_FRAME breaks."""


def unanswered(index: HistoryIndex, start: float, stop: float) -> list[Anomaly]:
    """Bad frames, sent between two moments, that got no `error`, or for which the sender was disconnected.

    After each bad frame its sender waits until the server has handled it, before it sends the next. A
    binary frame may be obeyed, or end the connection with 1003; too large a one may end it in any way.
    """
    found: list[Anomaly] = []
    silent: list[Sent] = []
    bad = [sent for sent in index.sent if sent.bad is not None and start <= sent.at <= stop]
    for sent in bad:
        later = [s.at for s in index.sent if s.conn == sent.conn and s.at > sent.at and s.bad is not None]
        end = min(later, default=inf)
        answered = any(frame.conn == sent.conn and sent.at <= frame.at < end for frame, _ in index.errors)
        closed = index.conn(sent.conn).closed
        over = min(end, served_again(index, sent))
        cut = closed is not None and closed.by != "client" and sent.at <= closed.at < over
        if closed is not None and cut and closed.by == "kit":
            continue  # whatever the answer was, it was no frame: lifecycle.connections reports that
        if closed is not None and cut and index.server_ended_at(closed.at):
            continue  # no frame was answered any more
        if closed is not None and cut and sent.bad == BINARY and closed.code == 1003:
            continue
        if cut and sent.bad == LARGE:
            continue  # with 1009, which is lost where the rest of the frame is not read
        if closed is not None and cut and not (answered and closed.code == 1009):
            params = {"who": sent.client, "what": sent.bad, "code": closed.code}
            found.append(Anomaly("dropped_connection", params, [sent, closed], "bad_frame"))
        elif not answered and is_due(index, sent):
            silent.append(sent)
    if silent:
        kinds = list(dict.fromkeys(str(sent.bad) for sent in silent))
        params = {"who": silent[0].client, "count": len(silent), "of": len(bad), "what": ", ".join(kinds)}
        all_of_them = len(silent) == len(bad) > 1
        variant = "none" if all_of_them else "binary" if kinds == [BINARY] else ""
        found.append(Anomaly("unanswered_error", params, list(silent[:2]), variant))
    return found[:3]


def is_due(index: HistoryIndex, sent: Sent) -> bool:
    """Whether this is a bad frame that must be refused. A bad `id` need not be where the server
    keeps none, nor a binary frame that was obeyed."""
    if sent.bad == BINARY:
        return sent not in obeyed_binary(index)
    return sent.bad is not None and (not sent.bad.startswith("id_") or index.keeps_ids)


def obeyed_binary(index: HistoryIndex) -> list[Sent]:
    """Binary frames that were answered like text: each asks for a room that no other frame asks for."""
    return [
        sent
        for sent in index.sent
        if sent.bad == BINARY and isinstance(sent.frame, dict)
        if any(
            a.conn == sent.conn and presence_frame.room == sent.frame.get("room")
            for a, presence_frame in index.presence_frames
        )
    ]


def refused_for_marks(index: HistoryIndex) -> set[str]:
    """Rooms with combining marks in their names that could not be joined: the answer was an `error`."""
    found = set()
    for joined in index.memberships:
        if any(category(char).startswith("M") for char in joined.room):
            said = (s.at for s in index.sent if s.conn == joined.conn and _is_message(s.frame))
            until = min(said, default=inf)
            if any(a.conn == joined.conn and joined.asked <= a.at < until for a, _ in index.errors):
                found.add(joined.room)
    return found


def _is_message(frame: Any) -> bool:
    return isinstance(frame, dict) and frame.get("type") == "message"


def served_again(index: HistoryIndex, bad: Sent) -> float:
    """When a request sent after a bad frame was answered: the connection outlived that frame."""
    asked: dict[str, float] = {}
    for sent in index.sent:
        if sent.conn == bad.conn and sent.at > bad.at and sent.bad is None:
            match sent.frame:
                case {"type": "presence", "room": str(room)}:
                    asked.setdefault(room, sent.at)
    return min(
        (
            a.at
            for a, presence_frame in index.presence_frames
            if a.conn == bad.conn and a.at > asked.get(presence_frame.room, inf)
        ),
        default=inf,
    )


def stray(index: HistoryIndex) -> list[Anomaly]:
    """An `error` that reached a connection which sent nothing wrong, while another client did.

    All its requests had been answered, so that the error is no answer to those.
    """
    misbehaved = {sent.conn for sent in index.sent if sent.bad is not None}
    spoke = {said.conn for said in index.said.values()}
    asks: dict[int, list[float]] = defaultdict(list)
    answers: dict[int, list[float]] = defaultdict(list)
    for sent in index.sent:
        if isinstance(sent.frame, dict) and sent.frame != {"type": "heartbeat"}:
            asks[sent.conn].append(sent.at)
    for at, conn in sorted((frame.at, frame.conn) for frame, _ in [*index.presence_frames, *index.pages]):
        answers[conn].append(at)
    first_bad = min((sent.at for sent in index.sent if sent.bad is not None), default=inf)
    for received, error in index.errors:
        if error.code == ErrorCode.UNAVAILABLE:
            continue  # no frame is invalid by that: it answers a good one of this connection
        quiet = received.conn in asks and received.conn not in misbehaved and received.conn not in spoke
        if not quiet or index.conn(received.conn).faults or received.at < first_bad:
            continue
        if _latest(asks[received.conn], received.at) <= _latest(answers[received.conn], received.at):
            cause = [sent for sent in index.sent if sent.bad is not None and sent.at <= received.at][-1]
            params = {
                "who": received.client,
                "room": "",
                "user": cause.client,
                "content": one_line(both_ends(error.message)),
            }
            return [Anomaly("room_leak", params, [cause, received.event], "error")]
    return []


def _latest(times: list[float], at: float) -> float:
    """The last of some sorted times that is not after `at`; 0 if there is none."""
    place = bisect_right(times, at)
    return times[place - 1] if place else 0.0


def obeyed(index: HistoryIndex) -> list[Anomaly]:
    """Bad messages that some client received all the same."""
    found: dict[str, Anomaly] = {}
    for heard in index.heard:
        sent = index.bad.get(tag_in(heard.message.content) or heard.message.content)
        if heard.said is None and sent is not None and is_due(index, sent):
            params = {"who": heard.client, "sender": sent.client, "what": sent.bad}
            variant = "stored" if not heard.live else AFTER_LEAVE if sent.bad == AFTER_LEAVE else ""
            found.setdefault(str(sent.bad), Anomaly("obeyed_bad_frame", params, [sent, heard.event], variant))
    return list(found.values())[:2]


def counted(index: HistoryIndex, start: float, stop: float) -> int:
    """How many bad frames were sent between two moments."""
    return sum(is_due(index, sent) and start <= sent.at <= stop for sent in index.sent)
