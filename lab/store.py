"""Messages on disk, and their replay (exercise 4): one SQLite file.

SQLite does the hard part, which is to never leave half a message behind. In WAL mode with
`synchronous=FULL` a transaction is on the disk itself when COMMIT returns, so a message that was saved
survives SIGKILL and a power cut alike.

A sync of the disk takes about as long for a thousand messages as for one. So `save` does not sync for
itself: it puts its messages into a queue, and the one thread that may touch the database takes all that
wait and commits them together (group commit). Under load the groups grow by themselves.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from lab.protocol import Message

T = TypeVar("T")

# The first index answers "what came after number N in this room?" without a look at anything else, and
# the second one "did this user say that already?".
_SCHEMA = """
CREATE TABLE IF NOT EXISTS messages (
    room TEXT NOT NULL, sequence INTEGER NOT NULL, id TEXT NOT NULL, user TEXT NOT NULL,
    content TEXT NOT NULL, timestamp INTEGER NOT NULL, PRIMARY KEY (room, sequence)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS retries ON messages (room, user, id);
"""
_COLUMNS = "id, room, user, content, sequence, timestamp"


class StoreError(Exception):
    """The data folder cannot be used; the text says why, and what to do."""


class MessageStore:
    """The messages of all rooms in `data_dir/messages.db`; one process at a time.

    Raises StoreError if the folder cannot be written, or another server has it open.
    """

    def __init__(self, data_dir: Path) -> None:
        self._path = Path(data_dir) / "messages.db"
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="store")
        self._queue: list[tuple[list[Message], asyncio.Future[None]]] = []
        self._writer: asyncio.Task[None] | None = None
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._db = self._open()
        except (OSError, sqlite3.Error) as error:
            raise StoreError(f"cannot keep messages in {self._path}: {_reason(error, self._path)}") from error

    def _open(self) -> sqlite3.Connection:
        db = sqlite3.connect(
            self._path, timeout=1.0, isolation_level=None, check_same_thread=False, cached_statements=32
        )
        try:
            # An exclusive lock, which the system takes back when we die: two servers with one folder
            # would give the same number to two messages.
            db.execute("PRAGMA locking_mode=EXCLUSIVE")
            db.execute("PRAGMA journal_mode=WAL")
            db.execute("PRAGMA synchronous=FULL")
            db.executescript(_SCHEMA)
        except sqlite3.Error:
            db.close()
            raise
        return db

    async def save(self, messages: list[Message]) -> None:
        """See `interfaces.MessageStore`. Raises sqlite3.Error if the disk is full or fails."""
        saved: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append((messages, saved))
        if self._writer is None:
            self._writer = asyncio.create_task(self._write())
        await saved

    async def _write(self) -> None:
        """Commit what waits, as one group, until nothing waits any more."""
        while self._queue:
            group, self._queue = self._queue, []
            failure: Exception | None = None
            try:
                await self._run(self._commit, [each for messages, _ in group for each in messages])
            except Exception as error:  # whatever it is, those who wait must hear of it
                failure = error
            for _, saved in group:
                if saved.done():
                    continue
                if failure:
                    saved.set_exception(failure)
                else:
                    saved.set_result(None)
        self._writer = None

    def _commit(self, messages: list[Message]) -> None:
        rows = [(m.id, m.room, m.user, m.content, m.sequence, m.timestamp) for m in messages]
        self._db.execute("BEGIN IMMEDIATE")
        try:
            self._db.executemany(f"REPLACE INTO messages ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)", rows)
            self._db.execute("COMMIT")
        except Exception:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    async def page(self, room: str, since: int, limit: int) -> list[Message]:
        """See `interfaces.MessageStore`."""
        return await self._run(
            self._select, "room = ? AND sequence > ? ORDER BY sequence LIMIT ?", room, since, limit
        )

    async def newest(self, room: str, count: int) -> list[Message]:
        """See `interfaces.MessageStore`."""
        newest_first = await self._run(self._select, "room = ? ORDER BY sequence DESC LIMIT ?", room, count)
        return newest_first[::-1]

    async def last(self, room: str) -> int:
        """See `interfaces.MessageStore`."""
        newest = await self.newest(room, 1)
        return newest[0].sequence if newest else 0

    async def find(self, room: str, user: str, id: str) -> Message | None:
        """See `interfaces.MessageStore`."""
        found = await self._run(
            self._select, "room = ? AND user = ? AND id = ? ORDER BY sequence LIMIT 1", room, user, id
        )
        return found[0] if found else None

    def close(self) -> None:
        """See `interfaces.MessageStore`."""
        self._thread.shutdown(wait=True)
        self._db.close()

    def _select(self, condition: str, *values: str | int) -> list[Message]:
        rows = self._db.execute(f"SELECT {_COLUMNS} FROM messages WHERE {condition}", values)
        return [Message(*row) for row in rows]

    async def _run(self, function: Callable[..., T], *arguments: object) -> T:
        """Run in the store's own thread, one call after the other, while the server goes on."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, function, *arguments)


def _reason(error: Exception, path: Path) -> str:
    text = str(error)
    if "locked" in text:
        return "another server has it open. Stop that one, or give this one a --data-dir of its own"
    # SQLite calls a file that may only be read a "disk I/O error".
    read_only = path.is_file() and not os.access(path, os.W_OK)
    if read_only or "readonly" in text or "unable to open" in text or isinstance(error, PermissionError):
        return f"it cannot be written ({text}). Check who owns the folder, or choose another --data-dir"
    if "malformed" in text or "not a database" in text:
        return (
            f"the file is damaged ({text}). Keep a copy, and start with another --data-dir; "
            "`sqlite3 messages.db .recover` saves what can be saved"
        )
    return text
