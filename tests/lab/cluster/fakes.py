"""A log in memory, which is shared by nodes that are told of it late, or not at all."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Callable, Sequence
from random import Random

from lab.cluster.log import Entry, Read, Refused, Unsure
from lab.cluster.names import Shard
from lab.cluster.wire import OUT_SECONDS, REQUEST_SECONDS, Unavailable


class Stream:
    """What is in the log: what was appended, with nothing lost."""

    def __init__(self) -> None:
        self.entries: list[Read] = []
        self.last_of: dict[str, int] = {}

    def append(self, entries: Sequence[Entry]) -> int:
        """All of them, or none. Raises Refused."""
        for entry in entries:
            if entry.last is not None and self.last_of.get(entry.subject, 0) != entry.last:
                raise Refused
        for entry in entries:
            self.entries.append(Read(len(self.entries) + 1, entry.subject, entry.body))
            self.last_of[entry.subject] = len(self.entries)
        return len(self.entries)


class FakeWire:
    """A connection that is there or not."""

    def __init__(self) -> None:
        self._lost_at: float | None = None

    @property
    def is_out(self) -> bool:
        """See `wire.Wire`."""
        return self._lost_at is not None

    @property
    def seconds_out(self) -> float:
        """See `wire.Wire`."""
        return 0.0 if self._lost_at is None else asyncio.get_running_loop().time() - self._lost_at

    @property
    def is_long_out(self) -> bool:
        """See `wire.Wire`."""
        return self.seconds_out > OUT_SECONDS

    async def out_for(self, seconds: float) -> None:
        """Be cut off for so long."""
        self._lost_at = asyncio.get_running_loop().time()
        await asyncio.sleep(seconds)
        self._lost_at = None


class FakeLog:
    """See `log.Log`. One call in `calm` goes wrong, in one of the ways in which it can."""

    def __init__(self, stream: Stream, random: Random, calm: int) -> None:
        self.shard = Shard(0, 1)
        self.wire = FakeWire()
        self._stream, self._random, self._calm = stream, random, calm

    async def _pause(self) -> None:
        if self._random.random() < 0.5:
            await asyncio.sleep(self._random.random() * 0.01)

    def _goes_wrong(self) -> bool:
        return self._random.randrange(self._calm) == 0

    async def append(self, entries: Sequence[Entry]) -> int:
        """See `log.Log`."""
        assert len(entries) <= 1000
        assert all(len(entry.body) < 1_000_000 for entry in entries)
        if self.wire.is_out:
            raise Unavailable("out")
        await self._pause()
        if not self._goes_wrong():
            position = self._stream.append(entries)
            await self._pause()
            return position
        match self._random.randrange(4):
            case 0:
                raise Unavailable("no leader")
            case 1:  # lost on its way
                pass
            case 2:  # the answer is lost
                self._try(entries)
            case 3:  # it is late, perhaps later than the next attempt
                delay = self._random.random() * 3 * REQUEST_SECONDS
                asyncio.get_running_loop().call_later(delay, self._try, entries)
        await asyncio.sleep(self._random.random() * REQUEST_SECONDS)
        raise Unsure

    def _try(self, entries: Sequence[Entry]) -> None:
        with contextlib.suppress(Refused):
            self._stream.append(entries)

    async def _ask(self) -> None:
        await self._pause()
        if self.wire.is_out or self._goes_wrong():
            raise Unavailable("no answer")

    async def last(self) -> int:
        """See `log.Log`."""
        await self._ask()
        return len(self._stream.entries)

    async def newest_of(self, subject: str) -> Read | None:
        """See `log.Log`."""
        await self._ask()
        position = self._stream.last_of.get(subject)
        return self._stream.entries[position - 1] if position else None

    async def first_from(self, subject: str, position: int) -> Read | None:
        """See `log.Log`."""
        await self._ask()
        return next((each for each in self._stream.entries[position - 1 :] if each.subject == subject), None)

    async def some_from(self, subject: str, position: int, most: int) -> list[Read]:
        """See `log.Log`: a replica may be behind, and an answer may be cut off."""
        await self._pause()
        behind = self._random.choice([0, 0, 1, 5])
        known = self._stream.entries[: len(self._stream.entries) - behind]
        found = [each for each in known[position - 1 :] if each.subject == subject]
        most = self._random.randint(0, most) if self._goes_wrong() else most
        return list(itertools.islice(found, most))


class FakeFeed:
    """See `feed.Feed`: handles what was appended, later."""

    def __init__(self, log: FakeLog, handle: Callable[[Read], None], random: Random) -> None:
        self.position = 0
        self._log, self._handle, self._random = log, handle, random

    async def run(self) -> None:
        """Follow, for ever."""
        while True:
            await asyncio.sleep(self._random.choice([0.0, 0.001, 0.02, 0.2]))
            if not self._log.wire.is_out:
                for read in self._log._stream.entries[self.position : self.position + 20]:
                    self._handle(read)
                    self.position = read.position

    async def reach(self, position: int) -> None:
        """See `feed.Feed`."""
        while self.position < position:
            await asyncio.sleep(0.005)
            if self._log.wire.is_long_out:
                raise Unavailable("out")

    async def catch_up(self) -> None:
        """See `feed.Feed`."""
        await self.reach(await self._log.last())
