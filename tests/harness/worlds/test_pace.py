"""How long is waited for a server that does not go on."""

from __future__ import annotations

import asyncio

import pytest

from harness.worlds.surroundings import MOST_BLOCKED, Pace
from harness.worlds.timeline import Timeline


def paced(periods: list[tuple[float, int]]) -> Pace:
    """The pace after some periods: of each, its seconds, and how many frames come at its end."""

    async def played() -> Pace:
        timeline = Timeline("nonce")
        pace = Pace(timeline)
        for seconds, frames in periods:
            for _ in range(round(seconds * 10)):
                pace.passed(0.1)
            for _ in range(frames):
                timeline.heard(10)
        return pace

    return asyncio.run(played())


@pytest.mark.parametrize(
    ("periods", "is_told"),
    [
        ([(3.0, 1)] * 4 + [(1.0, 0)], True),  # three seconds for each answer
        ([(3.0, 1)] * 4 + [(0.1, 0)], False),  # but now it has just answered
        ([(3.0, 1), (3.0, 0)], False),  # not for long enough yet
        ([(0.3, 1)] * 200 + [(1.0, 0)], False),  # slow, but each time it goes on soon
        ([(60.0, 0)], False),  # what never comes is no block
        (([(1.0, 1)] + [(0.1, 1)] * 30) * 12 + [(1.0, 0)], False),  # most of the time it goes on
    ],
)
def test_a_server_that_is_blocked_again_and_again(periods: list[tuple[float, int]], is_told: bool) -> None:
    """For many seconds in all, and most of those for which something was due; and it is at the moment."""
    assert paced(periods).may_be_blocked is is_told


def test_a_wait_that_begins_forgets_the_quiet_before_it() -> None:
    """Nothing was due then, or it was waited for in vain."""
    pace = paced([(20.0, 0)])
    pace.begin()
    assert pace.quiet == 0.0
    assert pace.blocked == 0.0 < MOST_BLOCKED
