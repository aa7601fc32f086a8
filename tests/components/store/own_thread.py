"""A thread of its own writes what waits in a queue, as much as there is at once."""

import asyncio
import json
import os
import queue
import threading
from bisect import insort

from lab.interfaces import StoreError
from lab.protocol import Message


class MessageStore:
    STOP = object()

    def __init__(self, data_dir):
        os.makedirs(data_dir, exist_ok=True)
        self.fd = os.open(data_dir / "journal", os.O_RDWR | os.O_CREAT | os.O_APPEND)
        self.by_room = {}
        self.by_id = {}
        self._load()
        self.todo = queue.SimpleQueue()
        self.thread = threading.Thread(target=self._work, name="journal", daemon=True)
        self.thread.start()

    def _load(self):
        with open(self.fd, "rb", closefd=False) as f:
            data = f.read()
        whole = data.rfind(b"\n") + 1
        for line in data[:whole].split(b"\n")[:-1]:
            self._remember(Message(**json.loads(line)))
        os.ftruncate(self.fd, whole)

    def _remember(self, m):
        insort(self.by_room.setdefault(m.room, []), m, key=lambda x: x.sequence)
        self.by_id[m.room, m.user, m.id] = m

    def _work(self):
        while True:
            batch = [self.todo.get()]
            while not self.todo.empty():
                batch.append(self.todo.get())
            stop = self.STOP in batch
            batch = [b for b in batch if b is not self.STOP]
            if batch:
                try:
                    data = b"".join(b[0] for b in batch)
                    while data:
                        data = data[os.write(self.fd, data) :]
                    os.fsync(self.fd)
                    error = None
                except OSError as e:
                    error = StoreError(f"cannot write: {e}")
                for _, loop, future in batch:
                    loop.call_soon_threadsafe(self._done, future, error)
            if stop:
                return

    def _done(self, future, error):
        if not future.done():
            if error:
                future.set_exception(error)
            else:
                future.set_result(None)

    async def save(self, messages):
        lines = b"".join(
            json.dumps(
                dict(
                    id=m.id,
                    room=m.room,
                    user=m.user,
                    content=m.content,
                    sequence=m.sequence,
                    timestamp=m.timestamp,
                )
            ).encode()
            + b"\n"
            for m in messages
        )
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        self.todo.put((lines, loop, future))
        await future
        for m in messages:
            self._remember(m)

    async def page(self, room, since, limit):
        return [m for m in self.by_room.get(room, []) if m.sequence > since][:limit]

    async def newest(self, room, count):
        all = self.by_room.get(room, [])
        return all[max(0, len(all) - count) :]

    async def last(self, room):
        return max((m.sequence for m in self.by_room.get(room, [])), default=0)

    async def find(self, room, user, id):
        return self.by_id.get((room, user, id))

    def close(self):
        self.todo.put(self.STOP)
        self.thread.join()
        os.close(self.fd)
