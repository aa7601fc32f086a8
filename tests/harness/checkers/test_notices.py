"""Joins and leaves are announced to those in the room."""

from __future__ import annotations

import pytest

from harness.checkers import notices
from harness.checkers.catalogue import Anomaly
from harness.checkers.notices import SOON
from harness.history.events import Fault, Sent
from tests.harness.stories import Person, Story, facts, names_of


def every(story: Story, room: str = "red") -> list[str]:
    """What all checkers of this file find in a room."""
    log = story.index
    found = [*notices.missing(log, room, "joined"), *notices.missing(log, room, "left")]
    return names_of([*found, *notices.unjustified(log, room)])


def joins(person: Person, *witnesses: Person, room: str = "red") -> None:
    """A client joins, and these receive a notice."""
    person.asks_to_join(room)
    for witness in witnesses:
        witness.gets_notice(room, f"{person.user} has joined, welcome!")
    person.is_member(room)


def leaves(person: Person, *witnesses: Person, how: str = "leaves", room: str = "red") -> None:
    """A client goes, in some way, and these receive a notice."""
    match how:
        case "leaves":
            person.leaves(room)
        case "closes":
            person.closes()
        case "is_cut":
            person.is_cut()
        case "vanishes":
            person.faults("go_silent")
            person.story.passes(2)
    for witness in witnesses:
        witness.gets_notice(room, f"* {person.user} left")


# --- right histories ------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["leaves", "closes", "is_cut", "vanishes"])
def test_every_way_to_come_and_go_may_be_announced(how: str) -> None:
    """Those in the room are notified in words of the server's choice, and nobody else needs to be."""
    story = Story()
    alice, bob, carol = story.clients("alice", "bob", "carol")
    joins(alice)
    joins(bob, alice)
    joins(carol, alice, bob)
    leaves(carol, alice, bob, how=how)
    leaves(bob, alice)
    assert every(story) == []
    assert notices.heard(story.index, "red") == 6
    assert notices.heard(story.index, "blue") == 0


def test_an_empty_history_has_nothing_wrong() -> None:
    """No events, no findings."""
    assert every(Story()) == []


def test_a_client_that_joins_may_be_notified_too() -> None:
    """Whether it gets its own notice is the server's choice."""
    story = Story()
    alice, bob = story.clients("alice", "bob")
    joins(alice, alice)
    joins(bob, bob, alice)
    assert every(story) == []


def test_the_notice_of_a_join_may_come_after_the_user_is_gone_again() -> None:
    """Both notices are in flight when the user has left: two came, so both were sent."""
    story = Story()
    alice, bob = story.clients("alice", "bob")
    joins(alice)
    joins(bob)
    bob.closes()
    alice.gets_notice("red", "bob joined")
    alice.gets_notice("red", "bob left")
    assert every(story) == []


def test_the_second_connection_of_a_user_need_not_be_announced() -> None:
    """Neither its coming nor the first one's going, as only the last connection counts."""
    story = Story()
    alice, one, two = story.client("alice"), story.client("tina"), story.client("tina")
    joins(alice)
    joins(one, alice)
    joins(two)
    one.is_cut()
    assert every(story) == []
    leaves(two, alice)
    assert every(story) == []


@pytest.mark.parametrize(
    ("seconds", "names"),
    [(0.5, []), (1.75, []), (2.0, ["missing_notice/joined", "missing_notice/left_silent"])],
)
def test_a_client_back_before_its_loss_was_noticed_need_not_be_announced(
    seconds: float, names: list[str]
) -> None:
    """A server may see the new connection first, until the timeout and an interval are over."""
    story = Story()
    alice, bob = story.clients("alice", "bob")
    joins(alice)
    joins(bob, alice)
    story.next_at(2.0)
    bob.faults("go_silent")
    bob.connects()
    story.next_at(2.0 + seconds)
    joins(bob)
    assert every(story) == names


def test_a_disturbed_client_may_miss_notices() -> None:
    """Neither one that is cut later, nor a silent one, nor one that does not read is a witness."""
    for fault in ("reset", "go_silent", "stop_reading"):
        story = Story()
        alice, bob = story.clients("alice", "bob")
        joins(alice)
        joins(bob)
        alice.faults(fault)
        bob.gets_notice("red", "alice left")
        assert every(story) == []


def test_the_end_of_the_server_is_not_announced() -> None:
    """When the server ends, everybody leaves, and nobody can be notified."""
    for how in ("killed", "asked_to_stop", "died", "hung"):
        story = Story()
        alice, bob = story.clients("alice", "bob")
        joins(alice)
        joins(bob, alice)
        story.ends(how, alice, bob)
        assert every(story) == []


def test_a_client_that_left_before_the_notice_was_sent_may_miss_it() -> None:
    """A witness that left at the same time is excused, also if nobody else was there to be notified."""
    story = Story()
    alice, bob, carol = story.clients("alice", "bob", "carol")
    joins(alice)
    joins(bob, alice)
    joins(carol)
    bob.leaves("red")
    alice.gets_notice("red", "carol joined, then bob left")
    alice.gets_notice("red", "bob left")
    carol.gets_notice("red", "bob left")
    assert every(story) == []
    story = Story()
    alice, bob = story.clients("alice", "bob")
    joins(alice)
    joins(bob)
    leaves(alice, bob)
    assert every(story) == []


@pytest.mark.parametrize(("seconds", "names"), [(0.5, []), (1.25, ["missing_notice/joined"])])
def test_a_client_that_closed_soon_after_a_notice_may_miss_it(seconds: float, names: list[str]) -> None:
    """Within a second, a notice may have been in flight when nobody read it any more."""
    story = Story()
    alice, bob, carol = story.clients("alice", "bob", "carol")
    joins(alice)
    joins(bob, alice)
    story.passes(3)
    joins(carol, alice)
    story.passes(seconds)
    bob.closes()
    for person in (alice, carol):
        person.gets_notice("red", "bob left")
    assert every(story) == names


def test_changes_at_one_time_may_be_announced_at_that_time() -> None:
    """And a client that comes or goes at that very time need not be notified."""
    story = Story()
    alice, bob, carol = story.clients("alice", "bob", "carol")
    joins(alice)
    bob.asks_to_join("red")
    with story.moment():
        alice.gets_notice("red", "bob joined")
        bob.is_member("red")
        joins(carol, alice)
    assert every(story) == []
    with story.moment():
        carol.leaves("red")
        alice.gets_notice("red", "carol left")
        bob.leaves("red")
    alice.gets_notice("red", "bob left")
    assert every(story) == []
    joins(bob, alice)
    joins(carol, alice, bob)
    carol.leaves("red")
    with story.moment():
        alice.gets_notice("red", "carol left")
        bob.leaves("red")
    alice.gets_notice("red", "bob left")
    assert every(story) == []


def test_a_server_may_announce_a_drop_before_it_closes() -> None:
    """After a timeout, the notice may arrive before the dropped client sees its connection closed."""
    story = Story()
    alice, bob = story.clients("alice", "bob")
    joins(alice)
    joins(bob, alice)
    bob.sends({"type": "heartbeat"})
    story.passes(2)
    alice.gets_notice("red", "bob left")
    alice.sends({"type": "heartbeat"})
    bob.is_dropped(1001)
    assert every(story) == []


def test_a_notice_that_comes_late_is_not_taken_for_another_change() -> None:
    """That of a join may arrive after one of two connections was lost: so many of them were due."""
    story = Story()
    alice, one, two = story.client("alice"), story.client("tina"), story.client("tina")
    joins(alice)
    joins(one)
    joins(two)
    one.is_cut()
    alice.gets_notice("red", "tina has joined, welcome!")
    assert every(story) == []


def test_notices_of_a_user_with_one_connection_are_justified() -> None:
    """Nothing is sent too early about a user who left, came back, or left with both of two connections."""
    story = Story()
    alice, bob = story.clients("alice", "bob")
    joins(alice)
    joins(bob, alice)
    leaves(bob, alice)
    joins(bob, alice)
    alice.gets_notice("red", "bob has been here before")
    assert names_of(notices.unjustified(story.index, "red")) == []
    story = Story()
    alice, one, two = story.client("alice"), story.client("tina"), story.client("tina")
    joins(alice)
    joins(one, alice)
    joins(two)
    one.is_cut()
    leaves(two, alice)
    alice.gets_notice("red", "we shall miss tina")
    assert names_of(notices.unjustified(story.index, "red")) == []


# --- missing --------------------------------------------------------------------------------------


def test_a_join_that_one_member_is_not_notified_of() -> None:
    """The finding says who was not notified about whom, and shows the `join`."""
    story = Story()
    alice, bob, carol = story.clients("alice", "bob", "carol")
    joins(alice)
    joins(bob, alice)
    carol.sends({"type": "heartbeat"})
    with story.moment():
        carol.asks_to_join("red")
        join = story.last
        alice.gets_notice("red", "carol joined")
        carol.is_member("red")
    found = notices.missing(story.index, "red", "joined")
    params = {"who": "bob", "subject": "carol", "room": "red"}
    assert found == [Anomaly("missing_notice", params, [join], "joined")]
    assert names_of(found) == ["missing_notice/joined"]
    assert notices.missing(story.index, "red", "left") == []


def test_a_member_that_came_later_must_be_notified_too() -> None:
    """All who are there are witnesses, whenever they came."""
    story = Story()
    alice, bob, carol = story.clients("alice", "bob", "carol")
    joins(alice)
    joins(bob, alice)
    joins(carol, alice, bob)
    leaves(bob, alice)
    assert facts(notices.missing(story.index, "red", "left"), "who", "subject") == ["carol", "bob"]


def test_a_notice_missing_before_or_after_the_end_of_the_server_is_missing() -> None:
    """Only what ended with it is excused; a change half a second before, or after the restart, is not."""
    story = Story()
    people = alice, bob, carol = story.clients("alice", "bob", "carol")
    joins(alice)
    joins(bob, alice)
    story.passes(3)
    joins(carol, alice)
    bob.leaves("red")
    for person in (alice, carol):
        person.gets_notice("red", "bob left")
    story.passes(0.5)
    assert every(story) == ["missing_notice/joined"]
    story.restarts("asked_to_stop", *people)
    assert every(story) == ["missing_notice/joined"]
    joins(alice)
    joins(bob)
    found = notices.missing(story.index, "red", "joined")
    assert [each.params["subject"] for each in found] == ["carol", "bob"]


def test_one_notice_does_not_announce_two_changes() -> None:
    """Not even if it comes at the time of the second."""
    story = Story()
    alice, bob = story.clients("alice", "bob")
    joins(alice)
    joins(bob)
    with story.moment():
        bob.asks_to_leave("red")
        alice.gets_notice("red", "bob …")
    assert every(story) == ["missing_notice/joined"]


def test_a_user_whose_two_connections_are_lost_at_once_is_gone() -> None:
    """Neither of them is left to keep the user present."""
    story = Story()
    alice, one, two = story.client("alice"), story.client("tina"), story.client("tina")
    joins(alice)
    joins(one, alice)
    joins(two)
    with story.moment():
        one.is_cut()
        two.is_cut()
    assert every(story) == ["missing_notice/left_broken"]


@pytest.mark.parametrize(
    ("how", "variant"),
    [("leaves", "left"), ("closes", "left_closed"), ("is_cut", "left_broken"), ("vanishes", "left_silent")],
)
def test_a_leave_that_nobody_is_notified_of(how: str, variant: str) -> None:
    """Each way to leave has to be announced, and the finding says which one was not, and shows it."""
    story = Story()
    alice, bob = story.clients("alice", "bob")
    joins(alice)
    joins(bob, alice)
    leaves(bob, how=how)
    found = notices.missing(story.index, "red", "left")
    assert names_of(found) == [f"missing_notice/{variant}"]
    assert facts(found, "who", "subject") == ["alice", "bob"]
    assert isinstance(found[0].evidence[0], Sent if variant == "left" else Fault)
    assert notices.missing(story.index, "red", "joined") == []


def test_the_notice_of_a_leave_does_not_announce_the_join() -> None:
    """A server that announces only leaves is found, although each user was named once."""
    story = Story()
    alice, bob = story.clients("alice", "bob")
    joins(alice)
    joins(bob)
    leaves(bob, alice)
    assert every(story) == ["missing_notice/joined"]


def test_the_notice_of_a_return_does_not_announce_the_leave() -> None:
    """A server that announces only joins is found, although the user was named after it had left."""
    story = Story()
    alice, bob = story.clients("alice", "bob")
    joins(alice)
    joins(bob, alice)
    leaves(bob, how="vanishes")
    story.passes(3)
    bob.connects()
    joins(bob, alice)
    assert every(story) == ["missing_notice/left_silent"]


def test_a_notice_of_another_room_or_of_before_does_not_count() -> None:
    """It has to be in this room, and after the change."""
    story = Story()
    alice, bob = story.clients("alice", "bob")
    joins(alice)
    alice.gets_notice("red", "bob will join")
    joins(bob)
    alice.gets_notice("blue", "bob joined")
    assert every(story) == ["missing_notice/joined"]


def test_a_client_that_left_after_the_notice_should_have_received_it() -> None:
    """That a witness left later than the notice is no excuse."""
    story = Story()
    alice, bob, carol = story.clients("alice", "bob", "carol")
    joins(alice)
    joins(bob, alice)
    joins(carol, alice)
    bob.leaves("red")
    alice.gets_notice("red", "bob left")
    carol.gets_notice("red", "bob left")
    found = notices.missing(story.index, "red", "joined")
    assert names_of(found) == ["missing_notice/joined"]
    assert facts(found, "who", "subject") == ["bob", "carol"]


def test_each_user_is_reported_once() -> None:
    """A server that announces nothing has a finding for each user, and not for each pair."""
    story = Story()
    for person in story.clients(*"abcde"):
        joins(person)
    found = notices.missing(story.index, "red", "joined")
    assert names_of(found) == ["missing_notice/joined"] * 4
    assert [each.params["subject"] for each in found] == list("bcde")
    assert {each.params["who"] for each in found} == {"a"}


# --- unjustified ----------------------------------------------------------------------------------


def test_a_user_is_said_to_have_left_while_another_connection_is_there() -> None:
    """The finding names the user and the receiver; one is enough."""
    story = Story()
    alice, one, two = story.client("alice"), story.client("tina"), story.client("tina")
    dora, other = story.client("dora"), story.client("dora")
    joins(alice)
    joins(one, alice)
    joins(two)
    joins(dora, alice)
    joins(other)
    begin = len(story.events)
    with story.moment():
        leaves(one, alice, how="is_cut")
        cut, notice = story.events[begin], story.last
    leaves(dora, alice, how="is_cut")
    found = notices.unjustified(story.index, "red")
    params = {"who": "alice", "subject": "tina", "room": "red", "how": "reset"}
    assert found == [Anomaly("premature_offline", params, [cut, notice], "notice")]
    assert names_of(found) == ["premature_offline/notice"]


def test_the_end_of_a_server_is_no_reason_to_announce_a_leave() -> None:
    """After a restart as many notices about a user are due as it has come and gone for other reasons."""
    story = Story()
    alice, one = story.clients("alice", "tina")
    joins(alice)
    joins(one, alice)
    story.restarts("asked_to_stop", alice, one)
    two = story.client("tina")
    joins(alice)
    joins(one, alice)
    joins(two)
    begin = len(story.events)
    one.is_cut()
    cut = story.events[begin]
    alice.gets_notice("red", "tina has lost a connection")
    alice.gets_notice("red", "* tina left")
    found = notices.unjustified(story.index, "red")
    assert names_of(found) == ["premature_offline/notice"]
    assert found[0].evidence == [cut, story.last]


def test_a_notice_about_another_user_may_name_those_present() -> None:
    """The words are the server's choice, and may list the others in the room."""
    story = Story()
    alice, one, two, rhea = (story.client(name) for name in ("alice", "tina", "tina", "rhea"))
    joins(alice)
    joins(one, alice)
    joins(two)
    one.is_cut()
    joins(rhea)
    for person in (alice, two):
        person.gets_notice("red", "rhea joined; here are alice, tina")
    assert every(story) == []


# --- repeated -------------------------------------------------------------------------------------


def test_a_second_join_that_is_announced() -> None:
    """It changes nothing, so there is nothing to announce."""
    story = Story()
    alice, bob = story.clients("alice", "bob")
    joins(alice)
    with story.moment():
        joins(bob)
    alice.gets_notice("red", "bob joined")
    assert names_of(notices.repeated(story.index, "red")) == []
    joins(bob, alice)
    found = notices.repeated(story.index, "red")
    params = {"who": "alice", "subject": "bob", "room": "red"}
    assert found == [Anomaly("duplicate", params, story.events[-3:-1], "notice")]
    assert names_of(found) == ["duplicate/notice"]


@pytest.mark.parametrize(
    ("seconds", "leaves", "count"), [(0.0, False, 0), (0.75, False, 1), (0.75, True, 0), (SOON, False, 0)]
)
def test_which_notices_belong_to_a_second_join(seconds: float, leaves: bool, count: int) -> None:
    """They come after that join, less than a second later, and before the user has left."""
    story = Story()
    alice, bob = story.members("red", "alice", "bob")
    story.next_at(2.0)
    bob.asks_to_join("red")
    with story.moment(2.0 + seconds):
        if leaves:
            bob.asks_to_leave("red")
        alice.gets_notice("red", "bob …")
    assert names_of(notices.repeated(story.index, "red")) == ["duplicate/notice"] * count


def test_what_is_announced_after_a_second_join_for_another_reason() -> None:
    """Leaving, coming back, another user's coming, and whatever is announced much later."""
    story = Story()
    alice, bob, carol = story.clients("alice", "bob", "carol")
    joins(alice)
    joins(bob, alice)
    bob.joins("red")
    bob.joins("blue")
    carol.asks_to_join("red")
    alice.gets_notice("red", "carol joined; here are alice, bob")
    carol.is_member("red")
    story.passes(2)
    alice.gets_notice("red", "bob has a birthday")
    leaves(bob, alice)
    joins(bob, alice)
    assert names_of(notices.repeated(story.index, "red")) == []
