"""What a join is answered with (J), and what a retry does (R)."""

from __future__ import annotations

from itertools import pairwise
from math import inf

from harness.checkers.catalogue import Anomaly
from harness.checkers.delivery import LONG_AGO, excerpt
from harness.checkers.pages import is_sorted_as_text
from harness.history.events import Event
from harness.history.faults import STOP_READING
from harness.history.index import Heard, HistoryIndex, Membership
from lab.protocol import NEWEST, Message


def seams(index: HistoryIndex, room: str, client: str | None = None) -> list[Anomaly]:
    """Joins (of one client, or of all) whose replay and live messages leave a hole, or overlap."""
    found: list[Anomaly] = []
    for membership in index.members(room):
        if client in (None, membership.client):
            found += _seam(index, membership)
    return found[:3]


def replayed(index: HistoryIndex, membership: Membership) -> list[tuple[Message, Event]]:
    """The messages that a join was answered with, with the frame of each."""
    return [
        (message, received.event)
        for received, page in index.pages
        if received.conn == membership.conn
        and page.room == membership.room
        and membership.asked <= received.at <= membership.start
        for message in page.messages
    ]


def _seam(index: HistoryIndex, membership: Membership) -> list[Anomaly]:
    """The first thing that is wrong with the answer to a join: what comes after it may follow from that."""
    join = _Join(index, membership)
    checks = (join.disorder, join.not_the_newest, join.seen_before, join.overlap, join.live_first, join.hole)
    return next((found for check in checks if (found := check())), [])


class _Join:
    """A join, what it was answered with, and what came live after that."""

    def __init__(self, index: HistoryIndex, membership: Membership) -> None:
        self.index = index
        self.membership = membership
        self.replay = replay = replayed(index, membership)
        self.numbers = [message.sequence for message, _ in replay]
        self.live = _fresh(index, membership)
        self.known = _known_before(index, membership)
        self.params: dict[str, object] = {
            "who": membership.client,
            "room": membership.room,
            "since": membership.since,
        }
        self.evidence: list[Event] = [membership.event, *(event for _, event in replay[:1])]

    @property
    def start(self) -> int:
        """The first number that it must receive."""
        first_live = self.live[0].message.sequence if self.live else None
        since = self.membership.since
        if since is None:
            return self.numbers[0] if self.numbers else first_live or 1
        if since > _newest_before(self.index, self.membership) and first_live is not None:
            return min(since + 1, first_live)  # nothing was missed, and live messages go on there
        return since + 1

    def disorder(self) -> list[Anomaly]:
        """The numbers of the replay do not rise."""
        if self.numbers == sorted(set(self.numbers)):
            return []
        at = next(n for n, (a, b) in enumerate(pairwise(self.numbers)) if b <= a)
        what = {**self.params, "first": self.numbers[at], "then": self.numbers[at + 1]}
        pages = [self.replay[n][1] for n in (at, at + 1)]
        page = [message.sequence for message, event in self.replay if event is pages[1]]
        evidence: list[Event] = [self.membership.event, *pages[pages[0] is pages[1] :]]
        is_text = pages[0] is pages[1] and is_sorted_as_text(page)
        is_twice = self.numbers[at] == self.numbers[at + 1]
        variant = "join_text" if is_text else "join_twice" if is_twice else "join"
        return [Anomaly("history_disorder", what, evidence, variant)]

    def not_the_newest(self) -> list[Anomaly]:
        """A join without `since` was not answered by the newest 50, or all there are."""
        if self.membership.since is not None:
            return []
        return _not_the_newest(self.numbers, self.known, self.params, self.evidence)

    def seen_before(self) -> list[Anomaly]:
        """A join with `since` was answered by what the client had seen."""
        since = self.membership.since
        old = [number for number in self.numbers if since is not None and number <= since]
        if not old:
            return []
        what = {**self.params, "sequence": old[0], "count": len(old)}
        return [Anomaly("replay_overlap", what, [self.membership.event, self._page_of(old[0])], "old")]

    def overlap(self) -> list[Anomaly]:
        """A message of the replay came live, too."""
        both = sorted(set(self.numbers) & {heard.message.sequence for heard in self.live})
        if not both:
            return []
        live = next(heard.event for heard in self.live if heard.message.sequence == both[0])
        page = self._page_of(both[0])
        is_live_first = live.at < page.at
        what = {**self.params, "sequence": both[0], "count": len(both)}
        evidence: list[Event] = [self.membership.event, *([live, page] if is_live_first else [page, live])]
        return [Anomaly("replay_overlap", what, evidence, "live_first" if is_live_first else "")]

    def _page_of(self, number: int) -> Event:
        """The frame of the replay that has a number."""
        return next(event for message, event in self.replay if message.sequence == number)

    def live_first(self) -> list[Anomaly]:
        """A live message came before the replay."""
        early = _live_before_replay(self.index, self.membership)
        if not early:
            return []
        first, then = (heard.message.sequence for heard in early)
        what = {**self.params, "first": first, "then": then, "count": 1}
        evidence: list[Event] = [self.membership.event, *(heard.event for heard in early)]
        return [Anomaly("reorder", what, evidence, "live_first")]

    def hole(self) -> list[Anomaly]:
        """Messages are missing, between the replay and what came live or later."""
        missing, received = self._missing()
        if not missing:
            return []
        in_room = self.index.in_room(self.membership.room)
        first_live = min((heard.message.sequence for heard in self.live), default=inf)
        seen_by = [h.event for h in in_room if h.message.sequence == missing[0]][:1]
        after = [heard.event for heard in self.live if heard.message.sequence > missing[0]][:1]
        what = {**self.params, "sequence": missing[0], "count": len(missing), "replayed": len(self.numbers)}
        if missing[0] < first_live:
            return [Anomaly("replay_hole", what, [*self.evidence, *seen_by, *after], self._why(missing))]
        # What was sent while it read nothing was too much for its queue in the server.
        faults = self.index.conn(self.membership.conn).faults
        stopped = [fault for fault in faults if fault.fault == STOP_READING][:1]
        unread = any(fault.at <= seen.at for fault in stopped for seen in seen_by)
        what["of"] = received + len(missing)
        return [Anomaly("lost", what, [*seen_by, *after], "hole_unread" if unread else "hole")]

    def _why(self, missing: list[int]) -> str:
        """Why there is a hole: what was stored before the join is in each case for the replay to bring."""
        known = {
            h.message.sequence
            for h in self.index.in_room(self.membership.room)
            if h.at < self.membership.asked
        }
        if missing[0] not in known:  # nobody had received it: was it accepted while the client joined?
            is_older = self.numbers and self.numbers[0] <= missing[0] < self.numbers[-1]
            return "skipped_meanwhile" if is_older else "ends_early_meanwhile" if self._has_more() else ""
        if not self.numbers:
            return "nothing"
        newest = max(known)
        if (
            self.membership.since == 0
            and missing[0] < self.numbers[0]
            and self.numbers[-1] >= newest
            and len(self.numbers) <= NEWEST < newest
        ):
            return "zero"
        return "ends_early" if missing[0] > self.numbers[-1] else "skipped"

    def _has_more(self) -> bool:
        """Whether the last page of the replay says itself that more messages follow."""
        last = self.replay[-1][1] if self.replay else None
        return any(bool(page.more) for received, page in self.index.pages if received.event is last)

    def _missing(self) -> tuple[list[int], int]:
        """The numbers that it had to receive and did not, and how many it received."""
        received = {
            *self.numbers,
            *(heard.message.sequence for heard in self.index.live_in(self.membership)),
        }
        exists = {heard.message.sequence for heard in self.index.in_room(self.membership.room)}
        live = (heard.message.sequence for heard in self.live)
        last, start = max([*self.numbers, *live, *self.known], default=0), self.start
        missing = [number for number in sorted(exists - received) if start <= number < last]
        if last in self.known and last not in received and last >= start:
            missing.append(last)
        return missing, len(received)


def _fresh(index: HistoryIndex, membership: Membership) -> list[Heard]:
    """What came live during a membership, without the answers to retries."""
    return [heard for heard in index.live_in(membership) if not heard.may_answer_retry]


def _live_before_replay(index: HistoryIndex, membership: Membership) -> tuple[Heard, Heard] | None:
    """A live message, and one of the replay that came after it: the replay comes first."""
    fresh = {id(heard) for heard in _fresh(index, membership)}
    first: Heard | None = None
    for heard in index.in_room(membership.room):
        if heard.conn != membership.conn:
            continue
        if id(heard) in fresh:
            first = first or heard
        elif first and not heard.live and heard.at <= membership.start:
            return first, heard
    return None


def _known_before(index: HistoryIndex, membership: Membership) -> set[int]:
    """Numbers that a client received before the join was sent: the replay must have them.

    What was received before a restart and is gone after it is for another checker.
    """
    start = index.start_before(membership.asked)
    return {h.message.sequence for h in index.in_room(membership.room) if start <= h.at < membership.asked}


def _newest_before(index: HistoryIndex, membership: Membership) -> int:
    """The highest number that any client ever received before the join was sent."""
    heard = index.in_room(membership.room)
    return max((h.message.sequence for h in heard if h.at < membership.asked), default=0)


def _not_the_newest(
    numbers: list[int], known: set[int], params: dict[str, object], evidence: list[Event]
) -> list[Anomaly]:
    """A join without `since` is answered by the newest 50, or all there are."""
    newest = max(known, default=0)
    if not newest:
        return []
    what = {**params, "newest": newest, "count": len(numbers)}
    if not numbers:
        return [Anomaly("replay_hole", {**what, "sequence": newest, "replayed": 0}, evidence, "none")]
    what |= {"first": numbers[0], "last": numbers[-1], "expected": min(NEWEST, numbers[-1])}
    if numbers[-1] < newest:
        return [Anomaly("wrong_replay", what, evidence, "oldest" if numbers[0] == 1 else "stale")]
    if len(numbers) != min(NEWEST, numbers[-1]):
        return [Anomaly("wrong_replay", what, evidence)]
    return []


def retries(index: HistoryIndex, room: str) -> list[Anomaly]:
    """Retries that were not answered. Those that were stored again are found by `numbered_twice`."""
    found = []
    for said in index.said_in(room):
        if len(said.sent) < 2 or said.id is None or not offers_retries(index, room):
            continue
        for sent in said.sent[1:]:
            answers = [
                heard
                for heard in index.live_on(sent.conn, room)
                if heard.said is said and heard.at >= sent.at
            ]
            if not answers and index.conn(sent.conn).ended >= sent.at + LONG_AGO:
                params = {"who": sent.client, "room": room, "id": said.id, "content": excerpt(said.content)}
                found.append(Anomaly("retry_unanswered", params, [said.sent[0], sent]))
                break
    return found[:1]


def offers_retries(index: HistoryIndex, room: str) -> bool:
    """Whether the server keeps the ids that clients give; one that makes its own offers no retry."""
    return index.keeps_ids or not any(heard.said and heard.said.id for heard in index.in_room(room))
