"""Messages that should have come and did not: lost, or refused without a reason."""

from __future__ import annotations

import pytest

from harness.checkers import delivery
from harness.checkers.catalogue import Anomaly
from harness.checkers.delivery import LONG_AGO
from harness.history.events import Sent
from tests.harness.checkers.deliveries import every
from tests.harness.stories import Story, facts, names_of

# --- lost ---------------------------------------------------------------------------------------------


def test_a_message_that_one_member_misses_is_lost() -> None:
    """The finding says which client misses how many of how many, and the first of them;
    two receivers are shown.
    """
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
    assert names_of(found) == ["lost"]


def test_the_very_last_message_may_be_the_lost_one() -> None:
    """The last message is found to be missing, although no later message shows the gap."""
    story = Story()
    alice, bob = story.members("red", "alice", "bob")
    story.talk([alice, bob], "red", 3)
    bob.hears(alice.says("red"), 4)
    assert names_of(delivery.lost(story.index, "red")) == ["lost/own"]


def test_senders_who_do_not_get_their_own_messages() -> None:
    """Each misses the messages that it sent, and the finding says so."""
    story = Story()
    alice, bob = story.members("red", "alice", "bob")
    one, two = alice.says("red"), bob.says("red")
    alice.hears(two, 2)
    bob.hears(one, 1)
    found = delivery.lost(story.index, "red")
    assert names_of(found) == ["lost/own", "lost/own"]
    assert [(each.params["who"], each.params["count"]) for each in found] == [("alice", 1), ("bob", 1)]


def test_a_message_that_nobody_receives_is_one_finding() -> None:
    """It is not reported for each member."""
    story = Story()
    alice, _, _ = story.members("red", "alice", "bob", "carol")
    alice.says("red", "is there anybody?")
    found = delivery.lost(story.index, "red")
    assert names_of(found) == ["lost/nobody"]
    assert facts(found, "count", "of", "sender") == [1, 1, "alice"]


def test_a_member_s_loss_is_reported_beside_what_nobody_received() -> None:
    """One finding for what nobody received comes first, and then each member's own."""
    story = Story()
    alice, bob, carol = story.members("red", "alice", "bob", "carol")
    line = alice.says("red")
    alice.hears(line, 1)
    bob.hears(line, 1)
    bob.says("red")
    found = delivery.lost(story.index, "red")
    assert names_of(found) == ["lost/nobody", "lost/all"]
    assert [each.params["who"] for each in found] == ["alice", "carol"]
    assert found[1].params["count"] == 2
    assert carol.conn == 3


@pytest.mark.parametrize("ending", ["leaves", "closes", "stop"])
def test_what_was_missing_long_before_the_end_is_lost(ending: str) -> None:
    """For a member that left, or whose server was asked to stop, a second after others had received it."""
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
    assert names_of(found) == ["lost/all"]
    assert facts(found, "who") == ["bob"]


def test_what_nobody_received_long_before_the_end_of_the_server_is_lost() -> None:
    """A message dropped for all is found although all connections ended later, by the restart."""
    story = Story()
    alice, bob = story.members("red", "alice", "bob")
    alice.says("red")
    story.passes(LONG_AGO)
    story.restarts("asked_to_stop", alice, bob)
    for person in (alice, bob):
        person.joins("red", since=0)
    assert names_of(delivery.lost(story.index, "red")) == ["lost/nobody"]


def test_a_cut_excuses_nothing_that_was_sent_long_before() -> None:
    """The sender's connection was open for more than a second after the message, so it must have arrived."""
    story = Story()
    alice, _ = story.members("red", "alice", "bob")
    alice.says("red")
    story.passes(LONG_AGO)
    alice.is_cut()
    found = delivery.lost(story.index, "red")
    assert names_of(found) == ["lost/nobody"]
    assert facts(found, "who") == ["bob"]


def test_what_somebody_received_was_accepted_though_its_sender_was_cut() -> None:
    """So it is owed to everybody else."""
    story = Story()
    alice, bob, _ = story.members("red", "alice", "bob", "carol")
    line = alice.says("red")
    alice.is_cut()
    bob.hears(line, 1)
    assert facts(delivery.lost(story.index, "red"), "who") == ["carol"]


@pytest.mark.parametrize("seconds", [0.75, LONG_AGO])
def test_a_second_is_enough_for_a_message_to_arrive(seconds: float) -> None:
    """For a sender that is cut off then, and for a client that leaves when others had received it."""
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


def test_what_is_sent_at_the_end_of_a_join_is_owed() -> None:
    """From then on the client is certainly a member."""
    story = Story()
    (alice,) = story.members("red", "alice")
    (bob,) = story.clients("bob")
    bob.asks_to_join("red")
    with story.moment():
        bob.is_member("red")
        line = alice.says("red")
    alice.hears(line, 1)
    assert facts(delivery.lost(story.index, "red"), "who") == ["bob"]


@pytest.mark.parametrize(("other_room", "variant"), [("red", "lost/id_of_user"), ("blue", "lost/id_of_room")])
def test_a_message_that_is_taken_for_a_retry_of_another(other_room: str, variant: str) -> None:
    """With an id that another user, or the same user in another room, had used,
    a new message reaches nobody.
    """
    story = Story()
    people = story.members("red", "alice", "bob")
    for person in people:
        person.joins("blue")
    first = people[0].says(other_room, "first", id="x")
    story.all_hear(people, (first, 1))
    again = people[1 if other_room == "red" else 0].says("red", "second", id="x")
    story.passes(5)
    found = delivery.lost(story.index, "red")
    assert names_of(found) == [variant]
    assert facts(found, "other", "other_room") == ["alice", other_room]
    said = [event.frame["data"]["content"] for event in found[0].evidence if isinstance(event, Sent)]
    assert said == [first.content, again.content]


def test_an_id_is_not_blamed_where_the_room_has_stopped() -> None:
    """If nothing that was sent later arrives either, that is told, with what was sent just before."""
    story = Story()
    alice, bob = story.members("red", "alice", "bob")
    first = alice.says("red", "first", id="x")
    story.all_hear([alice, bob], (first, 1))
    heard = story.last
    alice.repeats(first)
    retry = story.last
    bob.says("red", "second", id="x")
    lost = story.last
    alice.says("red", "third")
    story.passes(5)
    found = delivery.lost(story.index, "red")
    assert names_of(found) == ["lost/stuck"]
    assert found[0].evidence == [heard, retry, lost]
    assert facts(found, "count", "of") == [2, 3]


def test_an_id_is_blamed_where_the_sender_is_answered_by_the_other_message() -> None:
    """That answer is shown."""
    story = Story()
    alice, bob = story.members("red", "alice", "bob")
    first = alice.says("red", "first", id="x")
    story.all_hear([alice, bob], (first, 1))
    bob.says("red", "second", id="x")
    bob.hears(first, 1)
    answer = story.last
    alice.says("red", "third")
    story.passes(5)
    found = delivery.lost(story.index, "red")
    assert names_of(found) == ["lost/id_of_user"]
    assert found[0].evidence[-1] == answer


@pytest.mark.parametrize(
    ("heard", "since", "variant"),
    [([], None, "all"), ([], 40, "beyond"), ([], 2, "all"), ([4, 5], None, "first"), ([3, 5], None, "")],
)
def test_which_messages_a_member_missed(heard: list[int], since: int | None, variant: str) -> None:
    """All since its join (which may have asked for later ones), only the first, or another one."""
    story = Story()
    (alice,) = story.members("red", "alice")
    story.talk([alice], "red", 2)
    (bob,) = story.clients("bob")
    bob.asks_to_join("red", since)
    join = story.last
    bob.is_member("red")
    said = [alice.says("red") for _ in range(3)]
    for number, line in enumerate(said, 3):
        story.all_hear([alice, *([bob] if number in heard else [])], (line, number))
    story.passes(5)
    (found,) = delivery.lost(story.index, "red")
    assert (found.name, found.variant) == ("lost", variant)
    assert names_of([found])
    assert (join in found.evidence) == bool(variant)


def test_what_breaks_after_a_leave_excuses_nothing_before() -> None:
    """A member that missed something left normally, and was cut off only then."""
    story = Story()
    alice, bob = story.members("red", "alice", "bob")
    line = alice.says("red")
    alice.hears(line, 1)
    story.passes(3)
    bob.leaves("red")
    assert names_of(delivery.lost(story.index, "red")) == ["lost/all"]
    bob.is_cut()
    assert names_of(delivery.lost(story.index, "red")) == ["lost/all"]


def test_evidence_has_the_join_and_leave_of_an_earlier_stay() -> None:
    """What is missed in a second stay is reported as that, and the evidence begins with both frames."""
    story = Story()
    alice, bob = story.members("red", "alice", "bob")
    bob.joins("blue")
    bob.leaves("blue")
    missed = alice.says("red")
    alice.hears(missed, 1)
    story.passes(3)
    assert names_of(delivery.lost(story.index, "red")) == ["lost/all"]  # it left another room
    bob.hears(missed, 1)
    bob.leaves("red")
    left = story.last
    bob.joins("red")
    joined = next(e for e in reversed(story.events) if isinstance(e, Sent))
    line = alice.says("red")
    alice.hears(line, 2)
    story.passes(3)
    found = delivery.lost(story.index, "red")
    assert names_of(found) == ["lost/again"]
    assert found[0].evidence[:2] == [left, joined]
    assert facts(found, "who", "count", "of") == ["bob", 1, 1]


# --- refused ------------------------------------------------------------------------------------------


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
    error = {"content": bad.content, "error": "rate_limited: slow down", "letters": 3, "bytes": 15}
    params = {"who": "alice", "room": "red", "count": 1, "of": 2, **error}
    assert found == [Anomaly("refused", params, [said, story.last])]
    assert names_of(found) == ["refused"]
    assert names_of(delivery.lost(story.index, "red")) == []


def test_an_error_with_an_id_is_for_the_message_with_that_id() -> None:
    """Not for an older one that nobody received, and also where the sender sends bad frames too."""
    story = Story()
    alice, bob = story.members("red", "alice", "bob")
    lost, refused = (bob.says("red", id=f"m{n}") for n in (1, 2))
    bob.misbehaves("no_type")
    bob.is_refused()
    reason = f"{'x' * 300}: the store is full"
    bob.is_refused("unavailable", reason, "m2")
    found = delivery.refused(story.index, "red")
    assert facts(found, "content", "error") == [refused.content, f"unavailable: {reason}"]
    assert facts(delivery.lost(story.index, "red")[:1], "content") == [lost.content]
    alice.says("red", id="m3")
    alice.is_refused(None, "no")
    assert facts(delivery.refused(story.index, "red"), "count", "content") == [2, refused.content]


def test_an_error_refuses_nothing_that_is_sent_after_it() -> None:
    """At the time when it comes, it may be for what was sent at that time."""
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
    """An error with an id that two messages have is for the one that nobody received."""
    story = Story()
    (alice,) = story.members("red", "alice")
    alice.joins("blue")
    alice.says("red", id="m1")
    alice.hears(alice.says("blue", id="m1"), 1)
    alice.is_refused("unavailable", "not now", "m1")
    assert every(story) == ["refused"]
    assert every(story, "blue") == []


def test_an_error_without_an_id_is_for_the_oldest_message_that_nobody_received() -> None:
    """Two errors for two of three messages, in one finding with their number."""
    story = Story()
    alice, bob = story.members("red", "alice", "bob")
    one, two, three = (alice.says("red") for _ in range(3))
    alice.is_refused(None, "no")
    alice.is_refused(None, "no")
    story.all_hear([alice, bob], (two, 1))
    found = delivery.refused(story.index, "red")
    assert names_of(found) == ["refused"]
    assert facts(found, "count", "of", "content", "error") == [2, 3, one.content, "error: no"]
    assert every(story) == ["refused"]
    assert three.tag


def test_an_error_for_nothing_refuses_nothing() -> None:
    """Where everything sent was received, or bad frames were sent, an error is about something else."""
    story = Story()
    alice, mallory = story.members("red", "alice", "mallory")
    line = alice.says("red", id="m1")
    story.all_hear([alice, mallory], (line, 1))
    alice.is_refused(id="m1")
    alice.is_refused()
    mallory.misbehaves("no_type")
    lost = mallory.says("red")
    mallory.is_refused()
    assert names_of(delivery.refused(story.index, "red")) == []
    assert lost.content in delivery.lost(story.index, "red")[0].params["content"]


@pytest.mark.parametrize("got", [0, 1, 2])
def test_own_messages_right_before_a_leave(got: int) -> None:
    """They were sent before it, on one connection: it was a member when they were published."""
    story = Story()
    alice, bob = story.members("red", "alice", "bob")
    lines = [bob.says("red"), bob.says("red")]
    bob.asks_to_leave("red")
    for number, line in enumerate(lines, 1):
        alice.hears(line, number)
    for number, line in enumerate(lines[:got], 1):
        bob.hears(line, number)
    bob.has_left("red")
    assert every(story) == []  # for what others say, a member that leaves may be too late
    found = delivery.before_leaving(story.index, "red")
    assert names_of(found) == (["lost/before_leave"] if got < 2 else [])
    if found:
        assert facts(found, "who", "count", "of") == ["bob", 2 - got, 2]


def test_what_nobody_received_before_a_leave_is_reported_elsewhere() -> None:
    """It may never have been accepted."""
    story = Story()
    _, bob = story.members("red", "alice", "bob")
    bob.says("red")
    bob.leaves("red")
    assert delivery.before_leaving(story.index, "red") == []
