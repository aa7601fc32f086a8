"""What must survive the end of the server (rule D), and what must not be delivered again."""

from __future__ import annotations

from math import inf
from typing import Any

from harness.checkers.catalogue import Anomaly
from harness.checkers.delivery import excerpt
from harness.checkers.pages import Answer, answers
from harness.history.events import Event, Server
from harness.history.index import Heard, HistoryIndex

_NEXT = 3
"""New messages that may be on one line with a torn end: writers put several into one write."""


def ends(index: HistoryIndex) -> list[float]:
    """When the server was stopped or killed."""
    return [event.at for event in index.server if event.what in ("asked_to_stop", "killed")]


def kills(index: HistoryIndex, *, in_bursts: bool = False) -> list[float]:
    """When the server was killed; with `in_bursts`, only plain kills, in the middle of a burst."""
    found = [event for event in index.server if event.what == "killed"]
    return [event.at for event in found if not (in_bursts and event.detail)]


def torn_off(index: HistoryIndex) -> int:
    """How many bytes were torn off the ends of what the server was writing when it was killed."""
    return sum(event.detail["bytes"] for event in index.server if event.what == "torn")


def lost(index: HistoryIndex, room: str) -> list[Anomaly]:
    """Messages that a client received before the server ended, and that are in no page read after it.

    Where no client asked for a number after the end, nothing is known of it.
    """
    found = _missing(index, index, room, since=max(ends(index), default=inf))
    if found is None:
        return []
    example, params, evidence = found
    torn = _torn_before(index, example)
    if torn is None:
        return [Anomaly("lost_after_crash", params, evidence)]
    return [Anomaly("lost_after_crash", params, [torn, *evidence], "torn")]


def lost_in_copy(index: HistoryIndex, room: str) -> list[Anomaly]:
    """The same for the second server, which runs on a copy of the data of the one that ended."""
    if index.second is None:
        return []
    found = _missing(index, index.second, room, since=min(ends(index), default=inf))
    if found is None:
        return []
    example, params, evidence = found
    cut = next(event.at for event in evidence if isinstance(event, Server))
    return [Anomaly("lost_after_crash", params, evidence, _which(index, room, cut, example, params))]


def _which(index: HistoryIndex, room: str, cut: float, example: Heard, params: dict[str, Any]) -> str:
    """Which of the messages are not in the copy, made at some moment: that tells when messages are stored."""
    if "other" in params:
        return "copy_overwritten"
    received = [h for h in index.in_room(room) if index.has(h.conn) and h.at <= cut]
    if params["count"] == 1 and example.message.sequence == max(h.message.sequence for h in received):
        return "copy_newest"
    first: dict[int, float] = {}
    for heard in received:
        first.setdefault(heard.message.sequence, heard.at)
    start = index.start_before(cut)
    new = [number for number, at in first.items() if at > start]
    is_old_there = len(new) < len(first)
    return "copy_since_start" if is_old_there and len(new) == params["count"] else "copy"


def _missing(
    index: HistoryIndex, after: HistoryIndex, room: str, since: float
) -> tuple[Heard, dict[str, Any], list[Event]] | None:
    """What was received from the server that ended, and is in no page of `after` since then."""
    read = [answer for answer in answers(after, room) if answer.received.at > since]
    if not read:
        return None
    cut = max(stop for stop in ends(index) if stop < read[0].received.at)
    seen: dict[int, Heard] = {}
    there: dict[int, Heard] = {}
    for heard in index.in_room(room):
        opened = index.conn(heard.conn).opened
        if opened < cut and heard.conn in index.conns:  # what was on the way at the end was received too
            seen.setdefault(heard.message.sequence, heard)
        elif cut < opened < inf and heard.conn in after.conns and not heard.live:
            there.setdefault(heard.message.sequence, heard)
    asked_for = (number for number in sorted(seen) if any(_reaches(answer, number) for answer in read))
    missing = [number for number in asked_for if not _same(seen[number], there.get(number))]
    if not missing:
        return None
    example = seen[missing[0]]
    ended = next(e for e in index.server if e.at == cut and e.what in ("asked_to_stop", "killed"))
    params = {
        "who": example.client,
        "room": room,
        "sequence": missing[0],
        "content": excerpt(example.message.content),
        "count": len(missing),
        "of": len(seen),
    }
    without = next(answer.received.event for answer in read if _reaches(answer, missing[0]))
    other = there.get(missing[0])
    if other is not None:
        params["other"] = excerpt(other.message.content)
    return example, params, [example.event, ended, without]


def _torn_before(index: HistoryIndex, heard: Heard) -> Server | None:
    """The torn end that a message was most likely written after: it was one of the next to be stored."""
    for torn in (event for event in index.server if event.what == "torn"):
        new = sorted((at, tag) for tag, at in index.first_heard.items() if at > torn.at)
        if heard.said is not None and heard.said.tag in [tag for _, tag in new[:_NEXT]]:
            return torn
    return None


def _reaches(answer: Answer, number: int) -> bool:
    """Whether a page must contain a number, if it exists."""
    last = max((message.sequence for message in answer.page.messages), default=inf)
    return answer.since < number and (number <= last or answer.page.more is False)


def _same(one: Heard, other: Heard | None) -> bool:
    """Whether a number still belongs to the same message, as far as is known."""
    return other is not None and (one.said is other.said or None in (one.said, other.said))


def replayed_as_new(index: HistoryIndex, room: str) -> list[Anomaly]:
    """Stored messages that a restarted server sent again as if they were new."""
    heard = index.in_room(room)
    for membership in index.members(room):
        if membership.since is None:
            continue
        known = {(h.message.sequence, h.message.content) for h in heard if h.at < membership.asked}
        old = [
            h
            for h in index.live_in(membership)
            if h.message.sequence <= membership.since
            and (h.message.sequence, h.message.content) in known
            and not h.may_answer_retry
        ]
        if old:
            params = {
                "who": membership.client,
                "room": room,
                "sequence": old[0].message.sequence,
                "since": membership.since,
                "count": len(old),
            }
            before = next(h.event for h in heard if _is_same(h, old[0]))
            evidence: list[Event] = [before, membership.event, old[0].event]
            is_answer = old[0].at <= membership.start
            return [Anomaly("replayed_as_new", params, evidence, "join" if is_answer else "")]
    return []


def _is_same(one: Heard, other: Heard) -> bool:
    """Whether both have the same number and content."""
    return (one.message.sequence, one.message.content) == (other.message.sequence, other.message.content)


def unacknowledged(index: HistoryIndex) -> list[int]:
    """For each kill in a burst: how many messages had been sent that no client had received by then."""
    first_heard: dict[str, float] = {}
    for heard in index.heard:
        if heard.said and heard.live:
            first_heard.setdefault(heard.said.tag, heard.at)
    return [
        sum(said.at < kill <= first_heard.get(said.tag, kill) for said in index.said.values())
        for kill in kills(index, in_bursts=True)
    ]
