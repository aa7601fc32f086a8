"""Pages of history: ordered, complete, and equal to what was delivered live (rule J, and D)."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from itertools import pairwise

from harness.checkers.catalogue import Anomaly
from harness.checkers.delivery import excerpt
from harness.history import frames
from harness.history.events import Event, Sent
from harness.history.index import Heard, HistoryIndex, ReceivedFrame
from lab.protocol import MAX_PAGE, Message


@dataclass(frozen=True)
class Answer:
    """A page, and the request that it answers."""

    sent: Sent
    received: ReceivedFrame
    page: frames.History

    @property
    def asked_since(self) -> int | None:
        """The number after which messages were asked for; None where the request had none."""
        since = self.sent.frame.get("since")
        return since if isinstance(since, int) else None

    @property
    def since(self) -> int:
        """The number after which messages are due; 0 for all of them."""
        return self.asked_since or 0

    @property
    def limit(self) -> int:
        """The most messages that it may hold."""
        limit = self.sent.frame.get("limit")
        return min(limit, MAX_PAGE) if isinstance(limit, int) else MAX_PAGE


def answers(index: HistoryIndex, room: str) -> list[Answer]:
    """The answers to requests for history of a room; a client asks one at a time."""
    found = []
    asked_for: dict[int, Sent] = {}
    requests: list[tuple[float, Sent | tuple[ReceivedFrame, frames.History]]] = [
        (sent.at, sent) for sent in index.sent if _is_request(sent, room)
    ]
    pages = [(pair[0].at, pair) for pair in index.pages if pair[1].room == room]
    for _, event in sorted([*requests, *pages], key=lambda pair: pair[0]):
        if isinstance(event, Sent):
            asked_for[event.conn] = event
        elif event[0].conn in asked_for:
            found.append(Answer(asked_for.pop(event[0].conn), *event))
    return found


def _is_request(sent: Sent, room: str) -> bool:
    return (
        sent.bad is None
        and isinstance(sent.frame, dict)
        and sent.frame.get("type") == "history"
        and sent.frame.get("room") == room
    )


def wrong(index: HistoryIndex, room: str) -> list[Anomaly]:
    """Pages that are out of order, have holes, or do not hold what was asked for."""
    found: dict[str, Anomaly] = {}
    exists = sorted({heard.message.sequence for heard in index.in_room(room)})
    ever = exists[-1] if exists else 0
    newest = _Newest(index, room)
    for answer in answers(index, room):
        for anomaly in _page(answer, room, newest.before(answer.sent.at), exists) or _promises(
            answer, room, ever
        ):
            found.setdefault(anomaly.name + anomaly.variant, anomaly)
    return list(found.values())


class _Newest:
    """The highest number of a room that had been received by a moment, since the server's last start."""

    def __init__(self, index: HistoryIndex, room: str) -> None:
        self._index = index
        self._times: list[float] = []
        self._numbers: list[int] = []
        for heard in sorted(index.in_room(room), key=lambda heard: heard.at):
            highest = max(heard.message.sequence, self.before(heard.at) if self._times else 0)
            self._times.append(heard.at)
            self._numbers.append(highest)

    def before(self, moment: float) -> int:
        """That number; 0 if no message had been received."""
        place = bisect_left(self._times, moment)
        known = place and self._times[place - 1] >= self._index.start_before(moment)
        return self._numbers[place - 1] if known else 0


def _page(answer: Answer, room: str, newest: int, exists: list[int]) -> list[Anomaly]:
    """What is wrong with one page: `newest` was received before it, and `exists` are all ever received."""
    page, since = answer.page, answer.since
    numbers = [message.sequence for message in page.messages]
    evidence: list[Event] = [answer.sent, answer.received.event]
    params = {
        "who": answer.sent.client,
        "room": room,
        "since": answer.asked_since,
        "limit": answer.limit,
        "count": len(numbers),
    }
    for one, other in pairwise(numbers):
        if other <= one:
            what = {**params, "first": one, "then": other}
            variant = "text" if is_sorted_as_text(numbers) else "twice" if other == one else ""
            return [Anomaly("history_disorder", what, evidence, variant)]
    if len(numbers) > answer.limit:
        return [Anomaly("history_disorder", params, evidence, "too_many")]
    if numbers and numbers[0] <= since:
        return [Anomaly("history_disorder", {**params, "first": numbers[0]}, evidence, "old")]
    if not numbers:
        if newest > since:
            return [Anomaly("history_hole", {**params, "missing": since + 1}, evidence)]
        return []
    due = exists[bisect_right(exists, since) : bisect_left(exists, numbers[-1])]
    missing = sorted(set(due).difference(numbers))
    if missing:
        return [Anomaly("history_hole", {**params, "missing": missing[0]}, evidence)]
    if page.last is not None and page.last < max(newest, numbers[-1]):
        what = {**params, "last": page.last, "newest": max(newest, numbers[-1])}
        return [Anomaly("history_hole", what, evidence, "last")]
    if page.more is False and numbers[-1] < newest:
        return [Anomaly("history_hole", {**params, "newest": newest}, evidence, "more")]
    return []


def is_sorted_as_text(numbers: list[int]) -> bool:
    """Whether numbers rise if they are compared as text."""
    return numbers == sorted(numbers, key=str) != sorted(numbers)


def _promises(answer: Answer, room: str, ever: int) -> list[Anomaly]:
    """A page that promises messages which no client ever received, though all pages were read."""
    page = answer.page
    evidence: list[Event] = [answer.sent, answer.received.event]
    params = {"room": room, "since": answer.asked_since, "count": len(page.messages), "newest": ever}
    if page.last is not None and page.last > ever:
        return [Anomaly("history_hole", {**params, "last": page.last}, evidence, "last_high")]
    end = page.messages[-1].sequence if page.messages else max(answer.since, ever)
    if page.more is True and end >= ever:
        return [Anomaly("history_hole", params, evidence, "more_high")]
    return []


def _how_changed(was: Message, now: Message, field: str) -> str:
    """Whether a time lost its milliseconds, or is another each time; nothing for other fields."""
    if field != "timestamp":
        return ""
    return "seconds" if now.timestamp == was.timestamp // 1000 * 1000 else "timestamp"


def mismatches(index: HistoryIndex, room: str, name: str = "history_mismatch") -> list[Anomaly]:
    """Messages that are different in history from how they were first received."""
    first: dict[int, Heard] = {}
    for heard in index.in_room(room):
        number, now = heard.message.sequence, heard.message
        was = first.setdefault(number, heard).message
        if was == now or (heard.live and heard.said is None):
            continue
        if heard.said and heard.said is not first[number].said:
            continue  # another message altogether, which `ordering` reports
        field = next(f for f in ("id", "user", "content", "timestamp") if getattr(was, f) != getattr(now, f))
        params = {
            "who": heard.client,
            "room": room,
            "sequence": number,
            "field": field,
            "was": excerpt(str(getattr(was, field))),
            "now": excerpt(str(getattr(now, field))),
            "first_who": first[number].client,
        }
        before, after = first[number].event, heard.event
        server = index if index.has(heard.conn) or not index.second else index.second  # that is on a copy
        starts: list[Event] = [e for e in server.server if e.what == "ready" and before.at < e.at < after.at]
        named = name if starts else "history_mismatch"
        return [Anomaly(named, params, [before, *starts[-1:], after], _how_changed(was, now, field))]
    return []
