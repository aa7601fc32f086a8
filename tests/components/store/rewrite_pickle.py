"""The whole state in one pickle, written anew each time into a temporary file that then takes its place."""

import asyncio
import os
import pickle

from lab.protocol import Message


class MessageStore:
    def __init__(self, data_dir):
        data_dir.mkdir(parents=True, exist_ok=True)
        self.path = data_dir / "all.pickle"
        self.temp = data_dir / "all.pickle.new"
        self.state = {}
        if self.path.exists():
            self.state = pickle.loads(self.path.read_bytes())
        self.lock = asyncio.Lock()

    def _dump(self, state):
        with open(self.temp, "wb") as f:
            pickle.dump(state, f, protocol=pickle.HIGHEST_PROTOCOL)
            f.flush()
            os.fsync(f.fileno())
        os.replace(self.temp, self.path)

    async def save(self, messages):
        async with self.lock:
            state = {room: dict(inside) for room, inside in self.state.items()}
            for m in messages:
                state.setdefault(m.room, {})[m.sequence] = (m.id, m.user, m.content, m.timestamp)
            await asyncio.to_thread(self._dump, state)
            self.state = state

    def _all(self, room):
        for sequence, (id, user, content, timestamp) in sorted(self.state.get(room, {}).items()):
            yield Message(id, room, user, content, sequence, timestamp)

    async def page(self, room, since, limit):
        return [m for m in self._all(room) if m.sequence > since][:limit]

    async def newest(self, room, count):
        return list(self._all(room))[-count:] if count else []

    async def last(self, room):
        return max(self.state.get(room, {0: None}))

    async def find(self, room, user, id):
        for m in self._all(room):
            if (m.user, m.id) == (user, id):
                return m

    def close(self):
        self.state = {}
