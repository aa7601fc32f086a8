"""A coroutine that has begun before anybody waits for it, as an asynchronous function in JavaScript does."""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Coroutine, Generator
from typing import Any


class Begun:
    """Calls a function that returns a coroutine, and runs that to where it first waits. Await it once."""

    def __init__(
        self, context: contextvars.Context, function: Callable[..., Coroutine[Any, Any, Any]], *args: Any
    ) -> None:
        self._result: Any = None
        self._error: Exception | None = None
        self._coroutine: Coroutine[Any, Any, Any] | None = None
        try:
            coroutine = context.run(function, *args)
            self._waits_for = context.run(coroutine.send, None)
            self._coroutine = coroutine
        except StopIteration as done:
            self._result = done.value
        except Exception as error:
            self._error = error

    def __await__(self) -> Generator[Any, Any, Any]:
        if self._error is not None:
            raise self._error
        if self._coroutine is None:
            return self._result
        waits_for, got = self._waits_for, None
        while True:
            thrown: BaseException | None = None
            try:
                got = yield waits_for
            except BaseException as error:
                thrown = error
            try:
                waits_for = self._coroutine.throw(thrown) if thrown else self._coroutine.send(got)
            except StopIteration as done:
                return done.value
