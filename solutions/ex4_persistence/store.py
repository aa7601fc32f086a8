"""The model answer to exercise 4: an append-only file, with one line of JSON for each message.

Why it is correct: `save` returns after `os.fsync`, so what was saved is on the disk itself, and the
sequencer publishes only after that. A process that is killed while it writes leaves an incomplete line at the
end, of a message that no client has received; the next start truncates it. Everything else in the file is
unchanged, because nothing is ever overwritten.

Reading is fast because the messages are also kept in memory, by room. (The reference, `lab/store.py`, uses
a database, which also works when they no longer fit into memory.)

`os.fsync` waits for the disk. It runs in a thread, so that it does not block the server; in *one* thread, so
that the lines of two calls never mix.
"""

import asyncio
import json
import os
from bisect import bisect_right
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lab.protocol import Message


class MessageStore:
    """The messages of all rooms, in `messages.jsonl`."""

    def __init__(self, data_dir: Path) -> None:
        data_dir.mkdir(parents=True, exist_ok=True)
        self._rooms: defaultdict[str, list[Message]] = defaultdict(list)
        self._ids: dict[tuple[str, str, str], Message] = {}
        self._writer = ThreadPoolExecutor(1)
        self._file = (data_dir / "messages.jsonl").open("a+b")
        self._file.seek(0)
        whole = 0
        for line in self._file:
            if not line.endswith(b"\n"):
                break  # incomplete: the process was killed while it wrote this line
            self._remember(Message(*json.loads(line)))
            whole += len(line)
        self._file.truncate(whole)

    async def save(self, messages: list[Message]) -> None:
        """Append, flush and sync; only then can the messages be read."""
        fields = [[m.id, m.room, m.user, m.content, m.sequence, m.timestamp] for m in messages]
        lines = "".join(json.dumps(each) + "\n" for each in fields)
        await asyncio.get_running_loop().run_in_executor(self._writer, self._append, lines.encode())
        for message in messages:
            self._remember(message)

    def _append(self, lines: bytes) -> None:
        self._file.write(lines)
        self._file.flush()  # from our memory to the system's
        os.fsync(self._file.fileno())  # from the system's memory to the disk

    def _remember(self, message: Message) -> None:
        self._rooms[message.room].append(message)
        self._ids[message.room, message.user, message.id] = message

    async def page(self, room: str, since: int, limit: int) -> list[Message]:
        """The list is sorted by number, so the place after `since` is found by binary search."""
        messages = self._rooms.get(room, [])
        start = bisect_right(messages, since, key=lambda message: message.sequence)
        return messages[start : start + limit]

    async def newest(self, room: str, count: int) -> list[Message]:
        """The end of the list."""
        return self._rooms.get(room, [])[-count:]

    async def last(self, room: str) -> int:
        """The number of the last message in the list."""
        messages = self._rooms.get(room)
        return messages[-1].sequence if messages else 0

    async def find(self, room: str, user: str, id: str) -> Message | None:
        """Look it up in the index that is kept beside the list."""
        return self._ids.get((room, user, id))

    def close(self) -> None:
        """Wait until all writes are complete, and close the file."""
        self._writer.shutdown(wait=True)
        self._file.close()
