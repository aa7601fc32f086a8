"""A store on aiosqlite: the same tables and the same guarantees, with a transaction for each message.

`python -m lab --use store=harness/bench/servers/aiosqlite_store.py` runs the whole server on it.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import aiosqlite

from lab.protocol import Message

_SCHEMA = """
CREATE TABLE IF NOT EXISTS messages (
    room TEXT NOT NULL, sequence INTEGER NOT NULL, id TEXT NOT NULL, user TEXT NOT NULL,
    content TEXT NOT NULL, timestamp INTEGER NOT NULL, PRIMARY KEY (room, sequence)
);
CREATE INDEX IF NOT EXISTS retries ON messages (room, user, id);
"""
_COLUMNS = "id, room, user, content, sequence, timestamp"


class MessageStore:
    """Keeps messages in `data_dir/messages.db`."""

    def __init__(self, data_dir: Path) -> None:
        data_dir.mkdir(parents=True, exist_ok=True)
        self._path = data_dir / "messages.db"
        self._db: aiosqlite.Connection | None = None
        self._opening = asyncio.Lock()

    async def _open(self) -> aiosqlite.Connection:
        async with self._opening:
            if self._db is None:
                # Without an isolation level each INSERT is a transaction, on the disk when it returns.
                db = await aiosqlite.connect(self._path, isolation_level=None)
                await db.execute("PRAGMA journal_mode=WAL")
                await db.execute("PRAGMA synchronous=FULL")
                await db.executescript(_SCHEMA)
                self._db = db
        return self._db

    async def save(self, messages: list[Message]) -> None:
        """One transaction for each message."""
        db = self._db or await self._open()
        for m in messages:
            row = (m.id, m.room, m.user, m.content, m.sequence, m.timestamp)
            await db.execute(f"REPLACE INTO messages ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)", row)

    async def page(self, room: str, since: int, limit: int) -> list[Message]:
        """The first messages after `since`."""
        return await self._select("room = ? AND sequence > ? ORDER BY sequence LIMIT ?", room, since, limit)

    async def newest(self, room: str, count: int) -> list[Message]:
        """The newest messages."""
        return (await self._select("room = ? ORDER BY sequence DESC LIMIT ?", room, count))[::-1]

    async def last(self, room: str) -> int:
        """The highest number."""
        newest = await self.newest(room, 1)
        return newest[0].sequence if newest else 0

    async def find(self, room: str, user: str, id: str) -> Message | None:
        """The message under an id."""
        found = await self._select("room = ? AND user = ? AND id = ? LIMIT 1", room, user, id)
        return found[0] if found else None

    async def _select(self, condition: str, *values: str | int) -> list[Message]:
        db = self._db or await self._open()
        rows = await db.execute_fetchall(f"SELECT {_COLUMNS} FROM messages WHERE {condition}", values)
        return [Message(*row) for row in rows]

    async def aclose(self) -> None:
        """Close the file, and wait for the library's thread."""
        db, self._db = self._db, None
        if db is not None:
            await db.close()

    def close(self) -> None:
        """Close the file; the thread ends when it can."""
        if self._db is not None:
            self._db.stop()
