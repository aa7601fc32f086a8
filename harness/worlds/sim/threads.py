"""The threads of executors: one at a time does its work, and while it does, it is the current one.

All of a simulation is one thread of Python's. What belongs to a thread must not be available in another all
the same: a database that `sqlite3.connect` has opened, the event loop, what a `threading.local` holds.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from functools import cache, wraps
from typing import Any

_OF_CONNECTIONS = (
    *("backup", "blobopen", "close", "commit", "create_aggregate", "create_collation", "create_function"),
    *("create_window_function", "cursor", "deserialize", "execute", "executemany", "executescript"),
    *("iterdump", "rollback", "serialize", "set_authorizer", "set_progress_handler", "set_trace_callback"),
    "__exit__",
)
_OF_CURSORS = (
    *("close", "execute", "executemany", "executescript", "fetchall", "fetchmany", "fetchone", "__next__"),
)


class WorkerThread(threading.Thread):
    """What `threading.current_thread` gives to an executor's work. It is never actually started."""

    def __init__(self, name: str, number: int) -> None:
        super().__init__(name=name)
        self._number = number

    @property
    def ident(self) -> int:
        """A number that no other thread of its host has."""
        return self._number

    @property
    def native_id(self) -> int:
        """The same."""
        return self._number

    def is_alive(self) -> bool:
        """It waits for work."""
        return True


@cache
def of_one_thread(kind: type[sqlite3.Connection]) -> type[sqlite3.Connection]:
    """Connections that refuse any thread but the one that made them, as SQLite's module does."""

    class Connection(kind):  # type: ignore[misc, valid-type]
        def __init__(self, *args: Any, **more: Any) -> None:
            self._of_thread = threading.get_ident()
            super().__init__(*args, **more)

        def cursor(self, factory: type[sqlite3.Cursor] = sqlite3.Cursor) -> sqlite3.Cursor:
            made: sqlite3.Cursor = super().cursor(_cursor_of_one_thread(factory))
            return made

        # What these are short for; the module's own would make cursors that check no thread.
        def execute(self, *args: Any) -> sqlite3.Cursor:
            return self.cursor().execute(*args)

        def executemany(self, *args: Any) -> sqlite3.Cursor:
            return self.cursor().executemany(*args)

        def executescript(self, *args: Any) -> sqlite3.Cursor:
            return self.cursor().executescript(*args)

    _check(Connection, _OF_CONNECTIONS, lambda connection: connection._of_thread)
    Connection.__name__, Connection.__qualname__ = kind.__name__, kind.__qualname__
    return Connection


@cache
def _cursor_of_one_thread(kind: type[sqlite3.Cursor]) -> type[sqlite3.Cursor]:
    class Cursor(kind):  # type: ignore[misc, valid-type]
        pass

    _check(Cursor, _OF_CURSORS, lambda cursor: cursor.connection._of_thread)
    Cursor.__name__, Cursor.__qualname__ = kind.__name__, kind.__qualname__
    return Cursor


def _check(kind: type, names: tuple[str, ...], thread_of: Callable[[Any], int]) -> None:
    """Make these methods check first which thread calls them."""

    def checked(method: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(method)
        def call(self: Any, *args: Any, **more: Any) -> Any:
            made_in, this = thread_of(self), threading.get_ident()
            if made_in != this:
                raise sqlite3.ProgrammingError(
                    "SQLite objects created in a thread can only be used in that same thread. The object was "
                    f"created in thread id {made_in} and this is thread id {this}."
                )
            return method(self, *args, **more)

        return call

    for name in names:
        if hasattr(kind, name):
            setattr(kind, name, checked(getattr(kind, name)))
