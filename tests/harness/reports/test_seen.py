"""What each client has seen at a moment, from histories as literals: right ones, wrong ones, and nonsense."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from harness.history.index import HistoryIndex
from harness.reports.seen import Change, Record
from harness.reports.strip import Span, rows
from tests.harness.reports.runs import RED
from tests.harness.stories import PROPERTY, Person, Story


def seen_by(person: Person, begin: int = 0, end: int | None = None) -> Change:
    """What has changed for somebody in a part of the story, by default in all of it."""
    events = person.story.events
    return Record(events).between(person.name, begin, len(events) if end is None else end)


def lines(person: Person, begin: int = 0, end: int | None = None) -> list[tuple[int, str]]:
    """The numbers that somebody received in the room, each with the last word of its mark's key."""
    view = seen_by(person, begin, end).rooms.get(RED)
    return [(line.number, line.mark.rpartition(".")[2]) for line in view.lines] if view else []


def missing(person: Person, end: int | None = None) -> list[Span] | None:
    """What somebody misses in the room at some place of the story."""
    view = seen_by(person, 0, end).rooms.get(RED)
    return view.missing if view else None


def test_in_a_right_history_nothing_is_odd() -> None:
    """Everybody has each message in its order; what one has seen, another may not have yet."""
    story = Story()
    alice, bob = story.members(RED, "alice", "bob")
    first, second = alice.says(RED, "one"), bob.says(RED, "two")
    story.all_hear([alice], (first, 1), (second, 2))
    middle = len(story.events)
    story.all_hear([bob], (first, 1), (second, 2))
    assert lines(alice, 0, middle) == [(1, ""), (2, "")]
    assert lines(bob, 0, middle) == []
    assert lines(bob, middle) == [(1, ""), (2, "")]
    assert missing(bob) is None
    said = seen_by(bob).rooms[RED].lines[1]
    assert (said.user, said.content) == ("bob", second.content)


def test_a_swap_is_a_gap_that_is_filled_late() -> None:
    """The gap is there from the moment at which the higher number arrives to that of the lower one."""
    story = Story()
    (alice,) = story.members(RED, "alice")
    said = [alice.says(RED, str(number)) for number in (1, 2, 3)]
    places = []
    for number in (1, 3, 2):
        alice.hears(said[number - 1], number)
        places.append(len(story.events))
    assert missing(alice, places[0]) is None
    assert missing(alice, places[1]) == [Span(2, 2)]
    assert missing(alice, places[2]) == []
    assert lines(alice) == [(1, ""), (3, ""), (2, "late")]


def test_what_is_wrong_with_a_message_is_said_when_it_arrives() -> None:
    """A duplicate, a number for two messages, a message after leaving."""
    story = Story()
    (alice,) = story.members(RED, "alice")
    one, two = alice.says(RED, "one"), alice.says(RED, "two")
    story.all_hear([alice], (one, 1), (one, 1), (two, 1))
    alice.leaves(RED)
    alice.hears(two, 2)
    assert lines(alice) == [(1, ""), (1, "again"), (1, "number_taken"), (2, "after_leaving")]


def test_what_one_was_away_for_is_no_gap_and_a_replay_is_marked() -> None:
    """Numbers count from each join on; a page that came before is known, and may fill a gap."""
    story = Story()
    alice, bob = story.members(RED, "alice", "bob")
    said = [(bob.says(RED, str(number)), number) for number in range(1, 8)]
    alice.hears(*said[0])
    alice.is_cut()
    cut = len(story.events)
    assert seen_by(alice, 0, cut).connection == "scrubber.not_connected"
    alice.connects()
    alice.joins(RED, 2, said[2:4])
    assert missing(alice) is None
    assert lines(alice, cut) == [(3, "strip_replayed"), (4, "strip_replayed")]
    assert seen_by(alice).connection == "scrubber.connected"
    alice.hears(*said[6])
    assert missing(alice) == [Span(5, 6)]
    alice.reads(RED, said[4:6])
    assert missing(alice) == []


def test_an_answer_to_a_retry_is_not_odd() -> None:
    """It comes late, or again, because it was asked for."""
    story = Story()
    (alice,) = story.members(RED, "alice")
    line = alice.says(RED, "one", id="x")
    alice.hears(line, 1)
    story.talk([alice], RED, 3, first=2)
    alice.repeats(line)
    alice.hears(line, 1)
    assert [mark for _, mark in lines(alice)] == [""] * 5


def test_presence_is_as_that_client_was_told() -> None:
    """A full list replaces what was known, and a change is added; others know nothing of it."""
    story = Story(3)
    alice, bob = story.members(RED, "alice", "bob")
    alice.is_shown(RED, {"alice": "online", "bob": "online"}, True)
    alice.is_shown(RED, {"bob": "away"}, False)
    assert seen_by(alice).rooms[RED].presence == {"alice": "online", "bob": "away"}
    alice.is_shown(RED, {"alice": "online"}, True)
    assert seen_by(alice).rooms[RED].presence == {"alice": "online"}
    assert seen_by(bob).rooms == {}


def test_a_fault_is_told_until_it_ends() -> None:
    """By the text that the diagram has for it."""
    story = Story()
    (alice,) = story.members(RED, "alice")
    alice.faults("stop_reading")
    assert seen_by(alice).connection == "diagram.stop_reading"
    alice.faults("read_again")
    assert seen_by(alice).connection == "scrubber.connected"


@PROPERTY
@given(st.lists(st.integers(1, 12), max_size=12))
def test_it_says_the_same_as_the_strips(numbers: list[int]) -> None:
    """In whatever order numbers arrive: what is missing in the end, what was late, and what came again."""
    story = Story()
    alice, bob = story.members(RED, "alice", "bob")
    said = {number: bob.says(RED, str(number)) for number in range(1, 13)}
    for number in numbers:
        alice.hears(said[number], number)
    found = [row for row in rows(HistoryIndex(story.events), RED) if row.client == "alice"]
    for row in found:
        assert (missing(alice) or []) == row.holes
        for mark, marked in (("late", row.late), ("again", row.again)):
            assert [number for number, its in lines(alice) if its == mark] == marked
    assert bool(found) == bool(numbers)


@PROPERTY
@given(st.data())
def test_events_in_any_order_can_be_read(data: st.DataObject) -> None:
    """A history of which a part is missing, or is out of order, or comes twice."""
    story = Story()
    alice, bob = story.members(RED, "alice", "bob")
    story.talk([alice, bob], RED, 3)
    alice.is_shown(RED, {"bob": "away"})
    bob.is_cut()
    bob.connects()
    bob.leaves(RED)
    events = data.draw(st.lists(st.sampled_from(story.events), max_size=20))
    record = Record(events)
    for person in ("alice", "bob", "nobody"):
        record.between(person, 0, len(events))
    assert set(record.rooms(events)) <= {RED}
