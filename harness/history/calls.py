"""Records the calls between components as events, so that a race can be seen.

    accept#1   store.last("red") → 0
    accept#2   store.last("red") → 0
    accept#1   store.save([#1 "hello"]) …

The caller is kept in a context variable, which tasks inherit: all calls on behalf of the second `accept`
are recorded as made by `accept#2`, however many tasks make them.
"""

from __future__ import annotations

import inspect
import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any
from unicodedata import combining

from harness.history.events import Called
from lab.interfaces import Change, Draft
from lab.legible import both_ends
from lab.protocol import History, Message, Presence, PresenceFrame

MAX_SHOWN = 24
"""Characters of a text that are shown."""
_ERROR = 200
"""Characters of an exception that are shown: it explains, so the others are cut from its middle."""
_FEW = 4
"""Members of a list that are shown."""

_VOID = ("save", "drain", "attach", "close")
"""Methods that return nothing. For all others, None is an answer."""

_caller: ContextVar[str] = ContextVar("caller", default="")


class Calls:
    """Records calls: `record` takes the events, `now` returns the seconds since the run began.

    `named` returns how to show a value that only the run knows, such as a member, and None for all others.
    """

    def __init__(
        self,
        record: Callable[[Called], None],
        now: Callable[[], float],
        named: Callable[[object], str | None] = lambda value: None,
    ) -> None:
        self._record = record
        self.now = now
        self._named = named
        self.made = 0
        """How many calls have begun; also the number of the last one."""
        self._counts: Counter[str] = Counter()

    def written(self, method: str, args: tuple[Any, ...]) -> str:
        """A call, written as in source code: `store.last("red")`."""
        return f"{method}({', '.join(self.shown(each) for each in args)})"

    def shown(self, value: object) -> str:
        """A value in a few characters; `?` if it cannot be shown."""
        try:
            return self._named(value) or _shown(value, self.shown)
        except Exception:  # it may be of any class, with any `__repr__`
            return "?"

    def begin(self, what: str) -> int:
        """Record the beginning of a call; returns its number."""
        self.made += 1
        self._record(Called(self.now(), self.made, _caller.get(), what))
        return self.made

    def end(self, number: int, what: str, result: str) -> None:
        """Record the end of the call with this number."""
        self._record(Called(self.now(), number, _caller.get(), what, result))

    def raised(self, error: BaseException) -> str:
        """An exception, written as the end of a call; a missing key has the same name as in the calls."""
        name = self._named(error.args[0]) if isinstance(error, KeyError) and error.args else None
        return f"KeyError: {name}" if name else raised(error)

    @contextmanager
    def on_behalf_of(self, method: str) -> Iterator[str]:
        """Record the calls made inside as made by this call of `method`, such as `accept#1`: its name."""
        self._counts[method] += 1
        name = f"{method}#{self._counts[method]}"
        token = _caller.set(name)
        try:
            yield name
        finally:
            with suppress(ValueError):  # an unfinished coroutine is closed in another context
                _caller.reset(token)

    def call(self, method: str, function: Callable[..., Any], args: tuple[Any, ...]) -> Any:
        """Call a function, and record that. The caller awaits the result of an asynchronous one."""
        what = self.written(method, args)
        number = self.begin(what)
        try:
            result = function(*args)
        except BaseException as error:
            self.end(number, what, self.raised(error))
            raise
        if inspect.isawaitable(result):
            return self._awaited(number, what, result)
        if result is not None:
            self.end(number, what, self.shown(result))
        return result

    async def _awaited(self, number: int, what: str, result: Any) -> Any:
        try:
            value = await result
        except GeneratorExit:  # it was never finished, so it has no end
            raise
        except BaseException as error:
            self.end(number, what, self.raised(error))
            raise
        is_void = value is None and what.partition("(")[0].rpartition(".")[2] in _VOID
        self.end(number, what, "done" if is_void else self.shown(value))
        return value


def raised(error: BaseException) -> str:
    """An exception, written as the end of a call."""
    return f"{type(error).__name__}: {both_ends(said_by(error), _ERROR)}".rstrip(": ")


def said_by(error: BaseException) -> str:
    """The text of an exception; empty if it raises one itself, as those of judged code may."""
    try:
        return str(error)
    except Exception:
        return ""


def _shown(value: object, shown: Callable[[object], str]) -> str:
    match value:
        case str():
            return quoted(_cut(value))
        case Message():
            return f"#{value.sequence} {quoted(_cut(value.content))}"
        case Draft(user=user, content=content, id=id):
            text = f"{user}: {quoted(_cut(content))}"
            return text if id is None else f"{text}, id {quoted(_cut(id))}"
        case History(messages=messages, last=last, more=more):
            return f"history {numbers(messages)} last={last} more={str(more).lower()}"
        case Presence(user=user, status=status):
            return f"{user} {status}"
        case Change(room=room, presence=presence):
            return f"{room}: {shown(presence)}"
        case PresenceFrame(users=users):
            return f"presence {shown(users)}"
        case list() if len(value) > _FEW and all(isinstance(each, Message) for each in value):
            return numbers(value)
        case list() | tuple() | set() | frozenset():
            items = ", ".join(shown(each) for each in [*value][:_FEW])
            rest = f", … ({len(value)})" if len(value) > _FEW else ""
            brackets = "[]" if isinstance(value, list) else "()" if isinstance(value, tuple) else "{}"
            return f"{brackets[0]}{items}{rest}{brackets[1]}"
    return _cut(repr(value), 60)


def quoted(text: str) -> str:
    """A text in quotes, with escapes for characters that are invisible or hard to tell apart."""
    in_quotes = json.dumps(text, ensure_ascii=False)
    return "".join(
        char if char.isprintable() and not combining(char) else f"\\u{ord(char):04x}" for char in in_quotes
    )


def numbers(messages: list[Message]) -> str:
    """The sequence numbers of some messages, in brackets."""
    return f"[{in_short([message.sequence for message in messages])}]"


def in_short(found: list[int], most: int = 2 * _FEW) -> str:
    """Some numbers: `1 … 40` where each is one more than the last, else `most` of them at the most."""
    if len(found) > 2 and found == list(range(found[0], found[0] + len(found))):
        return f"{found[0]} … {found[-1]}"
    text = ", ".join(map(str, found[:most]))
    return f"{text}, … ({len(found)})" if len(found) > most else text


def _cut(text: str, most: int = MAX_SHOWN) -> str:
    return text if len(text) <= most else f"{text[:most]}…"
