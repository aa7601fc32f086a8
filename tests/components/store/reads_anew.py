"""One text file for each room, read anew at each question. Damaged lines are left where they are:
each record begins on a new line of its own, and carries a checksum."""

import ast
import hashlib
import os
import zlib

from lab.protocol import Message


class MessageStore:
    def __init__(self, data_dir):
        self.folder = str(data_dir)
        os.makedirs(self.folder, exist_ok=True)

    def _path(self, room):
        return os.path.join(self.folder, hashlib.md5(room.encode("utf-8")).hexdigest() + ".log")

    def _record(self, m):
        text = ascii((m.sequence, m.timestamp, m.id, m.user, m.room, m.content)).encode()
        return b"\n%08x %s\n" % (zlib.crc32(text), text)

    def _read(self, room):
        try:
            with open(self._path(room), "rb") as f:
                lines = f.read().split(b"\n")
        except FileNotFoundError:
            return []
        found = {}
        for line in lines:
            mark, _, text = line.partition(b" ")
            if len(mark) == 8 and b"%08x" % zlib.crc32(text) == mark:
                sequence, timestamp, id, user, where, content = ast.literal_eval(text.decode())
                found[sequence] = Message(id, where, user, content, sequence, timestamp)
        return [found[n] for n in sorted(found)]

    async def save(self, messages):
        for room in dict.fromkeys(m.room for m in messages):
            with open(self._path(room), "ab") as f:  # buffered: a write to a disk that is full may be a short one
                f.write(b"".join(self._record(m) for m in messages if m.room == room))
                f.flush()
                os.fsync(f.fileno())

    async def page(self, room, since, limit):
        return [m for m in self._read(room) if m.sequence > since][:limit]

    async def newest(self, room, count):
        messages = self._read(room)
        return messages[len(messages) - min(count, len(messages)) :]

    async def last(self, room):
        messages = self._read(room)
        return messages[-1].sequence if messages else 0

    async def find(self, room, user, id):
        return next((m for m in self._read(room) if m.user == user and m.id == id), None)

    def close(self):
        pass
