"""An event loop in which nobody waits: where all tasks sleep, its clock goes on to the first who wakes."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any


class _Selector(selectors.SelectSelector):
    """There are no sockets in these tests: what would be waited for only makes the time go on."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """See the base class."""
        assert timeout is not None, "all tasks wait for ever"
        self.now += max(timeout, 0.0)
        return super().select(0)


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._clock = _Selector()
        super().__init__(self._clock)

    def time(self) -> float:
        """Seconds that nobody has waited."""
        return self._clock.now


def run(main: Coroutine[Any, Any, None]) -> None:
    """Run this to its end. Every exception that nobody looks at is a failure."""
    unseen: list[dict[str, Any]] = []
    with asyncio.Runner(loop_factory=_Loop) as runner:
        runner.get_loop().set_exception_handler(lambda _, context: unseen.append(context))
        runner.run(main)
    assert not unseen, unseen
