"""Proofs that the checkers would find nothing on a connection, which are far cheaper than running them.

Nearly always a connection received exactly what it should: the replay after its join and the live messages
after that are together one range of the room's order, which begins and ends where it may. If so, no checker
of slices can find anything there. If not, that proves nothing, and the checkers run. So a proof may be too
strict, but must never be too lax. `tests/load/test_proof.py` compares the two.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Collection
from itertools import accumulate
from math import inf

from harness.checkers.delivery import LONG_AGO, undisturbed
from harness.history.index import HistoryIndex, Membership
from harness.load.merge import Merged
from harness.load.record import HeardPage
from harness.load.room import Column, Room
from lab.protocol import NEWEST

_NOTHING = Column(array("d"), array("I"), 0)


def unproven(merged: Merged, index: HistoryIndex, name: str) -> Collection[int]:
    """The connections of a room for which the checkers must run. `index` is that of `merged.whole()`."""
    room, conns = merged.rooms[name], merged.conns(name)
    if not _is_sound(merged, index, room):
        return conns
    memberships: dict[int, list[Membership]] = defaultdict(list)
    for membership in index.memberships_of(name):
        memberships[membership.conn].append(membership)
    proof = _Proof(merged, index, room)
    return [conn for conn in conns if not proof.holds(conn, memberships[conn])]


def _is_sound(merged: Merged, index: HistoryIndex, room: Room) -> bool:
    """Whether each message of a room has one number and was said there, and each said one was received."""
    tags = {merged.tags[message] for message in room.order}
    if not room.numbered or len(tags) < len(room.order):
        return False
    if any(tag not in index.said or index.said[tag].room != room.name for tag in tags):
        return False
    unheard = (said for said in index.said_in(room.name) if said.tag not in tags)
    return all(index.conn(said.conn).ended < said.at + LONG_AGO for said in unheard)


class _Proof:
    """A room in which no message is wrong by itself, and its order.

    A range of that order is given by `begin` and `end`, where `end` is excluded as in slices of lists; so its
    messages have the numbers `begin` + 1 to `end`.
    """

    def __init__(self, merged: Merged, index: HistoryIndex, room: Room) -> None:
        self._room = room
        self._index = index
        said = array("d", (index.said[merged.tags[message]].at for message in room.order))
        self._said = said
        self._last_said = list(accumulate(said, max, initial=-inf))
        """For each place, when the last of all messages before it was said."""
        self._next_heard = list(accumulate(reversed(room.first), min, initial=inf))[::-1]
        """For each place, when any client first received one of the messages from it on."""
        heard = sorted(zip(room.first, range(1, len(said) + 1), strict=True))
        self._heard = [at for at, _ in heard]
        self._newest = list(accumulate((number for _, number in heard), max, initial=0))

    def holds(self, conn: int, memberships: list[Membership]) -> bool:
        """Whether no checker can find anything in what a connection received of the room."""
        live = self._room.live.get(conn, _NOTHING)
        notices = self._room.notices.get(conn, _NOTHING)
        if len(memberships) != 1:
            return False  # only the checkers can handle several on one connection
        member = memberships[0]
        if not member.confirmed:
            return not live.at and not notices.at
        pages = [page for page in self._room.pages.get(conn, ()) if member.asked <= page.at <= member.start]
        replay = array("I", b"".join(page.messages for page in pages))
        replay_begin = self._room.find(replay)
        if live.start is None or replay_begin is None:
            return False
        return (
            self._comes_in_time(member, live, notices, pages)
            and self._joins_on(member, replay, replay_begin, live)
            and self._is_complete(member, *self._whole_range(member, replay, replay_begin, live))
        )

    def _comes_in_time(
        self, member: Membership, live: Column, notices: Column, pages: list[HeardPage]
    ) -> bool:
        """Whether nothing came before the join or after leaving, and no live message before the replay."""
        earliest = max([member.asked, *(page.at for page in pages)])
        if (live.at and not earliest < live.at[0]) or (notices.at and notices.at[0] < member.asked):
            return False
        if member.end != "leave":
            return True
        begin = live.start or 0
        spoken = max(self._said[begin : begin + len(live.at)], default=-inf)
        return spoken <= member.left and (not notices.at or notices.at[-1] <= member.left)

    def _joins_on(self, member: Membership, replay: array[int], replay_begin: int, live: Column) -> bool:
        """Whether the join was answered with what it asked for, and live messages continue from there."""
        replay_end = replay_begin + len(replay)
        if replay and live.at and live.start != replay_end:
            return False
        begin, end = self._whole_range(member, replay, replay_begin, live)
        newest = self._newest[bisect_left(self._heard, member.asked)]
        if member.since is None:
            is_newest = replay_end >= newest and len(replay) == min(NEWEST, replay_end)
            return end >= newest and (not newest or (len(replay) > 0 and is_newest))
        if not replay and not live.at:
            return newest <= member.since
        # If `since` is above the newest number, as after its own message, only live messages follow.
        goes_on = member.since > newest and bool(live.at) and live.start == begin
        return end >= newest and (begin == member.since or (goes_on and begin <= member.since))

    def _is_complete(self, member: Membership, begin: int, end: int) -> bool:
        """Whether a member need not have received anything before or after the range that it received."""
        if not undisturbed(self._index, member):
            return True  # frames in flight to it may be lost; the replay of its next join is checked
        if self._last_said[begin] >= member.start:
            return False
        return end == len(self._room.order) or self._next_heard[end] + LONG_AGO > member.stop

    def _whole_range(
        self, member: Membership, replay: array[int], replay_begin: int, live: Column
    ) -> tuple[int, int]:
        """The range that replay and live messages form together; empty if there were none."""
        if not replay and not live.at:
            nowhere = min(member.since or 0, len(self._room.order))
            return nowhere, nowhere
        live_begin = live.start or 0
        begin = replay_begin if replay else live_begin
        return begin, live_begin + len(live.at) if live.at else replay_begin + len(replay)
