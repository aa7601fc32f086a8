"""sqlite3, right in the coroutine."""

import sqlite3

from lab.protocol import Message


class MessageStore:
    def __init__(self, data_dir):
        data_dir.mkdir(parents=True, exist_ok=True)
        self.db = sqlite3.connect(data_dir / "chat.sqlite3")
        self.db.execute("PRAGMA journal_mode=WAL")
        self.db.execute("PRAGMA synchronous=FULL")
        self.db.executescript("""
            CREATE TABLE IF NOT EXISTS messages (
                room TEXT, sequence INTEGER, id TEXT, user TEXT, content TEXT, timestamp INTEGER,
                PRIMARY KEY (room, sequence)) WITHOUT ROWID;
            CREATE INDEX IF NOT EXISTS by_id ON messages (room, user, id);
        """)
        self.db.commit()

    def ask(self, tail, *args):
        sql = "SELECT id, room, user, content, sequence, timestamp FROM messages " + tail
        return [Message(*row) for row in self.db.execute(sql, args)]

    async def save(self, messages):
        with self.db:
            self.db.executemany(
                "INSERT INTO messages (id, room, user, content, sequence, timestamp) VALUES (?, ?, ?, ?, ?, ?)",
                [(m.id, m.room, m.user, m.content, m.sequence, m.timestamp) for m in messages],
            )

    async def page(self, room, since, limit):
        return self.ask("WHERE room = ? AND sequence > ? ORDER BY sequence LIMIT ?", room, since, limit)

    async def newest(self, room, count):
        return self.ask("WHERE room = ? ORDER BY sequence DESC LIMIT ?", room, count)[::-1]

    async def last(self, room):
        (found,) = self.db.execute("SELECT MAX(sequence) FROM messages WHERE room = ?", (room,)).fetchone()
        return found or 0

    async def find(self, room, user, id):
        found = self.ask("WHERE room = ? AND user = ? AND id = ? ORDER BY sequence LIMIT 1", room, user, id)
        return found[0] if found else None

    def close(self):
        self.db.close()
