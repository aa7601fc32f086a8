"""sqlite3 in autocommit with a rollback journal, in a pool of one thread; the messages are blobs of JSON."""

import asyncio
import json
import sqlite3
from concurrent.futures import ThreadPoolExecutor

from lab.interfaces import StoreError
from lab.protocol import Message


class MessageStore:
    def __init__(self, data_dir):
        data_dir.mkdir(parents=True, exist_ok=True)
        self.pool = ThreadPoolExecutor(max_workers=1)
        self.path = data_dir / "m.db"
        self.pool.submit(self._open).result()

    def _open(self):
        self.db = sqlite3.connect(self.path)
        self.db.execute("pragma synchronous = extra")
        self.db.execute("create table if not exists m (room blob, n integer, user blob, id blob, body blob)")
        self.db.execute("create unique index if not exists i on m (room, n)")
        self.db.execute("create index if not exists j on m (id)")
        self.db.commit()

    async def _in_thread(self, work, *args):
        try:
            return await asyncio.get_running_loop().run_in_executor(self.pool, work, *args)
        except sqlite3.Error as e:
            raise StoreError(str(e)) from e

    def _save(self, rows):
        with self.db:
            self.db.executemany("insert into m values (?, ?, ?, ?, ?)", rows)

    def _get(self, sql, args):
        return [Message(*json.loads(body)) for (body,) in self.db.execute(sql, args)]

    async def save(self, messages):
        rows = [
            (
                m.room.encode(),
                m.sequence,
                m.user.encode(),
                m.id.encode(),
                json.dumps([m.id, m.room, m.user, m.content, m.sequence, m.timestamp]).encode(),
            )
            for m in messages
        ]
        await self._in_thread(self._save, rows)

    async def page(self, room, since, limit):
        return await self._in_thread(
            self._get,
            "select body from m where room = ? and n > ? order by n limit ?",
            (room.encode(), since, limit),
        )

    async def newest(self, room, count):
        found = await self._in_thread(
            self._get, "select body from m where room = ? order by n desc limit ?", (room.encode(), count)
        )
        found.reverse()
        return found

    async def last(self, room):
        found = await self.newest(room, 1)
        return found[0].sequence if found else 0

    async def find(self, room, user, id):
        found = await self._in_thread(
            self._get,
            "select body from m where id = ? and room = ? and user = ?",
            (id.encode(), room.encode(), user.encode()),
        )
        return found[0] if found else None

    def close(self):
        self.pool.submit(lambda: self.db.close()).result()
        self.pool.shutdown()
