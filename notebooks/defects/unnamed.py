"""A store with one defect, for the reader to find."""

import json
from collections import defaultdict
from pathlib import Path

from lab.protocol import Message


class MessageStore:
    """The messages of all rooms: in a file, a line for each, and in memory for reading."""

    def __init__(self, data_dir: Path) -> None:
        data_dir.mkdir(parents=True, exist_ok=True)
        self._rooms: defaultdict[str, list[Message]] = defaultdict(list)
        path = data_dir / "messages.jsonl"
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() else []
        whole = [line for line in lines if line.endswith("\n")]  # SIGKILL may have torn the last one
        for line in whole:
            message = Message(*json.loads(line))
            self._rooms[message.room].append(message)
        self._file = path.open("a", encoding="utf-8")
        self._file.truncate(len("".join(whole).encode()))

    async def save(self, messages: list[Message]) -> None:
        """Write, and keep in memory."""
        for m in messages:
            fields = [m.id, m.room, m.user, m.content, m.sequence, m.timestamp]
            self._file.write(json.dumps(fields) + "\n")
        self._file.flush()
        for m in messages:
            self._rooms[m.room].append(m)

    async def page(self, room: str, since: int, limit: int) -> list[Message]:
        """Messages above `since`."""
        return [m for m in self._rooms[room] if m.sequence > since][:limit]

    async def newest(self, room: str, count: int) -> list[Message]:
        """The end of the list."""
        return self._rooms[room][-count:]

    async def last(self, room: str) -> int:
        """The highest number."""
        return self._rooms[room][-1].sequence if self._rooms[room] else 0

    async def find(self, room: str, user: str, id: str) -> Message | None:
        """What this user said under `id`."""
        return next((m for m in self._rooms[room] if m.id == id), None)

    def close(self) -> None:
        """Close the file."""
        self._file.close()
