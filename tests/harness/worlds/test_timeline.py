"""What a server sends is bounded by its events, its bytes, its values, and by what they become here."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from harness.history.events import Noted, Server
from harness.judged.bounds import FRAME_BYTES, MAX_BYTES, MAX_VALUES, MIB, OWN_MEMORY, WEIGH_EVERY
from harness.worlds import timeline
from harness.worlds.timeline import Timeline


def flooded_after(heard: list[tuple[int, int, int]]) -> bool:
    """Whether a server counts as flooding that has sent frames of these sizes, values and messages."""

    async def play() -> bool:
        made = Timeline("abc")
        for each in heard:
            made.heard(*each)
            made.record(Noted(made.now(), "a frame", 0))
        ends = [event for event in made.history if isinstance(event, Server)]
        assert [event.what for event in ends] == ["flooding"] * made.flooded
        return made.flooded

    return asyncio.run(play())


@pytest.mark.parametrize(
    ("much", "is_flood"),
    [
        ([(MIB, 0, 0)] * (MAX_BYTES // MIB), False),
        ([(MIB, 0, 0)] * (MAX_BYTES // MIB + 1), True),
        ([(MIB, 350_000, 0)] * 8, False),
        ([(MIB, 350_000, 0)] * (MAX_VALUES // 350_000 + 1), True),
        ([(100, 9, 100)] * 594, False),
        ([(100, 9, 100)] * 595, True),
    ],
)
def test_bytes_and_values_count_as_well_as_events(much: list[Any], is_flood: bool) -> None:
    """Right up to each bound, and no further; the flood is recorded once."""
    assert flooded_after(much) is is_flood


@pytest.mark.parametrize(
    ("frame", "grown", "is_flood"),
    [
        (WEIGH_EVERY, OWN_MEMORY - MIB, False),
        (3 * WEIGH_EVERY, OWN_MEMORY + MIB, True),
        (WEIGH_EVERY // 2, OWN_MEMORY + MIB, False),
        (WEIGH_EVERY, 200 * WEIGH_EVERY + FRAME_BYTES, False),
    ],
)
def test_our_own_memory_is_a_bound(
    monkeypatch: pytest.MonkeyPatch, frame: int, grown: int, is_flood: bool
) -> None:
    """It is looked at now and then, and counts if what was sent can explain it: a test may keep much."""
    weights = iter([50 * MIB, *[50 * MIB + grown] * 9])
    monkeypatch.setattr(timeline, "memory_of", lambda pid: next(weights))
    assert flooded_after([(frame, 0, 0)]) is is_flood
