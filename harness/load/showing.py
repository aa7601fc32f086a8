"""When a fault showed: that decides on which step of a ramp it counts.

What a finding names as evidence may begin long before, such as what somebody had said seconds before the
server closed the connection.
"""

from __future__ import annotations

from math import inf

from harness.checkers.catalogue import Anomaly
from harness.checkers.delivery import LONG_AGO
from harness.history.events import GaveUp, Sent

_ABSENT = ("lost", "retry_unanswered", "unanswered_request")
"""Findings that something did not come: it is missing for good LONG_AGO after it was asked."""


def shown_at(anomaly: Anomaly) -> float:
    """The time in seconds at which a fault showed; infinite for what has no events."""
    if not anomaly.evidence:
        return inf
    last = anomaly.evidence[-1]
    if isinstance(last, GaveUp):  # that was noted only after much patience
        return last.at - last.seconds + LONG_AGO
    sent = [event.at for event in anomaly.evidence if isinstance(event, Sent)]
    if anomaly.name in _ABSENT and sent:
        return max(sent) + LONG_AGO
    return last.at
