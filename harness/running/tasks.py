"""Concurrent tasks that are all cleaned up before the caller continues."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def side_by_side(*coroutines: Coroutine[Any, Any, T]) -> list[T]:
    """Run all of these concurrently; return their results. Raises the first exception of any.

    Nothing is left running then. Each cancelled task may take time to clean up, and is cancelled only once:
    `asyncio.gather` raises as soon as the first has failed, and the end of the event loop would then cancel
    the others again, in the middle of their cleanup.
    """
    tasks = [asyncio.ensure_future(each) for each in coroutines]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            if not task.cancelling():
                task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
