"""One order for all: numbers without gaps or repeats, received by everybody in that order."""

from __future__ import annotations

import pytest

from harness.checkers import ordering
from harness.checkers.catalogue import Anomaly
from harness.history.events import Event, Sent
from tests.harness.stories import EPOCH, Line, Story, facts, names_of


def every(story: Story, room: str = "red") -> list[str]:
    """What all checkers of this file find in a room."""
    return [*names_of(ordering.numbering(story.index, room)), *names_of(ordering.order(story.index, room))]


# --- right histories ------------------------------------------------------------------------------


def test_a_right_history_has_nothing_wrong() -> None:
    """Numbers 1, 2, 3, received by all in that order, with a restart in between: no findings."""
    story = Story()
    people = story.members("red", "alice", "bob", "carol")
    story.talk(people, "red", 7)
    story.restarts("asked_to_stop", *people)
    for person in people:
        person.joins("red", since=7)
    story.talk(people, "red", 5, first=8)
    assert every(story) == []
    assert ordering.newest(story.index, "red") == 12


def test_an_empty_history_has_nothing_wrong() -> None:
    """No events, no findings, and no number."""
    assert every(Story()) == []
    assert ordering.newest(Story().index, "red") == 0


def test_rooms_are_counted_separately() -> None:
    """The same numbers in two rooms are no repetition."""
    story = Story()
    (alice,) = story.members("red", "alice")
    alice.joins("blue")
    story.talk([alice], "red", 3)
    story.talk([alice], "blue", 3)
    assert every(story) == every(story, "blue") == []


def test_notices_have_no_numbers_of_their_own() -> None:
    """A notice may have any number, between all others."""
    story = Story()
    (alice,) = story.members("red", "alice")
    story.talk([alice], "red", 2)
    for number in (2, 0, 99, -1):
        alice.gets_notice("red", "bob is here", number)
    story.talk([alice], "red", 2, first=3)
    assert every(story) == []


def test_the_answer_to_a_retry_may_come_out_of_order() -> None:
    """Number 1 after number 3, on the connection that asked again; and newer than all, on a new one."""
    story = Story()
    alice, bob = story.members("red", "alice", "bob")
    line = alice.says("red", id="m1")
    story.all_hear([alice, bob], (line, 1))
    story.talk([bob], "red", 2, first=2)
    alice.repeats(line)
    alice.hears(line, 1)
    late = bob.says("red", id="m2")
    later = alice.says("red")
    bob.repeats(late)
    bob.hears(late, 4)  # from the store, while earlier messages are still in flight
    story.all_hear([alice, bob], (late, 4), (later, 5))
    assert every(story) == []


def test_a_retry_after_the_replay_has_a_lower_number_than_live_messages() -> None:
    """After a reconnection, the stored message comes between newer ones."""
    story = Story()
    alice, bob = story.members("red", "alice", "bob")
    line = alice.says("red", id="m1")
    alice.is_cut()
    bob.hears(line, 1)
    alice.connects()
    alice.joins("red", since=0, replay=[(line, 1)])
    story.talk([bob, alice], "red", 2, first=2)
    alice.repeats(line)
    alice.hears(line, 1)
    story.talk([alice, bob], "red", 2, first=4)
    assert every(story) == []


def test_a_repeated_message_need_not_keep_its_first_place() -> None:
    """A message that was not accepted at first comes after those that were sent later."""
    story = Story()
    alice, bob = story.members("red", "alice", "bob")
    first = alice.says("red", id="m1")
    alice.is_refused("unavailable", id="m1")
    second = alice.says("red")
    alice.repeats(first)
    story.all_hear([alice, bob], (second, 1), (first, 2))
    assert every(story) == []


def test_a_kill_may_leave_messages_that_only_the_replay_shows() -> None:
    """Stored and not yet delivered when the server was killed: no gap, as a client reads it later."""
    story = Story()
    people = alice, bob = story.members("red", "alice", "bob")
    lines = [alice.says("red", id=f"m{n}") for n in range(3)]
    story.all_hear(people, (lines[0], 1))
    story.restarts("killed", *people)
    for person in people:
        person.joins("red", since=1, replay=[(lines[1], 2)])
    alice.repeats(lines[2])
    story.all_hear(people, (lines[2], 3))
    bob_line = bob.says("red")
    story.all_hear(people, (bob_line, 4))
    assert every(story) == []


# --- gap ------------------------------------------------------------------------------------------


def test_a_number_that_nobody_ever_saw() -> None:
    """The finding has the first missing number, the one after it, and how many there are."""
    story = Story()
    (alice,) = story.members("red", "alice")
    lines = [alice.says("red") for _ in range(4)]
    story.all_hear([alice], *zip(lines, (1, 2, 4, 7), strict=True))
    found = ordering.numbering(story.index, "red")
    params = {"room": "red", "missing": 3, "after": 4, "count": 3, "largest": 7}
    assert found == [Anomaly("gap", params, story.events[-3:-1])]
    assert names_of(found) == ["gap"]


def test_numbers_that_do_not_start_at_one() -> None:
    """A room that starts at 3 has a gap at the start."""
    story = Story()
    (alice,) = story.members("red", "alice")
    story.talk([alice], "red", 2, first=3)
    found = ordering.numbering(story.index, "red")
    assert names_of(found) == ["gap/start"]
    assert facts(found, "missing", "after", "count", "largest") == [1, 3, 2, 4]


def test_numbers_that_start_at_zero() -> None:
    """Zero is no number of a message."""
    story = Story()
    (alice,) = story.members("red", "alice")
    story.talk([alice], "red", 3, first=0)
    found = ordering.numbering(story.index, "red")
    assert names_of(found) == ["gap/zero"]
    assert facts(found, "number", "who") == [0, "alice"]


def test_numbers_may_be_huge() -> None:
    """A server that uses the time as a number is found at once;
    the numbers in between are not counted one by one.
    """
    story = Story()
    (alice,) = story.members("red", "alice")
    one, two = alice.says("red"), alice.says("red")
    story.all_hear([alice], (one, EPOCH), (two, EPOCH + 1000))
    found = ordering.numbering(story.index, "red")
    assert names_of(found) == ["gap/start"]
    assert facts(found, "missing", "after", "count") == [1, EPOCH, EPOCH + 1000 - 2]


# --- one number, two messages ---------------------------------------------------------------------


def test_one_number_for_two_messages() -> None:
    """The finding has both, their receivers, and how many numbers are used twice."""
    story = Story()
    alice, bob = story.members("red", "alice", "bob")
    one, two, three, four, five = (person.says("red") for person in (alice, bob, alice, bob, alice))
    bob.hears(one, 1)
    alice.hears(two, 1)
    evidence = [*_sent(story, one, two), *story.events[-2:]]
    story.all_hear([alice, bob], (three, 1), (four, 2), (five, 2), (bob.says("red"), 3))
    found = ordering.numbering(story.index, "red")
    params = {
        "room": "red",
        "sequence": 1,
        "who": "bob",
        "one": one.content,
        "other_who": "alice",
        "other": two.content,
        "count": 2,
    }
    assert found == [Anomaly("split_sequence", params, evidence)]
    assert names_of(found) == ["split_sequence"]
    assert names_of(ordering.order(story.index, "red")) == []


def test_members_who_see_different_messages_under_one_number() -> None:
    """It does not matter that each of them sees the number once."""
    story = Story()
    alice, bob = story.members("red", "alice", "bob")
    one, two = alice.says("red"), bob.says("red")
    story.all_hear([alice], (one, 1), (two, 2))
    story.all_hear([bob], (two, 1), (one, 2))
    found = ordering.numbering(story.index, "red")
    assert names_of(found) == ["split_sequence"]
    assert facts(found, "sequence", "who", "other_who", "count") == [1, "alice", "bob", 2]


@pytest.mark.parametrize("how", ["asked_to_stop", "killed"])
def test_numbering_that_starts_again_after_a_restart(how: str) -> None:
    """A number belongs to one message before a restart and to another after it; the last start is shown."""
    story = Story()
    people = alice, bob = story.members("red", "alice", "bob")
    old = [(alice.says("red"), n) for n in (1, 2)]
    bob.hears(*old[0])
    first = story.last
    story.all_hear([alice, bob], *old)
    story.restarts(how, *people)
    for _ in range(2):
        story.ends(how)
        start = story.server("ready")
    for person in people:
        person.joins("red", since=2)
    new = [(bob.says("red"), n) for n in (1, 2)]
    alice.hears(*new[0])
    evidence = [*_sent(story, old[0][0], new[0][0]), first, start, story.last]
    story.all_hear([alice, bob], *new)
    found = ordering.numbering(story.index, "red")
    params = {
        "room": "red",
        "sequence": 1,
        "who": "bob",
        "one": old[0][0].content,
        "other_who": "alice",
        "other": new[0][0].content,
        "count": 2,
        "goes_on": 1,
    }
    assert found == [Anomaly("sequence_reset", params, evidence)]
    assert names_of(found) == ["sequence_reset"]


def _sent(story: Story, *lines: Line) -> list[Event]:
    """When these lines were said."""
    return [
        e for e in story.events if isinstance(e, Sent) and any(line.tag in str(e.frame) for line in lines)
    ]


@pytest.mark.parametrize("variant", ["", "later", "stands_still"])
def test_when_a_message_was_sent_that_has_the_number_of_another(variant: str) -> None:
    """While the other was under way, or only after that had been received: the causes differ."""
    story = Story()
    alice, bob = story.members("red", "alice", "bob")
    one = alice.says("red")
    if variant:
        alice.hears(one, 1)
    two = bob.says("red")
    story.all_hear([alice, bob], (one, 1), (two, 1))
    if variant != "stands_still":
        story.all_hear([alice, bob], (alice.says("red"), 2))
    (found,) = ordering.numbering(story.index, "red")
    assert (found.name, found.variant) == ("split_sequence", variant)
    assert names_of([found])
    assert _sent(story, one, two) == [event for event in found.evidence if isinstance(event, Sent)]


@pytest.mark.parametrize(("stored", "variant"), [(False, "gap/joins"), (True, "gap/notice")])
def test_announcements_that_have_numbers(stored: bool, variant: str) -> None:
    """As many numbers are missing as there were joins; or a page shows an announcement under one of them."""
    story = Story()
    alice, bob = story.members("red", "alice", "bob")
    said = (alice.says("red"), 3)
    story.all_hear([alice, bob], said)
    if stored:
        notice = Line("t", "red", "system", "bob joined", None, "server-2", EPOCH)
        bob.reads("red", [(notice, 2), said])
    found = ordering.numbering(story.index, "red")
    assert names_of(found) == [variant]


@pytest.mark.parametrize(("also", "variant"), [(4, "gap/rooms"), (1, "gap")])
def test_rooms_that_share_a_counter(also: int, variant: str) -> None:
    """What is missing in one is in the other, which is shown; unless both have used the same number."""
    story = Story()
    (alice,) = story.members("red", "alice")
    alice.joins("blue")
    alice.hears(alice.says("red"), 1)
    alice.hears(alice.says("blue"), 2)
    elsewhere = story.last
    alice.hears(alice.says("red"), 3)
    alice.hears(alice.says("blue"), also)
    found = ordering.numbering(story.index, "red")
    assert names_of(found) == [variant]
    assert (elsewhere in found[0].evidence) == (variant == "gap/rooms")


def test_numbers_used_twice_at_once_and_over_a_restart_are_two_findings() -> None:
    """They are different mistakes, and each is reported once."""
    story = Story()
    (alice,) = story.members("red", "alice")
    lines = [alice.says("red") for _ in range(4)]
    story.all_hear([alice], *zip(lines, (1, 2, 2, 3), strict=True))
    story.restarts("killed", alice)
    alice.joins("red", since=3)
    story.talk([alice], "red", 1, first=3)
    assert names_of(ordering.numbering(story.index, "red")) == ["split_sequence", "sequence_reset/behind"]


def test_numbers_that_go_to_what_is_sent_again_count() -> None:
    """Numbering goes on where the first message after the start is, though it was sent before, too."""
    story = Story()
    (alice,) = story.members("red", "alice")
    story.talk([alice], "red", 3)
    lost = alice.says("red", id="lost")
    story.restarts("killed", alice)
    alice.joins("red", since=3)
    alice.repeats(lost)
    alice.hears(lost, 2)
    story.talk([alice], "red", 1, first=3)
    (found,) = ordering.numbering(story.index, "red")
    assert (found.name, found.variant, found.params["goes_on"]) == ("sequence_reset", "behind", 2)


def test_messages_from_before_the_restart_are_no_reset() -> None:
    """Two messages that were both sent before it have the same number by a race, not by the restart."""
    story = Story()
    people = alice, bob = story.members("red", "alice", "bob")
    one, two = alice.says("red"), bob.says("red")
    alice.hears(one, 1)
    story.restarts("asked_to_stop", *people)
    bob.joins("red", since=0, replay=[(two, 1)])
    assert names_of(ordering.numbering(story.index, "red")) == ["split_sequence"]


def test_unknown_contents_are_distinguished_by_their_text() -> None:
    """Without a tag, another content is another message, also over a restart; with one, it is the same."""
    story = Story()
    alice, bob = story.members("red", "alice", "bob")
    line = story.line(alice, "red")
    alice.hears(line, 1, content="one")
    bob.hears(line, 1, content="other")
    assert names_of(ordering.numbering(story.index, "red")) == ["split_sequence"]
    story = Story()
    (alice,) = story.members("red", "alice")
    alice.hears(line, 1, content="one")
    story.restarts("killed", alice)
    alice.hears(line, 1, content="other")
    assert names_of(ordering.numbering(story.index, "red")) == ["sequence_reset"]
    story = Story()
    alice, bob = story.members("red", "alice", "bob")
    line = alice.says("red", "text ")
    alice.hears(line, 1)
    bob.hears(line, 1, content=line.content.strip())
    assert names_of(ordering.numbering(story.index, "red")) == []


# --- reorder --------------------------------------------------------------------------------------


def test_a_member_that_receives_a_lower_number_later() -> None:
    """The finding has the client, the two numbers, and how often."""
    story = Story()
    alice, bob = story.members("red", "alice", "bob")
    lines = [alice.says("red") for _ in range(5)]
    story.all_hear([alice], *zip(lines, range(1, 6), strict=True))
    received = story.events[-5:]
    story.all_hear([bob], *((lines[n - 1], n) for n in (1, 4, 2, 3, 5)))
    found = ordering.order(story.index, "red")
    params = {"who": "bob", "room": "red", "first": 4, "then": 2, "count": 2}
    in_order = [received[1], received[3]]
    assert found == [Anomaly("reorder", params, [*in_order, *story.events[-4:-2]], "some")]
    assert names_of(found) == ["reorder/some"]


def test_all_members_that_receive_a_lower_number_later() -> None:
    """Then nobody shows that the messages were published in their order."""
    story = Story()
    people = alice, _ = story.members("red", "alice", "bob")
    one, two = alice.says("red"), alice.says("red")
    story.all_hear(people, (two, 2), (one, 1))
    found = ordering.by_receivers(story.index, "red")
    assert names_of(found) == ["reorder", "reorder"]
    assert [len(each.evidence) for each in found] == [2, 2]


def test_a_number_that_comes_twice_in_a_row_is_not_out_of_order() -> None:
    """That is reported as a duplicate, or as one number for two messages."""
    story = Story()
    alice, bob = story.members("red", "alice", "bob")
    one, two = alice.says("red"), alice.says("red")
    story.all_hear([alice], (one, 1), (one, 1), (two, 1))
    story.all_hear([bob], (two, 1))
    assert names_of(ordering.order(story.index, "red")) == []


def test_the_answer_to_a_retry_does_not_hide_what_comes_after_it() -> None:
    """It is left out itself, and the other messages must keep their order."""
    story = Story()
    (alice,) = story.members("red", "alice")
    lines = [alice.says("red", id=f"m{n}") for n in range(1, 4)]
    alice.hears(lines[0], 1)
    alice.repeats(lines[0])
    alice.hears(lines[0], 1)
    story.all_hear([alice], (lines[2], 3), (lines[1], 2))
    found = ordering.order(story.index, "red")
    assert names_of(found) == ["reorder"]
    assert facts(found, "who", "first", "then") == ["alice", 3, 2]


def test_a_retry_does_not_excuse_the_first_delivery() -> None:
    """What came out of order before it was sent again did not answer that."""
    story = Story()
    alice, bob = story.members("red", "alice", "bob")
    one, two = alice.says("red", id="m1"), bob.says("red")
    story.all_hear([bob], (one, 1), (two, 2))
    story.all_hear([alice], (two, 2), (one, 1))
    alice.repeats(one)
    alice.hears(one, 1)
    found = ordering.order(story.index, "red")
    assert names_of(found) == ["reorder/some"]
    assert facts(found, "who", "first", "then") == ["alice", 2, 1]


def test_messages_of_one_connection_that_overtake_each_other() -> None:
    """All receive the same order, and it is not that of their sending; one of them is reported."""
    story = Story()
    alice, bob = story.members("red", "alice", "bob")
    one, two = alice.says("red", "one"), alice.says("red", "two")
    sent = story.events[-2:]
    bob.hears(two, 1)
    heard = story.last
    bob.hears(one, 2)
    story.all_hear([alice], (two, 1), (one, 2))
    three, four = bob.says("red"), bob.says("red")
    story.all_hear([alice, bob], (four, 3), (three, 4))
    found = ordering.order(story.index, "red")
    contents = {"one": one.content, "other": two.content}
    params = {"who": "alice", "room": "red", "first": 2, "then": 1, **contents}
    assert found == [Anomaly("reorder", params, [*sent, heard], "sender")]
    assert names_of(found) == ["reorder/sender"]


def test_at_most_three_receivers_are_reported() -> None:
    """A hundred members that receive the wrong order are not a hundred findings."""
    story = Story()
    people = story.members("red", *"abcdef")
    one, two = people[0].says("red"), people[1].says("red")
    story.all_hear(people, (two, 2), (one, 1))
    assert names_of(ordering.order(story.index, "red")) == ["reorder"] * 3
