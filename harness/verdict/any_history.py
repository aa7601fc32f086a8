"""Checks that hold for every history, whatever was played; and the malformed frames in one."""

from __future__ import annotations

from math import inf

from harness.checkers import delivery, errors, lifecycle, ordering, pages, replay, timestamps
from harness.checkers.catalogue import Anomaly
from harness.history.frames import MAX_DEPTH, Flaw
from harness.history.index import HistoryIndex, ReceivedFrame
from harness.verdict.outcome import Text
from harness.verdict.steps import STEP_OF_FRAME


def anomalies_in(index: HistoryIndex) -> list[Anomaly]:
    """What is wrong with any history, whatever was played: what must hold for every chat, always.

    For histories that are not of an exercise, such as those of an instructor's own tests.
    """
    rooms = list(dict.fromkeys(membership.room for membership in index.memberships))
    return [
        *lifecycle.server(index, 0.0, inf),
        *flaws_in(index).values(),
        *timestamps.of_messages(index),
        *timestamps.of_presence(index),
        *lifecycle.connections(index, 0.0, inf),
        *errors.obeyed(index),
        *delivery.leaks(index),
        *(anomaly for room in rooms for anomaly in _anomalies_of(index, room)),
    ]


def _anomalies_of(index: HistoryIndex, room: str) -> list[Anomaly]:
    return [
        *delivery.refused(index, room),
        *delivery.lost(index, room),
        *delivery.numbered_twice(index, room),
        *delivery.duplicates(index, room),
        *delivery.altered(index, room),
        *delivery.strays(index, room),
        *ordering.numbering(index, room),
        *ordering.order(index, room),
        *replay.seams(index, room),
        *pages.mismatches(index, room),
    ]


def flaws_in(index: HistoryIndex) -> dict[str, Anomaly]:
    """Malformed frames, one finding for each step that such frames belong to."""
    found: dict[str, Anomaly] = {}
    counts: dict[str, int] = {}
    first: dict[str, ReceivedFrame] = {}
    for received in (received for world in index.worlds for received in world.received):
        if received.reading.flaws:
            step = STEP_OF_FRAME.get(received.reading.kind, "1.2")
            counts[step] = counts.get(step, 0) + 1
            first.setdefault(step, received)
    for step, received in first.items():
        flaw = received.reading.flaws[0]
        params = {
            "who": received.client,
            "kind": received.reading.kind or "?",
            "field": flaw.field or "…",
            "expected": flaw.expected,
            "actual": flaw.actual,
            "count": counts[step],
            "depth": MAX_DEPTH,
        }
        found[step] = Anomaly("malformed_frame", params, [received.event], _kind_of_flaw(flaw))
    return found


def _kind_of_flaw(flaw: Flaw) -> str:
    """What to look for: a wrong time, an unknown code, too large a frame, a number in quotes, or anything."""
    if flaw.expected in ("millis", "code", "small", "plain", "binary", "half"):
        return flaw.expected
    is_number = flaw.expected in ("whole", "number", "seconds") and flaw.actual.strip('"').isdigit()
    return "quoted" if is_number and flaw.actual.startswith('"') else ""


def first_flaw(index: HistoryIndex) -> Anomaly | None:
    """The first malformed frame of a history, if there is one."""
    return min(flaws_in(index).values(), key=lambda anomaly: anomaly.evidence[0].at, default=None)


def leniencies(index: HistoryIndex) -> list[Text]:
    """What the contract forgives, and this server made use of."""
    used = dict.fromkeys(note for received in index.received for note in received.reading.notes)
    if errors.obeyed_binary(index):
        used["binary"] = None
    if errors.refused_for_marks(index):
        used["marks"] = None
    off = timestamps.elsewhere(index)
    clock = [Text("lenient.clock", {"off": off})] if off else []
    return [*(Text(f"lenient.{note}") for note in used), *clock]
