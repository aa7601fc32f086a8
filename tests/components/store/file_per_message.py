"""One file for each message, in one folder for each room; all questions look at the disk."""

import hashlib
import json
import os

from lab.protocol import Message

FIELDS = ("id", "room", "user", "content", "sequence", "timestamp")


class MessageStore:
    def __init__(self, data_dir):
        self.base = data_dir
        os.makedirs(self.base, exist_ok=True)

    def _dir(self, room):
        return self.base / hashlib.sha256(room.encode()).hexdigest()

    def _write(self, message):
        folder = self._dir(message.room)
        if not folder.is_dir():
            folder.mkdir()
            self._sync(self.base)
        temp = folder / f"{message.sequence:020}.tmp"
        with temp.open("w", encoding="ascii") as f:
            json.dump({name: getattr(message, name) for name in FIELDS}, f)
            f.flush()
            os.fsync(f.fileno())
        os.replace(temp, temp.with_suffix(".json"))
        self._sync(folder)

    def _sync(self, folder):
        fd = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def _numbers(self, room):
        try:
            names = os.listdir(self._dir(room))
        except FileNotFoundError:
            return []
        return sorted(int(n[:-5]) for n in names if n.endswith(".json"))

    def _read(self, room, number):
        return Message(**json.loads((self._dir(room) / f"{number:020}.json").read_text("ascii")))

    async def save(self, messages):
        for message in messages:
            self._write(message)

    async def page(self, room, since, limit):
        return [self._read(room, n) for n in [n for n in self._numbers(room) if n > since][:limit]]

    async def newest(self, room, count):
        numbers = self._numbers(room)
        return [self._read(room, n) for n in numbers[max(0, len(numbers) - count) :]]

    async def last(self, room):
        return max(self._numbers(room), default=0)

    async def find(self, room, user, id):
        for n in self._numbers(room):
            m = self._read(room, n)
            if m.user == user and m.id == id:
                return m
        return None

    def close(self):
        pass
