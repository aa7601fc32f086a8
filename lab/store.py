"""Messages on disk, and their replay (exercise 4): one SQLite file, `messages.db`.

SQLite does the hard part, which is to never leave half a message behind. It keeps a *write-ahead log* (the
file `messages.db-wal`): a transaction is appended to it, and `COMMIT` returns when the log has been synced to
the disk itself (`synchronous=FULL`). So a message that was saved survives SIGKILL and a power cut alike. From
time to time SQLite copies what the log has into `messages.db` (a *checkpoint*).

A sync takes about as long for a thousand messages as for one. So saves that come while another is being
synced wait, and are then committed together: *group commit*. Under load the groups grow by themselves.

The story of one save. Steps 1, 2 and 4 run in the event loop; step 3 runs in the store's only thread, which
alone touches the database, so that the server goes on while the disk is busy:

1. `save` appends its messages to the queue, with a future, and waits for that. If no commit is under way, it
   has the event loop call `_start_commit`.
2. `_start_commit` takes all that is queued as one group, and hands it to the thread.
3. `_commit` writes the group as one transaction. It returns when that is on the disk, and raises if nothing
   of it is.
4. `_end_commit` is called when the thread is done. It resolves the futures of the group, and the saves return
   or raise. If more saves have been queued meanwhile, it goes on with step 2.

The steps are callbacks, and not a task with a loop: a task can be cancelled, and those who wait for it would
wait for ever. So whatever the disk does, a save ends: its messages are stored, or it raises and they are not.

When the disk stalls, the queue grows up to a bound, and `save` refuses what is beyond (back-pressure).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar

from lab.interfaces import StoreError
from lab.protocol import Message

T = TypeVar("T")

FILE = "messages.db"
"""The name of the file, in the data folder."""
MAX_WAITING = 10_000
"""Messages that may be queued while others are being committed."""
MAX_WAITING_BYTES = 16 * 1024 * 1024
"""Memory that their contents may take."""
_FILE_PAGE = 2048
"""Bytes of a page of a new file. A commit writes whole pages."""
_CHECKPOINT = 16 * 1024 * 1024
"""Bytes of the write-ahead log at which SQLite makes a checkpoint. A start after a kill reads so much."""
_CHECKED_AT_START = 32 * 1024 * 1024
"""Bytes up to which the files are searched for damage at the start. A cold disk takes half a second."""

# Messages stand in the file in the order in which they came, whatever their room, so that those which are
# committed together share pages. The primary key answers "what came after number N in this room?", and the
# index `retries` answers "did this user say that already?".
_SCHEMA = """
CREATE TABLE IF NOT EXISTS messages (
    room TEXT NOT NULL, sequence INTEGER NOT NULL, id TEXT NOT NULL, user TEXT NOT NULL,
    content TEXT NOT NULL, timestamp INTEGER NOT NULL, PRIMARY KEY (room, sequence)
);
CREATE INDEX IF NOT EXISTS retries ON messages (room, user, id);
"""
_COLUMNS = "id, room, user, content, sequence, timestamp"

_Saves = list[tuple[list[Message], asyncio.Future[None]]]
"""Saves that wait: the messages of each, and the future that it waits for."""


class MessageStore:
    """The messages of all rooms in `data_dir/messages.db`; one process at a time.

    Raises StoreError if the folder cannot be used, and from every method when the disk fails.
    """

    def __init__(self, data_dir: Path) -> None:
        self._path = Path(data_dir) / FILE
        self._wal = self._path.with_name("messages.db-wal")
        self._names = [str(self._path), str(self._wal)]
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="store")
        self._queue: _Saves = []
        self._queued = self._queued_bytes = 0  # messages in the queue, and the memory of their contents
        self._is_committing = False
        # Pages are long: one at a time, so that a commit waits for one at most.
        self._next_page = asyncio.Lock()
        self._is_damaged = False
        self._folder_lock, self._db = self._with_errors_explained(self._open)
        self._opened_files = self._files()

    def _open(self) -> tuple[sqlite3.Connection, sqlite3.Connection]:
        """Open the file, or make a new one. What cannot be used is left as it is."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        if _size(self._path) == 0 < _size(self._wal):  # SQLite would delete the log
            raise self._error(_damaged("it is empty, and its journal is not"))
        with contextlib.ExitStack() as opened:
            # Two servers with one folder would give the same number to two messages. The lock on an empty
            # file keeps a second one out, and leaves the messages readable to other programs, such as a
            # backup. The system takes it back when its owner dies.
            lock = _connect(self._path.with_name("messages.lock"))
            opened.callback(lock.close)
            lock.execute("BEGIN EXCLUSIVE")
            db = _connect(self._path)
            opened.callback(db.close)
            # A message changes a page of each index, so pages are small; and checkpoints are rare, since most
            # pages change again and again.
            db.execute(f"PRAGMA page_size={_FILE_PAGE}")
            db.execute(f"PRAGMA wal_autocheckpoint={_CHECKPOINT // _FILE_PAGE}")
            self._check(db)
            db.execute("PRAGMA journal_mode=WAL")
            db.execute("PRAGMA synchronous=FULL")
            db.executescript(_SCHEMA)
            opened.pop_all()
        return lock, db

    def _check(self, db: sqlite3.Connection) -> None:
        """Raise StoreError if the file is not ours, or damaged as far as can be told quickly."""
        columns = {name for _, name, *_ in db.execute("PRAGMA table_info(messages)").fetchall()}
        is_new = db.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)
        if not is_new and columns != set(_COLUMNS.split(", ")):
            raise self._error("the file is another program's. Choose another --data-dir")
        (page,) = db.execute("PRAGMA page_size").fetchone()
        if _size(self._path) % page:  # SQLite would fill it up with zeros
            raise self._error(_damaged("its end is missing"))
        if _size(self._path) + _size(self._wal) <= _CHECKED_AT_START:
            (found,) = db.execute("PRAGMA quick_check(1)").fetchone()
            if found != "ok":
                raise self._error(_damaged(" ".join(found.split())))

    async def save(self, messages: list[Message]) -> None:
        """See `interfaces.MessageStore`. Raises StoreError, too, if too much waits for the disk."""
        size = sum(sys.getsizeof(each.content) for each in messages)
        is_full = self._queued + len(messages) > MAX_WAITING or self._queued_bytes + size > MAX_WAITING_BYTES
        if is_full and self._queue:  # a save that is too large for any queue may have it for itself
            raise self._error(f"the disk is too slow, {self._queued:,} messages wait. See what holds it up")
        loop = asyncio.get_running_loop()
        saved: asyncio.Future[None] = loop.create_future()
        self._queue.append((messages, saved))
        self._queued += len(messages)
        self._queued_bytes += size
        if not self._is_committing:
            self._is_committing = True
            loop.call_soon(self._start_commit)  # soon, and not now: who else saves in this turn comes along
        await saved

    def _start_commit(self) -> None:
        """Hand all that is queued to the thread, as one group."""
        group, self._queue = self._queue, []
        self._queued = self._queued_bytes = 0
        try:
            commit = self._run(self._commit, [each for messages, _ in group for each in messages])
        except StoreError as error:
            self._end_commit(group, error)
        else:
            commit.add_done_callback(lambda done: self._end_commit(group, done.exception()))

    def _end_commit(self, group: _Saves, failure: BaseException | None) -> None:
        """Tell the saves of the group how it went, and go on with those that were queued meanwhile."""
        for saved in [each for _, each in group if not each.done()]:  # some callers may have been cancelled
            if failure:
                saved.set_exception(failure)
            else:
                saved.set_result(None)
        self._is_committing = bool(self._queue)
        if self._is_committing:
            self._start_commit()

    def _commit(self, messages: list[Message]) -> None:
        """Write the messages as one transaction, in the store's thread. Raises if none of them is stored."""
        if self._is_damaged:  # to write into a damaged file may damage more of it
            raise self._error(_damaged("as was seen before"))
        if self._files() != self._opened_files:
            raise self._error("it was moved or removed. Put it back, or restart the server")
        rows = [(m.id, m.room, m.user, m.content, m.sequence, m.timestamp) for m in messages]
        self._db.execute("BEGIN IMMEDIATE")
        try:
            # REPLACE: the store keeps what it is told, also under a number that is taken. Numbering is the
            # sequencer's duty.
            self._db.executemany(f"REPLACE INTO messages ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)", rows)
            self._db.execute("COMMIT")
        except Exception:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    async def page(self, room: str, since: int, limit: int) -> list[Message]:
        """See `interfaces.MessageStore`."""
        where = "room = ? AND sequence > ? ORDER BY sequence LIMIT ?"
        async with self._next_page:
            return await self._run(self._select, where, room, since, limit)

    async def newest(self, room: str, count: int) -> list[Message]:
        """See `interfaces.MessageStore`."""
        async with self._next_page:
            return (await self._newest(room, count))[::-1]

    async def last(self, room: str) -> int:
        """See `interfaces.MessageStore`."""
        newest = await self._newest(room, 1)
        return newest[0].sequence if newest else 0

    async def _newest(self, room: str, count: int) -> list[Message]:
        return await self._run(self._select, "room = ? ORDER BY sequence DESC LIMIT ?", room, count)

    async def find(self, room: str, user: str, id: str) -> Message | None:
        """See `interfaces.MessageStore`."""
        where = "room = ? AND user = ? AND id = ? ORDER BY sequence LIMIT 1"
        found = await self._run(self._select, where, room, user, id)
        return found[0] if found else None

    def close(self) -> None:
        """See `interfaces.MessageStore`."""
        self._thread.shutdown(wait=True)
        self._db.close()
        self._folder_lock.close()

    def _select(self, where: str, *values: str | int) -> list[Message]:
        """The messages for an SQL condition; `values` stand for its question marks."""
        # All at once, so that no cursor is left to an error's traceback: it would keep the file locked.
        rows = self._db.execute(f"SELECT {_COLUMNS} FROM messages WHERE {where}", values).fetchall()
        return [Message(*row) for row in rows]

    def _run(self, function: Callable[..., T], *arguments: object) -> asyncio.Future[T]:
        """Call in the store's own thread, after all calls before it, while the event loop goes on."""
        loop = asyncio.get_running_loop()
        try:
            call = partial(self._with_errors_explained, function, *arguments)
            return loop.run_in_executor(self._thread, call)
        except RuntimeError as error:  # the thread has ended
            raise self._error("the store is closed") from error

    def _with_errors_explained(self, function: Callable[..., T], *arguments: object) -> T:
        """Call; an error of the disk becomes a StoreError that says what to do. Others stay as they are."""
        try:
            return function(*arguments)
        except (sqlite3.IntegrityError, sqlite3.ProgrammingError):
            raise
        except (OSError, sqlite3.DatabaseError) as error:
            self._is_damaged |= _code(error) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
            raise self._error(explained(error, self._path)) from error

    def _files(self) -> list[tuple[int, int]]:
        """The device and inode numbers of the files that have our names now; none if one is missing.

        The system lets us write into files that were removed or replaced, where nobody will find it again.
        """
        try:
            return [(each.st_dev, each.st_ino) for each in map(os.stat, self._names)]
        except FileNotFoundError:
            return []

    def _error(self, reason: str) -> StoreError:
        """The exception for a `reason`, with the file's path before it."""
        return StoreError(f"cannot keep messages in {self._path}: {reason}")


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(
        path, timeout=1.0, isolation_level=None, check_same_thread=False, cached_statements=32
    )


def explained(error: Exception, path: Path) -> str:
    """What is wrong with the disk, and what to do, in a sentence for the server's log."""
    code, elsewhere = _code(error), "or choose another --data-dir"
    if code == sqlite3.SQLITE_BUSY:
        return "another server has it open. Stop that one, or give this one a --data-dir of its own"
    if code == sqlite3.SQLITE_FULL:
        return f"the disk is full. Make room on it (a server that runs goes on then), {elsewhere}"
    # SQLite calls a file that may only be read a "disk I/O error", and one with a damaged header read-only.
    read_only = path.is_file() and not os.access(path, os.W_OK)
    is_refused = code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN)
    if code == sqlite3.SQLITE_READONLY and os.access(path, os.W_OK) and os.access(path.parent, os.W_OK):
        return _damaged("its head says that it is read-only")
    if read_only or is_refused or isinstance(error, PermissionError):
        return f"it cannot be written ({error}). Check who owns the folder, {elsewhere}"
    if isinstance(error, FileExistsError | NotADirectoryError):
        return f"a file is in the way ({error}). Move it, {elsewhere}"
    if isinstance(error, OSError) or code == sqlite3.SQLITE_IOERR:
        return f"the disk fails ({error}). See whether it is there and has room, {elsewhere}"
    return _damaged(str(error))


def _code(error: Exception) -> int:
    """SQLite's primary result code (the low byte of its extended code); 0 for other errors."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def _damaged(how: str) -> str:
    return (
        f"the file is damaged ({how}). Keep a copy, and start with another --data-dir; "
        "`sqlite3 messages.db .recover` saves what can be saved"
    )


def _size(path: Path) -> int:
    """Bytes; 0 if there is no such file."""
    return path.stat().st_size if path.exists() else 0
