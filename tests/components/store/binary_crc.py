"""A binary log: length, checksum, body. os.open, os.write, os.pread; an index of places in memory."""

import bisect
import os
import struct
import zlib

from lab.protocol import Message

HEAD = struct.Struct(">II")


def pack(m):
    parts = [p.encode("utf-8", "surrogatepass") for p in (m.id, m.room, m.user, m.content)]
    body = struct.pack(">QqIIII", m.sequence, m.timestamp, *map(len, parts)) + b"".join(parts)
    return HEAD.pack(len(body), zlib.crc32(body)) + body


def unpack(body):
    sequence, timestamp, *sizes = struct.unpack_from(">QqIIII", body)
    at, texts = struct.calcsize(">QqIIII"), []
    for size in sizes:
        texts.append(body[at : at + size].decode("utf-8", "surrogatepass"))
        at += size
    return Message(*texts, sequence, timestamp)


class MessageStore:
    def __init__(self, data_dir):
        os.makedirs(data_dir, exist_ok=True)
        self.fd = os.open(os.path.join(data_dir, "log.bin"), os.O_RDWR | os.O_CREAT, 0o644)
        self.rooms = {}
        self.ids = {}
        self.end = 0
        size = os.fstat(self.fd).st_size
        while self.end + HEAD.size <= size:
            length, crc = HEAD.unpack(os.pread(self.fd, HEAD.size, self.end))
            body = os.pread(self.fd, length, self.end + HEAD.size)
            if len(body) < length or zlib.crc32(body) != crc or length == 0:
                break
            self._index(unpack(body), self.end)
            self.end += HEAD.size + length
        os.ftruncate(self.fd, self.end)

    def _index(self, m, at):
        bisect.insort(self.rooms.setdefault(m.room, []), (m.sequence, at))
        self.ids.setdefault((m.room, m.user, m.id), at)

    def _at(self, at):
        length, _ = HEAD.unpack(os.pread(self.fd, HEAD.size, at))
        return unpack(os.pread(self.fd, length, at + HEAD.size))

    async def save(self, messages):
        places, blob = [], b""
        for m in messages:
            places.append((m, self.end + len(blob)))
            blob += pack(m)
        written = 0
        while written < len(blob):
            written += os.pwrite(self.fd, blob[written:], self.end + written)
        os.fdatasync(self.fd)
        self.end += len(blob)
        for m, at in places:
            self._index(m, at)

    async def page(self, room, since, limit):
        index = self.rooms.get(room, [])
        start = bisect.bisect_left(index, (since + 1, -1))
        return [self._at(at) for _, at in index[start : start + limit]]

    async def newest(self, room, count):
        index = self.rooms.get(room, [])
        return [self._at(at) for _, at in index[max(len(index) - count, 0) :]]

    async def last(self, room):
        return self.rooms[room][-1][0] if room in self.rooms else 0

    async def find(self, room, user, id):
        at = self.ids.get((room, user, id))
        return None if at is None else self._at(at)

    def close(self):
        os.close(self.fd)
