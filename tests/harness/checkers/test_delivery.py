"""Who heard what: every member everything, once, unchanged, and nobody else anything."""

from __future__ import annotations

from typing import Any

import pytest

from harness.checkers import delivery
from harness.checkers.catalogue import Anomaly
from harness.checkers.delivery import LONG_AGO
from harness.history.events import Sent
from tests.harness.stories import Story, facts, told


def every(story: Story, room: str = "red") -> list[str]:
    """What all checkers of this file find in a room."""
    log = story.index
    checks = (
        delivery.refused,
        delivery.lost,
        delivery.duplicates,
        delivery.numbered_twice,
        delivery.altered,
    )
    return [name for check in checks for name in told(check(log, room))] + told(delivery.leaks(log))


# --- right histories ------------------------------------------------------------------------------


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


# --- lost -----------------------------------------------------------------------------------------


def test_a_message_that_one_member_misses_is_lost() -> None:
    """The finding names who misses how many of how many, and the first of them; two who got it are shown."""
    story = Story()
    alice, bob, carol, dave = story.members("red", "alice", "bob", "carol", "dave")
    story.talk([alice, bob, carol, dave], "red", 3)
    first = alice.says("red", "first", id="m4")
    said = story.last
    alice.repeats(first)
    second = bob.says("red", "second")
    story.all_hear([alice, bob, dave], (first, 4))
    heard = story.events[-3:-1]
    story.all_hear([alice, bob, dave], (second, 5))
    found = delivery.lost(story.index, "red")
    example = {"sender": "alice", "content": first.content}
    params = {"who": "carol", "room": "red", "count": 2, "of": 5, **example}
    assert found == [Anomaly("lost", params, [said, *heard])]
    assert told(found) == ["lost"]


def test_the_very_last_message_may_be_the_lost_one() -> None:
    """A missing tail is found, though no later message shows the hole."""
    story = Story()
    alice, bob = story.members("red", "alice", "bob")
    story.talk([alice, bob], "red", 3)
    bob.hears(alice.says("red"), 4)
    assert told(delivery.lost(story.index, "red")) == ["lost/own"]


def test_senders_who_do_not_get_their_own_messages() -> None:
    """Each misses what it said itself, and the finding says so."""
    story = Story()
    alice, bob = story.members("red", "alice", "bob")
    one, two = alice.says("red"), bob.says("red")
    alice.hears(two, 2)
    bob.hears(one, 1)
    found = delivery.lost(story.index, "red")
    assert told(found) == ["lost/own", "lost/own"]
    assert [(each.params["who"], each.params["count"]) for each in found] == [("alice", 1), ("bob", 1)]


def test_a_message_that_nobody_hears_is_one_finding() -> None:
    """It is not told once for each member."""
    story = Story()
    alice, _, _ = story.members("red", "alice", "bob", "carol")
    alice.says("red", "is there anybody?")
    found = delivery.lost(story.index, "red")
    assert told(found) == ["lost/nobody"]
    assert facts(found, "count", "of", "sender") == [1, 1, "alice"]


def test_what_somebody_misses_is_told_beside_what_nobody_heard() -> None:
    """One finding for what nobody heard comes first, and then each member's own."""
    story = Story()
    alice, bob, carol = story.members("red", "alice", "bob", "carol")
    line = alice.says("red")
    alice.hears(line, 1)
    bob.hears(line, 1)
    bob.says("red")
    found = delivery.lost(story.index, "red")
    assert told(found) == ["lost/nobody", "lost"]
    assert [each.params["who"] for each in found] == ["alice", "carol"]
    assert found[1].params["count"] == 2
    assert carol.conn == 3


@pytest.mark.parametrize("ending", ["leaves", "closes", "stop"])
def test_what_was_missing_long_before_the_end_is_lost_all_the_same(ending: str) -> None:
    """A member who left, or whose server was asked to stop, a second after others had heard it."""
    story = Story()
    alice, bob = story.members("red", "alice", "bob")
    alice.hears(alice.says("red"), 1)
    story.passes(LONG_AGO)
    match ending:
        case "leaves":
            bob.leaves("red")
        case "closes":
            bob.closes()
        case "stop":
            story.restarts("asked_to_stop", alice, bob)
    found = delivery.lost(story.index, "red")
    assert told(found) == ["lost"]
    assert facts(found, "who") == ["bob"]


def test_what_nobody_heard_long_before_the_end_of_the_server_is_lost() -> None:
    """A message dropped for all is found although all connections ended later, by the restart."""
    story = Story()
    alice, bob = story.members("red", "alice", "bob")
    alice.says("red")
    story.passes(LONG_AGO)
    story.restarts("asked_to_stop", alice, bob)
    for person in (alice, bob):
        person.joins("red", since=0)
    assert told(delivery.lost(story.index, "red")) == ["lost/nobody"]


def test_a_cut_excuses_nothing_that_was_said_long_before() -> None:
    """The sender's connection stood for more than a second after the message, so it must have got through."""
    story = Story()
    alice, _ = story.members("red", "alice", "bob")
    alice.says("red")
    story.passes(LONG_AGO)
    alice.is_cut()
    found = delivery.lost(story.index, "red")
    assert told(found) == ["lost/nobody"]
    assert facts(found, "who") == ["bob"]


def test_what_somebody_heard_was_accepted_though_its_sender_was_cut() -> None:
    """So it is owed to everybody else."""
    story = Story()
    alice, bob, _ = story.members("red", "alice", "bob", "carol")
    line = alice.says("red")
    alice.is_cut()
    bob.hears(line, 1)
    assert facts(delivery.lost(story.index, "red"), "who") == ["carol"]


@pytest.mark.parametrize("seconds", [0.75, LONG_AGO])
def test_what_is_long_enough_for_a_message_to_arrive(seconds: float) -> None:
    """A second, for one who says it and is cut off then, and for one who leaves when others had heard it."""
    story = Story()
    alice, bob = story.members("red", "alice", "bob")
    story.next_at(2.0)
    alice.says("red")
    story.next_at(2.0 + seconds)
    alice.is_cut()
    names = ["lost"] * (seconds == LONG_AGO)
    assert [each.name for each in delivery.lost(story.index, "red")] == names
    story = Story()
    alice, bob = story.members("red", "alice", "bob")
    line = alice.says("red")
    story.next_at(2.0)
    alice.hears(line, 1)
    story.next_at(2.0 + seconds)
    bob.asks_to_leave("red")
    assert [each.name for each in delivery.lost(story.index, "red")] == names


def test_what_is_said_in_the_moment_when_a_join_is_done_is_owed() -> None:
    """From then on the member is certainly in the room."""
    story = Story()
    (alice,) = story.members("red", "alice")
    (bob,) = story.clients("bob")
    bob.asks_to_join("red")
    with story.moment():
        bob.is_member("red")
        line = alice.says("red")
    alice.hears(line, 1)
    assert facts(delivery.lost(story.index, "red"), "who") == ["bob"]


# --- duplicate ------------------------------------------------------------------------------------


def test_a_message_that_comes_twice_is_a_duplicate() -> None:
    """The finding names who got how many copies of what."""
    story = Story()
    alice, bob = story.members("red", "alice", "bob")
    line = alice.says("red")
    story.all_hear([alice, bob, bob, bob, bob], (line, 1))
    found = delivery.duplicates(story.index, "red")
    params = {"who": "bob", "room": "red", "count": 4, "sender": "alice", "content": line.content}
    assert found == [Anomaly("duplicate", params, story.events[-4:-1])]
    assert told(found) == ["duplicate"]


def test_who_joined_twice_on_one_connection_is_told_of_duplicates_once() -> None:
    """Two memberships of one connection are one receiver."""
    story = Story()
    alice, bob = story.members("red", "alice", "bob")
    bob.leaves("red")
    bob.joins("red", since=0)
    line = alice.says("red")
    story.all_hear([alice, bob, bob], (line, 1))
    found = delivery.duplicates(story.index, "red")
    assert told(found) == ["duplicate"]
    assert facts(found, "who", "count") == ["bob", 2]


def test_a_retry_that_is_published_to_all_is_a_duplicate_for_the_others() -> None:
    """Its answer is for the sender alone."""
    story = Story()
    alice, bob = story.members("red", "alice", "bob")
    line = alice.says("red", id="m1")
    story.all_hear([alice, bob], (line, 1))
    alice.repeats(line)
    story.all_hear([alice, bob], (line, 1))
    found = delivery.duplicates(story.index, "red")
    assert told(found) == ["duplicate/retry"]
    assert facts(found, "who", "sender", "count") == ["bob", "alice", 2]


def test_a_retry_is_answered_once() -> None:
    """A third copy for the sender is one too many."""
    story = Story()
    (alice,) = story.members("red", "alice")
    line = alice.says("red", id="m1")
    alice.hears(line, 1)
    alice.repeats(line)
    alice.hears(line, 1)
    assert told(delivery.duplicates(story.index, "red")) == []
    alice.hears(line, 1)
    found = delivery.duplicates(story.index, "red")
    assert told(found) == ["duplicate/retry"]
    assert facts(found, "who", "count") == ["alice", 3]


def test_one_message_under_two_numbers_is_a_duplicate() -> None:
    """Said once, accepted twice: the finding names both numbers; who hears both has a duplicate besides."""
    story = Story()
    alice, bob = story.members("red", "alice", "bob")
    line, other = alice.says("red"), bob.says("red")
    said = story.events[-2]
    bob.hears(line, 1)
    alice.hears(line, 2)
    heard = story.events[-2:]
    alice.hears(other, 3)
    bob.hears(other, 4)
    found = delivery.numbered_twice(story.index, "red")
    message = {"sender": "alice", "room": "red", "content": line.content, "id": ""}
    params = {"who": "bob", **message, "first": 1, "second": 2, "count": 2}
    assert found == [Anomaly("duplicate", params, [said, *heard], "numbers")]
    assert told(found) == ["duplicate/numbers"]
    assert told(delivery.duplicates(story.index, "red")) == []
    bob.hears(line, 2)
    assert told(delivery.duplicates(story.index, "red")) == ["duplicate"]


def test_a_retry_that_is_stored_again() -> None:
    """Said again with its id, by the same user, and numbered anew: the finding names both numbers."""
    story = Story()
    alice, bob = story.members("red", "alice", "bob")
    line = alice.says("red", id="m1")
    said = story.last
    bob.hears(line, 1)
    first = story.last
    alice.hears(line, 1)
    alice.repeats(line)
    again = story.last
    alice.repeats(line)
    bob.hears(line, 2)
    second = story.last
    alice.hears(line, 2)
    found = delivery.numbered_twice(story.index, "red")
    message = {"sender": "alice", "room": "red", "content": line.content, "id": "m1"}
    params = {"who": "bob", **message, "first": 1, "second": 2, "count": 2}
    assert found == [Anomaly("stored_twice", params, [said, again, first, second])]
    assert told(found) == ["stored_twice"]


def test_what_is_stored_again_is_not_told_as_a_duplicate() -> None:
    """It is told by its two numbers, once; another message that comes twice is told beside it."""
    story = Story()
    alice, bob = story.members("red", "alice", "bob")
    line = alice.says("red", id="m1")
    story.all_hear([alice, bob], (line, 1))
    alice.repeats(line)
    story.all_hear([alice, bob], (line, 2))
    assert told(delivery.duplicates(story.index, "red")) == []
    other = alice.says("red")
    story.all_hear([alice, bob, bob], (other, 3))
    assert facts(delivery.duplicates(story.index, "red"), "who", "content") == ["bob", other.content]


# --- altered, impersonation -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "altered", "position"),
    [
        ("spaces  ", "spaces", 17),
        ("déjà vu", "deja vu", 12),
        ("<b>", "&lt;b&gt;", 11),
        ("same length", "same lengtH", 21),
    ],
)
def test_a_content_that_was_changed(text: str, altered: str, position: int) -> None:
    """The finding shows both, and counts from 1 to where they differ."""
    story = Story()
    alice, bob = story.members("red", "alice", "bob")
    line = alice.says("red", text)
    alice.hears(line, 1)
    said = story.events[-2]
    alice.repeats(line)
    bob.hears(line, 1, content=f"{line.tag}. {altered}")
    found = delivery.altered(story.index, "red")
    contents = {"sent": line.content, "got": f"{line.tag}. {altered}", "position": position}
    params = {"who": "bob", "sender": "alice", "room": "red", **contents}
    assert found == [Anomaly("altered", params, [said, story.last])]
    assert told(found) == ["altered"]


def test_a_change_far_into_a_long_content_is_shown_where_it_is() -> None:
    """The excerpts are of the place where the contents differ."""
    story = Story()
    alice, bob = story.members("red", "alice", "bob")
    line = alice.says("red", "x" * 1000 + "\ttail")
    story.all_hear([alice], (line, 1))
    bob.hears(line, 1, content=line.content.replace("\t", " "))
    (found,) = delivery.altered(story.index, "red")
    assert "x\\ttail" in found.params["sent"]
    assert "x tail" in found.params["got"]
    assert found.params["sent"].startswith("…")


def test_what_nobody_said() -> None:
    """A content without a tag that was said cannot be traced, and is a finding of its own."""
    story = Story()
    alice, bob = story.members("red", "alice", "bob")
    line = story.line(alice, "red")
    bob.hears(line, 1, content="Welcome to the chat!")
    found = delivery.altered(story.index, "red")
    assert told(found) == ["altered/unknown"]
    assert facts(found, "who", "got") == ["bob", "Welcome to the chat!"]


@pytest.mark.parametrize(
    ("rule", "frame", "text", "heard"),
    [
        ("content_empty", {"type": "message", "data": {"room": "red", "content": ""}}, None, ""),
        ("half_character", None, '{"content": "a1b2c3-99. \\ud83d"}', "a1b2c3-99. \ufffd"),
        (
            "not_joined",
            {"type": "message", "data": {"room": "red", "content": "a1b2c3-99. x "}},
            None,
            "a1b2c3-99. x",
        ),
    ],
)
def test_a_bad_message_that_was_passed_on_is_not_told_as_unknown(
    rule: str, frame: Any, text: str | None, heard: str
) -> None:
    """It was said by somebody, only that it should not have been: `errors.obeyed` tells that."""
    story = Story()
    alice, mallory = story.members("red", "alice", "mallory")
    mallory.misbehaves(rule, frame, text)
    alice.hears(story.line(mallory, "red"), 1, content=heard)
    assert every(story) == []


def test_a_message_in_another_name() -> None:
    """The finding names the one who said it and the one who seems to have."""
    story = Story()
    alice, bob = story.members("red", "alice", "bob")
    line = bob.says("red")
    alice.hears(line, 1, user="alice")
    evidence = story.events[-2:]
    bob.hears(line, 1)
    found = delivery.altered(story.index, "red")
    params = {"who": "alice", "room": "red", "user": "bob", "shown": "alice"}
    assert found == [Anomaly("impersonation", params, evidence)]
    assert told(found) == ["impersonation"]


def test_each_kind_of_change_is_told_once() -> None:
    """A thousand altered messages are one finding."""
    story = Story()
    alice, bob = story.members("red", "alice", "bob")
    for number in range(1, 9):
        line = alice.says("red", "text ")
        bob.hears(line, number, content="?")
        bob.hears(line, number, content=line.content.strip(), user="bob")
    assert told(delivery.altered(story.index, "red")) == ["altered/unknown", "altered", "impersonation"]


# --- leaks ----------------------------------------------------------------------------------------


def test_a_message_that_reaches_an_outsider() -> None:
    """The finding names the outsider, the room, and what it heard of whom."""
    story = Story()
    alice, bob = story.members("red", "alice", "bob")
    carol, dave = story.clients("carol", "dave")
    carol.joins("blue")
    line = alice.says("red")
    story.all_hear([carol, dave, alice, bob], (line, 1))
    evidence = story.events[-4:-2]
    carol.hears(line, 1)
    found = delivery.leaks(story.index)
    params = {"room": "red", "content": line.content, "user": "alice"}
    assert found == [
        Anomaly("room_leak", {"who": who, **params}, [event])
        for who, event in zip(("carol", "dave"), evidence, strict=True)
    ]
    assert told(found) == ["room_leak", "room_leak"]


def test_a_leak_after_the_answer_to_ones_own_retry() -> None:
    """What one asked for is no leak, and does not excuse others."""
    story = Story()
    alice, bob = story.members("red", "alice", "bob")
    line = alice.says("red", id="m1")
    story.all_hear([alice, bob], (line, 1))
    alice.is_cut()
    alice.connects()
    alice.repeats(line)
    alice.hears(line, 1)
    assert told(delivery.leaks(story.index)) == []
    other = bob.says("red")
    alice.hears(other, 2)
    assert facts(delivery.leaks(story.index), "who", "content") == ["alice", other.content]


def test_a_notice_that_reaches_an_outsider() -> None:
    """Announcements are for the room too; the finding says that it was one."""
    story = Story()
    story.members("red", "alice")
    (carol,) = story.clients("carol")
    carol.is_told("red", "alice is here")
    found = delivery.leaks(story.index)
    assert told(found) == ["room_leak"]
    assert facts(found, "who", "user") == ["carol", "system"]


def test_a_message_under_another_rooms_name_is_a_leak_of_its_own_room() -> None:
    """Where it was said counts, and not what the frame says."""
    story = Story()
    (alice,) = story.members("red", "alice")
    (carol,) = story.members("blue", "carol")
    line = alice.says("red")
    alice.hears(line, 1)
    carol.hears(line, 1, room="blue")
    found = delivery.leaks(story.index)
    assert told(found) == ["room_leak"]
    assert facts(found, "who", "room") == ["carol", "red"]


def test_who_left_hears_nothing_more() -> None:
    """What is said after a `leave` was done does not concern those who left; the last time counts."""
    story = Story()
    alice, bob, carol = story.members("red", "alice", "bob", "carol")
    bob.leaves("red")
    bob.joins("red")
    bob.leaves("red")
    left = {"bob": story.last}
    carol.leaves("red")
    left |= {"carol": story.last}
    bob.joins("blue")
    bob.leaves("blue")
    line = alice.says("red", id="m1")
    said = story.last
    alice.repeats(line)
    story.all_hear([alice, bob, carol], (line, 1))
    heard = dict(zip(("bob", "carol"), story.events[-2:], strict=True))
    found = delivery.leaks(story.index)
    params = {"room": "red", "content": line.content, "user": "alice"}
    assert found == [
        Anomaly("heard_after_leave", {"who": who, **params}, [left[who], said, heard[who]])
        for who in ("bob", "carol")
    ]
    assert told(found) == ["heard_after_leave"] * 2


def test_what_was_said_before_leaving_may_still_arrive() -> None:
    """And so may what was said between the `leave` and the moment when it was done."""
    story = Story()
    alice, bob = story.members("red", "alice", "bob")
    before = alice.says("red")
    bob.asks_to_leave("red")
    during = alice.says("red")
    bob.has_left("red")
    story.all_hear([alice, bob], (before, 1), (during, 2))
    assert told(delivery.leaks(story.index)) == []


def test_notices_after_leaving_are_heard_after_leaving() -> None:
    """A room that one left announces nothing to one."""
    story = Story()
    alice, bob = story.members("red", "alice", "bob")
    bob.leaves("red")
    alice.leaves("red")
    bob.is_told("red", "alice has left")
    assert told(delivery.leaks(story.index)) == ["heard_after_leave"]


# --- refused --------------------------------------------------------------------------------------


def test_a_message_that_was_answered_by_an_error_with_its_id() -> None:
    """The error names the message: it is refused, and not lost."""
    story = Story()
    alice, bob = story.members("red", "alice", "bob")
    good, bad = alice.says("red", id="m1"), alice.says("red", id="m2")
    said = story.last
    alice.repeats(bad)
    story.all_hear([alice, bob], (good, 1))
    alice.is_refused("rate_limited", "slow down", "m2")
    found = delivery.refused(story.index, "red")
    error = {"content": bad.content, "error": "rate_limited: slow down"}
    params = {"who": "alice", "room": "red", "count": 1, "of": 2, **error}
    assert found == [Anomaly("refused", params, [said, story.last])]
    assert told(found) == ["refused"]
    assert told(delivery.lost(story.index, "red")) == []


def test_an_error_with_an_id_is_for_the_message_with_that_id() -> None:
    """Not for an older one that nobody heard, and also where the sender sends bad frames too."""
    story = Story()
    alice, bob = story.members("red", "alice", "bob")
    lost, refused = (bob.says("red", id=f"m{n}") for n in (1, 2))
    bob.misbehaves("no_type")
    bob.is_refused()
    bob.is_refused("unavailable", "x" * 300, "m2")
    found = delivery.refused(story.index, "red")
    assert facts(found, "content", "error") == [refused.content, "unavailable: " + "x" * 187]
    assert facts(delivery.lost(story.index, "red")[:1], "content") == [lost.content]
    alice.says("red", id="m3")
    alice.is_refused(None, "no")
    assert facts(delivery.refused(story.index, "red"), "count", "content") == [2, refused.content]


def test_an_error_refuses_nothing_that_is_said_after_it() -> None:
    """In the moment when it comes, it may be for what was said in that moment."""
    story = Story()
    (alice,) = story.members("red", "alice")
    alice.is_refused(None, "no")
    late = alice.says("red")
    assert every(story) == ["lost/nobody"]
    with story.moment():
        alice.says("red")
        alice.is_refused(None, "no")
        alice.is_refused(None, "no")
    assert facts(delivery.refused(story.index, "red"), "count", "content") == [2, late.content]


def test_the_same_id_in_two_rooms_is_two_messages() -> None:
    """An error with an id that two messages have is about the one that nobody heard."""
    story = Story()
    (alice,) = story.members("red", "alice")
    alice.joins("blue")
    alice.says("red", id="m1")
    alice.hears(alice.says("blue", id="m1"), 1)
    alice.is_refused("unavailable", "not now", "m1")
    assert every(story) == ["refused"]
    assert every(story, "blue") == []


def test_an_error_without_an_id_is_for_the_oldest_message_that_nobody_heard() -> None:
    """Two errors for two of three messages, told in one finding with their number."""
    story = Story()
    alice, bob = story.members("red", "alice", "bob")
    one, two, three = (alice.says("red") for _ in range(3))
    alice.is_refused(None, "no")
    alice.is_refused(None, "no")
    story.all_hear([alice, bob], (two, 1))
    found = delivery.refused(story.index, "red")
    assert told(found) == ["refused"]
    assert facts(found, "count", "of", "content", "error") == [2, 3, one.content, "error: no"]
    assert every(story) == ["refused"]
    assert three.tag


def test_an_error_for_nothing_refuses_nothing() -> None:
    """Where all that was said was heard, or bad frames were sent, an error is about something else."""
    story = Story()
    alice, mallory = story.members("red", "alice", "mallory")
    line = alice.says("red", id="m1")
    story.all_hear([alice, mallory], (line, 1))
    alice.is_refused(id="m1")
    alice.is_refused()
    mallory.misbehaves("no_type")
    lost = mallory.says("red")
    mallory.is_refused()
    assert told(delivery.refused(story.index, "red")) == []
    assert lost.content in delivery.lost(story.index, "red")[0].params["content"]


def test_excerpts_are_short_and_visible() -> None:
    """What cannot be seen is written as an escape, and what is left out as an ellipsis."""
    assert delivery.excerpt("plain") == "plain"
    assert delivery.excerpt("a\tb\u200b") == "a\\tb\\u200b"
    assert delivery.excerpt("it's a \\o/") == "it's a \\o/"
    assert delivery.excerpt("x" * 40) == "x" * 40
    assert delivery.excerpt("x" * 50) == "x" * 40 + "…"
    assert delivery.excerpt("x" * 50 + "y" + "z" * 50, around=50) == "…" + "x" * 20 + "y" + "z" * 19 + "…"


@pytest.mark.parametrize(("other_room", "variant"), [("red", "lost/id_of_user"), ("blue", "lost/id_of_room")])
def test_a_message_that_is_taken_for_a_retry_of_another(other_room: str, variant: str) -> None:
    """An id that another user, or the same user in another room, had used: nobody hears what is new."""
    story = Story()
    people = story.members("red", "alice", "bob")
    for person in people:
        person.joins("blue")
    first = people[0].says(other_room, "first", id="x")
    story.all_hear(people, (first, 1))
    again = people[1 if other_room == "red" else 0].says("red", "second", id="x")
    story.passes(5)
    found = delivery.lost(story.index, "red")
    assert told(found) == [variant]
    assert facts(found, "other", "other_room") == ["alice", other_room]
    said = [event.frame["data"]["content"] for event in found[0].evidence if isinstance(event, Sent)]
    assert said == [first.content, again.content]


def test_the_answer_to_something_new_is_no_retry_of_another() -> None:
    """Who says something with another's id, and is sent that other message once more, is told why."""
    story = Story()
    alice, bob = story.members("red", "alice", "bob")
    first = alice.says("red", "first", id="x")
    story.all_hear([alice, bob], (first, 1))
    bob.says("red", "second", id="x")
    bob.hears(first, 1)
    assert told(delivery.duplicates(story.index, "red")) == ["duplicate/id_of_user"]
    alice.repeats(first)
    story.all_hear([alice, bob], (first, 1))
    assert told(delivery.duplicates(story.index, "red")) == ["duplicate/id_of_user"]
    other = Story()
    alice, bob = other.members("red", "alice", "bob")
    first = alice.says("red", "first", id="x")
    other.all_hear([alice, bob], (first, 1))
    alice.repeats(first)
    other.all_hear([alice, bob], (first, 1))
    bob.says("red", "second", id="x")
    assert told(delivery.duplicates(other.index, "red")) == ["duplicate/retry"]


def test_what_breaks_after_somebody_left_excuses_nothing_before() -> None:
    """A member who missed something, left in good order, and was cut off only then."""
    story = Story()
    alice, bob = story.members("red", "alice", "bob")
    line = alice.says("red")
    alice.hears(line, 1)
    story.passes(3)
    bob.leaves("red")
    assert told(delivery.lost(story.index, "red")) == ["lost"]
    bob.is_cut()
    assert told(delivery.lost(story.index, "red")) == ["lost"]


def test_who_left_and_came_back_on_the_same_connection_is_shown_both() -> None:
    """What somebody misses after a second stay is told as that, and the evidence begins with both frames."""
    story = Story()
    alice, bob = story.members("red", "alice", "bob")
    bob.joins("blue")
    bob.leaves("blue")
    missed = alice.says("red")
    alice.hears(missed, 1)
    story.passes(3)
    assert told(delivery.lost(story.index, "red")) == ["lost"]  # what it left was another room
    bob.hears(missed, 1)
    bob.leaves("red")
    left = story.last
    bob.joins("red")
    joined = next(e for e in reversed(story.events) if isinstance(e, Sent))
    line = alice.says("red")
    alice.hears(line, 2)
    story.passes(3)
    found = delivery.lost(story.index, "red")
    assert told(found) == ["lost/again"]
    assert found[0].evidence[:2] == [left, joined]
    assert facts(found, "who", "count", "of") == ["bob", 1, 1]


def test_a_message_that_stands_in_the_history_of_another_room() -> None:
    """It was said in one room and is read in another: named with both rooms, for the copy by itself."""
    story = Story()
    alice, bob = story.members("red", "alice", "bob")
    said = story.talk([alice, bob], "red", 3)
    bob.joins("blue")
    other = alice.says("red", "elsewhere")
    bob.hears(other, 1, room="blue")  # live, which `leaks` is for
    bob.reads("red", said)
    assert told(delivery.strays(story.index, "red")) == []
    assert told(delivery.strays(story.index, "blue")) == []
    stray = other.numbered(4, room="blue")
    page = {"type": "history", "data": {"room": "blue", "messages": [stray], "last": 4, "more": False}}
    inspector = story.client("inspector", second=True)
    for reader, place in ((inspector, 1), (bob, 0)):
        assert told(delivery.strays(story.index.worlds[place], "blue")) == []
        reader.asks_history("blue")
        reader.gets(page)
        found = delivery.strays(story.index.worlds[place], "blue")
        assert told(found) == ["room_leak/stored"]
        assert facts(found, "who", "other_room", "sequence", "user") == [reader.name, "red", 4, "alice"]
        assert isinstance(found[0].evidence[0], Sent)
        assert found[0].evidence[1] is story.last
