"""A member that does not read delays nobody, and costs a bounded amount of memory."""

from __future__ import annotations

from math import inf

from harness.checkers import slow
from lab.protocol import MAX_UNREAD
from tests.harness.stories import Story, facts, told

MIB = 2**20


def every(story: Story, room: str = "red") -> list[str]:
    """What all checkers of this file find in a room."""
    return [*told(slow.stalled(story.log, room)), *told(slow.unbounded(story.log, room))]


def test_an_empty_history_has_nothing_wrong() -> None:
    """Nobody stopped reading, so nothing was shown."""
    assert every(Story()) == []
    assert slow.reading_times(Story().log) == (None, inf)
    assert slow.owed_bytes(Story().log, "red") == 0


def test_the_others_hear_everything_while_one_does_not_read() -> None:
    """What the slow one gets later is within bounds: no findings; and what went past it is known."""
    story = Story()
    alice, bob, sloth = story.members("red", "alice", "bob", "sloth")
    story.talk([alice, bob], "red", 2)
    sloth.faults("stop_reading")
    stopped = story.at
    lines = [(alice.says("red", "z" * 1000), n) for n in (3, 4, 5)]
    story.all_hear([alice, bob], *lines)
    story.passes(3)
    sloth.faults("read_again")
    for line, number in lines:
        sloth.hears(line, number, size=5 * MIB)
    assert every(story) == []
    fault, again = slow.reading_times(story.log)
    assert fault is not None
    assert (fault.at, again > stopped + 3) == (stopped, True)
    assert 3000 < slow.owed_bytes(story.log, "red") < 3100


def test_a_reader_that_is_disconnected_and_comes_back() -> None:
    """It never reads again on that connection, and all the rest comes by the replay on the next."""
    story = Story()
    alice, sloth = story.members("red", "alice", "sloth")
    sloth.faults("stop_reading")
    lines = [(alice.says("red"), n) for n in range(1, 9)]
    story.all_hear([alice], *lines)
    sloth.is_dropped(1013)
    sloth.connects()
    sloth.joins("red", since=0)
    for _ in range(8):
        sloth.gets_page("red", lines)
    for line, number in story.talk([alice], "red", 2, first=9):
        sloth.hears(line, number, size=20 * MIB)
    assert every(story) == []


def test_messages_that_were_just_on_their_way_when_reading_began_again_are_not_late() -> None:
    """A message takes a moment, with or without a slow reader."""
    story = Story()
    alice, bob, sloth = story.members("red", "alice", "bob", "sloth")
    sloth.faults("stop_reading")
    story.passes(5)
    line = alice.says("red")
    sloth.faults("read_again")
    story.all_hear([alice, bob, sloth], (line, 1))
    assert every(story) == []


def test_what_is_said_after_it_reads_again_is_not_held_for_it() -> None:
    """A reader may go on to hear as much as it likes."""
    story = Story()
    alice, sloth = story.members("red", "alice", "sloth")
    sloth.faults("stop_reading")
    sloth.faults("read_again")
    for number in range(1, 40):
        sloth.hears(alice.says("red"), number, size=MIB)
    assert every(story) == []


def test_everybody_waits_for_the_slow_reader() -> None:
    """The finding names who waited for whom, for how many messages, and how long."""
    story = Story()
    alice, bob, sloth = story.members("red", "alice", "bob", "sloth")
    sloth.faults("stop_reading")
    heard, *waiting = [(alice.says("red"), n) for n in (1, 2, 3)]
    story.all_hear([alice, bob], heard)
    story.passes(4)
    sloth.faults("read_again")
    story.all_hear([alice, bob, sloth], *waiting)
    found = slow.stalled(story.log, "red")
    assert told(found) == ["stalled_by_slow_reader"]
    assert facts(found, "who", "slow", "count", "seconds") == ["alice", "sloth", 2, 4.0]
    assert len(found[0].evidence) == 3
    assert told(slow.stalled(story.log, "blue")) == []


def test_a_server_that_keeps_everything() -> None:
    """More than may wait, and than the sockets may hold, was kept for it."""
    story = Story()
    alice, sloth = story.members("red", "alice", "sloth")
    sloth.faults("stop_reading")
    lines = [(alice.says("red"), n) for n in range(1, 33)]
    story.all_hear([alice], *lines)
    sloth.faults("read_again")
    for line, number in lines:
        sloth.hears(line, number, size=MIB)
    found = slow.unbounded(story.log, "red")
    assert told(found) == ["unbounded_slow_reader"]
    assert facts(found, "slow", "mebibytes", "limit") == ["sloth", 32, MAX_UNREAD // MIB]


def test_what_the_sockets_hold_is_not_counted() -> None:
    """Sixteen mebibytes by the server, and eight on the way, are within bounds."""
    story = Story()
    alice, sloth = story.members("red", "alice", "sloth")
    sloth.faults("stop_reading")
    lines = [(alice.says("red"), n) for n in range(1, 25)]
    story.all_hear([alice], *lines)
    sloth.faults("read_again")
    for line, number in lines:
        sloth.hears(line, number, size=MIB)
    assert every(story) == []
