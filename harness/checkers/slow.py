"""A member that does not read delays no other, and costs a bounded amount of memory (rule S)."""

from __future__ import annotations

from math import inf

from harness.checkers.catalogue import Anomaly
from harness.checkers.delivery import LONG_AGO
from harness.history.events import Event, Fault
from harness.history.faults import STOP_READING
from harness.history.index import Heard, HistoryIndex
from lab.protocol import MAX_UNREAD

_SOCKET_BUFFERS = {"live": 8 * 1024 * 1024, "sim": 1024 * 1024}
"""Bytes that the sockets of both machines may hold besides the server's own queue, in each world."""


def socket_buffers(world: str) -> int:
    """The number of these bytes in a world."""
    return _SOCKET_BUFFERS.get(world, _SOCKET_BUFFERS["live"])


def stalled(index: HistoryIndex, room: str) -> list[Anomaly]:
    """Messages that others received only after the slow reader read again, long after they were sent."""
    stopped, again = reading_times(index)
    if stopped is None:
        return []
    for membership in index.members(room):
        if membership.conn == stopped.conn:
            continue
        first: dict[str, Heard] = {}
        for heard in index.live_on(membership.conn, room):
            if heard.said:
                first.setdefault(heard.said.tag, heard)
        late = [
            h
            for h in first.values()
            if h.said and stopped.at < h.said.at <= again - LONG_AGO and again <= h.at
        ]
        if late:
            params = {
                "who": membership.client,
                "slow": stopped.client,
                "room": room,
                "count": len(late),
                "seconds": round(again - min(h.said.at for h in late if h.said), 1),
            }
            sent = late[0].said.sent[:1] if late[0].said else []
            evidence: list[Event] = [stopped, *sent, *_again(index, stopped), late[0].event]
            return [Anomaly("stalled_by_slow_reader", params, evidence)]
    return []


def unbounded(index: HistoryIndex, room: str) -> list[Anomaly]:
    """A reader for which the server kept more than it may."""
    stopped, again = reading_times(index)
    if stopped is None:
        return []
    kept = [h for h in index.live_on(stopped.conn, room) if h.said and stopped.at < h.said.at < again <= h.at]
    got = sum(heard.event.size for heard in kept)
    if got <= MAX_UNREAD + socket_buffers(index.began.world):
        return []
    params = {"slow": stopped.client, "room": room, "mebibytes": got // 2**20, "limit": MAX_UNREAD // 2**20}
    return [Anomaly("unbounded_slow_reader", params, [stopped, *_again(index, stopped), kept[-1].event])]


def _again(index: HistoryIndex, stopped: Fault) -> list[Event]:
    """When the slow reader read again."""
    faults: list[Event] = [f for f in index.conn(stopped.conn).faults if f.kind.heals and f.at > stopped.at]
    return faults[:1]


def reading_times(index: HistoryIndex) -> tuple[Fault | None, float]:
    """When a client stopped reading, and when it read again."""
    stopped: Fault | None = None
    for conn in index.conns.values():
        for fault in conn.faults:
            if fault.fault == STOP_READING:
                stopped = fault
            elif fault.kind.heals and stopped and fault.conn == stopped.conn:
                return stopped, fault.at
    return stopped, inf


def unread_bytes(index: HistoryIndex, room: str) -> int:
    """Bytes of messages sent to the room while the slow client did not read."""
    stopped, again = reading_times(index)
    if stopped is None:
        return 0
    return sum(len(said.content) for said in index.said_in(room) if stopped.at <= said.at <= again)
