"""Several short waits at the same time, where there is no event loop, or it has to stand still for them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor


def side_by_side(calls: Iterable[Callable[[], None]]) -> None:
    """Make these calls, each in a thread of its own, and wait for all. Raises what one of them raises."""
    waiting = list(calls)
    with ThreadPoolExecutor(max(len(waiting), 1)) as pool:
        for done in [pool.submit(call) for call in waiting]:
            done.result()
