"""How long a play may take, however much happens in it: a server may keep us busy without end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from time import process_time

from harness.worlds.served import ServedWorld
from harness.worlds.surroundings import PlayStopped

TICK = 1.0
"""Seconds between two looks at the time."""


async def limited(
    work: Coroutine[object, object, None], world: ServedWorld, most: Callable[[], tuple[float, bool]]
) -> None:
    """Do this in a world, within `most()` seconds; raises PlayStopped after that.

    `most` may change its mind meanwhile; its second value says whether to record that the server is too slow.
    Time for which this process did not get the processor does not count.
    """
    task = asyncio.create_task(work, name="plays")
    passed, last, busy = 0.0, world.now(), process_time()
    try:
        while not task.done():
            await asyncio.wait({task}, timeout=TICK)
            now, used = world.now(), process_time()
            passed += min(now - last, max(2 * TICK, used - busy))
            last, busy = now, used
            seconds, is_news = most()
            if passed > seconds and not task.done():
                if is_news:
                    world.takes_too_long(passed)
                raise PlayStopped
        await task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
