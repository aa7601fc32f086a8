"""What survives the end of the server (rule D), and what must not come again."""

from __future__ import annotations

from harness.anomalies import Anomaly
from harness.checkers.delivery import excerpt
from harness.history import Event
from harness.log import Heard, Log


def ends(log: Log) -> list[float]:
    """When the server was stopped or killed."""
    return [event.at for event in log.server if event.what in ("asked_to_stop", "killed") and not event.copy]


def lost(log: Log, room: str, *, copy: bool) -> list[Anomaly]:
    """Messages that somebody had heard before the server ended, and that are in no page read after it.

    With `copy`, the pages of the second server count, else those of the restarted one.
    """
    stops = ends(log)
    readers = {conn.number for conn in log.conns.values() if conn.copy is copy}
    read = [h for h in log.in_room(room) if not h.live and h.conn in readers]
    if copy:
        reads = [heard for heard in read if stops and heard.at > stops[0]]
    else:
        reads = [heard for heard in read if stops and heard.at > stops[-1]]
    if not _was_read(log, room, readers, stops):
        return []
    first_read = min(
        (a.at for a, page in log.pages if page.room == room and a.conn in readers and a.at > stops[0]),
        default=0.0,
    )
    cut = max((stop for stop in stops if stop < first_read), default=0.0) if copy else stops[-1]
    there = {heard.message.sequence for heard in reads}
    seen: dict[int, Heard] = {}
    for heard in log.in_room(room):
        if heard.live and heard.at < cut:
            seen.setdefault(heard.message.sequence, heard)
    missing = [number for number in sorted(seen) if number not in there]
    if not missing:
        return []
    example = seen[missing[0]]
    ended = max(
        (e for e in log.server if e.what in ("asked_to_stop", "killed") and e.at <= cut), key=lambda e: e.at
    )
    params = {
        "who": example.client,
        "room": room,
        "sequence": missing[0],
        "content": excerpt(example.message.content),
        "count": len(missing),
        "of": len(seen),
    }
    evidence: list[Event] = [example.event, ended]
    return [Anomaly("lost_after_crash", params, evidence, "copy" if copy else "")]


def _was_read(log: Log, room: str, readers: set[int], stops: list[float]) -> bool:
    return bool(stops) and any(
        page.room == room and asked.conn in readers and asked.at > stops[0] for asked, page in log.pages
    )


def replayed_as_new(log: Log, room: str) -> list[Anomaly]:
    """Stored messages that a restarted server sent again as if they had just been said."""
    for membership in log.members(room):
        if membership.since is None:
            continue
        old = [
            heard
            for heard in log.live_on(membership.conn, room)
            if heard.message.sequence <= membership.since
            and not (heard.said and any(sent.conn == heard.conn for sent in heard.said.sent))
        ]
        if old:
            params = {
                "who": membership.client,
                "room": room,
                "sequence": old[0].message.sequence,
                "since": membership.since,
                "count": len(old),
            }
            return [Anomaly("replayed_as_new", params, [old[0].event])]
    return []


def unacknowledged(log: Log) -> list[int]:
    """For each kill: how many messages had been sent then that nobody had heard of."""
    first_heard: dict[str, float] = {}
    for heard in log.heard:
        if heard.said and heard.live:
            first_heard.setdefault(heard.said.tag, heard.at)
    kills = [event.at for event in log.server if event.what == "killed" and not event.copy]
    return [
        sum(said.at < kill <= first_heard.get(said.tag, kill) for said in log.said.values()) for kill in kills
    ]
