"""Right deliveries: all members receive everything, once and unchanged, and nobody else anything."""

from __future__ import annotations

import pytest

from harness.checkers.delivery import LONG_AGO
from tests.harness.checkers.deliveries import every
from tests.harness.stories import Story


def test_a_right_history_has_nothing_wrong() -> None:
    """All received everything once, in each of two rooms: no findings."""
    story = Story()
    alice, bob, carol = story.members("red", "alice", "bob", "carol")
    carol.joins("blue")
    story.talk([alice, bob, carol], "red", 9)
    story.talk([carol], "blue", 3)
    assert every(story) == every(story, "blue") == []


def test_an_empty_history_has_nothing_wrong() -> None:
    """No events, no findings."""
    assert every(Story()) == []


def test_a_retry_may_come_once_more_and_out_of_order() -> None:
    """The answer to a retry reaches only its sender, a second time, after newer messages."""
    story = Story()
    alice, bob = story.members("red", "alice", "bob")
    line = alice.says("red", id="m1")
    story.all_hear([alice, bob], (line, 1))
    story.talk([bob, alice], "red", 3, first=2)
    alice.repeats(line)
    alice.hears(line, 1)
    assert every(story) == []


def test_a_retry_of_what_was_never_accepted_is_a_new_message() -> None:
    """Cut off before the server read it, sent again with its id: all receive it once, later."""
    story = Story()
    alice, bob = story.members("red", "alice", "bob")
    line = alice.says("red", id="m1")
    alice.is_cut()
    alice.connects()
    alice.joins("red", since=0)
    alice.repeats(line)
    story.all_hear([alice, bob], (line, 1))
    assert every(story) == []


def test_a_retry_after_the_replay_had_the_message() -> None:
    """Accepted just before the cut, replayed after it, and sent once more in answer to the retry."""
    story = Story()
    alice, bob = story.members("red", "alice", "bob")
    line = alice.says("red", id="m1")
    alice.is_cut()
    bob.hears(line, 1)
    alice.connects()
    alice.joins("red", since=0, replay=[(line, 1)])
    alice.repeats(line)
    alice.hears(line, 1)
    assert every(story) == []


@pytest.mark.parametrize("accepted", [True, False])
def test_a_message_whose_sender_was_cut_may_have_been_accepted_or_not(accepted: bool) -> None:
    """After a cut right after sending, it is received by all or by nobody."""
    story = Story()
    alice, bob, carol = story.members("red", "alice", "bob", "carol")
    line = alice.says("red")
    alice.is_cut()
    story.passes(5)
    if accepted:
        story.all_hear([bob, carol], (line, 1))
    assert every(story) == []


def test_a_client_cut_off_during_a_burst_is_owed_nothing_more() -> None:
    """What was in flight to a member that is reset, goes silent or does not read may not arrive."""
    for fault in ("reset", "go_silent", "stop_reading"):
        story = Story()
        alice, bob = story.members("red", "alice", "bob")
        story.talk([alice, bob], "red", 2)
        lines = [alice.says("red") for _ in range(5)]
        bob.faults(fault)
        story.all_hear([alice], *zip(lines, range(3, 8), strict=True))
        assert every(story) == []


def test_a_leaving_client_may_miss_what_was_sent_just_before() -> None:
    """The server may handle the `leave` before another's message that was sent a moment earlier."""
    for ending in ("leaves", "closes"):
        story = Story()
        alice, bob = story.members("red", "alice", "bob")
        line = alice.says("red")
        bob.leaves("red") if ending == "leaves" else bob.closes()
        alice.hears(line, 1)
        assert every(story) == []


def test_a_retry_accepted_after_a_leave_is_not_owed() -> None:
    """A message that was accepted only at the second try was not sent while the first member was there."""
    story = Story()
    alice, bob, carol = story.members("red", "alice", "bob", "carol")
    line = alice.says("red", id="m1")
    alice.is_cut()
    story.passes(3)
    carol.leaves("red")
    alice.connects()
    alice.joins("red", since=0)
    alice.repeats(line)
    story.all_hear([alice, bob], (line, 1))
    assert every(story) == []


def test_a_client_killed_with_its_server_is_no_witness() -> None:
    """What its machine had received and it had not read counts as lost, however old it is."""
    story = Story()
    alice, bob = story.members("red", "alice", "bob")
    alice.hears(alice.says("red"), 1)
    story.passes(2 * LONG_AGO)
    story.ends("killed", alice, bob)
    assert every(story) == []


def test_repeating_without_an_id_is_a_new_message() -> None:
    """The server cannot know that it is the same message, so it may come as often as it was sent."""
    story = Story()
    alice, bob = story.members("red", "alice", "bob")
    line = alice.says("red")
    alice.repeats(line)
    story.all_hear([alice, bob, bob], (line, 1))
    assert every(story) == []


def test_messages_at_the_time_of_a_join_or_leave_may_come() -> None:
    """From the request to join on; and what was sent when the client left may come, too."""
    story = Story()
    alice, bob = story.members("red", "alice", "bob")
    (carol,) = story.clients("carol")
    with story.moment():
        carol.asks_to_join("red")
        carol.gets_notice("red", "carol is here")
    carol.is_member("red")
    bob.asks_to_leave("red")
    with story.moment():
        line = alice.says("red")
        bob.has_left("red")
    story.all_hear([alice, bob, carol], (line, 1))
    assert every(story) == []


def test_what_was_sent_before_a_join_is_not_owed() -> None:
    """Nor what was sent between the join and the moment when it was certainly done."""
    story = Story()
    (alice,) = story.members("red", "alice")
    (bob,) = story.clients("bob")
    first = alice.says("red")
    bob.asks_to_join("red")
    second = alice.says("red")
    bob.is_member("red")
    story.all_hear([alice], (first, 1), (second, 2))
    assert every(story) == []


def test_a_kill_excuses_what_was_in_flight() -> None:
    """After a SIGKILL in a burst nothing of it is owed, whether it was stored or not."""
    story = Story()
    alice, bob = story.members("red", "alice", "bob")
    lines = [alice.says("red", id=f"m{n}") for n in range(4)]
    story.all_hear([alice, bob], (lines[0], 1))
    alice.hears(lines[1], 2)
    story.restarts("killed", alice, bob)
    alice.joins("red", since=2, replay=[(lines[2], 3)])
    bob.joins("red", since=1, replay=[(lines[1], 2), (lines[2], 3)])
    alice.repeats(lines[3])
    story.all_hear([alice, bob], (lines[3], 4))
    assert every(story) == []


def test_a_server_with_ids_of_its_own_may_store_a_retry_again() -> None:
    """It offers no retries, so a message that is sent again is another message for all."""
    story = Story()
    alice, bob = story.members("red", "alice", "bob")
    line = alice.says("red", id="m1")
    for person in (alice, bob):
        person.hears(line, 1, id="own-1")
    alice.repeats(line)
    for person in (alice, bob):
        person.hears(line, 2, id="own-2")
    assert every(story) == []


def test_a_server_that_names_users_itself_may_store_a_retry_again() -> None:
    """After a reconnection the user has another name, so it is no retry, and no impersonation."""
    story = Story()
    alice, bob = story.members("red", "alice", "bob")
    line = alice.says("red", id="m1")
    bob.hears(line, 1)
    alice.is_cut()
    alice.connects("user_2")
    alice.joins("red", since=0, replay=[(line, 1)])
    alice.repeats(line)
    for person in (alice, bob):
        person.hears(line, 2, user="user_2")
    assert every(story) == []


def test_a_user_with_two_connections_receives_everything_on_each() -> None:
    """Each connection is a member, and what one of them sends comes to both."""
    story = Story()
    one = story.client("tina")
    two = story.client("tina")
    for each in (one, two):
        each.joins("red")
    line = one.says("red")
    story.all_hear([one, two], (line, 1))
    assert every(story) == []


def test_a_client_that_leaves_and_returns_missed_what_was_sent_meanwhile() -> None:
    """Two memberships on one connection, and what was sent between them belongs to neither."""
    story = Story()
    alice, bob = story.members("red", "alice", "bob")
    bob.leaves("red")
    line = alice.says("red")
    alice.hears(line, 1)
    bob.joins("red", since=0, replay=[(line, 1)])
    story.talk([alice, bob], "red", 2, first=2)
    assert every(story) == []


def test_a_retry_from_outside_the_room_is_answered() -> None:
    """The stored message goes to its sender, even if it has left the room."""
    story = Story()
    alice, bob = story.members("red", "alice", "bob")
    line = alice.says("red", id="m1")
    story.all_hear([alice, bob], (line, 1))
    alice.is_cut()
    alice.connects()
    alice.repeats(line)
    alice.hears(line, 1)
    assert every(story) == []
