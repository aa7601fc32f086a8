"""A right store on a disk that is slow now and then: every third save takes a fifth of a second longer.

It is no defect (disks are like that), but the fault that the second walkthrough is about. After the first
saves the disk has warmed up, so that a long play does not take minutes. Messages go to one file, a line for
each. `save` returns when the system has them, which survives a kill and not a power cut.
"""

import asyncio
import json
from collections import defaultdict
from pathlib import Path

from lab.protocol import Message

SLOW_SECONDS = 0.2
SLOW_SAVES = 12


class MessageStore:
    """The messages of all rooms in `messages.jsonl`, and in memory for reading."""

    def __init__(self, data_dir: Path) -> None:
        data_dir.mkdir(parents=True, exist_ok=True)
        self._rooms: defaultdict[str, list[Message]] = defaultdict(list)
        self._saves = 0
        self._file = (data_dir / "messages.jsonl").open("a+", encoding="utf-8")
        self._file.seek(0)
        for line in self._file:
            self._remember(Message(*json.loads(line)))

    async def save(self, messages: list[Message]) -> None:
        """Write; at first every third time, be slow."""
        self._saves += 1
        if self._saves % 3 == 0 and self._saves <= SLOW_SAVES:
            await asyncio.sleep(SLOW_SECONDS)
        for m in messages:
            fields = [m.id, m.room, m.user, m.content, m.sequence, m.timestamp]
            self._file.write(json.dumps(fields) + "\n")
        self._file.flush()
        for message in messages:
            self._remember(message)

    def _remember(self, message: Message) -> None:
        self._rooms[message.room].append(message)
        self._rooms[message.room].sort(key=lambda each: each.sequence)

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

    def close(self) -> None:
        """Close the file."""
        self._file.close()
