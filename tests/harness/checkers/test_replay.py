"""How a join is answered, and a retry."""

from __future__ import annotations

import pytest

from harness.checkers import replay
from harness.checkers.catalogue import Anomaly
from harness.checkers.delivery import LONG_AGO
from lab.protocol import NEWEST
from tests.harness.stories import EPOCH, Numbered, Person, Story, facts, names_of

NOTHING: list[list[Numbered] | None] = [None, []]
"""An empty replay, left out or sent."""


def room_of(count: int) -> tuple[Story, list[Person], list[Numbered]]:
    """A story in which two clients have sent and received `count` messages."""
    story = Story()
    people = story.members("red", "alice", "bob")
    return story, people, story.talk(people, "red", count)


def every(story: Story, room: str = "red") -> list[str]:
    """What all checkers of this file find in a room."""
    return [*names_of(replay.seams(story.index, room)), *names_of(replay.retries(story.index, room))]


# --- right replays --------------------------------------------------------------------------------


def test_an_empty_history_has_nothing_wrong() -> None:
    """No events, no findings."""
    assert every(Story()) == []


@pytest.mark.parametrize("presence_frame", ["before", "after", "none"])
def test_a_right_replay_with_since(presence_frame: str) -> None:
    """Exactly what is newer, and the live messages go on from there; presence comes before, after, or not."""
    story, people, said = room_of(6)
    (eve,) = story.clients("eve")
    eve.asks_to_join("red", since=2)
    if presence_frame == "before":
        eve.is_shown("red", {"alice": "online", "eve": "online"}, full=True)
    eve.gets_page("red", said[2:])
    if presence_frame == "after":
        eve.is_shown("red", {"alice": "online", "eve": "online"}, full=True)
    eve.is_member("red")
    story.talk([*people, eve], "red", 4, first=7)
    assert every(story) == []
    (stay,) = (m for m in story.index.members("red") if m.client == "eve")
    assert [message.sequence for message, _ in replay.replayed(story.index, stay)] == [3, 4, 5, 6]


def test_a_replay_may_come_in_several_pages() -> None:
    """What counts is their content, one after the other."""
    story, people, said = room_of(9)
    (eve,) = story.clients("eve")
    eve.joins("red", since=1, pages=[said[1:4], said[4:5], said[5:]])
    story.talk([*people, eve], "red", 2, first=10)
    assert every(story) == []


def test_an_empty_replay_may_be_sent_or_left_out() -> None:
    """If nothing was missed there is nothing to send; also beyond the newest number."""
    for page in NOTHING:
        for since in (3, 1000):
            story, people, _ = room_of(3)
            (eve,) = story.clients("eve")
            eve.joins("red", since=since, replay=page)
            story.talk([*people, eve], "red", 2, first=4)
            assert every(story) == []


def test_a_join_of_an_empty_room() -> None:
    """Its replay is empty or left out, and live messages start at 1."""
    for page in NOTHING:
        for since in (None, 0, 7):
            story = Story()
            (alice,) = story.clients("alice")
            alice.joins("red", since=since, replay=page)
            story.talk([alice], "red", 3)
            assert every(story) == []


@pytest.mark.parametrize("count", [1, 49, 50, 51, 120])
def test_a_join_without_since_is_answered_by_the_newest(count: int) -> None:
    """Fifty of them, or all there are."""
    story, people, said = room_of(count)
    (eve,) = story.clients("eve")
    eve.joins("red", replay=said[-NEWEST:])
    story.talk([*people, eve], "red", 2, first=count + 1)
    assert every(story) == []


def test_what_is_sent_during_a_join_is_in_the_replay_or_comes_live() -> None:
    """Both are right, as long as it is one of them."""
    for cut in range(4):
        story, people, said = room_of(3)
        (eve,) = story.clients("eve")
        eve.asks_to_join("red", since=0)
        during = story.talk(people, "red", 3, first=4)
        eve.gets_page("red", [*said, *during[:cut]])
        story.all_hear([eve], *during[cut:])
        eve.is_member("red")
        story.talk([*people, eve], "red", 2, first=7)
        assert every(story) == []


def test_a_join_may_be_done_at_the_time_of_its_request() -> None:
    """The history at that time is its replay, and what others receive at that time may be missing in it."""
    story, people, said = room_of(3)
    eve = story.client("eve")
    with story.moment():
        story.talk(people, "red", 1, first=4)
        eve.joins("red", since=1, replay=said[1:])
    assert every(story) == []
    (stay,) = (m for m in story.index.members("red") if m.client == "eve")
    assert replay.replayed(story.index, stay) == [
        (page, story.events[-2]) for page in story.index.pages[0][1].messages
    ]


def test_a_client_cut_off_during_a_burst_that_comes_back() -> None:
    """Each connection receives an unbroken sequence, and the next one starts where it ended."""
    story, people, _ = room_of(3)
    (eve,) = story.clients("eve")
    eve.joins("red", since=3)
    burst = [(people[0].says("red"), number) for number in range(4, 9)]
    story.all_hear(people, *burst)
    story.all_hear([eve], *burst[:2])
    eve.is_cut()
    eve.connects()
    eve.joins("red", since=5, replay=burst[2:])
    story.talk([*people, eve], "red", 2, first=9)
    assert every(story) == []


def test_a_join_that_was_cut_before_it_was_done_is_not_judged() -> None:
    """Nobody knows how far the server had come."""
    story, _, said = room_of(3)
    (eve,) = story.clients("eve")
    eve.joins("red", since=0, replay=said[2:], confirmed=False)
    eve.is_cut()
    assert every(story) == []


def test_a_second_join_changes_nothing() -> None:
    """Whether it is answered by a history of its own or not."""
    story, people, said = room_of(3)
    people[0].joins("red", since=1, replay=said[1:])
    people[1].joins("red")
    story.talk(people, "red", 2, first=4)
    assert every(story) == []


def test_leaving_and_coming_back_on_one_connection() -> None:
    """Each stay has a replay of its own; what was sent between them is replayed."""
    story, people, _ = room_of(3)
    eve = story.client("eve")
    eve.joins("red", since=3)
    story.talk([*people, eve], "red", 2, first=4)
    eve.leaves("red")
    missed = story.talk(people, "red", 3, first=6)
    eve.joins("red", since=5, replay=missed)
    story.talk([*people, eve], "red", 2, first=9)
    assert every(story) == []


def test_the_answer_to_a_retry_does_not_overlap_the_replay() -> None:
    """Replayed, and then sent once more because it was asked for; a much higher number makes no gap."""
    story, people, _ = room_of(2)
    alice, bob = people
    line = alice.says("red", id="m1")
    alice.is_cut()
    bob.hears(line, 3)
    alice.connects()
    alice.joins("red", since=2, replay=[(line, 3)])
    alice.repeats(line)
    alice.hears(line, 3)
    newer = [(bob.says("red", id=f"m{n}"), n) for n in (4, 5)]
    story.all_hear([bob], *newer)
    bob.repeats(newer[1][0])
    alice.is_cut()
    bob.hears(newer[1][0], 5)
    assert every(story) == []


def test_what_a_restart_lost_need_not_be_in_the_replay() -> None:
    """Another checker reports numbers that nobody has received since the server is up again."""
    story, people, _ = room_of(5)
    story.restarts("killed", *people)
    for person in people:
        person.joins("red", since=3)
    story.talk(people, "red", 2, first=4)
    assert every(story) == []


def test_a_join_without_since_after_a_restart_that_lost_the_history() -> None:
    """Its answer is empty, as nobody has received anything since: another checker reports the loss."""
    story, people, _ = room_of(5)
    story.restarts("killed", *people)
    for person in people:
        person.joins("red")
    assert every(story) == []
    story.talk(people, "red", 2, first=6)
    assert every(story) == []


def test_an_old_message_that_comes_as_a_new_one_makes_no_gap() -> None:
    """What is between it and the next live message had been seen: `durability` reports that."""
    story, people, said = room_of(3)
    story.restarts("killed", *people)
    for person in people:
        person.joins("red", since=3)
    story.all_hear(people, said[0])
    story.talk(people, "red", 2, first=4)
    assert every(story) == []


def test_messages_that_a_kill_left_unseen_may_be_in_the_replay() -> None:
    """Stored and not delivered: they come with the next join, and nobody had received them before."""
    story, people, _ = room_of(2)
    alice, bob = people
    unseen = [(alice.says("red"), 3), (alice.says("red"), 4)]
    story.restarts("killed", *people)
    for person in people:
        person.joins("red", since=2, replay=unseen)
    bob.hears(bob.says("red"), 5)
    assert every(story) == []


# --- wrong replays --------------------------------------------------------------------------------


def test_a_gap_between_replay_and_live_messages() -> None:
    """Sent after the history was read and before the member was subscribed: neither replayed nor live."""
    story, people, said = room_of(4)
    eve = story.client("eve")
    eve.asks_to_join("red", since=1)
    join = story.last
    during = story.talk(people, "red", 4, first=5)
    elsewhere = next(heard.event for heard in story.index.heard if heard.message.sequence == 5)
    eve.gets_page("red", said[1:])
    page = story.last
    eve.hears(*during[2])
    live = story.last
    eve.hears(*during[3])
    eve.is_member("red")
    found = replay.seams(story.index, "red")
    params = {"who": "eve", "room": "red", "since": 1, "sequence": 5, "count": 2, "replayed": 3}
    assert found == [Anomaly("replay_hole", params, [join, page, elsewhere, live])]
    assert names_of(found) == ["replay_hole"]


def test_a_gap_within_the_replay() -> None:
    """A message that others had received before is not among those replayed."""
    story, _, said = room_of(6)
    eve = story.client("eve")
    eve.joins("red", since=1, replay=[*said[1:3], *said[4:]])
    found = replay.seams(story.index, "red")
    assert names_of(found) == ["replay_hole/skipped"]
    assert facts(found, "sequence", "count", "replayed") == [4, 1, 4]


def test_a_replay_that_ends_too_early() -> None:
    """What was known when the join was sent must be in it, even if nothing comes live after that."""
    story, _, said = room_of(6)
    eve = story.client("eve")
    eve.joins("red", since=1, replay=said[1:4])
    found = replay.seams(story.index, "red")
    assert names_of(found) == ["replay_hole/ends_early"]
    assert facts(found, "sequence", "count") == [5, 2]


@pytest.mark.parametrize("gap", [True, False])
def test_a_hole_that_nobody_had_received_before(gap: bool) -> None:
    """Later messages in the replay, or `more` of its last page, prove that the replay itself is wrong."""
    story, people, said = room_of(4)
    eve = story.client("eve")
    eve.asks_to_join("red", since=1)
    during = story.talk(people, "red", 3, first=5)
    eve.gets_page("red", [*said[1:], *(during[1:2] if gap else [])], more=not gap)
    eve.hears(*during[2])
    eve.is_member("red")
    found = replay.seams(story.index, "red", "eve")
    assert names_of(found) == [f"replay_hole/{'skipped' if gap else 'ends_early'}_meanwhile"]


def test_a_since_of_zero_that_is_taken_for_none() -> None:
    """The newest fifty are replayed, and all before them are missing."""
    story, _, said = room_of(60)
    eve, noa = story.clients("eve", "noa")
    eve.joins("red", since=0, replay=said[-NEWEST:])
    noa.joins("red", since=1, replay=said[-NEWEST:])
    assert names_of(replay.seams(story.index, "red", "eve")) == ["replay_hole/zero"]
    assert names_of(replay.seams(story.index, "red", "noa")) == ["replay_hole/skipped"]


def test_a_replay_that_does_not_come() -> None:
    """With and without `since`, what was sent must be replayed."""
    story, _, _ = room_of(3)
    eve, noa, mia = story.clients("eve", "noa", "mia")
    for person, since, count in ((eve, 1, 2), (noa, 2, 1)):
        person.joins("red", since=since)
        found = replay.seams(story.index, "red", person.name)
        assert names_of(found) == ["replay_hole/nothing"]
        assert facts(found, "sequence", "count", "replayed", "since") == [since + 1, count, 0, since]
    begin = len(story.events)
    mia.joins("red", replay=[])
    asked = story.events[begin]
    found = replay.seams(story.index, "red", "mia")
    newest = {"newest": 3, "sequence": 3, "count": 0, "replayed": 0}
    params = {"who": "mia", "room": "red", "since": None, **newest}
    assert found == [Anomaly("replay_hole", params, [asked], "none")]
    assert names_of(found) == ["replay_hole/none"]
    assert names_of(replay.seams(story.index, "red")) == [
        "replay_hole/nothing",
        "replay_hole/nothing",
        "replay_hole/none",
    ]


def test_a_gap_among_live_messages() -> None:
    """Long after the join, one message is missing between two others: that is a loss."""
    story, people, _ = room_of(2)
    eve = story.client("eve")
    eve.joins("red", since=2)
    lines = [(people[0].says("red"), number) for number in range(3, 9)]
    story.all_hear(people, *lines)
    story.all_hear([eve], lines[0], lines[3], lines[5])
    found = replay.seams(story.index, "red")
    assert names_of(found) == ["lost/hole"]
    assert facts(found, "who", "sequence", "count", "of") == ["eve", 4, 3, 6]
    numbers = [getattr(event, "frame", {})["data"]["sequence"] for event in found[0].evidence]
    assert numbers == [4, 6]


def test_a_gap_after_a_reader_had_stopped() -> None:
    """If a member did not read for a while, the finding says that its messages were thrown away."""
    story, people, _ = room_of(2)
    eve = story.client("eve")
    eve.joins("red", since=2)
    lines = [(people[0].says("red"), number) for number in range(3, 9)]
    story.all_hear(people, *lines[:3])
    story.all_hear([eve], lines[0], lines[2])
    eve.faults("stop_reading")
    assert names_of(replay.seams(story.index, "red")) == [
        "lost/hole"
    ]  # it is 4 that it missed, and that was before
    story.all_hear(people, *lines[3:])
    eve.faults("read_again")
    eve.hears(*lines[1])
    eve.hears(*lines[5])
    found = replay.seams(story.index, "red")
    assert names_of(found) == ["lost/hole_unread"]
    assert facts(found, "who", "sequence", "count") == ["eve", 6, 2]


def test_a_gap_between_messages_with_huge_numbers() -> None:
    """What is between is searched among what was received, and not counted one by one."""
    story = Story()
    people = alice, bob = story.members("red", "alice", "bob")
    lines = [(alice.says("red"), EPOCH * n) for n in (1, 2, 3)]
    story.all_hear([alice], *lines)
    story.all_hear([bob], lines[0], lines[2])
    assert names_of(replay.seams(story.index, "red")) == ["lost/hole"]
    eve = story.client("eve")
    eve.joins("red", since=0, replay=[lines[0], lines[2]])
    assert names_of(replay.seams(story.index, "red", "eve")) == ["replay_hole/skipped"]
    assert len(people) == 2


def test_an_overlap_of_replay_and_live_messages() -> None:
    """Replayed, and then live again: the finding shows the frames that have this number."""
    story, people, said = room_of(4)
    eve = story.client("eve")
    eve.asks_to_join("red", since=1)
    join = story.last
    during = story.talk(people, "red", 2, first=5)
    eve.gets_page("red", [*said[1:], *during])
    page = story.last
    eve.hears(*during[1])
    eve.hears(*during[0])
    live = story.last
    eve.hears(*during[0])
    eve.is_member("red")
    found = replay.seams(story.index, "red")
    params = {"who": "eve", "room": "red", "since": 1, "sequence": 5, "count": 2}
    assert found == [Anomaly("replay_overlap", params, [join, page, live])]
    assert names_of(found) == ["replay_overlap"]


def test_an_overlap_that_was_live_first() -> None:
    """It is told in that order, and shows the page that has the number: not the first one."""
    story, people, said = room_of(4)
    eve = story.client("eve")
    eve.asks_to_join("red", since=1)
    join = story.last
    during = story.talk(people, "red", 1, first=5)
    eve.gets_page("red", said[1:], more=True)
    eve.hears(*during[0])
    live = story.last
    eve.gets_page("red", during)
    page = story.last
    eve.is_member("red")
    found = replay.seams(story.index, "red")
    params = {"who": "eve", "room": "red", "since": 1, "sequence": 5, "count": 1}
    assert found == [Anomaly("replay_overlap", params, [join, live, page], "live_first")]
    assert names_of(found) == ["replay_overlap/live_first"]


def test_a_replay_of_what_was_seen() -> None:
    """`since` itself is not to be replayed, nor what is below it."""
    story, _, said = room_of(5)
    eve = story.client("eve")
    eve.joins("red", since=3, replay=said[1:])
    found = replay.seams(story.index, "red")
    assert names_of(found) == ["replay_overlap/old"]
    assert facts(found, "sequence", "count", "since") == [2, 2, 3]


def test_a_replay_in_the_wrong_order() -> None:
    """Newest first, or one message twice, is disorder."""
    for wrong, first, then, variant in (([2, 1, 0], 3, 2, "join"), ([0, 1, 1, 2], 2, 2, "join_twice")):
        story, _, said = room_of(3)
        eve = story.client("eve")
        eve.joins("red", since=0, replay=[said[n] for n in wrong])
        found = replay.seams(story.index, "red")
        assert names_of(found) == [f"history_disorder/{variant}"]
        assert facts(found, "who", "first", "then") == ["eve", first, then]


def test_pages_that_overlap_each_other() -> None:
    """The order is that over all pages of one replay."""
    story, _, said = room_of(5)
    eve = story.client("eve")
    eve.joins("red", since=0, pages=[said[:3], said[2:]])
    assert names_of(replay.seams(story.index, "red")) == ["history_disorder/join_twice"]


def test_live_messages_before_the_replay() -> None:
    """The history of a join comes before any numbered live message."""
    story, people, said = room_of(3)
    eve = story.client("eve")
    eve.asks_to_join("red", since=0)
    join = story.last
    during = story.talk(people, "red", 1, first=4)
    with story.moment():
        story.all_hear([eve], *during)
        eve.gets_page("red", said)
        eve.is_member("red")
    found = replay.seams(story.index, "red")
    params = {"who": "eve", "room": "red", "since": 0, "first": 4, "then": 1, "count": 1}
    assert found == [Anomaly("reorder", params, [join, *story.events[-3:-1]], "live_first")]
    assert names_of(found) == ["reorder/live_first"]


def test_the_oldest_messages_instead_of_the_newest() -> None:
    """A join without `since` that gets the beginning of the room."""
    story, _, said = room_of(60)
    eve = story.client("eve")
    eve.joins("red", replay=said[:NEWEST])
    found = replay.seams(story.index, "red")
    assert names_of(found) == ["wrong_replay/oldest"]
    assert facts(found, "first", "last", "newest", "count") == [1, 50, 60, 50]


def test_stale_messages_instead_of_the_newest() -> None:
    """A join without `since` that misses what was sent last."""
    story, _, said = room_of(60)
    eve = story.client("eve")
    eve.joins("red", replay=said[5:55])
    found = replay.seams(story.index, "red")
    assert names_of(found) == ["wrong_replay/stale"]
    assert facts(found, "first", "last", "newest") == [6, 55, 60]


@pytest.mark.parametrize("shown", [10, 49, 51, 60])
def test_too_few_or_too_many_of_the_newest(shown: int) -> None:
    """Fifty are due if there are as many."""
    story, _, said = room_of(60)
    eve = story.client("eve")
    eve.joins("red", replay=said[-shown:])
    found = replay.seams(story.index, "red")
    span = {"first": 61 - shown, "last": 60, "newest": 60, "expected": NEWEST}
    params = {"who": "eve", "room": "red", "since": None, "count": shown, **span}
    assert found == [Anomaly("wrong_replay", params, story.events[-3:-1])]
    assert names_of(found) == ["wrong_replay"]


def test_fifty_with_a_gap() -> None:
    """The right number of messages, and still one is missing; what is older than the first is not due."""
    story, people, said = room_of(60)
    eve = story.client("eve")
    eve.joins("red", replay=[*said[9:30], *said[31:]])
    story.talk([*people, eve], "red", 2, first=61)
    found = replay.seams(story.index, "red", "eve")
    assert names_of(found) == ["replay_hole/skipped"]
    assert facts(found, "sequence", "count", "replayed") == [31, 1, 50]


def test_at_most_three_replays_are_reported() -> None:
    """Also for a server that never replays."""
    story, _, _ = room_of(2)
    for person in story.clients(*"cdefg"):
        person.joins("red", since=0)
    assert names_of(replay.seams(story.index, "red")) == ["replay_hole/nothing"] * 3


# --- retries --------------------------------------------------------------------------------------


def test_a_retry_that_is_answered() -> None:
    """On the same connection, or on the next one, the stored message comes back, even at once."""
    story, (alice, bob), _ = room_of(2)
    line = alice.says("red", id="m1")
    story.all_hear([alice, bob], (line, 3))
    with story.moment():
        alice.repeats(line)
        alice.hears(line, 3)
    story.passes(LONG_AGO)
    alice.is_cut()
    alice.connects()
    alice.joins("red", since=3)
    alice.repeats(line)
    alice.hears(line, 3)
    assert every(story) == []


def test_a_retry_that_is_not_answered() -> None:
    """The finding says who repeated what; to have received it in the replay is no answer."""
    story, (alice, bob), _ = room_of(2)
    line = alice.says("red", id="m1")
    said = story.last
    bob.hears(line, 3)
    alice.is_cut()
    alice.connects()
    alice.joins("red", since=2, replay=[(line, 3)])
    alice.repeats(line)
    again = story.last
    story.passes(5)
    found = replay.retries(story.index, "red")
    params = {"who": "alice", "room": "red", "id": "m1", "content": line.content}
    assert found == [Anomaly("retry_unanswered", params, [said, again])]
    assert names_of(found) == ["retry_unanswered"]


def test_retries_that_are_not_answered_are_one_finding() -> None:
    """The first of them is shown."""
    story, (alice, bob), _ = room_of(2)
    for number in (3, 4):
        line = alice.says("red", id=f"m{number}")
        story.all_hear([alice, bob], (line, number))
        alice.repeats(line)
    assert facts(replay.retries(story.index, "red"), "id") == ["m3"]


@pytest.mark.parametrize(("seconds", "expected"), [(0.75, []), (LONG_AGO, ["retry_unanswered"])])
def test_a_retry_is_due_an_answer_if_its_connection_was_open_for_a_second(
    seconds: float, expected: list[str]
) -> None:
    """A second is long enough, and less than that is not."""
    story, people, _ = room_of(2)
    line = people[0].says("red", id="m1")
    story.all_hear(people, (line, 3))
    story.next_at(2.0)
    people[0].repeats(line)
    story.next_at(2.0 + seconds)
    people[0].closes()
    assert names_of(replay.retries(story.index, "red")) == expected


@pytest.mark.parametrize("how", ["reset", "closes", "killed", "asked_to_stop"])
def test_a_retry_whose_connection_ended_too_soon_is_not_judged(how: str) -> None:
    """A moment after it was sent, the server or the connection had ended."""
    for seconds, expected in ((0.1, []), (LONG_AGO, ["retry_unanswered"])):
        story, people, _ = room_of(2)
        alice, bob = people
        line = alice.says("red", id="m1")
        story.all_hear(people, (line, 3))
        alice.repeats(line)
        story.passes(seconds)
        match how:
            case "reset":
                alice.is_cut()
            case "closes":
                alice.closes()
            case _:
                story.ends(how, alice, bob)
        assert names_of(replay.retries(story.index, "red")) == expected


def test_a_server_with_ids_of_its_own_offers_no_retries() -> None:
    """If no `id` is kept, nothing is required of retries."""
    story = Story()
    alice, bob = story.members("red", "alice", "bob")
    assert replay.offers_retries(story.index, "red")
    line = alice.says("red", id="m1")
    story.all_hear([alice], (line, 1))
    assert replay.offers_retries(story.index, "red")
    story = Story()
    alice, bob = story.members("red", "alice", "bob")
    line = alice.says("red", id="m1")
    for person in (alice, bob):
        person.hears(line, 1, id="own")
    alice.repeats(line)
    story.passes(5)
    assert not replay.offers_retries(story.index, "red")
    assert every(story) == []


def test_repeating_without_an_id_is_no_retry() -> None:
    """It is only sent twice."""
    story = Story()
    alice, bob = story.members("red", "alice", "bob")
    line = alice.says("red")
    story.all_hear([alice, bob], (line, 1))
    alice.repeats(line)
    story.passes(5)
    assert names_of(replay.retries(story.index, "red")) == []
