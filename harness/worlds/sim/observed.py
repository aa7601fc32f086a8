"""The reference server with the calls between its components recorded, in simulated runs that are displayed.

Each component that the server loads is replaced by a subclass of the same name, whose methods record their
arguments and results. Nothing else is different: a call takes no more turns of the event loop, and draws no
random number. Where something comes out differently all the same (a component may look at its own class), the
digest of the history shows it, and the run is displayed without calls.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any

from harness.history.calls import Calls
from harness.history.events import Called
from lab import command
from lab.hub import Components
from lab.loader import INTERFACES
from lab.protocol import MAX_SEQUENCE, SYSTEM, Message
from lab.session import Session

_ASKED_OF: dict[int, dict[str, tuple[str, ...]]] = {
    1: {"pubsub": ("subscribe", "unsubscribe", "publish", "members")},
    2: {
        "sequencer": ("accept", "attach", "history"),
        "store": ("save", "page", "newest", "last", "find"),
        "pubsub": ("subscribe", "unsubscribe", "publish"),
    },
    3: {"presence": ("connected", "seen", "joined", "left", "lost", "sweep", "in_room", "is_connected")},
    4: {"store": ("save", "page", "newest", "last", "find")},
}
"""What is recorded in each exercise: the calls of its component, and its own calls of others."""
_CALLERS = ("accept", "attach", "history")
"""Methods of the sequencer that give their names to the calls made inside them."""
_USUAL: dict[str, Any] = {"seen": [], "sweep": [], "is_connected": True}
"""Usual answers of calls that are made all the time, which are recorded only if the answer differs."""

_is_quiet: ContextVar[bool] = ContextVar("is_quiet", default=False)


@contextmanager
def observed(exercise: int, record: Callable[[Called], None], now: Callable[[], float]) -> Iterator[None]:
    """While this is active, the components that `python -m lab` loads record their calls."""
    load, observer = command.load_components, _Observer(_ASKED_OF[exercise], record, now)

    def load_observed(use: Sequence[str], backplane: str = "") -> Components:
        loaded = load(use, backplane)
        parts: dict[str, Any] = {name: observer.of(name, getattr(loaded, name)) for name in INTERFACES}
        return replace(loaded, **parts)

    command.load_components = load_observed
    try:
        yield
    finally:
        command.load_components = load


@dataclass(frozen=True)
class _Call:
    """A call that is to be made."""

    component: str
    method: str
    args: tuple[Any, ...]
    make: Callable[[], Any]


class _Observer:
    """Makes classes whose calls are recorded. A connection of a user is called `ada/1`, the next `ada/2`."""

    def __init__(
        self, asked: dict[str, tuple[str, ...]], record: Callable[[Called], None], now: Callable[[], float]
    ) -> None:
        self._asked = asked
        self._calls = Calls(record, now, self._named)
        self._connections: dict[object, str] = {}
        self._counts: Counter[str] = Counter()

    def of(self, component: str, kind: type) -> type:
        """The class with its calls recorded; as it is if it cannot have subclasses."""
        methods = {*self._asked.get(component, ()), *(_CALLERS if component == "sequencer" else ())}
        own: dict[str, Any] = {each: self._method(component, each, getattr(kind, each)) for each in methods}
        own |= {"__module__": kind.__module__, "__qualname__": kind.__qualname__, "__doc__": kind.__doc__}
        try:
            made: type = type(kind)(kind.__name__, (kind,), {"__slots__": (), **own})
        except Exception:
            return kind
        return made

    def _method(self, component: str, method: str, function: Callable[..., Any]) -> Callable[..., Any]:
        is_async = inspect.iscoroutinefunction(function)

        @functools.wraps(function)
        def observed(this: Any, *args: Any, **named: Any) -> Any:
            if _is_quiet.get() or sys._getframe(1).f_locals.get("self") is this:
                return function(this, *args, **named)  # its calls of itself are not recorded
            call = _Call(component, method, (*args, *named.values()), lambda: function(this, *args, **named))
            if not is_async:
                return self._answer_of(call)
            answer: Any = self._awaited(call)
            # Python names a coroutine that was never awaited: by the name that its author knows.
            answer.__name__, answer.__qualname__ = function.__name__, function.__qualname__
            return answer

        return observed

    def _answer_of(self, call: _Call) -> Any:
        if call.method == "connected":
            connection, user, *_ = call.args
            self._counts[user] += 1
            self._connections[connection] = f"{user}/{self._counts[user]}"
        if call.method in _USUAL:
            answer = call.make()
            if answer != _USUAL[call.method]:
                self._recorded(replace(call, make=lambda: answer))
            return answer
        if call.method == "publish" and "sequencer" in self._asked and not _is_said(call.args[-1]):
            return call.make()
        return self._recorded(call)

    async def _awaited(self, call: _Call) -> Any:
        if call.method == "history" and MAX_SEQUENCE in call.args:
            _is_quiet.set(True)
            try:
                return await call.make()  # the server wants to know the newest number, for its notices
            finally:
                _is_quiet.set(False)
        if call.component != "sequencer":
            return await self._recorded(call)
        with self._calls.on_behalf_of(call.method):
            return await (self._recorded(call) if "sequencer" in self._asked else call.make())

    def _recorded(self, call: _Call) -> Any:
        return self._calls.call(f"{call.component}.{call.method}", lambda *_: call.make(), call.args)

    def _named(self, value: object) -> str | None:
        match value:
            case Session(user=user):
                return str(user)
            case Message(user=user, content=content) if user == SYSTEM:
                return f'notice "{content}"'
            case str():
                return self._connections.get(value)
            case float():
                return "now"  # all of them are, and each event has its time
        return None


def _is_said(frame: object) -> bool:
    """Whether a user sent it: notices and presence are the server's, and not the sequencer's."""
    return isinstance(frame, Message) and frame.user != SYSTEM
