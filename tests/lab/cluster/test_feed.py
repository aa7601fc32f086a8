from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.cluster import feed as feeds
from lab.cluster.feed import BEAT_SECONDS, Feed
from lab.cluster.log import Read
from lab.cluster.names import Shard
from lab.cluster.wire import OUT_SECONDS, Unavailable
from tests.lab.cluster.fakes import FakeWire
from tests.lab.cluster.virtual_time import run
from tests.lab.helpers import PROPERTY

SHARD = Shard(0, 1)
ROOM, HERE = SHARD.room("r"), SHARD.here("r", "ada", "node")


class FakeNats(FakeWire):
    """A stream, its leader, a replica that is behind it, and a client that pushes are lost on their way to.

    It stands for the log, its connection, and the client library's object all at once.
    """

    def __init__(self, random: Random, calm: int = 1000) -> None:
        super().__init__()
        self.shard, self.wire, self.client = SHARD, self, self
        self.entries: dict[int, Read] = {}
        self.end = 0
        self.behind = 0.0
        """Seconds by which the replica is behind the leader."""
        self._known = 0  # by the replica
        self._random, self._calm = random, calm
        self._inboxes: dict[str, Callable[[Any], Awaitable[None]]] = {}
        self._pushing: list[asyncio.Task[None]] = []

    def append(self, subject: str = ROOM) -> int:
        """Returns the position."""
        self.end += 1
        self.entries[self.end] = Read(self.end, subject, b"")
        asyncio.get_running_loop().call_later(self.behind, self._replicate, self.end)
        return self.end

    def _replicate(self, position: int) -> None:
        self._known = max(self._known, position)

    def _goes_wrong(self) -> bool:
        return self._random.randrange(self._calm) == 0

    async def _ask(self) -> None:
        await asyncio.sleep(self._random.random() * 0.02)
        if self.is_out or self._goes_wrong():
            raise Unavailable("no answer")

    # As `log.Log`.

    async def last(self) -> int:
        """See `log.Log`."""
        await self._ask()
        return self.end

    def _is_of(self, subject: str, read: Read) -> bool:
        return subject.endswith(".>") and read.subject.startswith(subject[:-1])

    async def newest_of(self, subject: str) -> Read | None:
        """See `log.Log`."""
        await self._ask()
        return max(
            (read for read in self.entries.values() if self._is_of(subject, read)),
            key=lambda read: read.position,
            default=None,
        )

    async def some_from(self, subject: str, position: int, most: int) -> list[Read]:
        """See `log.Log`: the replica answers."""
        await asyncio.sleep(self._random.random() * 0.02)
        if self.is_out or self._goes_wrong():
            return []
        found = [each for at, each in self.entries.items() if position <= at <= self._known]
        return [each for each in found if self._is_of(subject, each)][:most]

    # As `wire.Wire`, which is asked for one thing only.

    async def ask(self, what: str, body: Any) -> None:
        """Create a consumer."""
        await self._ask()
        assert what.startswith(f"CONSUMER.CREATE.{SHARD.stream}.")
        push = self._push(body["config"]["deliver_subject"], body["config"]["opt_start_seq"])
        self._pushing.append(asyncio.create_task(push))

    async def _push(self, inbox: str, position: int) -> None:
        count = 0
        while True:
            while position <= self._known:
                if read := self.entries.get(position):
                    count += 1
                    if self._goes_wrong():
                        break  # lost on its way
                    sequence = SimpleNamespace(stream=read.position, consumer=count)
                    metadata = SimpleNamespace(sequence=sequence)
                    await self._deliver(
                        inbox, subject=read.subject, data=read.body, headers=None, reply="", metadata=metadata
                    )
                position += 1
            if self._random.randrange(self._calm * 10) == 0:
                return  # who pushed has died
            await asyncio.sleep(self._random.random() * BEAT_SECONDS)
            headers = {"Status": "100", "Nats-Last-Consumer": str(count)}
            await self._deliver(inbox, headers=headers, reply="")

    async def _deliver(self, inbox: str, **message: Any) -> None:
        if inbox in self._inboxes and not self.is_out:
            await self._inboxes[inbox](SimpleNamespace(**message))

    # As the client of nats-py.

    def new_inbox(self) -> str:
        """A subject of its own."""
        return f"inbox-{len(self._pushing)}-{self._random.random()}"

    async def subscribe(self, inbox: str, cb: Callable[[Any], Awaitable[None]]) -> Any:
        """Have it called with what is pushed."""
        self._inboxes[inbox] = cb

        async def unsubscribe() -> None:
            self._inboxes.pop(inbox, None)

        return SimpleNamespace(unsubscribe=unsubscribe)

    async def close(self) -> None:
        """Push no more."""
        for task in self._pushing:
            task.cancel()
        await asyncio.gather(*self._pushing, return_exceptions=True)


async def started(
    nats: FakeNats, handle: Callable[[Read], None], restore: Callable[[list[Read]], None] = lambda found: None
) -> Feed:
    """A feed that follows."""
    while True:
        feed = Feed(nats, handle, restore)
        with contextlib.suppress(Unavailable):
            await feed.start()
            return feed


@settings(PROPERTY, max_examples=20)
@given(st.integers(0, 1 << 32))
def test_every_entry_is_handled_once_and_in_order(seed: int) -> None:
    """Pushes are lost, who pushes dies or is behind, the connection breaks. And who has caught up knows all
    that was appended before.
    """

    async def play() -> None:
        random = Random(seed)
        nats = FakeNats(random, calm=random.choice([5, 50, 1000]))
        nats.behind = random.choice([0.0, 0.05, 2.0])
        for _ in range(random.randrange(5)):
            nats.append(random.choice([ROOM, HERE]))
        handled: list[int] = []
        feed = await started(nats, lambda read: handled.append(read.position))
        first = feed.position
        deleted: set[int] = set()

        async def ask() -> None:
            await asyncio.sleep(random.random() * 8)
            before = {at for at, read in nats.entries.items() if at > first and read.subject == ROOM}
            with contextlib.suppress(Unavailable):
                await feed.catch_up()
                assert before <= set(handled)

        asking = [asyncio.create_task(ask()) for _ in range(30)]
        for _ in range(60):
            await asyncio.sleep(random.choice([0.0, 0.001, 0.1, 0.3]))
            at = nats.append(random.choice([ROOM, HERE]))
            if nats.entries[at].subject == HERE and random.random() < 0.5:  # something newer replaced it
                del nats.entries[at]
                deleted.add(at)
                if random.random() < 0.8:
                    nats.append(HERE)
            if random.random() < 0.03:
                await nats.out_for(random.choice([0.1, 3.0]))
        await asyncio.gather(*asking)
        await asyncio.sleep(10)
        while True:
            with contextlib.suppress(Unavailable):
                await feed.catch_up()
                break
        assert handled == sorted(set(handled))
        expected = {at for at in nats.entries if at > first}
        assert expected <= set(handled) <= expected | deleted
        await feed.close()
        await nats.close()

    run(play())


def test_what_a_replica_has_not_got_yet_is_not_passed_over() -> None:
    """Who pushes is behind the leader when it begins: the entries between come later, and are waited for."""

    async def play() -> None:
        nats = FakeNats(Random(1))
        handled: list[int] = []
        feed = await started(nats, lambda read: handled.append(read.position))
        nats.behind = 3.0
        nats.append()
        await nats.out_for(1.5)  # so it begins anew
        await asyncio.sleep(0.5)
        assert handled == []
        await feed.catch_up()
        assert handled == [1]
        await feed.close()
        await nats.close()

    run(play())


def test_who_is_here_is_read_until_it_is_complete() -> None:
    """A replica that is behind or does not answer does not make the room empty."""

    async def play() -> None:
        nats = FakeNats(Random(1), calm=2)
        nats.behind = 1.0
        for _ in range(5):
            nats.append(HERE)
        found: list[list[Read]] = []
        feed = await started(nats, lambda read: None, found.append)
        assert [each.position for each in found[0]] == [1, 2, 3, 4, 5]
        await feed.close()
        await nats.close()

    run(play())


def test_a_handler_that_raises_does_not_end_the_feed(caplog: pytest.LogCaptureFixture) -> None:
    """The error is logged, and the next entries are handled."""

    async def play() -> None:
        nats = FakeNats(Random(1))

        def handle(read: Read) -> None:
            if read.position == 1:
                raise ValueError("broken")

        def restore(found: list[Read]) -> None:
            if feed_is_up:
                raise ValueError("broken, too")

        feed_is_up = False
        feed = await started(nats, handle, restore)
        feed_is_up = True
        nats.append()
        nats.append()
        await feed.catch_up()
        feed._followed_at = -feeds.AWAY_SECONDS
        feed._is_broken.set()
        await asyncio.sleep(1)
        feed_is_up = False
        nats.append()
        await feed.catch_up()
        assert feed.position == 3
        await feed.close()
        await nats.close()

    caplog.set_level(logging.INFO)
    run(play())
    assert "could not handle an entry" in caplog.text


def test_out_of_reach_nobody_waits_for_long() -> None:
    """Who waits for a position, or for the leader, is told."""

    async def play() -> None:
        nats = FakeNats(Random(1))
        feed = await started(nats, lambda read: None)
        waiting = [asyncio.create_task(feed.reach(9)), asyncio.create_task(feed.catch_up())]
        out = asyncio.create_task(nats.out_for(60))
        begun = asyncio.get_running_loop().time()
        answers = await asyncio.gather(*waiting, return_exceptions=True)
        assert isinstance(answers[0], Unavailable)
        assert asyncio.get_running_loop().time() - begun < OUT_SECONDS + 1
        out.cancel()
        await asyncio.gather(out, return_exceptions=True)
        await feed.close()
        await nats.close()

    run(play())
