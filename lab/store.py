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
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from lab.protocol import Message

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
_MAX_SAVES = 10_000
"""Saves in one transaction."""
_MAX_QUESTIONS = 64
"""Questions that the thread answers in one go: a commit waits behind them."""


class StoreError(Exception):
    """The data folder cannot be used; the text says why, and what to do."""


class MessageStore:
    """The messages of all rooms in `data_dir/messages.db`; one process at a time.

    Raises StoreError if the folder cannot be written, or another server has it open.
    """

    def __init__(self, data_dir: Path) -> None:
        self._path = Path(data_dir) / "messages.db"
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="store")
        self._saves = _Groups(self._thread, self._commit, most=_MAX_SAVES)
        self._questions = _Groups(self._thread, self._answer, most=_MAX_QUESTIONS)
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
        await self._saves.do(messages)

    def _commit(self, group: list[list[Message]]) -> list[Exception | None]:
        rows = [
            (m.id, m.room, m.user, m.content, m.sequence, m.timestamp) for messages in group for m in messages
        ]
        failure: Exception | None = None
        try:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.executemany(f"REPLACE INTO messages ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)", rows)
            self._db.execute("COMMIT")
        except Exception as error:
            failure = error  # all of them failed: a transaction is done as a whole, or not at all
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
        return [failure] * len(group)

    async def page(self, room: str, since: int, limit: int) -> list[Message]:
        """See `interfaces.MessageStore`."""
        return await self._ask("room = ? AND sequence > ? ORDER BY sequence LIMIT ?", room, since, limit)

    async def newest(self, room: str, count: int) -> list[Message]:
        """See `interfaces.MessageStore`."""
        newest_first = await self._ask("room = ? ORDER BY sequence DESC LIMIT ?", room, count)
        return newest_first[::-1]

    async def last(self, room: str) -> int:
        """See `interfaces.MessageStore`."""
        newest = await self.newest(room, 1)
        return newest[0].sequence if newest else 0

    async def find(self, room: str, user: str, id: str) -> Message | None:
        """See `interfaces.MessageStore`."""
        found = await self._ask("room = ? AND user = ? AND id = ? ORDER BY sequence LIMIT 1", room, user, id)
        return found[0] if found else None

    def close(self) -> None:
        """See `interfaces.MessageStore`."""
        self._thread.shutdown(wait=True)
        self._db.close()

    async def _ask(self, condition: str, *values: str | int) -> list[Message]:
        found: list[Message] = await self._questions.do((condition, values))
        return found

    def _answer(self, group: list[tuple[str, tuple[str | int, ...]]]) -> list[list[Message] | Exception]:
        answers: list[list[Message] | Exception] = []
        for condition, values in group:
            try:
                rows = self._db.execute(f"SELECT {_COLUMNS} FROM messages WHERE {condition}", values)
                answers.append([Message(*row) for row in rows])
            except Exception as error:
                answers.append(error)
        return answers


class _Groups:
    """Jobs that wait for a thread, which does as many of them at once as have gathered.

    `work` is called in the thread with a list of jobs, and returns the result of each, or its exception.
    """

    def __init__(self, thread: Executor, work: Callable[[list[Any]], Sequence[Any]], most: int) -> None:
        self._thread = thread
        self._work = work
        self._most = most
        self._waiting: list[tuple[Any, asyncio.Future[Any]]] = []
        self._group: list[tuple[Any, asyncio.Future[Any]]] = []  # which the thread is at
        self._worker: asyncio.Task[None] | None = None

    async def do(self, job: Any) -> Any:
        """Have a job done with the next group; returns its result, or raises."""
        result = asyncio.get_running_loop().create_future()
        self._waiting.append((job, result))
        if self._worker is None:
            self._worker = asyncio.create_task(self._do_all())
            self._worker.add_done_callback(self._give_up_if_cancelled)
        return await result

    async def _do_all(self) -> None:
        while self._waiting:
            self._group, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
            await self._do(self._group)
        self._worker = None

    def _give_up_if_cancelled(self, worker: asyncio.Task[None]) -> None:
        """At the end of a program all tasks are cancelled: nobody may wait for us then."""
        if worker.cancelled():
            self._worker = None
            for _, result in [*self._group, *self._waiting]:
                result.cancel()
            self._waiting.clear()

    async def _do(self, group: list[tuple[Any, asyncio.Future[Any]]]) -> None:
        loop = asyncio.get_running_loop()
        try:
            outcomes = await loop.run_in_executor(self._thread, self._work, [job for job, _ in group])
        except Exception as error:  # whatever it is, those who wait must hear of it
            outcomes = [error] * len(group)
        for (_, result), outcome in zip(group, outcomes, strict=True):
            if result.done():
                continue  # whoever asked does not wait any more
            if isinstance(outcome, Exception):
                result.set_exception(outcome)
            else:
                result.set_result(outcome)


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
