"""Pages of history: ordered, complete, and equal to what was delivered live."""

from __future__ import annotations

from typing import Any

import pytest

from harness.checkers import pages, replay
from harness.checkers.catalogue import Anomaly
from harness.history.events import Received
from lab.protocol import MAX_PAGE
from tests.harness.stories import EPOCH, Numbered, Person, Story, facts, names_of


def room_of(count: int) -> tuple[Story, Person, list[Numbered]]:
    """A story in which `count` messages were sent and received, and a client that is to read them."""
    story = Story()
    people = story.members("red", "alice", "bob")
    said = story.talk(people, "red", count)
    return story, story.client("reader"), said


def every(story: Story, room: str = "red") -> list[str]:
    """What all checkers of this file find in a room."""
    return [*names_of(pages.wrong(story.index, room)), *names_of(pages.mismatches(story.index, room))]


# --- right pages ----------------------------------------------------------------------------------


def test_an_empty_history_has_nothing_wrong() -> None:
    """No events, no findings, no answers."""
    assert every(Story()) == []
    assert pages.answers(Story().index, "red") == []


def test_right_pages_of_all_kinds() -> None:
    """With and without `since`, `limit`, `last` and `more`, to the end and beyond it."""
    story, reader, said = room_of(120)
    reader.reads("red", said[:100])
    reader.reads("red", said[100:], since=100)
    reader.reads("red", [], since=120)
    reader.reads("red", [], since=5000, limit=5)
    reader.reads("red", said[10:20], since=10, limit=10, last=120, more=True)
    reader.reads("red", said[20:], since=20, limit=1000, last=120, more=False)
    reader.reads("red", said[:100], since=0, limit=None, last=120, more=True)
    reader.reads("blue", [], last=0, more=False)
    assert every(story) == every(story, "blue") == []
    assert len(pages.answers(story.index, "red")) == 7


def test_a_page_may_be_shorter_than_its_limit() -> None:
    """So that the frame keeps its maximum size; the next request goes on from there."""
    story, reader, said = room_of(30)
    reader.reads("red", said[:7], limit=20, last=30, more=True)
    reader.reads("red", said[7:8], since=7, limit=20)
    reader.reads("red", said[8:], since=8)
    assert every(story) == []


def test_a_page_may_have_what_nobody_had_received_yet() -> None:
    """Stored and in flight, or left over from a kill."""
    story, reader, said = room_of(3)
    late = (story.line(reader, "red"), 4)
    reader.reads("red", said, last=4, more=True)
    reader.reads("red", [*said, late], last=4, more=False)
    assert every(story) == []


def test_what_is_sent_during_a_request_may_be_in_the_page_or_not() -> None:
    """Only what was received before the request has to be there."""
    story, reader, said = room_of(3)
    reader.asks_history("red")
    during = (story.line(reader, "red"), 4)
    reader.hears(*during)
    reader.gets_page("red", said, last=3, more=False)
    assert every(story) == []


def test_the_replay_of_a_join_is_no_answer_to_a_request() -> None:
    """Nor is one of another room, or of another connection."""
    story, reader, said = room_of(3)
    eve = story.client("eve")
    reader.asks_history("red")
    reader.gets_page("blue", [])
    eve.joins("red", since=1, replay=said[1:])
    reader.gets_page("red", said)
    (answer,) = pages.answers(story.index, "red")
    assert (answer.received.client, answer.since, answer.limit) == ("reader", 0, MAX_PAGE)
    assert every(story) == []


def test_what_a_restart_lost_need_not_be_at_the_end_of_a_page() -> None:
    """That newer messages are gone is reported by other checkers."""
    story, reader, said = room_of(5)
    story.restarts("killed", reader)
    reader.reads("red", said[:3], last=3, more=False)
    reader.reads("red", [], since=3)
    assert every(story) == []


def test_pages_of_a_copy_are_not_judged_here() -> None:
    """What a copy must have depends on when it was made."""
    story, _, said = room_of(5)
    inspector = story.client("inspector", second=True)
    inspector.reads("red", [*said[:2], said[3]])
    inspector.reads("red", [], since=4)
    assert every(story) == []


def test_requests_and_answers_of_several_clients_at_the_same_moment() -> None:
    """Each is answered on its own connection, also if the clock stands still between the two."""
    story, reader, said = room_of(3)
    other = story.client("other")
    with story.moment():
        for each in (reader, other):
            each.asks_history("red", since=1)
        for each in (other, reader):
            each.gets_page("red", said[1:])
    assert [answer.received.client for answer in pages.answers(story.index, "red")] == ["other", "reader"]
    assert every(story) == []


def test_a_message_with_the_number_zero_is_on_no_page() -> None:
    """A page has what is above `since`, which is at least 0; the number itself is reported elsewhere."""
    story = Story()
    alice, reader = story.members("red", "alice", "reader")
    story.talk([alice], "red", 1, first=0)
    reader.reads("red", [], last=0, more=False)
    assert every(story) == []


def test_history_has_what_was_received() -> None:
    """With times in seconds too, if they always are."""
    story = Story()
    alice, bob = story.members("red", "alice", "bob")
    seconds = {"timestamp": EPOCH / 1000 + 0.1}
    line = alice.says("red")
    for person in (alice, bob):
        person.hears(line, 1, **seconds)
    bob.asks_history("red")
    data = {"room": "red", "messages": [line.numbered(1, **seconds)]}
    bob.gets({"type": "history", "data": data})
    assert every(story) == []


# --- disorder -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("order", "first", "then", "variant"),
    [([3, 2, 1, 0], 4, 3, ""), ([0, 1, 1], 2, 2, "twice"), ([0, 2, 1], 3, 2, "")],
)
def test_a_page_in_the_wrong_order(order: list[int], first: int, then: int, variant: str) -> None:
    """Numbers increase in a page; the finding has the first two that do not, which may be equal."""
    story, reader, said = room_of(4)
    reader.reads("red", [said[n] for n in order])
    found = pages.wrong(story.index, "red")
    asked = {"who": "reader", "room": "red", "since": None, "limit": MAX_PAGE, "count": len(order)}
    params = {**asked, "first": first, "then": then}
    assert found == [Anomaly("history_disorder", params, story.events[-2:], variant)]


@pytest.mark.parametrize("how", ["read", "joined"])
def test_a_page_that_is_sorted_as_text(how: str) -> None:
    """The finding says so, and has the frame."""
    story, reader, said = room_of(11)
    page = [said[n - 1] for n in (1, 10, 11, 2, 3)]
    if how == "read":
        reader.reads("red", page)
        found = pages.wrong(story.index, "red")
        assert names_of(found) == ["history_disorder/text"]
    else:
        reader.joins("red", since=0, replay=page)
        found = replay.seams(story.index, "red", "reader")
        assert names_of(found) == ["history_disorder/join_text"]
    assert facts(found, "first", "then") == [11, 2]
    assert any(isinstance(event, Received) for event in found[0].evidence)


@pytest.mark.parametrize(("limit", "shown"), [(3, 4), (None, 101), (1000, 101)])
def test_a_page_of_more_than_was_asked_for(limit: int | None, shown: int) -> None:
    """A limit above 100 counts as 100, and so does a missing one."""
    story, reader, said = room_of(110)
    reader.reads("red", said[:shown], limit=limit)
    found = pages.wrong(story.index, "red")
    assert names_of(found) == ["history_disorder/too_many"]
    assert facts(found, "limit", "count") == [min(limit or 100, 100), shown]


def test_a_page_that_begins_too_early() -> None:
    """`since` itself does not belong there."""
    story, reader, said = room_of(5)
    reader.reads("red", said[1:], since=2)
    found = pages.wrong(story.index, "red")
    assert names_of(found) == ["history_disorder/old"]
    assert facts(found, "since", "first") == [2, 2]


# --- gaps -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("missing", [1, 3, 4])
def test_a_message_that_is_missing_in_a_page(missing: int) -> None:
    """A client had received it, and newer ones are there."""
    story, reader, said = room_of(5)
    reader.reads("red", [each for each in said if each[1] != missing])
    found = pages.wrong(story.index, "red")
    asked = {"who": "reader", "room": "red", "since": None, "limit": MAX_PAGE, "count": 4}
    assert found == [Anomaly("history_hole", {**asked, "missing": missing}, story.events[-2:])]
    assert names_of(found) == ["history_hole"]


def test_a_page_that_begins_too_late() -> None:
    """The page after N begins with N + 1."""
    story, reader, said = room_of(5)
    reader.reads("red", said[3:], since=2)
    found = pages.wrong(story.index, "red")
    assert names_of(found) == ["history_hole"]
    assert facts(found, "missing", "since") == [3, 2]


def test_a_missing_message_that_was_received_before_a_restart_only() -> None:
    """Newer messages are in the page, so the missing one had been numbered before them."""
    story, reader, said = room_of(5)
    story.restarts("asked_to_stop", reader)
    reader.reads("red", [*said[:1], *said[2:]])
    assert facts(pages.wrong(story.index, "red"), "missing") == [2]


def test_a_gap_between_huge_numbers() -> None:
    """What is missing is searched among what was received, and not counted one by one."""
    story = Story()
    alice, reader = story.members("red", "alice", "reader")
    lines = [(alice.says("red"), EPOCH * n) for n in (1, 2, 3)]
    story.all_hear([alice], *lines)
    reader.reads("red", [lines[0], lines[2]])
    assert facts(pages.wrong(story.index, "red"), "missing") == [EPOCH * 2]


def test_a_page_that_is_empty_though_there_is_more() -> None:
    """Nothing of what was sent is in it."""
    story, reader, _ = room_of(5)
    reader.reads("red", [], since=2, limit=7)
    found = pages.wrong(story.index, "red")
    params = {"who": "reader", "room": "red", "since": 2, "limit": 7, "count": 0, "missing": 3}
    assert found == [Anomaly("history_hole", params, story.events[-2:])]
    assert names_of(found) == ["history_hole"]


def test_a_page_with_a_wrong_last() -> None:
    """`last` is the room's newest number, and not below what was received or is in the page itself."""
    story, reader, said = room_of(5)
    reader.reads("red", said[:3], limit=3, last=3)
    found = pages.wrong(story.index, "red")
    assert names_of(found) == ["history_hole/last"]
    assert facts(found, "last", "newest") == [3, 5]
    story, reader, said = room_of(5)
    reader.reads("red", [*said, (story.line(reader, "red"), 6)], last=5)
    assert facts(pages.wrong(story.index, "red"), "last", "newest") == [5, 6]


@pytest.mark.parametrize("how", ["alone", "restart", "older"])
def test_the_newest_number_is_that_of_the_last_message_that_anybody_received(how: str) -> None:
    """Received by one client only, first after a restart, and before older ones were received once more."""
    story, reader, said = room_of(3)
    (alice,) = story.members("red", "alice")
    if how == "restart":
        story.restarts("killed", reader, alice)
    alice.hears(alice.says("red"), 4)
    if how == "older":
        reader.reads("red", said[:2], limit=2)
    reader.reads("red", said, limit=3, last=3)
    found = pages.wrong(story.index, "red")
    assert names_of(found) == ["history_hole/last"]
    assert facts(found, "last", "newest") == [3, 4]


def test_a_page_that_denies_that_there_is_more() -> None:
    """`more` is true as long as newer messages follow."""
    story, reader, said = room_of(5)
    reader.reads("red", said[:3], limit=3, last=5, more=False)
    found = pages.wrong(story.index, "red")
    assert names_of(found) == ["history_hole/more"]
    assert facts(found, "newest") == [5]


@pytest.mark.parametrize(("shown", "since"), [(5, 0), (2, 0), (0, 5), (0, 90)])
def test_a_page_whose_last_was_never_given(shown: int, since: int) -> None:
    """`last` is no number that is still to be given, on a page with messages and on an empty one."""
    story, reader, said = room_of(5)
    reader.reads("red", said[:shown], since=since, limit=max(shown, 1), last=6)
    found = pages.wrong(story.index, "red")
    params = {"room": "red", "since": since, "count": shown, "newest": 5, "last": 6}
    assert found == [Anomaly("history_hole", params, story.events[-2:], "last_high")]
    assert names_of(found) == ["history_hole/last_high"]


def test_a_page_with_a_last_in_an_empty_room() -> None:
    """The newest number of an empty room is 0."""
    story = Story()
    reader = story.client("reader")
    reader.reads("red", [], last=1)
    assert facts(pages.wrong(story.index, "red"), "last", "newest") == [1, 0]


@pytest.mark.parametrize(("shown", "since"), [(5, 0), (0, 5), (0, 90)])
def test_a_page_that_promises_more_where_there_is_none(shown: int, since: int) -> None:
    """Nothing follows after the room's newest message, nor after an empty page."""
    story, reader, said = room_of(5)
    reader.reads("red", said[:shown], since=since, last=5, more=True)
    found = pages.wrong(story.index, "red")
    params = {"room": "red", "since": since, "count": shown, "newest": 5}
    assert found == [Anomaly("history_hole", params, story.events[-2:], "more_high")]
    assert names_of(found) == ["history_hole/more_high"]


def test_each_kind_of_wrong_page_is_reported_once() -> None:
    """A hundred pages with the same mistake are one finding."""
    story, reader, said = room_of(5)
    for _ in range(3):
        reader.reads("red", said[1:])
        reader.reads("red", said[::-1])
    assert names_of(pages.wrong(story.index, "red")) == ["history_hole", "history_disorder"]


# --- mismatches -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "now"),
    [
        ("id", "new-id"),
        ("user", "bob"),
        ("content", "a1b2c3-1. no. 0, edited"),
        ("content", "without its tag"),
        ("timestamp", EPOCH + 99_000),
    ],
)
def test_history_that_differs_from_live_messages(field: str, now: Any) -> None:
    """Each field that a client received is kept; the finding shows both values, and who had which."""
    story, reader, said = room_of(3)
    first = next(heard.event for heard in story.index.heard)
    reader.asks_history("red")
    messages = [line.numbered(number) for line, number in said]
    was, messages[0][field] = messages[0][field], now
    reader.gets({"type": "history", "data": {"room": "red", "messages": messages}})
    found = pages.mismatches(story.index, "red")
    params = {
        "who": "reader",
        "room": "red",
        "sequence": 1,
        "field": field,
        "was": str(was),
        "now": str(now),
        "first_who": "alice",
    }
    variant = "timestamp" if field == "timestamp" else ""
    assert found == [Anomaly("history_mismatch", params, [first, story.last], variant)]
    assert names_of(found) == [f"history_mismatch/{variant}" if variant else "history_mismatch"]
    again = pages.mismatches(story.index, "red", "changed_after_restart")
    assert names_of(again) == names_of(found), "there was no restart"


def test_history_that_differs_after_a_restart() -> None:
    """The finding has the restart, and says if only the milliseconds of a time are lost."""
    story, reader, said = room_of(3)
    first = next(heard.event for heard in story.index.heard)
    story.restarts("killed", reader)
    start = story.index.server[-1]
    reader.asks_history("red")
    messages = [line.numbered(number) for line, number in said]
    messages[0]["timestamp"] = EPOCH
    reader.gets({"type": "history", "data": {"room": "red", "messages": messages}})
    found = pages.mismatches(story.index, "red", "changed_after_restart")
    assert names_of(found) == ["changed_after_restart/seconds"]
    assert found[0].evidence == [first, start, story.last]


def test_a_content_that_is_trimmed_in_the_history_only() -> None:
    """The beginning differs, and yet it is the same message."""
    story = Story()
    (alice,) = story.members("red", "alice")
    line = alice.says("red")
    spaced = "   " + line.content
    story.events.pop()
    alice.sends({"type": "message", "data": {"room": "red", "content": spaced}})
    alice.hears(line, 1, content=spaced)
    alice.reads("red", [(line, 1)])
    found = pages.mismatches(story.index, "red")
    assert names_of(found) == ["history_mismatch"]
    assert facts(found, "field", "now") == ["content", line.content]


def test_two_messages_under_one_number_are_no_mismatch() -> None:
    """The checkers of the order report that; other messages are checked all the same."""
    story, reader, said = room_of(3)
    reader.reads("red", [(said[1][0], 1), (said[0][0], 2)])
    assert names_of(pages.mismatches(story.index, "red")) == []
    reader.asks_history("red", since=2)
    reader.gets({"type": "history", "data": {"room": "red", "messages": [said[2][0].numbered(3, id="x")]}})
    assert facts(pages.mismatches(story.index, "red"), "sequence", "field") == [3, "id"]


def test_a_live_message_that_nobody_sent_is_no_mismatch() -> None:
    """The checkers of delivery report that."""
    story, reader, _ = room_of(2)
    reader.hears(story.line(reader, "red"), 2, content="who?")
    assert names_of(pages.mismatches(story.index, "red")) == []
