"""Joining and leaving are announced to who is in the room."""

from __future__ import annotations

import pytest

from harness.checkers import notices
from tests.harness.stories import Person, Story, facts, told


def every(story: Story, room: str = "red") -> list[str]:
    """What all checkers of this file find in a room."""
    log = story.log
    found = [*notices.missing(log, room, "joined"), *notices.missing(log, room, "left")]
    return told([*found, *notices.unjustified(log, room)])


def joins(person: Person, *witnesses: Person, room: str = "red") -> None:
    """Somebody joins, and these are told."""
    person.asks_to_join(room)
    for witness in witnesses:
        witness.is_told(room, f"{person.user} has joined, welcome!")
    person.is_member(room)


def leaves(person: Person, *witnesses: Person, how: str = "leaves", room: str = "red") -> None:
    """Somebody goes, in some way, and these are told."""
    match how:
        case "leaves":
            person.leaves(room)
        case "closes":
            person.closes()
        case "is_cut":
            person.is_cut()
        case "vanishes":
            person.faults("vanish")
            person.story.passes(2)
    for witness in witnesses:
        witness.is_told(room, f"* {person.user} left")


# --- right histories ------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["leaves", "closes", "is_cut", "vanishes"])
def test_every_way_to_come_and_go_may_be_announced_rightly(how: str) -> None:
    """Those who are there are told in words of the server's choice, and nobody else needs to be."""
    story = Story()
    alice, bob, carol = story.clients("alice", "bob", "carol")
    joins(alice)
    joins(bob, alice)
    joins(carol, alice, bob)
    leaves(carol, alice, bob, how=how)
    leaves(bob, alice)
    assert every(story) == []
    assert notices.heard(story.log, "red") == 6
    assert notices.heard(story.log, "blue") == 0


def test_an_empty_history_has_nothing_wrong() -> None:
    """No events, no findings."""
    assert every(Story()) == []


def test_who_joins_may_be_told_of_it_too() -> None:
    """The subject's own copy is its server's choice."""
    story = Story()
    alice, bob = story.clients("alice", "bob")
    joins(alice, alice)
    joins(bob, bob, alice)
    assert every(story) == []


def test_the_notice_of_a_join_may_come_after_the_user_is_gone_again() -> None:
    """Both announcements are on their way when the user has left: two came, so both were made."""
    story = Story()
    alice, bob = story.clients("alice", "bob")
    joins(alice)
    joins(bob)
    bob.closes()
    alice.is_told("red", "bob joined")
    alice.is_told("red", "bob left")
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


def test_who_is_back_before_the_loss_was_noticed_need_not_be_announced() -> None:
    """A server may see the new connection first: then the user was never gone."""
    story = Story()
    alice, bob = story.clients("alice", "bob")
    joins(alice)
    joins(bob, alice)
    bob.is_cut()
    bob.connects()
    joins(bob)
    assert every(story) == []


def test_who_is_disturbed_may_miss_announcements() -> None:
    """Neither one that is cut later, nor one that vanished, nor one that does not read, is a witness."""
    for fault in ("reset", "vanish", "stop_reading"):
        story = Story()
        alice, bob = story.clients("alice", "bob")
        joins(alice)
        joins(bob)
        alice.faults(fault)
        bob.is_told("red", "alice left")
        assert every(story) == []


def test_the_end_of_the_server_is_not_announced() -> None:
    """When the server ends, everybody goes, and nobody can be told."""
    for how in ("killed", "asked_to_stop", "died", "hung"):
        story = Story()
        alice, bob = story.clients("alice", "bob")
        joins(alice)
        joins(bob, alice)
        story.ends(how, alice, bob)
        assert every(story) == []


def test_who_was_gone_before_anybody_was_told_could_not_be_told() -> None:
    """A witness that left at the same time is excused; one that was still there is not."""
    story = Story()
    alice, bob, carol = story.clients("alice", "bob", "carol")
    joins(alice)
    joins(bob, alice)
    joins(carol)
    bob.leaves("red")
    alice.is_told("red", "carol joined, then bob left")
    alice.is_told("red", "bob left")
    carol.is_told("red", "bob left")
    assert every(story) == []


def test_a_server_that_drops_somebody_may_tell_the_others_first() -> None:
    """After a time-out, the announcement may arrive before the dropped client sees its connection closed."""
    story = Story()
    alice, bob = story.clients("alice", "bob")
    joins(alice)
    joins(bob, alice)
    bob.sends({"type": "heartbeat"})
    story.passes(2)
    alice.is_told("red", "bob left")
    bob.is_dropped(1001)
    assert every(story) == []


# --- missing --------------------------------------------------------------------------------------


def test_a_join_that_somebody_was_not_told_of() -> None:
    """The finding names who was not told of whom, and shows the `join`."""
    story = Story()
    alice, bob, carol = story.clients("alice", "bob", "carol")
    joins(alice)
    joins(bob, alice)
    joins(carol, alice)
    found = notices.missing(story.log, "red", "joined")
    assert told(found) == ["missing_notice/joined"]
    assert facts(found, "who", "subject", "room") == ["bob", "carol", "red"]
    assert len(found[0].evidence) == 1
    assert notices.missing(story.log, "red", "left") == []


@pytest.mark.parametrize("how", ["leaves", "closes", "is_cut", "vanishes"])
def test_a_leave_that_nobody_was_told_of(how: str) -> None:
    """Each way to go has to be announced."""
    story = Story()
    alice, bob = story.clients("alice", "bob")
    joins(alice)
    joins(bob, alice)
    leaves(bob, how=how)
    found = notices.missing(story.log, "red", "left")
    assert told(found) == ["missing_notice/left"]
    assert facts(found, "who", "subject") == ["alice", "bob"]
    assert notices.missing(story.log, "red", "joined") == []


def test_the_notice_of_a_leave_does_not_announce_the_join() -> None:
    """A server that announces leaving only is found out, although each user was named once."""
    story = Story()
    alice, bob = story.clients("alice", "bob")
    joins(alice)
    joins(bob)
    leaves(bob, alice)
    assert every(story) == ["missing_notice/joined"]


def test_the_notice_of_a_return_does_not_announce_the_leave() -> None:
    """A server that announces joining only is found out, although the user was named after it had gone."""
    story = Story()
    alice, bob = story.clients("alice", "bob")
    joins(alice)
    joins(bob, alice)
    leaves(bob, how="vanishes")
    story.passes(3)
    bob.connects()
    joins(bob, alice)
    assert every(story) == ["missing_notice/left"]


def test_a_notice_of_another_room_or_of_before_does_not_count() -> None:
    """It has to be in this room, and after the change."""
    story = Story()
    alice, bob = story.clients("alice", "bob")
    joins(alice)
    alice.is_told("red", "bob will join")
    joins(bob)
    alice.is_told("blue", "bob joined")
    assert every(story) == ["missing_notice/joined"]


def test_who_left_after_others_were_told_should_have_been_told_too() -> None:
    """A witness that went away later than the announcement is no excuse."""
    story = Story()
    alice, bob, carol = story.clients("alice", "bob", "carol")
    joins(alice)
    joins(bob, alice)
    joins(carol, alice)
    bob.leaves("red")
    alice.is_told("red", "bob left")
    carol.is_told("red", "bob left")
    found = notices.missing(story.log, "red", "joined")
    assert told(found) == ["missing_notice/joined"]
    assert facts(found, "who", "subject") == ["bob", "carol"]


def test_each_user_is_told_of_once() -> None:
    """A server that announces nothing at all is told so for each user, and not for each pair."""
    story = Story()
    for person in story.clients(*"abcde"):
        joins(person)
    found = notices.missing(story.log, "red", "joined")
    assert told(found) == ["missing_notice/joined"] * 4
    assert [each.params["subject"] for each in found] == list("bcde")
    assert {each.params["who"] for each in found} == {"a"}


# --- unjustified ----------------------------------------------------------------------------------


def test_a_user_is_said_to_have_left_while_another_connection_is_there() -> None:
    """The finding names the user, and who was told."""
    story = Story()
    alice, one, two = story.client("alice"), story.client("tina"), story.client("tina")
    joins(alice)
    joins(one, alice)
    joins(two)
    leaves(one, alice, two, how="is_cut")
    found = notices.unjustified(story.log, "red")
    assert told(found) == ["premature_offline/notice"]
    assert facts(found, "who", "subject", "room") == ["alice", "tina", "red"]


def test_a_notice_of_somebody_else_may_name_those_who_are_there() -> None:
    """The words are the server's choice, and may list the others in the room."""
    story = Story()
    alice, one, two, rhea = (story.client(name) for name in ("alice", "tina", "tina", "rhea"))
    joins(alice)
    joins(one, alice)
    joins(two)
    one.is_cut()
    joins(rhea)
    for person in (alice, two):
        person.is_told("red", "rhea joined; here are alice, tina")
    assert every(story) == []


# --- repeated -------------------------------------------------------------------------------------


def test_a_second_join_that_is_announced() -> None:
    """It changes nothing, so there is nothing to tell anybody."""
    story = Story()
    alice, bob = story.clients("alice", "bob")
    joins(alice)
    joins(bob, alice)
    assert told(notices.repeated(story.log, "red")) == []
    joins(bob, alice)
    found = notices.repeated(story.log, "red")
    assert told(found) == ["duplicate/notice"]
    assert facts(found, "who", "subject", "room") == ["alice", "bob", "red"]


def test_what_is_announced_after_a_second_join_for_another_reason() -> None:
    """Leaving, coming back, another user's coming, and whatever is announced much later."""
    story = Story()
    alice, bob, carol = story.clients("alice", "bob", "carol")
    joins(alice)
    joins(bob, alice)
    bob.joins("red")
    bob.joins("blue")
    carol.asks_to_join("red")
    alice.is_told("red", "carol joined; here are alice, bob")
    carol.is_member("red")
    story.passes(2)
    alice.is_told("red", "bob has a birthday")
    leaves(bob, alice)
    joins(bob, alice)
    assert told(notices.repeated(story.log, "red")) == []
