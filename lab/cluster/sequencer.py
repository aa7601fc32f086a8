"""One order for all, on several nodes at once (exercise 2, over a replicated log).

`lab.sequencer` holds a lock while it numbers, saves and publishes. Here the rivals are on other machines, and
a lock could be lost with its holder. So it goes the other way round (*optimistic concurrency*):

1. A room's drafts that wait are numbered on from the last message that this node has heard of.
2. They are appended as one batch, on condition that this message still is the room's last one, and that none
   of their ids was used before. The log decides; of two nodes that try at once, one is refused and nothing of
   its batch is kept.
3. Who is refused catches up, looks for retries (rule R), and numbers anew what is left.
4. A message is published when it *comes back* from the log, like those of all other nodes, and not when it
   was appended. So every node publishes the same messages in the same order, and `accept` returns after that.

Where no answer comes, the batch may have been appended or not. That is no trouble: to append it again under
the same condition is safe, since only one of the two can succeed; and if the first one did, it comes back by
itself.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from lab.cluster.log import Read
from lab.cluster.room import Follower, Pending, Room
from lab.cluster.wire import ignored
from lab.cluster.writer import Writer
from lab.interfaces import Draft, Member, PubSub
from lab.protocol import MAX_PAGE, History, Message

log = logging.getLogger("lab.cluster")

_IDLE_ROOMS = 10_000
"""Rooms that nobody is in and that are remembered all the same."""


class Sequencer:
    """Numbers each room's messages over a log, as other nodes do at the same time."""

    def __init__(self, pubsub: PubSub, follow: Callable[[str], Awaitable[Follower]]) -> None:
        """`follow` gives a room's log, and the feed that follows it."""
        self._pubsub = pubsub
        self._follow = follow
        self._rooms: dict[str, Room] = {}
        self._opening: dict[str, asyncio.Task[None]] = {}
        self._early: dict[str, list[Read]] = {}  # what came in rooms that are being opened
        self._writers: dict[str, Writer] = {}  # by stream

    # See `interfaces.Sequencer`.

    async def accept(self, draft: Draft) -> Message:
        """See `interfaces.Sequencer`. Raises Unavailable if NATS is out of reach; the draft is forgotten."""
        async with self._visit(draft.room) as room:
            loop = asyncio.get_running_loop()
            pending = Pending(draft, draft.id or uuid.uuid4().hex, loop.create_future(), loop.time())
            self._writer_of(room).add(room, pending)
            return await pending.answer

    async def attach(self, room_name: str, member: Member, since: int | None) -> None:
        """See `interfaces.Sequencer`."""
        async with self._visit(room_name) as room:
            await room.feed.catch_up()
            if since is None:
                messages = await room.newest()
                member.send(History(room_name, messages, room.number, more=False))
            else:
                messages = await self._replay(room, member, since)
                if messages:
                    member.send(History(room_name, messages, room.number, more=False))
            # Here is the seam: since we last looked at what is missing, nothing was awaited, so nothing was
            # published.
            self._pubsub.subscribe(room_name, member)

    async def _replay(self, room: Room, member: Member, since: int) -> list[Message]:
        """Send page by page what is on disk only, while the room goes on; returns the rest, from memory."""
        while (rest := room.in_memory(since)) is None:
            page = await room.page(since, MAX_PAGE)
            since = page[-1].sequence
            member.send(History(room.name, page, room.number, more=since < room.number))
            del page  # it may have megabytes, and the reader may take its time
            await member.drain()
        return rest

    async def history(self, room_name: str, since: int, limit: int) -> History:
        """See `interfaces.Sequencer`."""
        async with self._visit(room_name) as room:
            await room.feed.catch_up()
            last = room.number
            messages = await room.page(since, limit) if since < last and limit else []
            return History(room_name, messages, last, more=bool(messages) and messages[-1].sequence < last)

    async def close(self) -> None:
        """Append no more."""
        for opening in self._opening.values():
            opening.cancel()
        for writer in self._writers.values():
            await writer.close()

    # What comes back from the log.

    def hear(self, name: str, read: Read) -> None:
        """A batch was appended, by whichever node: publish it, and answer our callers who wait for it."""
        if name in self._early:
            self._early[name].append(read)
        elif room := self._rooms.get(name):  # else nobody is here
            for message in room.note(read):
                try:
                    self._pubsub.publish(name, message)
                except Exception:  # the others must be published all the same, and their senders answered
                    log.exception("could not publish room=%s sequence=%d", name, message.sequence)
                if pending := room.awaited.pop((message.user, message.id), None):
                    pending.resolve(message)

    @asynccontextmanager
    async def _visit(self, name: str) -> AsyncIterator[Room]:
        """The room, with all that is known of it; it is not forgotten meanwhile. Raises Unavailable."""
        while (room := self._rooms.get(name)) is None:
            if name not in self._opening:
                self._forget_idle_rooms()
                opening = self._opening[name] = asyncio.create_task(self._open(name))
                opening.add_done_callback(ignored)
            await asyncio.shield(self._opening[name])
        room.visitors += 1
        try:
            yield room
        finally:
            room.visitors -= 1

    async def _open(self, name: str) -> None:
        """Read a room's newest messages, and go on with what came meanwhile."""
        early = self._early[name] = []
        try:
            room = Room(name, await self._follow(name))
            await room.open()
            for read in early:
                room.note(read)
            self._rooms[name] = room
        finally:
            del self._early[name]
            del self._opening[name]

    def _writer_of(self, room: Room) -> Writer:
        stream = room.log.shard.stream
        if stream not in self._writers:
            self._writers[stream] = Writer(room.log, room.feed)
        return self._writers[stream]

    def _forget_idle_rooms(self) -> None:
        if len(self._rooms) < _IDLE_ROOMS:
            return
        busy = set(self._pubsub.rooms())
        for name, room in list(self._rooms.items()):
            if name not in busy and not room.visitors:
                del self._rooms[name]
