"""What several scenarios do, and look for, alike."""

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
"""How much is played by default: as much as a live run of some seconds takes."""
MODEST = 12
"""How much is played where interleavings come from a seed, and need no mass: all that a step has to show."""
SMALL = 2
"""How much is played in each of many runs: what interleaves, and nothing else."""

Bad = tuple[str, Any, str | bytes | None]
"""A bad frame: the rule that it breaks, the frame, and its text or bytes where that is not just the frame."""


async def misbehave(world: World, client: Client, bad: list[Bad]) -> Client:
    """Send bad frames one by one; who is thrown out comes back, so that each frame gets its chance."""
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
    """Do these things beside what is done inside; what is not finished by its end is cancelled."""
    tasks = [asyncio.create_task(chore) for chore in chores]
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def together(*coroutines: Coroutine[None, None, None]) -> None:
    """Do all of these at once; if one cannot go on, neither can the play."""
    async with meanwhile(*coroutines) as tasks:
        for task in tasks:
            await task


def span(index: HistoryIndex, step: str) -> tuple[float, float]:
    """When a step began and ended."""
    return index.steps.get(step, (inf, inf))


def in_rooms(
    index: HistoryIndex, rooms: Iterable[str], *checkers: Callable[[HistoryIndex, str], list[Anomaly]]
) -> list[Anomaly]:
    """What each of these checkers finds in these rooms: all of the first one, then of the next."""
    rooms = list(rooms)
    return [anomaly for check in checkers for room in rooms for anomaly in check(index, room)]
