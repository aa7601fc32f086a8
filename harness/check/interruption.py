"""Ctrl-C and SIGTERM in the middle of a check: what is known is told, then everything is ended."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from lab.command import EXIT_INTERRUPTED

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def interruptible(tell: Callable[[], None]) -> Iterator[None]:
    """Meanwhile, the first signal calls `tell` and cancels the current task; another ends us at once.

    What this process has started notices its end, and ends as well. After the first one, this stays so.
    """
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None, "inside asyncio.run there is one"
    is_first = True

    def begin_to_end() -> None:
        try:
            tell()
        finally:
            task.cancel()

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal is_first
        if not is_first:
            sys.stdout.flush()
            os._exit(EXIT_INTERRUPTED)
        is_first = False
        loop.call_soon_threadsafe(begin_to_end)

    before = {number: signal.signal(number, handle) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, old in before.items() if is_first else ():
            signal.signal(number, old)
