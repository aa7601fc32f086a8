"""What a node knows of a room, and how it reads what it does not know any more."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import NamedTuple

import msgspec

from lab.cluster.feed import Feed
from lab.cluster.log import Log, Read
from lab.cluster.wire import PATIENCE, PAUSE_SECONDS, Unavailable
from lab.interfaces import Draft
from lab.protocol import MAX_PAGE, NEWEST, Message

TAIL = MAX_PAGE
"""Messages of a room that are kept in memory: most who come have missed fewer."""

_decode = msgspec.json.Decoder(list[Message]).decode
Key = tuple[str, str]
"""User and id: what a message is known by in its room."""


class Follower(NamedTuple):
    """The log that a room is in, and the feed that follows it."""

    log: Log
    feed: Feed


class Pending(NamedTuple):
    """A message to be: its number is still to come. `accept` waits for the answer."""

    draft: Draft
    id: str
    answer: asyncio.Future[Message]
    since: float  # seconds on the loop's clock

    @property
    def key(self) -> Key:
        """What it will be known by."""
        return self.draft.user, self.id

    def resolve(self, message: Message) -> None:
        """It was accepted as this message."""
        if not self.answer.done():  # it is, if its caller was cancelled
            self.answer.set_result(message)

    def fail(self, error: Exception) -> None:
        """It was not."""
        if not self.answer.done():
            self.answer.set_exception(error)


class Room:
    """All that there is up to `number`, which is in the log at `position`."""

    def __init__(self, name: str, follower: Follower) -> None:
        self.name = name
        self.log, self.feed = follower
        self.subject = self.log.shard.room(name)
        self.number = 0
        self.position = 0
        self.queue: list[Pending] = []
        """What is to be appended."""
        self.awaited: dict[Key, Pending] = {}
        """What is being appended, until it comes back from the log."""
        self.took = 0.0
        """Seconds that its last append took, alone."""
        self.visitors = 0
        """Calls that are under way."""
        self._tail: deque[Message] = deque(maxlen=TAIL)

    async def open(self) -> None:
        """Read the newest messages. Raises Unavailable."""
        newest = await self.log.newest_of(self.subject)
        if newest:
            before = _decode(newest.body)[0].sequence - 1
            self._tail.extend(await self._stored(max(before - TAIL, 0), before, newest.position))
            self.note(newest)
            await self.feed.reach(newest.position)

    def note(self, read: Read) -> list[Message]:
        """Take note of a batch; returns its messages, none if they are known."""
        if read.position <= self.position:
            return []
        messages = _decode(read.body)
        self.number, self.position = messages[-1].sequence, read.position
        self._tail.extend(messages)
        return messages

    def in_memory(self, since: int) -> list[Message] | None:
        """All messages after `since`, or None if some of them are on disk only."""
        missed = self.number - since
        if missed <= 0:
            return []
        if missed > len(self._tail):
            return None
        return list(self._tail)[-missed:]

    async def newest(self) -> list[Message]:
        """What a newcomer is shown. Nothing is awaited after the last look. Raises Unavailable."""
        while True:
            since = max(self.number - NEWEST, 0)
            if (messages := self.in_memory(since)) is not None:
                return messages
            messages = await self.page(since, NEWEST)
            if messages[-1].sequence == self.number:
                return messages

    async def page(self, since: int, limit: int) -> list[Message]:
        """The first `limit` messages after `since`, of which there are some. Raises Unavailable."""
        if (messages := self.in_memory(since)) is not None:
            return messages[:limit]
        return await self._stored(since, min(since + limit, self.number), self.position)

    async def _stored(self, since: int, until: int, latest: int) -> list[Message]:
        """The messages numbered above `since` up to `until`, from disk. They stand at `latest` or before."""
        found: list[Message] = []
        position = await self._find(since + 1, latest) if until > since else 0
        deadline = asyncio.get_running_loop().time() + PATIENCE
        while since + len(found) < until:
            reads = await self.log.some_from(self.subject, position, until - since)
            for read in reads:
                wanted, messages = since + len(found) + 1, _decode(read.body)
                if messages[0].sequence > wanted:
                    reads = []  # the one before was lost on its way to us
                    break
                position = read.position + 1
                found += [each for each in messages if wanted <= each.sequence <= until]
            if not reads:  # the replica that was asked is behind, or away
                if asyncio.get_running_loop().time() > deadline:
                    raise Unavailable("old messages cannot be read from NATS just now")
                await asyncio.sleep(PAUSE_SECONDS)
        return found

    async def _find(self, number: int, latest: int) -> int:
        """The position of the batch that has a number: it is found by halving, as a word in a dictionary.

        `latest` is a position at or behind it.
        """
        low, high = 1, latest
        while low < high:
            middle = (low + high) // 2
            read = await self.log.first_from(self.subject, middle)
            if read is None or (messages := _decode(read.body))[0].sequence > number:
                high = middle
            elif messages[-1].sequence >= number:
                return read.position
            else:
                low = read.position + 1
        return low
