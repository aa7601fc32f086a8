"""Code shared by several scenarios."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager
from math import inf
from typing import Any

from harness.checkers.catalogue import Anomaly
from harness.history.index import HistoryIndex
from harness.worlds.base import World
from harness.worlds.client import Client
from harness.worlds.surroundings import Gone

FULL = 30
"""The default size of a plan: a live run then takes some seconds."""
MODEST = 12
"""The size where interleavings come from a seed and need no volume: just enough to test every step."""
SMALL = 2
"""The size for each of many runs: only what depends on interleavings."""

Bad = tuple[str, Any, str | bytes | None]
"""A bad frame: the rule that it breaks, the frame, and its text or bytes where that is not just the frame."""


async def misbehave(world: World, client: Client, bad: list[Bad]) -> Client:
    """Send bad frames one by one; a disconnected client reconnects, so that each frame is tried."""
    for rule, frame, text in bad:
        if not client.is_open:
            client = await world.client(client.name)
        try:
            await client.send_bad(frame, rule, text)
            await client.fence()
        except Gone:
            client = await world.client(client.name)
    return client


@asynccontextmanager
async def meanwhile(*chores: Coroutine[None, None, None]) -> AsyncIterator[list[asyncio.Task[None]]]:
    """Run these while the body of the context runs; what is not finished at its end is cancelled."""
    tasks = [asyncio.create_task(chore) for chore in chores]
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def together(*coroutines: Coroutine[None, None, None]) -> None:
    """Run all of these concurrently; the first exception cancels the others."""
    async with meanwhile(*coroutines) as tasks:
        for task in tasks:
            await task


def span(index: HistoryIndex, step: str) -> tuple[float, float]:
    """When a step began and ended."""
    return index.steps.get(step, (inf, inf))


def in_rooms(
    index: HistoryIndex, rooms: Iterable[str], *checkers: Callable[[HistoryIndex, str], list[Anomaly]]
) -> list[Anomaly]:
    """What these checkers find in these rooms: checker by checker, and for each room by room."""
    rooms = list(rooms)
    return [anomaly for check in checkers for room in rooms for anomaly in check(index, room)]
