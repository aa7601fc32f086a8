"""A member that does not read delays nobody, and needs a limited amount of memory."""

from __future__ import annotations

from math import inf

import pytest

from harness.checkers import slow
from harness.checkers.catalogue import Anomaly
from harness.checkers.delivery import LONG_AGO
from lab.protocol import MAX_UNREAD
from tests.harness.stories import Story, names_of

MIB = 2**20


def every(story: Story, room: str = "red") -> list[str]:
    """What all checkers of this file find in a room."""
    return [*names_of(slow.stalled(story.index, room)), *names_of(slow.unbounded(story.index, room))]


def test_an_empty_history_has_nothing_wrong() -> None:
    """Nobody stopped reading, so nothing was shown."""
    assert every(Story()) == []
    assert slow.reading_times(Story().index) == (None, inf)
    assert slow.unread_bytes(Story().index, "red") == 0


def test_the_others_receive_everything_while_one_does_not_read() -> None:
    """What the slow client gets later is within limits: no findings; and how much passed it is known."""
    story = Story()
    alice, bob, sloth = story.members("red", "alice", "bob", "sloth")
    story.talk([alice, bob], "red", 2)
    sloth.faults("stop_reading")
    stopped = story.at
    lines = [(alice.says("red", "z" * 1000), n) for n in range(3, 18)]
    story.all_hear([alice, bob], *lines)
    story.passes(3)
    sloth.faults("read_again")
    for line, number in lines:
        sloth.hears(line, number, size=MIB)
    assert every(story) == []
    fault, again = slow.reading_times(story.index)
    assert fault is not None
    assert (fault.at, again > stopped + 3) == (stopped, True)
    assert slow.unread_bytes(story.index, "red") == sum(len(line.content) for line, _ in lines)


def test_what_is_sent_when_reading_stops_or_begins_may_wait() -> None:
    """It counts as owed, and not as late or as kept: nobody knows which of the two came first."""
    story = Story(world="sim")
    alice, bob, sloth = story.members("red", "alice", "bob", "sloth")
    with story.moment():
        sloth.faults("stop_reading")
        lines = [alice.says("red") for _ in range(20)]
    story.passes(5)
    with story.moment():
        sloth.faults("read_again")
        story.all_hear([bob], (lines[0], 1))
        lines += [alice.says("red") for _ in range(20)]
    for number, line in enumerate(lines, 1):
        sloth.hears(line, number, size=MIB)
    assert every(story) == []
    assert slow.unread_bytes(story.index, "red") == sum(len(line.content) for line in lines)


def test_a_reader_that_is_cut_off_has_not_read_again() -> None:
    """Of all events of its connection, and of others, only that it reads again counts."""
    story = Story()
    sloth, other = story.clients("sloth", "other")
    sloth.faults("stop_reading")
    stopped = story.last
    other.faults("read_again")
    sloth.is_cut()
    assert slow.reading_times(story.index) == (stopped, inf)


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
    for line, number in story.talk([alice], "red", 40, first=9):
        sloth.hears(line, number, size=MIB)
    assert every(story) == []


def test_messages_in_flight_when_reading_began_again_are_not_late() -> None:
    """A message takes a moment, with or without a slow reader."""
    story = Story()
    alice, bob, sloth = story.members("red", "alice", "bob", "sloth")
    sloth.faults("stop_reading")
    story.passes(5)
    line = alice.says("red")
    sloth.faults("read_again")
    story.all_hear([alice, bob, sloth], (line, 1))
    assert every(story) == []


def test_what_is_sent_after_it_reads_again_is_not_held_for_it() -> None:
    """A reader may go on to receive as much as it likes."""
    story = Story()
    alice, sloth = story.members("red", "alice", "sloth")
    sloth.faults("stop_reading")
    sloth.faults("read_again")
    for number in range(1, 40):
        sloth.hears(alice.says("red"), number, size=MIB)
    assert every(story) == []


def test_everybody_waits_for_the_slow_reader() -> None:
    """The finding says who waited for whom, for how many messages, and how long."""
    story = Story()
    sloth, alice, bob = story.members("red", "sloth", "alice", "bob")
    story.passes(7)
    sloth.faults("stop_reading")
    stopped = story.last
    heard = (alice.says("red"), 1)
    story.all_hear([alice, bob], heard)
    story.passes(1)
    waiting = (alice.says("red", id="m2"), 2)
    said = story.last
    alice.repeats(waiting[0])
    late = (bob.says("red"), 3)
    story.passes(3.46)
    sloth.faults("read_again")
    again = story.last
    alice.hears(*waiting)
    came = story.last
    alice.hears(*late)
    story.all_hear([bob, sloth], waiting, late)
    found = slow.stalled(story.index, "red")
    params = {"who": "alice", "slow": "sloth", "room": "red", "count": 2, "seconds": 3.5}
    assert found == [Anomaly("stalled_by_slow_reader", params, [stopped, said, again, came])]
    assert names_of(found) == ["stalled_by_slow_reader"]
    assert names_of(slow.stalled(story.index, "blue")) == []


@pytest.mark.parametrize(("earlier", "count"), [(0.0, 1), (0.25, 0)])
def test_a_message_waits_if_it_comes_when_the_reader_reads_again_and_was_sent_long_before(
    earlier: float, count: int
) -> None:
    """A second before is long enough, and it waited also if it comes at the very time of the reading."""
    story = Story()
    alice, _, sloth = story.members("red", "alice", "bob", "sloth")
    sloth.faults("stop_reading")
    story.next_at(2.0)
    line = alice.says("red")
    story.next_at(2.0 + LONG_AGO - earlier)
    with story.moment():
        sloth.faults("read_again")
        alice.hears(line, 1)
    assert names_of(slow.stalled(story.index, "red")) == ["stalled_by_slow_reader"] * count


def test_a_server_that_keeps_everything() -> None:
    """More was kept for it than may wait and than the sockets may hold; the finding has whole mebibytes."""
    story = Story()
    alice, sloth = story.members("red", "alice", "sloth")
    sloth.faults("stop_reading")
    stopped = story.last
    lines = [(alice.says("red"), n) for n in range(1, 34)]
    story.all_hear([alice], *lines)
    with story.moment():
        sloth.faults("read_again")
        again = story.last
        for line, number in lines:
            sloth.hears(line, number, size=MIB - MIB // 64)
    found = slow.unbounded(story.index, "red")
    params = {"slow": "sloth", "room": "red", "mebibytes": 32, "limit": MAX_UNREAD // MIB}
    assert found == [Anomaly("unbounded_slow_reader", params, [stopped, again, story.last])]
    assert all(isinstance(found[0].params[key], int) for key in ("mebibytes", "limit"))
    assert names_of(found) == ["unbounded_slow_reader"]


@pytest.mark.parametrize(("world", "mebibytes"), [("live", 8), ("sim", 1), ("another", 8)])
@pytest.mark.parametrize("more", [0, 1])
def test_what_the_sockets_hold_is_not_counted(world: str, mebibytes: int, more: int) -> None:
    """Sixteen mebibytes by the server, and in a real network eight in flight, are within limits."""
    story = Story(world=world)
    alice, sloth = story.members("red", "alice", "sloth")
    sloth.faults("stop_reading")
    *lines, (line, number) = [(alice.says("red"), n) for n in range(1, 18 + mebibytes)]
    story.all_hear([alice], *lines)
    sloth.faults("read_again")
    for each in lines:
        sloth.hears(*each, size=MIB)
    sloth.hears(line, number, size=more)
    assert every(story) == ["unbounded_slow_reader"] * more
    assert slow.socket_buffers(world) == mebibytes * MIB
