"""What is appended to a shard, as one node follows it: every entry once, in order, with no hole unnoticed.

JetStream *pushes* entries to a subject of ours (an ordered consumer, as NATS calls it). On the way an entry
may be lost: the machine that pushes dies, or our connection breaks. So each carries a count, by which a hole
is seen; and where nothing is pushed, a sign of life comes four times a second. Where count or sign of life is
missing we begin anew, behind the last entry that we handled.

To have entries pushed again takes JetStream as long as an election, if its leader is gone, too. Until then we
*read* what is new, which any replica can tell. Both ways lead through the entries in one order, and what one
of them has handled the other one skips.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import logging
import uuid
from collections.abc import Callable

from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from lab.cluster.log import MOST_READ, Log, Read
from lab.cluster.wire import PATIENCE, PAUSE_SECONDS, Unavailable, end, ignored, quietly

log = logging.getLogger("lab.cluster")

BEAT_SECONDS = 0.25
"""How often JetStream gives a sign of life where it has nothing to push."""
MISSED_BEATS = 4
"""Signs of life without which we begin anew."""
INACTIVE_SECONDS = 30
"""After which JetStream forgets a follower that is gone."""
AWAY_SECONDS = 600.0
"""After which we may have missed that entries were deleted, which are kept for longer than that."""
_TURN = 64
"""Entries after which others have their turn, and how many are read at once."""
_BILLION = 1_000_000_000  # nanoseconds in a second: NATS counts in these


class Feed:
    """Follows a log. `handle` is called with each entry of rooms and of presence, from `start` on.

    `restore` is called with all entries of presence that stand: when following begins, and when we were away
    for so long that others may have been deleted meanwhile.
    """

    def __init__(
        self, source: Log, handle: Callable[[Read], None], restore: Callable[[list[Read]], None]
    ) -> None:
        self.position = 0
        """Everything up to here has been handled."""
        self._log, self._wire, self._nats = source, source.wire, source.wire.client
        self._handle, self._restore = handle, restore
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []  # a heap, by position
        self._asking = asyncio.Lock()
        self._next_ask: asyncio.Task[None] | None = None
        self._count = 0  # of what this follower was pushed
        self._newest = 0  # where the newest entry that still exists was, when it began
        self._end = 0  # how far the log went then: what was between was deleted, and nobody pushes it
        self._is_broken = asyncio.Event()
        self._heard_at = 0.0
        self._running: asyncio.Task[None] | None = None
        self._followed_at = 0.0
        self._loop = asyncio.get_running_loop()

    async def start(self) -> None:
        """Begin to follow, from the newest entry on. Raises Unavailable."""
        self.position = await self._log.last()
        self._restore(await self._standing())
        self._followed_at = self._loop.time()
        self._running = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Follow no more."""
        if self._running:
            await end([self._running])
        for _, _, waiter in self._waiting:
            waiter.cancel()

    # Where we are.

    async def catch_up(self) -> None:
        """Wait until everything is handled that was appended, by whomever, before this call.

        The leader is asked once for all who wait: who comes while an answer is under way needs the next one,
        since what the leader said may be older than the call. Raises Unavailable.
        """
        if self._next_ask is None:
            self._next_ask = asyncio.create_task(self._ask_leader())
            self._next_ask.add_done_callback(ignored)
        try:
            async with asyncio.timeout(PATIENCE):
                await asyncio.shield(self._next_ask)
        except TimeoutError as error:
            raise Unavailable("NATS is behind, or out of reach") from error

    async def _ask_leader(self) -> None:
        async with self._asking:
            self._next_ask = None
            last = await self._log.last()
        await self.reach(last)

    async def reach(self, position: int) -> None:
        """Wait until everything up to a position is handled. Raises Unavailable if NATS is out of reach."""
        if position <= self.position:
            return
        waiter: asyncio.Future[None] = self._loop.create_future()
        heapq.heappush(self._waiting, (position, id(waiter), waiter))
        deadline = self._loop.time() + PATIENCE
        while not waiter.done():
            await asyncio.wait([waiter], timeout=BEAT_SECONDS)
            is_late = self._loop.time() > deadline or self._wire.is_long_out
            if is_late and not waiter.done():
                waiter.cancel()
                raise Unavailable("NATS is behind, or out of reach")
        waiter.result()

    def _advance(self, position: int) -> None:
        self.position = max(self.position, position)
        if self.position >= self._newest:
            self.position = max(self.position, self._end)
        while self._waiting and self._waiting[0][0] <= self.position:
            _, _, waiter = heapq.heappop(self._waiting)
            if not waiter.done():
                waiter.set_result(None)

    # Following.

    async def _run(self) -> None:
        """Follow; whatever happens, begin anew."""
        while True:
            while self._wire.is_out:  # there is nothing to try, and nothing to tell
                await asyncio.sleep(PAUSE_SECONDS)
            try:
                await self._follow()
            except (Unavailable, NatsError, TimeoutError) as error:
                log.info("follows %s anew: %s", self._log.shard.stream, error)
            except Exception:  # whatever it was, this task must never die
                log.exception("follows %s anew", self._log.shard.stream)
            await asyncio.sleep(PAUSE_SECONDS)

    async def _follow(self) -> None:
        """Follow from behind the last entry that was handled, until something is missing."""
        shard = self._log.shard
        inbox = self._nats.new_inbox()
        if self._loop.time() - self._followed_at > AWAY_SECONDS:
            self._restore(await self._standing())
        reading = asyncio.create_task(self._read())
        self._count = 0
        self._is_broken.clear()
        subscription = await self._nats.subscribe(inbox, cb=self._on_push)
        try:
            start = {"deliver_policy": "by_start_sequence", "opt_start_seq": self.position + 1}
            await self._consume(inbox, [shard.rooms, shard.presence], start)
            await self._see_end()
            reading.cancel()
            self._heard_at = self._loop.time()
            while not self._is_broken.is_set():
                self._followed_at = self._heard_at
                if self._loop.time() - self._heard_at > MISSED_BEATS * BEAT_SECONDS:
                    raise TimeoutError("no sign of life")
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._is_broken.wait(), BEAT_SECONDS)
        finally:
            reading.cancel()
            await quietly(subscription.unsubscribe())

    async def _see_end(self) -> None:
        """Learn how far the log goes, also where its end was deleted.

        The leader is asked, in this order: who pushes to us is a replica that may be behind. What it does not
        push is not to be waited for only if it no longer exists.
        """
        end = await self._log.last()
        newest = await self._log.newest_of(self._log.shard.everything)
        self._newest, self._end = newest.position if newest else 0, end
        self._advance(self.position)

    async def _read(self) -> None:
        """Handle what is new until we are cancelled: when entries are pushed again."""
        while True:
            for read in await self._log.some_from(self._log.shard.everything, self.position + 1, _TURN):
                self._take(read)
            await asyncio.sleep(PAUSE_SECONDS)

    async def _consume(self, inbox: str, subjects: list[str], start: dict[str, object]) -> None:
        """Have entries pushed to `inbox`. Raises Unavailable."""
        stream, name = self._log.shard.stream, f"node-{uuid.uuid4().hex[:16]}"
        config = {
            "name": name,
            "deliver_subject": inbox,
            "filter_subjects": subjects,
            "ack_policy": "none",
            "flow_control": True,
            "idle_heartbeat": int(BEAT_SECONDS * _BILLION),
            "inactive_threshold": INACTIVE_SECONDS * _BILLION,
            "mem_storage": True,
            "num_replicas": 1,
            **start,
        }
        what = {"stream_name": stream, "config": config, "action": "create"}
        await self._wire.ask(f"CONSUMER.CREATE.{stream}.{name}", what)

    async def _on_push(self, message: Msg) -> None:
        self._heard_at = self._loop.time()
        if await self._is_control(message):
            last = (message.headers or {}).get("Nats-Last-Consumer")
            if last is not None and int(last) != self._count:
                self._is_broken.set()  # something was pushed that never came
            return
        sequence = message.metadata.sequence
        self._count += 1
        if sequence.consumer != self._count:
            self._is_broken.set()
        if self._is_broken.is_set():
            return
        self._take(Read(sequence.stream, message.subject, message.data))
        if self._count % _TURN == 0:
            await asyncio.sleep(0)

    def _take(self, read: Read) -> None:
        """Handle an entry, unless that was done."""
        if read.position <= self.position:
            return
        try:
            self._handle(read)
        except Exception:  # what one entry holds must not keep us from all others
            log.exception("could not handle an entry of %s", read.subject)
        self._advance(read.position)

    async def _is_control(self, message: Msg) -> bool:
        """Whether this is a sign of life, or a question whether we keep up, which is answered at once."""
        headers = message.headers or {}
        if headers.get("Status") != "100":
            return False
        answer_to = message.reply or headers.get("Nats-Consumer-Stalled")
        if answer_to:
            await self._nats.publish(answer_to)
        return True

    async def _standing(self) -> list[Read]:
        """All entries of presence that stand now, as the leader knows them. Raises Unavailable.

        They are read from any replica. What one tells that is behind, or silent, must not pass for all.
        """
        found: list[Read] = []
        subject, deadline = self._log.shard.presence, self._loop.time() + PATIENCE
        newest = await self._log.newest_of(subject)
        while newest and (not found or found[-1].position < newest.position):
            some = await self._log.some_from(subject, found[-1].position + 1 if found else 1, MOST_READ)
            found += some
            if not some:
                if self._loop.time() > deadline:
                    raise Unavailable("who is here cannot be read from NATS just now")
                await asyncio.sleep(PAUSE_SECONDS)
                newest = await self._log.newest_of(subject)  # the one before may have been deleted
        return found
