"""Right deliveries: everybody hears everything, once, unchanged, and nobody else anything."""

from __future__ import annotations

import pytest

from harness.checkers.delivery import LONG_AGO
from tests.harness.checkers.deliveries import every
from tests.harness.stories import Story


def test_a_right_history_has_nothing_wrong() -> None:
    """Everybody heard everything once, in each of two rooms: no findings."""
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
    """The answer to a retry reaches its sender alone, a second time, after newer messages."""
    story = Story()
    alice, bob = story.members("red", "alice", "bob")
    line = alice.says("red", id="m1")
    story.all_hear([alice, bob], (line, 1))
    story.talk([bob, alice], "red", 3, first=2)
    alice.repeats(line)
    alice.hears(line, 1)
    assert every(story) == []


def test_a_retry_of_what_was_never_accepted_is_a_new_message() -> None:
    """Cut off before the server read it, said again with its id: everybody hears it once, later."""
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
    """Accepted just before the cut, replayed after it, and given once more in answer to the retry."""
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
    """Cut off right after saying it: it is heard by everybody or by nobody."""
    story = Story()
    alice, bob, carol = story.members("red", "alice", "bob", "carol")
    line = alice.says("red")
    alice.is_cut()
    story.passes(5)
    if accepted:
        story.all_hear([bob, carol], (line, 1))
    assert every(story) == []


def test_who_is_cut_off_in_mid_burst_is_owed_nothing_more() -> None:
    """What was on the way to a member that is reset, vanishes, or does not read, may not arrive."""
    for fault in ("reset", "go_silent", "stop_reading"):
        story = Story()
        alice, bob = story.members("red", "alice", "bob")
        story.talk([alice, bob], "red", 2)
        lines = [alice.says("red") for _ in range(5)]
        bob.faults(fault)
        story.all_hear([alice], *zip(lines, range(3, 8), strict=True))
        assert every(story) == []


def test_who_leaves_may_miss_what_was_said_just_before() -> None:
    """The server may handle the `leave` before another's message that was sent a moment earlier."""
    for ending in ("leaves", "closes"):
        story = Story()
        alice, bob = story.members("red", "alice", "bob")
        line = alice.says("red")
        bob.leaves("red") if ending == "leaves" else bob.closes()
        alice.hears(line, 1)
        assert every(story) == []


def test_who_left_before_a_retry_was_accepted_is_not_owed_it() -> None:
    """A message that got through at the second try only was not said while the first member was there."""
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


def test_who_was_killed_with_its_server_is_no_witness() -> None:
    """What had reached its machine by then and was never read is as good as lost, however old it is."""
    story = Story()
    alice, bob = story.members("red", "alice", "bob")
    alice.hears(alice.says("red"), 1)
    story.passes(2 * LONG_AGO)
    story.ends("killed", alice, bob)
    assert every(story) == []


def test_repeating_without_an_id_is_saying_it_again() -> None:
    """Nothing tells the server that it is the same message, so it may come as often as it was said."""
    story = Story()
    alice, bob = story.members("red", "alice", "bob")
    line = alice.says("red")
    alice.repeats(line)
    story.all_hear([alice, bob, bob], (line, 1))
    assert every(story) == []


def test_who_hears_a_room_in_the_moment_of_joining_is_in_it() -> None:
    """From when it asked to be; and what was said in the moment of its leaving may come, too."""
    story = Story()
    alice, bob = story.members("red", "alice", "bob")
    (carol,) = story.clients("carol")
    with story.moment():
        carol.asks_to_join("red")
        carol.is_told("red", "carol is here")
    carol.is_member("red")
    bob.asks_to_leave("red")
    with story.moment():
        line = alice.says("red")
        bob.has_left("red")
    story.all_hear([alice, bob, carol], (line, 1))
    assert every(story) == []


def test_what_was_said_before_a_member_joined_is_not_owed() -> None:
    """Nor what was said between its join and the moment when that was certainly done."""
    story = Story()
    (alice,) = story.members("red", "alice")
    (bob,) = story.clients("bob")
    first = alice.says("red")
    bob.asks_to_join("red")
    second = alice.says("red")
    bob.is_member("red")
    story.all_hear([alice], (first, 1), (second, 2))
    assert every(story) == []


def test_a_kill_excuses_what_was_on_the_way() -> None:
    """A SIGKILL in a burst: nobody is owed what was said, whether it was stored or not."""
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
    """It offers no retries, so a message that is said again is another message for everybody."""
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
    """After a reconnection the user has another name, so that it is no retry, and no impersonation."""
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


def test_a_user_with_two_connections_hears_everything_on_each() -> None:
    """Each connection is a member, and what one of them says comes to both."""
    story = Story()
    one = story.client("tina")
    two = story.client("tina")
    for each in (one, two):
        each.joins("red")
    line = one.says("red")
    story.all_hear([one, two], (line, 1))
    assert every(story) == []


def test_who_leaves_and_comes_back_has_missed_what_was_said_meanwhile() -> None:
    """Two memberships on one connection, and what was said between them belongs to neither."""
    story = Story()
    alice, bob = story.members("red", "alice", "bob")
    bob.leaves("red")
    line = alice.says("red")
    alice.hears(line, 1)
    bob.joins("red", since=0, replay=[(line, 1)])
    story.talk([alice, bob], "red", 2, first=2)
    assert every(story) == []


def test_the_retry_of_an_outsider_is_answered_where_it_is() -> None:
    """The stored message is for its sender, even if it has left the room."""
    story = Story()
    alice, bob = story.members("red", "alice", "bob")
    line = alice.says("red", id="m1")
    story.all_hear([alice, bob], (line, 1))
    alice.is_cut()
    alice.connects()
    alice.repeats(line)
    alice.hears(line, 1)
    assert every(story) == []
