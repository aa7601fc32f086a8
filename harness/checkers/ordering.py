"""One order for all: numbers without gap or repeat (N), and live messages in that order (O)."""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise

from harness.checkers.catalogue import Anomaly
from harness.checkers.delivery import excerpt
from harness.history.events import Event
from harness.history.index import Heard, HistoryIndex
from lab.protocol import SYSTEM

_FEW = 100
"""Missing numbers that are looked for in pages."""


def numbering(index: HistoryIndex, room: str) -> list[Anomaly]:
    """Gaps, and numbers that belong to two different messages."""
    seen: dict[int, dict[str, Heard]] = defaultdict(dict)
    for heard in index.in_room(room):
        identity = heard.said.tag if heard.said else heard.message.content
        seen[heard.message.sequence].setdefault(identity, heard)
    return [*_split(index, room, seen), *_gaps(index, room, seen)]


def _split(index: HistoryIndex, room: str, seen: dict[int, dict[str, Heard]]) -> list[Anomaly]:
    found: dict[str, Anomaly] = {}
    for number in sorted(seen):
        if len(seen[number]) < 2:
            continue
        one, other = sorted(seen[number].values(), key=lambda heard: heard.at)[:2]
        starts = [e for e in index.server if e.what == "ready" and one.at < e.at < _sent_at(other)]
        name = "sequence_reset" if starts else "split_sequence"
        params: dict[str, object] = {
            "room": room,
            "sequence": number,
            "who": one.client,
            "one": excerpt(one.message.content),
            "other_who": other.client,
            "other": excerpt(other.message.content),
            "count": sum(len(each) > 1 for each in seen.values()),
        }
        sent = [each.said.sent[-1] for each in (one, other) if each.said]
        evidence: list[Event] = [*sent, one.event, *starts[-1:], other.event]
        if starts:
            goes_on = _first_after(index, room, starts[-1].at)
            params["goes_on"] = goes_on
            found.setdefault(name, Anomaly(name, params, evidence, "behind" if goes_on > 1 else ""))
        else:
            is_later = other.said is not None and one.at < other.said.at
            variant = ("stands_still" if len(seen) == 1 else "later") if is_later else ""
            found.setdefault(name, Anomaly(name, params, evidence, variant))
    return list(found.values())


def _first_after(index: HistoryIndex, room: str, start: float) -> int:
    """The lowest number that a message was given after a start of the server, as far as is known.

    It was sent then, be it again, and nobody had received it under this number before.
    """
    said = [(heard.said.tag, heard) for heard in index.in_room(room) if heard.said]
    before = {(tag, heard.message.sequence) for tag, heard in said if heard.at < start}
    new = (
        heard.message.sequence
        for tag, heard in said
        if _sent_at(heard) > start and (tag, heard.message.sequence) not in before
    )
    return min(new, default=1)


def _sent_at(heard: Heard) -> float:
    """When a message was last sent; where that is not known, when it was received."""
    return heard.said.sent[-1].at if heard.said else heard.at


def _gaps(index: HistoryIndex, room: str, seen: dict[int, dict[str, Heard]]) -> list[Anomaly]:
    if not seen:
        return []
    smallest, largest = min(seen), max(seen)
    if smallest < 1:
        first = next(iter(seen[smallest].values()))
        what = {"room": room, "number": smallest, "who": first.client}
        return [Anomaly("gap", what, [first.event], "zero")]
    # Numbers may be huge (such as times), so what is between two of them is not counted one by one.
    gaps = [(one, other) for one, other in pairwise([0, *sorted(seen)]) if other > one + 1]
    if not gaps:
        return []
    before, after = gaps[0]
    around: list[Event] = [
        next(iter(seen[number].values())).event for number in (before, after) if number in seen
    ]
    params: dict[str, object] = {
        "room": room,
        "missing": before + 1,
        "count": largest - len(seen),
        "largest": largest,
        "after": after,
    }
    missing = set(range(before + 1, min(after, before + _FEW)))
    elsewhere = {h.message.sequence: h for h in reversed(index.heard) if h.message.room != room}
    if missing <= elsewhere.keys() and not seen.keys() & elsewhere.keys():
        other = elsewhere[before + 1]
        what = {**params, "number": before + 1, "other_room": other.message.room}
        return [Anomaly("gap", what, [other.event, *around], "rooms")]
    notice = _numbered_notice(index, room, missing)
    if notice is not None:
        event, number = notice
        return [Anomaly("gap", {**params, "number": number}, [event, *around], "notice")]
    joins = [m.event for m in index.members(room) if m.asked < around[-1].at]
    if not before and len(joins) == after - 1:
        return [Anomaly("gap", {**params, "joins": len(joins)}, [*joins[:3], *around], "joins")]
    return [Anomaly("gap", params, around, "" if before else "start")]


def _numbered_notice(index: HistoryIndex, room: str, missing: set[int]) -> tuple[Event, int] | None:
    """A page that has an announcement under one of these numbers, and that number.

    Readings leave the numbers of announcements out, which are not judged elsewhere.
    """
    for received, page in index.pages:
        for raw in received.event.frame["data"]["messages"] if page.room == room else ():
            number = raw.get("sequence") if isinstance(raw, dict) and raw.get("user") == SYSTEM else None
            if isinstance(number, int) and number in missing:
                return received.event, number
    return None


def order(index: HistoryIndex, room: str) -> list[Anomaly]:
    """Live messages that came in another order than that of their numbers, or of their sending."""
    return [*by_receivers(index, room), *by_senders(index, room)]


def by_receivers(index: HistoryIndex, room: str) -> list[Anomaly]:
    """Live messages that a client received in another order than that of their numbers."""
    found = []
    for conn in sorted({m.conn for m in index.members(room)}):
        newest: Heard | None = None
        count, first = 0, None
        for heard in index.live_on(conn, room):
            if heard.may_answer_retry:
                continue
            if newest and heard.message.sequence < newest.message.sequence:
                count += 1
                first = first or (newest, heard)
            else:
                newest = heard
        if first:
            params = {
                "who": first[0].client,
                "room": room,
                "first": first[0].message.sequence,
                "then": first[1].message.sequence,
                "count": count,
            }
            other = _in_order(index, room, conn, first[1], first[0])
            evidence: list[Event] = [first[0].event, first[1].event, *other]
            found.append(Anomaly("reorder", params, evidence, "some" if other else ""))
    return found[:3]


def _in_order(index: HistoryIndex, room: str, but: int, one: Heard, other: Heard) -> list[Event]:
    """The receipts of two messages by another client that received them in this order, if there is one."""
    for conn in sorted({m.conn for m in index.members(room)} - {but}):
        both = [h for h in index.live_on(conn, room) if h.said in (one.said, other.said) and h.said]
        if [h.said for h in both] == [one.said, other.said]:
            return [h.event for h in both]
    return []


def by_senders(index: HistoryIndex, room: str) -> list[Anomaly]:
    """Messages that are numbered in another order than the one in which their client sent them."""
    numbers: dict[str, tuple[int, Heard]] = {}
    for heard in index.in_room(room):
        if heard.said:
            numbers.setdefault(heard.said.tag, (heard.message.sequence, heard))
    by_conn = defaultdict(list)
    for said in index.said_in(room):
        if len(said.sent) == 1 and said.tag in numbers:
            by_conn[said.conn].append((said, *numbers[said.tag]))
    found = []
    for sent in by_conn.values():
        for (one, number, _), (other, next_number, heard) in pairwise(sent):
            if next_number < number:
                params = {
                    "who": one.client,
                    "room": room,
                    "first": number,
                    "then": next_number,
                    "one": excerpt(one.content),
                    "other": excerpt(other.content),
                }
                evidence: list[Event] = [one.sent[0], other.sent[0], heard.event]
                found.append(Anomaly("reorder", params, evidence, "sender"))
                break
    return found[:1]


def newest(index: HistoryIndex, room: str) -> int:
    """The highest number that any client received in a room; 0 if none."""
    return max((heard.message.sequence for heard in index.in_room(room)), default=0)
