"""What a node is still to say of its users in the rooms of one log: of each user in a room the newest."""

from __future__ import annotations

import asyncio
import itertools

from lab.cluster.log import MOST_ENTRIES, Entry, Log, Refused, Unsure
from lab.cluster.wire import PATIENCE, PAUSE_SECONDS, Unavailable, end


class Outbox:
    """Appends to one log what is to be said, until all of it is; what fails, if it still holds, again."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._entries: dict[str, dict[str, Entry]] = {}  # room -> subject -> what is to be said
        self._saying: asyncio.Task[None] | None = None
        self._turn = asyncio.Event()  # set when something was said, and then replaced

    def add(self, room: str, entry: Entry) -> None:
        """Say this, soon, instead of what else was to be said under its subject."""
        self._entries.setdefault(room, {})[entry.subject] = entry
        if self._saying is None:
            self._saying = asyncio.create_task(self._say_all())

    async def said(self, room: str) -> None:
        """Wait until all was said that is to be said of a room now, or what is newer. Raises Unavailable."""
        subjects = set(self._entries.get(room, ()))
        deadline = asyncio.get_running_loop().time() + PATIENCE
        while not subjects.isdisjoint(self._entries.get(room, ())):
            late = asyncio.get_running_loop().time() > deadline
            if late or self._log.wire.is_long_out:
                raise Unavailable("NATS is out of reach, or has no leader for this room")
            try:
                await asyncio.wait_for(self._turn.wait(), PAUSE_SECONDS)
            except TimeoutError:
                continue

    async def close(self, seconds: float) -> None:
        """Say for so long what is left to say, and then no more."""
        if saying := self._saying:
            await asyncio.wait([saying], timeout=0.0 if self._log.wire.is_out else seconds)
            await end([saying])

    async def _say_all(self) -> None:
        try:
            await asyncio.sleep(0)  # more may be said in this turn
            while self._entries:
                if not await self._say_some():
                    await asyncio.sleep(PAUSE_SECONDS)
        finally:
            self._saying = None

    async def _say_some(self) -> bool:
        everything = ((room, each) for room, some in self._entries.items() for each in some.values())
        some = list(itertools.islice(everything, MOST_ENTRIES))
        try:
            await self._log.append([entry for _, entry in some])
        except (Unavailable, Unsure, Refused):
            return False
        for room, entry in some:
            left = self._entries[room]
            if left[entry.subject] is entry:  # else something newer is to be said
                del left[entry.subject]
            if not left:
                del self._entries[room]
        self._turn.set()
        self._turn = asyncio.Event()
        return True
