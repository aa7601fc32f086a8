"""Things that are done side by side, and cleaned up before anybody goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def side_by_side(*coroutines: Coroutine[Any, Any, T]) -> list[T]:
    """Do all of these at once; returns their results. Raises the first exception of any.

    Nothing is left running then. Each that is cancelled may take its time to clean up, and is cancelled once
    only: `asyncio.gather` goes on as soon as the first has ended, and the end of the event loop cancels the
    others again, in the middle of that.
    """
    tasks = [asyncio.ensure_future(each) for each in coroutines]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            if not task.cancelling():
                task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
