"""What survives the end of the server, and what must not come again."""

from __future__ import annotations

import json

import pytest

from harness.checkers import durability
from harness.checkers.catalogue import Anomaly
from harness.history.events import Received
from tests.harness.stories import Numbered, Person, Story, facts, names_of


def every(story: Story, room: str = "red") -> list[str]:
    """What all checkers of this file find in a room."""
    log = story.index
    return [
        *names_of(durability.lost_in_copy(log, room)),
        *names_of(durability.lost(log, room)),
        *names_of(durability.replayed_as_new(log, room)),
    ]


def room_of(count: int) -> tuple[Story, list[Person], list[Numbered]]:
    """A story in which two clients have sent and received `count` messages."""
    story = Story()
    story.server("ready")
    people = story.members("red", "alice", "bob")
    return story, people, story.talk(people, "red", count)


def _lost(story: Story, *, in_copy: bool) -> list[Anomaly]:
    return (durability.lost_in_copy if in_copy else durability.lost)(story.index, "red")


def reads_all(story: Story, said: list[Numbered], copy: bool = False) -> None:
    """A client reads the whole history, in pages of a hundred, until one is empty."""
    reader = story.client("reader", second=copy)
    since = 0
    while page := [each for each in said if each[1] > since][:100]:
        reader.reads("red", page, since=since)
        since = page[-1][1]
    reader.reads("red", [], since=since)


# --- right histories ------------------------------------------------------------------------------


def test_an_empty_history_has_nothing_wrong() -> None:
    """No events, no findings, no ends, no kills."""
    log = Story().index
    assert every(Story()) == []
    assert (durability.ends(log), durability.unacknowledged(log)) == ([], [])


@pytest.mark.parametrize("how", ["asked_to_stop", "killed"])
def test_everything_survives(how: str) -> None:
    """What was received is read again, from a copy and after the restart."""
    story, people, said = room_of(120)
    story.ends(how, *people)
    reads_all(story, said, copy=True)
    story.server("ready")
    for person in people:
        person.connects()
        person.joins("red", since=120, replay=[])
    said += story.talk(people, "red", 4, first=121)
    reads_all(story, said)
    assert every(story) == []
    assert len(durability.ends(story.index)) == 1


def test_unseen_messages_may_turn_out_to_be_stored_or_not() -> None:
    """After a kill in a burst, what nobody had received may be there, and need not be."""
    for stored in (0, 1, 2):
        story, people, said = room_of(3)
        alice, bob = people
        unseen = [(alice.says("red", id=f"m{n}"), 4 + n) for n in range(2)]
        story.restarts("killed", *people)
        for person in people:
            person.joins("red", since=3, replay=unseen[:stored])
        for line, number in unseen[stored:]:
            alice.repeats(line)
            story.all_hear([alice, bob], (line, number))
        reads_all(story, [*said, *unseen])
        assert every(story) == []
        assert durability.unacknowledged(story.index) == [2]


def test_a_page_of_newer_messages_says_nothing_of_older_ones() -> None:
    """Not even of the number after which it was asked for."""
    story, people, said = room_of(5)
    story.restarts("killed", *people)
    story.client("reader").reads("red", said[3:], since=3)
    assert every(story) == []


def test_pages_that_were_not_asked_for_lack_nothing() -> None:
    """A play that stops before the history was read says nothing about what is in it."""
    story, people, said = room_of(5)
    story.restarts("asked_to_stop", *people)
    for person in people:
        person.joins("red", since=5, replay=[])
    reader = story.client("reader")
    reader.reads("red", said[:2], limit=2, more=True)
    reader.asks_history("red", since=2)
    assert every(story) == []


def test_a_restart_that_fails_says_nothing_of_what_was_kept() -> None:
    """Pages that were read before the last end do not show what is there after it."""
    story, people, said = room_of(5)
    story.restarts("asked_to_stop", *people)
    for person in people:
        person.joins("red", since=5, replay=[])
    reads_all(story, said)
    story.ends("killed", *people)
    story.server("not_ready", why="silent")
    assert every(story) == []


def test_a_replay_with_since_need_not_be_complete() -> None:
    """It need not have messages that are older."""
    story, people, _ = room_of(5)
    story.restarts("killed", *people)
    line = story.line(people[0], "red")
    for person in people:
        person.joins("red", since=5, replay=[(line, 6)])
    assert every(story) == []


def test_since_beyond_the_newest_makes_new_messages_not_old() -> None:
    """After a restart that lost everything, numbers start again: what is sent then is new."""
    story, people, _ = room_of(5)
    story.restarts("killed", *people)
    for person in people:
        person.joins("red", since=5, replay=[])
    story.talk(people, "red", 3)
    assert names_of(durability.replayed_as_new(story.index, "red")) == []


def test_live_messages_of_an_earlier_stay_are_no_replay_of_a_later_one() -> None:
    """On the same connection, even if they came at the last moment."""
    story, people, _ = room_of(5)
    people[1].leaves("red")
    people[1].joins("red", since=5)
    story.talk(people, "red", 1, first=6)
    line = people[0].says("red")
    people[1].leaves("red")
    with story.moment():
        people[1].hears(line, 7)
        people[1].joins("red", since=7)
    assert every(story) == []


def test_the_answer_to_a_retry_may_be_old() -> None:
    """Sent before the kill, replayed by the join, and sent once more on request."""
    story, people, _ = room_of(2)
    alice, bob = people
    line = alice.says("red", id="m1")
    bob.hears(line, 3)
    story.restarts("killed", *people)
    alice.joins("red", since=3, replay=[])
    alice.repeats(line)
    alice.hears(line, 3)
    assert names_of(durability.replayed_as_new(story.index, "red")) == []


# --- lost after a crash ---------------------------------------------------------------------------


def test_messages_that_are_gone_after_a_restart() -> None:
    """The finding has the first of them, who had received it, and how many of how many are gone."""
    story, people, said = room_of(8)
    seen = next(heard.event for heard in story.index.heard if heard.message.sequence == 4)
    story.restarts("killed", *people)
    end = next(event for event in story.index.server if event.what == "killed")
    reads_all(story, [*said[:3], *said[5:7]])
    without = next(asked.event for asked, page in story.index.pages if page.messages)
    found = durability.lost(story.index, "red")
    params = {
        "who": "alice",
        "sequence": 4,
        "content": said[3][0].content,
        "room": "red",
        "count": 3,
        "of": 8,
    }
    assert found == [Anomaly("lost_after_crash", params, [seen, end, without])]
    assert names_of(found) == ["lost_after_crash"]


@pytest.mark.parametrize("kept", ["copy", "restarted"])
def test_the_copy_and_the_restarted_server_are_judged_separately(kept: str) -> None:
    """What one of the two has, the other may have lost;
    receiving it live once more proves nothing, either.
    """
    story, people, said = room_of(4)
    story.ends("killed", *people)
    reads_all(story, said if kept == "copy" else said[:2], copy=True)
    story.server("ready")
    for person in people:
        person.connects()
        person.joins("red", since=4)
    story.all_hear(people, *said)
    reads_all(story, said if kept == "restarted" else said[:2])
    assert names_of(_lost(story, in_copy=kept == "restarted")) == [
        "lost_after_crash/copy" if kept == "restarted" else "lost_after_crash"
    ]
    assert names_of(_lost(story, in_copy=kept == "copy")) == []


def test_the_last_number_of_a_page_may_be_the_lost_one() -> None:
    """If another message has that number now, the page that ends with it shows the loss."""
    story, people, said = room_of(3)
    story.restarts("killed", *people)
    new = (people[0].says("red"), 3)
    story.client("reader").reads("red", [*said[:2], new])
    assert facts(durability.lost(story.index, "red"), "sequence", "count") == [3, 1]


@pytest.mark.parametrize(
    ("kept", "variant"),
    [(4, "copy_since_start"), (7, "copy_newest"), (5, "copy"), (2, "copy"), (0, "copy_overwritten")],
)
def test_which_messages_are_not_in_the_copy(kept: int, variant: str) -> None:
    """All since the last start, only the newest, others; or there are other messages under their numbers."""
    story, people, said = room_of(4)
    story.restarts("asked_to_stop", *people)
    for person in people:
        person.joins("red", since=4)
    said += story.talk(people, "red", 4, first=5)
    there = said[:kept]
    if variant == "copy_overwritten":
        there = [(people[0].says("red"), number) for number in (1, 2)] + said[2:]
    story.ends("killed", *people)
    reads_all(story, there, copy=True)
    found = durability.lost_in_copy(story.index, "red")
    assert names_of(found) == [f"lost_after_crash/{variant}"]


def test_messages_that_are_not_in_the_copy() -> None:
    """The second server on a copy of the data does not have them."""
    story, people, said = room_of(4)
    story.ends("killed", *people)
    reads_all(story, said[:2], copy=True)
    found = durability.lost_in_copy(story.index, "red")
    assert names_of(found) == ["lost_after_crash/copy"]
    assert facts(found, "sequence", "count", "of") == [3, 2, 4]
    assert names_of(durability.lost(story.index, "red")) == []


def test_an_empty_history_after_the_restart() -> None:
    """Everything is gone, and a single empty page shows it."""
    story, people, _ = room_of(4)
    story.restarts("asked_to_stop", *people)
    people[0].reads("red", [])
    assert facts(durability.lost(story.index, "red"), "sequence", "count", "of") == [1, 4, 4]


def test_a_page_that_promises_no_more_is_the_end() -> None:
    """With `more` false, what is not in the page is not there."""
    story, people, said = room_of(4)
    story.restarts("asked_to_stop", *people)
    people[0].reads("red", said[:2], last=2, more=False)
    assert facts(durability.lost(story.index, "red"), "sequence", "count") == [3, 2]


def test_what_was_in_flight_when_the_server_was_killed_was_received() -> None:
    """Frames that a client reads from its socket after the kill had been sent before it."""
    story, people, said = room_of(2)
    alice, bob = people
    line = alice.says("red")
    story.server("killed")
    alice.hears(line, 3)
    for person in (alice, bob):
        person.is_dropped(1006)
    story.server("ready")
    reads_all(story, said)
    assert facts(durability.lost(story.index, "red"), "sequence", "of") == [3, 3]


def test_a_number_that_another_message_has_now_is_lost() -> None:
    """A server that forgets everything and starts counting again does not hide it by as many new messages."""
    story, people, _ = room_of(3)
    story.restarts("killed", *people)
    for person in people:
        person.joins("red", since=3, replay=[])
    new = story.talk(people, "red", 4)
    reads_all(story, new)
    found = durability.lost(story.index, "red")
    assert names_of(found) == ["lost_after_crash"]
    assert facts(found, "sequence", "count", "of") == [1, 3, 3]


def test_each_end_counts() -> None:
    """What was sent between two ends is lost at the second."""
    story, people, said = room_of(2)
    story.restarts("asked_to_stop", *people)
    for person in people:
        person.joins("red", since=2)
    story.talk(people, "red", 2, first=3)
    story.ends("killed", *people)
    story.server("ready")
    reads_all(story, said)
    found = durability.lost(story.index, "red")
    assert facts(found, "sequence", "count", "of") == [3, 2, 4]
    assert getattr(found[0].evidence[1], "what", "") == "killed"


def test_what_is_read_between_two_ends_does_not_show_the_second() -> None:
    """The server must have all that was received before its last end, and a copy what it was made of."""
    story, people, said = room_of(2)
    story.ends("asked_to_stop", *people)
    reads_all(story, said[:1], copy=True)
    story.server("ready")
    for person in people:
        person.connects()
        person.joins("red", since=2)
    reads_all(story, said)
    story.talk(people, "red", 2, first=3)
    story.restarts("killed", *people)
    reads_all(story, said)
    assert facts(durability.lost(story.index, "red"), "sequence", "count", "of") == [3, 2, 4]
    assert facts(durability.lost_in_copy(story.index, "red"), "sequence", "count", "of") == [2, 1, 2]


def test_the_copy_must_have_what_was_received_before_it_was_made() -> None:
    """The end that counts for it is the last one before it was read."""
    story, people, said = room_of(2)
    story.restarts("asked_to_stop", *people)
    for person in people:
        person.joins("red", since=2)
    said += story.talk(people, "red", 1, first=3)
    story.ends("killed", *people)
    reads_all(story, said, copy=True)
    story.server("ready")
    for person in people:
        person.connects()
        person.joins("red", since=3)
    story.talk(people, "red", 2, first=4)
    assert names_of(durability.lost_in_copy(story.index, "red")) == []


# --- replayed as new ------------------------------------------------------------------------------


def test_old_messages_that_come_as_new_ones() -> None:
    """Live, although the client had said that it has them: the finding counts them."""
    story, people, said = room_of(4)
    story.restarts("killed", *people)
    before = next(
        e for e in story.events if isinstance(e, Received) and '"sequence": 2' in json.dumps(e.frame)
    )
    for person in people:
        person.joins("red", since=4, replay=[])
    (join,) = (m.event for m in story.index.memberships if m.client == "bob" and m.since == 4)
    story.all_hear([people[1]], *said[1:3])
    found = durability.replayed_as_new(story.index, "red")
    params = {"who": "bob", "room": "red", "sequence": 2, "since": 4, "count": 2}
    assert found == [Anomaly("replayed_as_new", params, [before, join, story.events[-2]])]
    assert names_of(found) == ["replayed_as_new"]


def test_old_messages_that_answer_a_join_as_new_ones() -> None:
    """They come before the join is done: the finding says so."""
    story, people, said = room_of(4)
    story.restarts("killed", *people)
    people[1].asks_to_join("red", since=4)
    story.all_hear([people[1]], *said[1:3])
    people[1].is_member("red")
    assert names_of(durability.replayed_as_new(story.index, "red")) == ["replayed_as_new/join"]


def test_without_since_nothing_is_known_to_be_old() -> None:
    """The server cannot know what a client without `since` has seen."""
    story, people, said = room_of(4)
    story.restarts("killed", *people)
    for person in people:
        person.joins("red", replay=said)
    story.all_hear(people, said[0])
    assert names_of(durability.replayed_as_new(story.index, "red")) == []


# --- in flight ------------------------------------------------------------------------------------


def test_what_was_in_flight_at_each_kill_is_counted() -> None:
    """Sent before it and not received until then; a copy that is killed does not count."""
    story, people, _ = room_of(2)
    alice, bob = people
    lines = [alice.says("red", id=f"m{n}") for n in range(4)]
    bob.hears(lines[0], 3)
    story.server("killed", second=True)
    story.restarts("killed", *people)
    for person in people:
        person.joins("red", since=3)
    for number, line in enumerate(lines[1:]):
        alice.repeats(line)
        alice.hears(line, 4 + number)
    story.server("asked_to_stop")
    story.server("ready")
    story.server("killed", while_writing=True)  # which is about what is written, and not about bursts
    story.server("ready")
    with story.moment():
        alice.says("red")
        story.server("killed")
    assert durability.unacknowledged(story.index) == [3, 0]
    assert len(durability.kills(story.index)) == 3
    assert len(durability.kills(story.index, in_bursts=True)) == 2
