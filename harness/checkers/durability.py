"""What survives the end of the server (rule D), and what must not come again."""

from __future__ import annotations

from math import inf

from harness.checkers.catalogue import Anomaly
from harness.checkers.delivery import excerpt
from harness.checkers.pages import Answer, answers
from harness.history.events import Event, Server
from harness.history.index import Heard, HistoryIndex

_NEXT = 3
"""New messages that may stand in one line with a torn end: writers put several into one write."""


def ends(index: HistoryIndex) -> list[float]:
    """When the server was stopped or killed."""
    return [
        event.at for event in index.server if event.what in ("asked_to_stop", "killed") and not event.copy
    ]


def kills(index: HistoryIndex, *, in_bursts: bool = False) -> list[float]:
    """When the server was killed; or only where that was in the middle of a burst, and nothing special."""
    found = [event for event in index.server if event.what == "killed" and not event.copy]
    return [event.at for event in found if not (in_bursts and event.detail)]


def torn_off(index: HistoryIndex) -> int:
    """How many bytes were torn off the ends of what the server was writing when it was killed."""
    return sum(event.detail["bytes"] for event in index.server if event.what == "torn")


def lost(index: HistoryIndex, room: str, *, copy: bool) -> list[Anomaly]:
    """Messages that somebody had heard before the server ended, and that are in no page read after it.

    With `copy`, the pages of the second server count, else those of the restarted one. Where nobody asked
    for a number after the end, nothing is known of it.
    """
    stops = ends(index)
    told = [answer for answer in answers(index, room) if index.conn(answer.sent.conn).copy is copy]
    told = [answer for answer in told if stops and answer.asked.at > (stops[0] if copy else stops[-1])]
    if not told:
        return []
    cut = max(stop for stop in stops if stop < told[0].asked.at)
    seen: dict[int, Heard] = {}
    there: dict[int, Heard] = {}
    for heard in index.in_room(room):
        conn = index.conn(heard.conn)
        if conn.opened < cut and not conn.copy:  # what was on the way at the end was received too
            seen.setdefault(heard.message.sequence, heard)
        elif cut < conn.opened < inf and conn.copy is copy and not heard.live:
            there.setdefault(heard.message.sequence, heard)
    asked_for = (number for number in sorted(seen) if any(_reaches(answer, number) for answer in told))
    missing = [number for number in asked_for if not _same(seen[number], there.get(number))]
    if not missing:
        return []
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
    without = next(answer.asked.event for answer in told if _reaches(answer, missing[0]))
    evidence: list[Event] = [example.event, ended, without]
    torn = _torn_before(index, example)
    if copy or torn is None:
        return [Anomaly("lost_after_crash", params, evidence, "copy" if copy else "")]
    return [Anomaly("lost_after_crash", params, [torn, *evidence], "torn")]


def _torn_before(index: HistoryIndex, heard: Heard) -> Server | None:
    """The torn end that a message was most likely written behind: it was among the next to be stored."""
    for torn in (event for event in index.server if event.what == "torn"):
        new = sorted((at, tag) for tag, at in index.first_heard.items() if at > torn.at)
        if heard.said is not None and heard.said.tag in [tag for _, tag in new[:_NEXT]]:
            return torn
    return None


def _reaches(answer: Answer, number: int) -> bool:
    """Whether a page would have to hold a number, if it existed."""
    last = max((message.sequence for message in answer.page.messages), default=inf)
    return answer.since < number and (number <= last or answer.page.more is False)


def _same(one: Heard, other: Heard | None) -> bool:
    """Whether a number still stands for the same message, as far as we know it."""
    return other is not None and (one.said is other.said or None in (one.said, other.said))


def replayed_as_new(index: HistoryIndex, room: str) -> list[Anomaly]:
    """Stored messages that a restarted server sent again as if they had just been said."""
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
            return [Anomaly("replayed_as_new", params, [old[0].event])]
    return []


def unacknowledged(index: HistoryIndex) -> list[int]:
    """For each kill in a burst: how many messages had been sent then that nobody had heard of."""
    first_heard: dict[str, float] = {}
    for heard in index.heard:
        if heard.said and heard.live:
            first_heard.setdefault(heard.said.tag, heard.at)
    return [
        sum(said.at < kill <= first_heard.get(said.tag, kill) for said in index.said.values())
        for kill in kills(index, in_bursts=True)
    ]
