"""A store with one defect: it keeps messages in memory, and writes them down when the server stops."""

import json
from collections import defaultdict
from pathlib import Path

from lab.protocol import Message


class MessageStore:
    """A list for each room."""

    def __init__(self, data_dir: Path) -> None:
        self._file = data_dir / "messages.json"
        self._rooms: defaultdict[str, list[Message]] = defaultdict(list)
        data_dir.mkdir(parents=True, exist_ok=True)
        if self._file.is_file():
            for fields in json.loads(self._file.read_text()):
                message = Message(*fields)
                self._rooms[message.room].append(message)

    async def save(self, messages: list[Message]) -> None:
        """The defect: this returns before anything is on the disk."""
        for message in messages:
            self._rooms[message.room].append(message)

    def close(self) -> None:
        """SIGTERM leads here. SIGKILL does not."""
        messages = [message for room in self._rooms.values() for message in room]
        fields = [[m.id, m.room, m.user, m.content, m.sequence, m.timestamp] for m in messages]
        self._file.write_text(json.dumps(fields))

    async def page(self, room: str, since: int, limit: int) -> list[Message]:
        """Messages above `since`."""
        return [message for message in self._rooms[room] if message.sequence > since][:limit]

    async def newest(self, room: str, count: int) -> list[Message]:
        """The end of the list."""
        return self._rooms[room][-count:]

    async def last(self, room: str) -> int:
        """The highest number."""
        return self._rooms[room][-1].sequence if self._rooms[room] else 0

    async def find(self, room: str, user: str, id: str) -> Message | None:
        """What this user said under `id`."""
        return next((m for m in self._rooms[room] if (m.user, m.id) == (user, id)), None)
