"""The times of day in a server's frames: when a message was sent, and when a user was last seen."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.checkers import timestamps
from harness.checkers.timestamps import TOLERANCE
from harness.verdict.any_history import anomalies_in, leniencies
from tests.harness.stories import EPOCH, Line, Person, Story, facts, names_of

HOUR = 3600
DAY = 24 * HOUR


def started() -> tuple[Story, Person, Person]:
    """A server that the harness has started, and two members of a room."""
    story = Story()
    story.server("started")
    alice, bob = story.members("red", "alice", "bob")
    return story, alice, bob


def millis(moment: float) -> int:
    """A time of a story, as a server writes it."""
    return EPOCH + round(moment * 1000)


def is_shown(person: Person, user: str, seen: float, status: str = "online") -> None:
    """Receives a presence frame in which a user was last seen at some time of the story."""
    users = [{"user": user, "status": status, "lastSeen": millis(seen)}]
    person.gets({"type": "presence", "data": {"room": "red", "users": users, "full": False}})


# --- messages -------------------------------------------------------------------------------------


def test_messages_with_the_time_at_which_they_were_sent() -> None:
    """Each timestamp lies between the time when it was sent and the time when it was first received."""
    story, alice, bob = started()
    for _ in range(3):
        line = alice.says("red")
        now = story.passes(0.2)
        story.passes(0.2)
        for each in (alice, bob):
            each.hears(line, 1, timestamp=millis(now))
        story.passes(2 * TOLERANCE)
    assert names_of(timestamps.of_messages(story.index)) == []
    assert names_of(anomalies_in(story.index)) == ["split_sequence/stands_still"], (
        "these were all given the number 1"
    )


def test_an_empty_history_has_no_times() -> None:
    """No events, no findings; and no message or presence, none either."""
    empty = Story().index
    assert timestamps.of_messages(empty) == timestamps.of_presence(empty) == []
    assert leniencies(empty) == []
    story, _, _ = started()
    assert timestamps.of_messages(story.index) == timestamps.of_presence(story.index) == []


@pytest.mark.parametrize(
    ("off", "variant", "shown"),
    [
        (20 * DAY, "", "+480 h"),
        (-20 * DAY - 600, "", "-480 h 10 min"),
        (HOUR, "zone", "+1 h"),
        (-5 * HOUR - 1800, "zone", "-5 h 30 min"),
        (14 * HOUR, "zone", "+14 h"),
        (15 * HOUR, "", "+15 h"),
        (10 * 60, "", "+10 min"),
    ],
)
def test_a_message_with_a_wrong_time(off: float, variant: str, shown: str) -> None:
    """The finding has the difference; some hours and quarters of hours look like a time zone."""
    story, alice, bob = started()
    story.passes(1000)
    line = alice.says("red")
    story.all_hear([alice, bob], (replace(line, timestamp=millis(story.at + off)), 1))
    found = timestamps.of_messages(story.index)
    assert names_of(found) == [f"wrong_time/{variant}".rstrip("/")]
    assert facts(found, "who", "field", "user", "room", "off", "count") == [
        "alice",
        "timestamp",
        "alice",
        "red",
        shown,
        1,
    ]
    assert [type(event).__name__ for event in found[0].evidence] == ["Sent", "Received"]
    assert names_of(anomalies_in(story.index)) == names_of(found)


def test_the_finding_has_both_times() -> None:
    """The one of the server and the right one, as a clock shows them."""
    story, alice, _ = started()
    line = alice.says("red")
    alice.hears(line, 1, timestamp=millis(story.at + DAY))
    assert facts(timestamps.of_messages(story.index), "shown", "right") == [
        "2026-01-02 00:00:00",
        "2026-01-01 00:00:00",
    ]


def test_the_tolerance_applies_at_both_ends() -> None:
    """Two clocks may differ by so much, and not by more, before it was sent and after it was received."""
    for late in (False, True):
        for more, names in ((-0.001, []), (0.002, ["wrong_time"])):
            story, alice, _ = started()
            story.passes(10_000)
            line = alice.says("red")
            sent = story.at
            story.passes(30)
            received = round(story.at + 0.001, 6)
            edge = received + TOLERANCE + more if late else sent - TOLERANCE - more
            alice.hears(line, 1, timestamp=millis(edge))
            assert names_of(timestamps.of_messages(story.index)) == names, (late, more)


@pytest.mark.parametrize(("off", "shown"), [(0, "-5 s"), (-DAY, "-24 h"), (HOUR, "+1 h")])
def test_a_clock_that_stands_still(off: int, shown: str) -> None:
    """Messages that were sent one after the other and have the same time: that is wrong,
    whatever time it is.
    """
    story, alice, _ = started()
    for number in range(3):
        alice.hears(alice.says("red"), number + 1, timestamp=millis(off))
        story.passes(5)
    found = timestamps.of_messages(story.index)
    assert names_of(found) == ["wrong_time/still"]
    assert facts(found, "count", "off") == [2, shown]


@pytest.mark.parametrize(("apart", "names"), [(1.99, []), (2.01, ["wrong_time/still"])])
def test_messages_close_together_may_have_one_time(apart: float, names: list[str]) -> None:
    """From the receipt of one to the sending of the next: with times in seconds,
    that may be the same time.
    """
    story, alice, _ = started()
    alice.hears(alice.says("red"), 1, timestamp=EPOCH)
    story.next_at(story.at + apart)
    alice.hears(alice.says("red"), 2, timestamp=EPOCH)
    assert names_of(timestamps.of_messages(story.index)) == names


def test_messages_that_wait_may_have_one_time() -> None:
    """Those in flight at the same time may have been accepted then, however long it took."""
    story, alice, _ = started()
    first = alice.says("red")
    story.passes(5)
    second = alice.says("red")
    story.all_hear([alice], (replace(first, timestamp=EPOCH), 1), (replace(second, timestamp=EPOCH), 2))
    assert timestamps.of_messages(story.index) == []


def test_seconds_are_forgiven_and_judged_all_the_same() -> None:
    """With or without a fraction; wrong ones are found."""
    for off, names in ((0.0, []), (2 * DAY, ["wrong_time"])):
        story, alice, _ = started()
        line = alice.says("red")
        alice.hears(line, 1, timestamp=EPOCH / 1000 + story.at + off)
        assert names_of(timestamps.of_messages(story.index)) == names
        assert [note.key for note in leniencies(story.index)] == ["lenient.seconds"]


def test_a_stored_message_is_judged_by_when_it_was_sent() -> None:
    """However much later it is read; if its history has another time, that is another finding."""
    story, alice, bob = started()
    line = alice.says("red")
    alice.hears(line, 1)
    story.passes(10 * DAY)
    bob.reads("red", [(line, 1)])
    bob.reads("red", [(replace(line, timestamp=2 * EPOCH), 1)])
    assert names_of(timestamps.of_messages(story.index)) == []
    assert names_of(anomalies_in(story.index)) == ["history_mismatch/timestamp"]


def test_a_message_that_is_stored_again_has_a_time_of_its_own() -> None:
    """If the server knows no retries, what is sent again is another message, with another time."""
    story, alice, _ = started()
    line = alice.says("red")
    alice.hears(line, 1)
    story.passes(DAY)
    alice.repeats(line)
    alice.hears(line, 2, timestamp=millis(story.at))
    assert names_of(timestamps.of_messages(story.index)) == []


def test_what_was_stored_before_the_run_is_not_judged() -> None:
    """No client of this run sent it, so its time is not known."""
    story, alice, _ = started()
    alice.reads("red", [(Line("", "red", "eve", "long ago", None, "x", 10**12), 1)])
    assert timestamps.of_messages(story.index) == []


def test_notices_are_not_judged() -> None:
    """Neither their number nor their time."""
    story, alice, _ = started()
    story.passes(DAY)
    alice.gets_notice("red", "bob has joined")
    assert timestamps.of_messages(story.index) == []


# --- presence -------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["online", "away", "offline"])
def test_last_seen_since_the_user_came(status: str) -> None:
    """Any time from the user's first connection to the receipt of the frame may have been the last."""
    story, alice, bob = started()
    for seen in (story.at, story.passes(10_000), story.at - 5_000):
        is_shown(alice, bob.user, seen, status)
    assert timestamps.of_presence(story.index) == []


@pytest.mark.parametrize("status", ["online", "away", "offline"])
@pytest.mark.parametrize(("off", "variant"), [(20 * DAY, ""), (-20 * DAY, ""), (2 * HOUR, "zone")])
def test_last_seen_at_another_time(status: str, off: float, variant: str) -> None:
    """In the future, or before the user was there."""
    story, alice, bob = started()
    is_shown(alice, bob.user, story.at, status)
    is_shown(alice, bob.user, story.at + off, status)
    found = timestamps.of_presence(story.index)
    assert names_of(found) == [f"wrong_time/{variant}".rstrip("/")]
    assert facts(found, "who", "field", "user", "room", "count") == ["alice", "lastSeen", "bob", "red", 1]
    assert names_of(anomalies_in(story.index)) == names_of(found)


def test_the_tolerance_of_last_seen_applies_at_both_ends() -> None:
    """Like that of messages."""
    for late in (False, True):
        for more, names in ((-0.001, []), (0.002, ["wrong_time"])):
            story, alice, bob = started()
            came = story.index.conn(bob.conn).opened
            story.passes(5)
            received = round(story.at + 0.001, 6)
            edge = received + TOLERANCE + more if late else came - TOLERANCE - more
            is_shown(alice, bob.user, edge)
            assert names_of(timestamps.of_presence(story.index)) == names, (late, more)


def test_a_user_who_comes_back_may_have_been_seen_before() -> None:
    """The first of its connections counts."""
    story, alice, bob = started()
    seen = story.at
    bob.closes()
    story.passes(DAY)
    bob.connects()
    is_shown(alice, bob.user, seen, "offline")
    assert timestamps.of_presence(story.index) == []


def test_unknown_users_are_not_judged() -> None:
    """A user that is none of ours may have been there for any time."""
    story, alice, _ = started()
    is_shown(alice, "somebody", -300 * DAY)
    nobody = Person(story, "nobody", "nobody")
    nobody.gives_up("connected")
    nobody.gets({"type": "heartbeat"})
    nobody.faults("close")
    is_shown(alice, "", -300 * DAY)
    assert timestamps.of_presence(story.index) == []


# --- other clocks ---------------------------------------------------------------------------------


def test_a_server_elsewhere_has_its_own_clock() -> None:
    """One that the harness did not start is not judged; that its clock differs is a note."""
    story = Story()
    alice, bob = story.members("red", "alice", "bob")
    alice.hears(alice.says("red"), 1)
    is_shown(alice, bob.user, story.at)
    assert leniencies(story.index) == []
    alice.hears(alice.says("red"), 2, timestamp=millis(HOUR))
    is_shown(alice, bob.user, story.at - DAY)
    assert timestamps.of_messages(story.index) == timestamps.of_presence(story.index) == []
    (note,) = leniencies(story.index)
    assert (note.key, note.params) == ("lenient.clock", {"off": "+1 h"})
    seen_only = Story()
    alice, bob = seen_only.members("red", "alice", "bob")
    is_shown(alice, bob.user, seen_only.at - DAY)
    (note,) = leniencies(seen_only.index)
    assert note.params == {"off": "-24 h"}


def test_a_clock_that_was_set_excuses_as_much() -> None:
    """If the time of day jumped during the run, a right server may be off by as much more."""
    for jump in (HOUR, -HOUR):
        story, alice, bob = started()
        line = alice.says("red")
        alice.hears(line, 1, timestamp=millis(story.at + jump))
        is_shown(alice, bob.user, story.at + jump)
        log = story.index
        assert (
            names_of([*timestamps.of_messages(log), *timestamps.of_presence(log)]) == ["wrong_time/zone"] * 2
        )
        story.notes("clock_moved", jump)
        story.notes("clock_moved", 0.0)
        log = story.index
        assert timestamps.of_messages(log) == timestamps.of_presence(log) == []
