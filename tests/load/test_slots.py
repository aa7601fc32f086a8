"""The time of a load is divided into warm-up and the rest, and into steps."""

from __future__ import annotations

import pytest

from harness.load.slots import MOST, Slots, Step, Times, matched, steps_of


def test_what_is_due_while_users_arrive_is_warm_up() -> None:
    """From when a user was due to come until a second after it had come; the rest is not."""
    slots = Slots(10.0, [(0.2, 1.5), (1.9, 2.8), (7.5, 7.6)], [])
    assert slots.warm_up() == [0, 1, 2, 3, 7, 8]
    assert slots.steady() == [4, 5, 6, 9]
    assert slots.warm_up_seconds == 6.0


def test_the_last_slot_lasts_as_long_as_the_test() -> None:
    """A rate is of the time that there was."""
    assert Slots(9.25, [], []).seconds(range(7, 10)) == pytest.approx(2.25)
    assert Slots(0.0, [], []).seconds([0]) == 0.0


def test_times_belong_to_the_slot_in_which_they_were_due() -> None:
    """However long they took, and however late that was noted."""
    slots = Slots(10.0, [(0.0, 1.0)], [])
    times = Times(slots)
    times.add("connect", 0.5, 7.0)
    times.add("connect", 5.0, 0.2)
    times.add("connect", 99.0, 0.1)
    assert times.within("connect", slots.warm_up()) == [7.0]
    assert times.all_within(slots.steady()) == {"connect": [0.1, 0.2]}
    assert times.all_within([4]) == {}


def test_users_and_probe_are_compared_in_the_same_seconds() -> None:
    """Each second counts as often for both, however much the users did in it; with one alone, not at all."""
    slots = Slots(4.0, [], [])
    users, probe = Times(slots), Times(slots)
    for second, count, seconds in ((0, 1, 0.1), (1, 1000, 9.0), (2, 50, 5.0)):
        for _ in range(count):
            users.add("connect", second, seconds)
    for second, seconds in ((0, 0.1), (0, 0.2), (0, 0.3), (1, 8.0), (3, 0.1)):
        probe.add("connect", second, seconds)
    ours, theirs = matched(users, probe, range(4))["connect"]
    assert theirs == [0.1, 0.2, 0.3, 8.0]
    assert (ours.count(0.1), ours.count(9.0), len(ours)) == (30, 10, 40)


@pytest.mark.parametrize("seconds", [0.0, 1.0, 599.0, 601.0, 86400.0])
def test_a_long_test_has_longer_slots(seconds: float) -> None:
    """There are never more than can be shown, nor none, and all of the test is in them."""
    slots = Slots(seconds, [], [])
    assert 1 <= slots.count <= MOST
    assert slots.count * slots.width >= seconds


def test_steps_of_a_ramp() -> None:
    """Equal parts of the time, of which only those that have begun are told, the last as far as it came."""
    assert steps_of(100, 50.0, 5, 50.0)[-1] == Step(100, 40.0, 50.0)
    assert steps_of(100, 50.0, 5, 25.0) == [Step(20, 0.0, 10.0), Step(40, 10.0, 20.0), Step(60, 20.0, 25.0)]
    assert steps_of(7, None, 2, 31.0) == [Step(4, 0.0, 30.0), Step(7, 30.0, 31.0)]
