"""Properties: a right server is never blamed, and whatever is broken in its history is named.

Right histories come from the model of a right server. A defect is planted by changing such a history in one
place: what is planted, and where, is chosen at random among all places at which it can be told.
"""

from __future__ import annotations

from hypothesis import given

from harness.anomalies import Anomaly
from harness.checkers import delivery, durability, errors, lifecycle, ordering, pages, replay
from harness.log import Log
from tests.harness.model import ROOMS, plays
from tests.harness.stories import PROPERTY, Story, told

CHECKS = (
    delivery.refused,
    delivery.lost,
    delivery.duplicates,
    delivery.numbered_twice,
    delivery.altered,
    ordering.numbering,
    ordering.order,
    replay.seams,
    replay.retries,
    pages.wrong,
    pages.mismatches,
    durability.replayed_as_new,
)


def findings(log: Log) -> list[Anomaly]:
    """All that the checkers of what is said and heard find in a history."""
    found = [anomaly for check in CHECKS for room in ROOMS for anomaly in check(log, room)]
    found += [
        each for room in ROOMS for copy in (True, False) for each in durability.lost(log, room, copy=copy)
    ]
    return [
        *found,
        *delivery.leaks(log),
        *errors.obeyed(log),
        *lifecycle.connections(log, 0.0, log.events[-1].at),
    ]


@PROPERTY
@given(plays)
def test_a_right_server_is_never_blamed(story: Story) -> None:
    """Whatever a right server and its clients do, and whenever they are cut off: no findings."""
    assert told(findings(story.log)) == []
