"""The index of a history: who was where and when, who sent what, and who received it."""

from __future__ import annotations

from math import inf
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.checkers import (
    delivery,
    durability,
    errors,
    lifecycle,
    notices,
    ordering,
    pages,
    presence,
    replay,
    slow,
)
from harness.history import events as history
from harness.history.events import Fault, Received, Sent, Server
from harness.history.index import ENDS, HistoryIndex
from tests.harness.stories import PROPERTY, Story


def test_an_empty_history_has_nothing_in_it() -> None:
    """An index of no events has an empty answer to every question."""
    index = HistoryIndex([])
    assert index.began.exercise == 0
    assert (index.in_room("red"), index.live_on(1, "red"), index.members("red"), index.said_in("red")) == (
        [],
        [],
        [],
        [],
    )
    assert (index.start_before(5.0), index.finished("1.1"), index.longest_stall()) == (0.0, False, 0.0)
    assert not index.server_ended_at(1.0)
    assert index.conn(3).ended == inf


def test_a_membership_begins_when_it_is_confirmed_and_ends_when_leave_is_sent() -> None:
    """It is known when a membership was asked for, began, ended, and had certainly ended."""
    story = Story()
    (alice,) = story.members("red", "alice")
    began = story.at
    alice.leaves("red")
    (stay,) = story.index.members("red")
    assert (stay.client, stay.user, stay.since) == ("alice", "alice", None)
    assert stay.asked < stay.start == began < stay.stop < stay.left == story.at
    assert stay.end == "leave"


def test_a_join_that_was_not_confirmed_is_no_membership() -> None:
    """A client that was cut off before its join was answered may have been a member or not."""
    story = Story()
    (alice,) = story.clients("alice")
    alice.joins("red", confirmed=False)
    assert story.index.members("red") == []
    assert len(story.index.memberships) == 1


def test_a_second_join_changes_nothing() -> None:
    """A second join for a room neither begins a membership nor moves the existing one."""
    story = Story()
    (alice,) = story.members("red", "alice")
    first = story.index.members("red")
    alice.joins("red", since=7)
    assert story.index.members("red") == first


def test_a_second_stay_is_a_second_membership() -> None:
    """Each has only what was received during it."""
    story = Story()
    (alice,) = story.members("red", "alice")
    one, two = alice.says("red"), story.line(alice, "red")
    alice.hears(one, 1)
    alice.leaves("red")
    alice.joins("red", since=1)
    alice.hears(two, 2)
    index = story.index
    first, second = index.members("red")
    assert [heard.message.sequence for heard in index.live_in(first)] == [1]
    assert [heard.message.sequence for heard in index.live_in(second)] == [2]
    assert (first.left < second.asked, second.left) == (True, inf)
    assert second.since == 1


@pytest.mark.parametrize(
    ("how", "end"),
    [
        ("closes", "close"),
        ("is_cut", "fault"),
        ("drops", "close"),
        ("go_silent", "fault"),
        ("stop_reading", ""),
    ],
)
def test_what_ends_a_membership(how: str, end: str) -> None:
    """The end of a connection ends its memberships; a client that only stops reading stays a member."""
    story = Story()
    (alice,) = story.members("red", "alice")
    match how:
        case "closes":
            alice.closes()
        case "is_cut":
            alice.is_cut()
        case "drops":
            alice.is_dropped(1011)
        case fault:
            alice.faults(fault)
    (stay,) = story.index.members("red")
    assert stay.end == end
    assert (stay.stop < inf) is bool(end)
    assert story.index.conn(alice.conn).ended < inf


@pytest.mark.parametrize(
    ("what", "end"),
    [
        ("killed", "fault"),
        ("died", "fault"),
        ("hung", "fault"),
        ("flooding", "fault"),
        ("asked_to_stop", "stop"),
    ],
)
def test_the_end_of_the_server_ends_everything(what: str, end: str) -> None:
    """All memberships and connections end with the server, but not those of its copy."""
    story = Story()
    (alice,) = story.members("red", "alice")
    inspector = story.client("inspector", second=True)
    story.server(what)
    (stay,) = story.index.members("red")
    assert (stay.stop, stay.end) == (story.at, end)
    assert story.index.conn(alice.conn).ended == story.at
    assert story.index.conn(inspector.conn).ended == inf
    assert story.index.server_ended_at(story.at)


def test_the_end_of_the_copy_ends_nothing() -> None:
    """What happens to the second server does not matter to the members of the first."""
    story = Story()
    story.members("red", "alice")
    story.server("killed", second=True)
    assert story.index.members("red")[0].stop == inf
    assert not story.index.server_ended_at(story.at)


def test_a_server_that_is_ready_again_has_not_ended() -> None:
    """Connections that break after a restart have another cause;
    those that broke just before it broke by the end.
    """
    story = Story()
    story.passes(10)
    ended = story.server("killed").at
    again = story.server("ready").at
    index = story.index
    moments = (ended - 1, ended - 0.1, ended, again, again + 0.1)
    assert [index.server_ended_at(at) for at in moments] == [False, True, True, True, False]
    assert index.start_before(again + 1) == again


@pytest.mark.parametrize(("what", "excused"), [("died", True), ("hung", False)])
def test_connections_may_end_before_the_process(what: str, excused: bool) -> None:
    """What broke after the server's last frame broke by its end; what broke before did not."""
    story = Story()
    alice, bob = story.members("red", "alice", "bob")
    bob.is_dropped(1006)
    before = story.at
    alice.hears(alice.says("red"), 1)
    story.client("inspector", second=True)
    alice.is_dropped(1006)
    dropped = story.at
    story.passes(1)
    story.server(what, code=1)
    assert not story.index.server_ended_at(before)
    assert story.index.server_ended_at(dropped) is excused


def test_a_repeated_message_is_one_message_sent_twice() -> None:
    """Sent frames with the same tag belong together; the first says when and by whom."""
    story = Story()
    (alice,) = story.members("red", "alice")
    line = alice.says("red", id="m1")
    at = story.at
    alice.is_cut()
    alice.connects()
    alice.repeats(line)
    (said,) = story.index.said_in("red")
    assert (said.at, said.client, said.user, said.id, len(said.sent)) == (at, "alice", "alice", "m1", 2)


def test_what_may_be_the_answer_to_a_retry() -> None:
    """A message received on a connection that has sent it again, after that."""
    story = Story()
    alice, bob = story.members("red", "alice", "bob")
    line = alice.says("red", id="m1")
    story.all_hear([alice, bob], (line, 1))
    alice.repeats(line)
    story.all_hear([alice, bob], (line, 1))
    index = story.index
    assert [heard.may_answer_retry for heard in index.live_on(alice.conn, "red")] == [False, True]
    assert [heard.may_answer_retry for heard in index.live_on(bob.conn, "red")] == [False, False]
    assert index.first_heard == {line.tag: index.heard[0].at}


def test_live_messages_pages_and_notices_are_kept_apart() -> None:
    """Messages of `system` are not messages of the room, even in a page."""
    story = Story()
    alice, bob = story.members("red", "alice", "bob")
    line = alice.says("red")
    bob.hears(line, 1)
    bob.reads("red", [(line, 1), (story.line(story.client("x", "system"), "red"), 0)])
    alice.gets_notice("red", "bob is here")
    index = story.index
    assert [heard.live for heard in index.in_room("red")] == [True, False]
    assert [notice.message.content for notice in index.notices] == ["bob is here"]
    assert len(index.pages) == 1


def test_bad_frames_are_recognised() -> None:
    """The content of a bad frame is kept by its tag or as it is, and does not count as sent."""
    story = Story()
    (mallory,) = story.clients("mallory")
    mallory.misbehaves("not_joined", {"type": "message", "data": {"room": "red", "content": "a1b2c3-9. x"}})
    mallory.misbehaves("content_empty", {"type": "message", "data": {"room": "red", "content": ""}})
    mallory.misbehaves("half_character", None, '{"content": "a1b2c3-8. half"}')
    mallory.misbehaves("content_number", {"type": "message", "data": {"content": 5}})
    mallory.misbehaves("no_data", {"type": "message", "data": 5})
    index = story.index
    assert {key: sent.bad for key, sent in index.bad.items()} == {
        "a1b2c3-9": "not_joined",
        "": "content_empty",
        "a1b2c3-8": "half_character",
    }
    assert (index.said, index.memberships) == ({}, [])


def test_steps_notes_and_stalls_are_kept() -> None:
    """A step lasts from its first beginning to its last end; in between it is not finished."""
    story = Story()
    with story.step("1.1"):
        story.passes(1)
    story.begins("1.1")
    assert not story.index.finished("1.1")
    with story.step("1.1"):
        story.notes("figure", 3)
        story.stalls(0.5)
    story.begins("1.2")
    index = story.index
    assert index.steps["1.1"] == (0.001, story.at - 0.001)
    assert (index.finished("1.1"), index.finished("1.2"), index.finished("1.3")) == (True, False, False)
    assert (index.notes["figure"], index.longest_stall()) == ([3], 0.5)


ODD_FRAMES: list[Any] = [
    None,
    7,
    [],
    {},
    {"type": None},
    {"type": []},
    {"type": "message"},
    {"type": "message", "data": {"content": "a1b2c3-1. x"}},
    {"type": "message", "data": {"room": ["red"], "content": "a1b2c3-1. x"}},
    {"type": "message", "data": {"room": "red", "content": "no tag"}},
    {"type": "message", "data": {"room": "red", "content": "a1b2c3-2. x", "id": {}}},
    {"type": "join"},
    {"type": "join", "room": 7},
    {"type": "join", "room": "red", "since": "x"},
    {"type": "leave"},
    {"type": "leave", "room": None},
    {"type": "presence", "room": ["red"]},
    {"type": "history", "room": "red", "since": "0", "limit": "all"},
]


@pytest.mark.parametrize("frame", ODD_FRAMES)
def test_odd_frames_that_were_sent_are_left_out(frame: Any) -> None:
    """A good frame of the harness never looks like this; none of them raises."""
    story = Story()
    (alice,) = story.members("red", "alice")
    alice.sends(frame)
    alice.sends(frame, bad="odd")
    index = story.index
    assert len(index.members("red")) == 1
    assert index.members("red")[0].stop == inf
    assert all(said.room == "red" for said in index.said.values())
    everything(index)


def everything(index: HistoryIndex) -> int:
    """Run all checkers on a history; returns how much they found."""
    found: list[Any] = []
    for room in ("red", "blue"):
        for check in (
            delivery.lost,
            delivery.duplicates,
            delivery.numbered_twice,
            delivery.altered,
            delivery.refused,
            ordering.numbering,
            ordering.order,
            replay.seams,
            replay.retries,
            pages.wrong,
            pages.mismatches,
            durability.replayed_as_new,
            notices.unjustified,
            notices.repeated,
            slow.stalled,
            slow.unbounded,
        ):
            found += check(index, room)
        found += durability.lost(index, room)
        found += durability.lost_in_copy(index, room)
        for what in ("joined", "left"):
            found += notices.missing(index, room, what)
        for conn in (1, 2, 99):
            found += presence.announced(index, conn, room, "alice", 0.0, here=True, why="join")
            found += presence.listed(index, conn, room, {"alice"}, 0.0, inf, {"bob"})
            found += presence.always_here(index, "alice", room, [conn], 0.0, inf, "quiet")
            silence = presence.Silence("alice", room, 0.01, 9.0, 0.5, 1.5, at_once=False)
            found += presence.offline(index, silence, conn, 99, 0.1)
            presence.delay(index, silence, conn)
            presence.slowest_answer(index, conn, room, 0.0, inf)
        ordering.newest(index, room)
        notices.heard(index, room)
        slow.unread_bytes(index, room)
        replay.offers_retries(index, room)
    found += presence.heartbeats(index, list(index.conns.values()), 0.0, 1.0, 0.5, 0.1)
    found += delivery.leaks(index) + presence.leaks(index)
    found += errors.unanswered(index, 0.0, inf) + errors.obeyed(index) + errors.stray(index)
    found += lifecycle.server(index, 0.0, inf) + lifecycle.connections(index, 0.0, inf)
    durability.unacknowledged(index)
    lifecycle.stopped_by(index)
    return len(found)


def test_checkers_find_only_missing_things_in_an_empty_history() -> None:
    """Nothing is found, except by the checkers that are told what had to come."""
    expected = len(("red", "blue")) * len((1, 2, 99)) * len(("announced",))
    assert everything(HistoryIndex([])) == expected


moments = st.integers(0, 40).map(lambda tick: tick / 4)
conns = st.integers(1, 3)
people = st.sampled_from(["alice", "bob"])
rooms = st.sampled_from(["red", "blue"])
numbers = st.sampled_from([-1, 0, 1, 2, 3, 7, 10**15, 2.0, "2", None, True])
contents = st.sampled_from(["a1b2c3-1. x", "a1b2c3-2. y", "a1b2c3-2. altered", "", "unknown"])
messages = st.fixed_dictionaries(
    {
        "id": st.sampled_from(["m1", "m2", 7]),
        "room": rooms,
        "user": st.sampled_from(["alice", "bob", "system"]),
        "content": contents,
        "sequence": numbers,
        "timestamp": st.sampled_from([1_767_225_600_000, 1_767_225_600.5, 3, None]),
    }
)
users = st.lists(
    st.fixed_dictionaries(
        {
            "user": people,
            "status": st.sampled_from(["online", "away", "offline", "here"]),
            "lastSeen": st.sampled_from([1_767_225_600_000, None]),
        }
    ),
    max_size=2,
)
from_server = st.one_of(
    st.builds(lambda data: {"type": "message", "data": data}, messages),
    st.builds(
        lambda room, inside, last, more: {
            "type": "history",
            "data": {"room": room, "messages": inside, "last": last, "more": more},
        },
        rooms,
        st.lists(messages, max_size=3),
        st.sampled_from([None, 0, 3, "x"]),
        st.sampled_from([None, True, False, 1]),
    ),
    st.builds(
        lambda room, inside, full: {
            "type": "presence",
            "data": {"room": room, "users": inside, "full": full},
        },
        rooms,
        users,
        st.sampled_from([None, True, False, "x"]),
    ),
    st.builds(
        lambda id: {"type": "error", "data": {"message": "no", "id": id}}, st.sampled_from([None, "m1", 5])
    ),
    st.just({"type": "heartbeat"}),
    st.sampled_from(ODD_FRAMES),
)
from_client = st.one_of(
    st.builds(
        lambda room, content, id: {"type": "message", "data": {"room": room, "content": content, "id": id}},
        rooms,
        contents,
        st.sampled_from([None, "m1"]),
    ),
    st.builds(
        lambda kind, room, since: {"type": kind, "room": room, "since": since},
        st.sampled_from(["join", "leave", "presence", "history"]),
        rooms,
        st.sampled_from([None, 0, 2, 99, "x"]),
    ),
    st.sampled_from(ODD_FRAMES),
)
events = st.one_of(
    st.builds(
        history.Opened, moments, people, conns, people, people, st.just(0.5), st.just(1.5), st.booleans()
    ),
    st.builds(
        Sent, moments, people, conns, from_client, st.none(), st.sampled_from([None, None, None, "no_type"])
    ),
    st.builds(Received, moments, people, conns, from_server, st.sampled_from([100, 2**21])),
    st.builds(
        history.Closed,
        moments,
        people,
        conns,
        st.sampled_from(["client", "server"]),
        st.just(1006),
        st.just(""),
    ),
    st.builds(history.Joined, moments, people, conns, rooms),
    st.builds(history.Left, moments, people, conns, rooms),
    st.builds(history.GaveUp, moments, people, conns, st.sampled_from(["", "history", "reading"]), moments),
    st.builds(
        Fault,
        moments,
        st.sampled_from(["reset", "go_silent", "stop_reading", "read_again", "close", "bad_name", "wake"]),
        people,
        conns,
    ),
    st.builds(
        Server,
        moments,
        st.sampled_from(["ready", "stopped", "not_ready", *ENDS]),
        st.just({}),
        st.booleans(),
    ),
    st.builds(history.Step, moments, st.just("1.1"), st.booleans()),
    st.builds(history.Stalled, moments, moments),
)


@PROPERTY
@given(st.lists(events, max_size=40), st.booleans())
def test_no_checker_raises_on_an_odd_history(odd: list[Any], in_order: bool) -> None:
    """Events in any order, connections that were never opened, frames with flaws: never an exception."""
    everything(HistoryIndex(sorted(odd, key=lambda event: float(event.at)) if in_order else odd))
