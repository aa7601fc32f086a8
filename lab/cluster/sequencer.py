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
import contextlib
import time
import uuid
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import NamedTuple

import msgspec

from lab.cluster.feed import Feed
from lab.cluster.log import MOST_ENTRIES, Entry, Log, Read, Refused, Unsure
from lab.cluster.wire import OUT_SECONDS, PATIENCE, PAUSE_SECONDS, Unavailable
from lab.interfaces import Draft, Member, PubSub
from lab.protocol import MAX_PAGE, NEWEST, History, Message

MAX_BATCH = MOST_ENTRIES // 4
"""Messages in a batch. Each with an id makes two entries; a batch is one write on three disks."""
BATCH_BYTES = 512 * 1024
"""Bytes of a batch's messages; NATS takes a megabyte in one entry, as it comes. A message may be a batch of
its own.
"""
_TAIL = MAX_PAGE
"""Messages of a room that are kept in memory: most who come have missed fewer."""
_IDLE_ROOMS = 10_000
"""Rooms that nobody is in and that are remembered all the same."""

_decode = msgspec.json.Decoder(list[Message]).decode
_Key = tuple[str, str]
"""User and id: what a message is known by in its room."""


class Follower(NamedTuple):
    """The log that a room is in, and the feed that follows it."""

    log: Log
    feed: Feed


class _Pending(NamedTuple):
    """A message to be, with a number still to come, and the future that its `accept` waits for."""

    draft: Draft
    id: str
    answer: asyncio.Future[Message]
    since: float  # seconds on the loop's clock


class _Room:
    """What the node knows of a room: all there is up to `number`, which is in the log at `position`."""

    log: Log
    feed: Feed
    subject: str

    def __init__(self, name: str) -> None:
        self.name = name
        self.number = 0
        self.position = 0
        self.tail: deque[Message] = deque(maxlen=_TAIL)
        self.queue: list[_Pending] = []
        self.awaited: dict[_Key, _Pending] = {}
        self.worker: asyncio.Task[None] | None = None
        self.visitors = 0  # calls that are under way
        self.opening: asyncio.Task[None] | None = None
        self.early: list[Read] = []  # what came while the room was being opened

    def note(self, read: Read) -> list[Message]:
        """Take note of a batch; returns its messages, none if they are known."""
        if read.position <= self.position:
            return []
        messages = _decode(read.body)
        self.number, self.position = messages[-1].sequence, read.position
        self.tail.extend(messages)
        return messages

    def in_memory(self, since: int) -> list[Message] | None:
        """All messages after `since`, or None if some of them are on disk only."""
        missed = self.number - since
        if missed <= 0:
            return []
        if missed > len(self.tail):
            return None
        return list(self.tail)[-missed:]


class Sequencer:
    """Numbers each room's messages over a log, as other nodes do at the same time."""

    def __init__(self, pubsub: PubSub, follow: Callable[[str], Awaitable[Follower]]) -> None:
        """`follow` gives a room's log, and the feed that follows it."""
        self._pubsub = pubsub
        self._follow = follow
        self._rooms: dict[str, _Room] = {}

    # See `interfaces.Sequencer`.

    async def accept(self, draft: Draft) -> Message:
        """See `interfaces.Sequencer`. Raises Unavailable if NATS is out of reach; the draft is then
        forgotten.
        """
        async with self._visit(draft.room) as room:
            loop = asyncio.get_running_loop()
            pending = _Pending(draft, draft.id or uuid.uuid4().hex, loop.create_future(), loop.time())
            room.queue.append(pending)
            if room.worker is None:
                room.worker = asyncio.create_task(self._serve(room))
            return await pending.answer

    async def attach(self, room_name: str, member: Member, since: int | None) -> None:
        """See `interfaces.Sequencer`."""
        async with self._visit(room_name) as room:
            await room.feed.catch_up()
            if since is None:
                messages = await self._newest(room)
                member.send(History(room_name, messages, room.number, more=False))
            else:
                messages = await self._replay(room, member, since)
                if messages:
                    member.send(History(room_name, messages, room.number, more=False))
            # Since the last look at what is missing nothing was awaited, so nothing was published: this is
            # the seam.
            self._pubsub.subscribe(room_name, member)

    async def _replay(self, room: _Room, member: Member, since: int) -> list[Message]:
        """Send page by page what is on disk only, while the room goes on; returns the rest, which is in
        memory.
        """
        while (rest := room.in_memory(since)) is None:
            page = await self._page(room, since, MAX_PAGE)
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
            messages = await self._page(room, since, limit) if since < last and limit else []
            return History(room_name, messages, last, more=bool(messages) and messages[-1].sequence < last)

    # What comes back from the log.

    def hear(self, name: str, read: Read) -> None:
        """A batch was appended, by whichever node: publish it, and answer our callers who wait for it."""
        room = self._rooms.get(name)
        if room is None:
            return  # nobody is here
        if room.opening:
            room.early.append(read)
            return
        for message in room.note(read):
            self._pubsub.publish(name, message)
            if pending := room.awaited.pop((message.user, message.id), None):
                _answer(pending, message)

    @asynccontextmanager
    async def _visit(self, name: str) -> AsyncIterator[_Room]:
        """The room, with all that is known of it up to now; it is not forgotten meanwhile. Raises
        Unavailable.
        """
        room = self._rooms.get(name)
        if room is None:
            self._forget_idle_rooms()
            room = self._rooms[name] = _Room(name)
            room.opening = asyncio.create_task(self._open(room))
        room.visitors += 1
        try:
            if room.opening:
                await asyncio.shield(room.opening)
            yield room
        finally:
            room.visitors -= 1

    async def _open(self, room: _Room) -> None:
        """Read the room's newest messages, and go on with what came meanwhile."""
        try:
            room.log, room.feed = await self._follow(room.name)
            room.subject = room.log.shard.room(room.name)
            newest = await room.log.newest_of(room.subject)
            if newest:
                first = _decode(newest.body)[0].sequence
                room.tail.extend(
                    await self._stored(room, max(first - 1 - _TAIL, 0), first - 1, newest.position)
                )
                room.note(newest)
                await room.feed.reach(newest.position)
            for read in room.early:
                room.note(read)
            room.early.clear()
            room.opening = None
        except BaseException:
            self._rooms.pop(room.name, None)  # who comes next tries anew
            raise

    def _forget_idle_rooms(self) -> None:
        if len(self._rooms) < _IDLE_ROOMS:
            return
        busy = set(self._pubsub.rooms())
        for name, room in list(self._rooms.items()):
            if name not in busy and not room.visitors:
                del self._rooms[name]

    # Reading.

    async def _newest(self, room: _Room) -> list[Message]:
        """The newest messages of a room, as many as a newcomer is shown; nothing is awaited after the last
        look.
        """
        while True:
            since = max(room.number - NEWEST, 0)
            if (messages := room.in_memory(since)) is not None:
                return messages
            messages = await self._page(room, since, NEWEST)
            if messages[-1].sequence == room.number:
                return messages

    async def _page(self, room: _Room, since: int, limit: int) -> list[Message]:
        """The first `limit` messages after `since`, of which there are some."""
        if (messages := room.in_memory(since)) is not None:
            return messages[:limit]
        return await self._stored(room, since, min(since + limit, room.number), room.position)

    async def _stored(self, room: _Room, since: int, until: int, latest: int) -> list[Message]:
        """The messages numbered above `since` up to `until`, from disk. They stand at `latest` or before."""
        found: list[Message] = []
        position = await self._find(room, since + 1, latest) if until > since else 0
        deadline = asyncio.get_running_loop().time() + PATIENCE
        while since + len(found) < until:
            reads = await room.log.some_from(room.subject, position, until - since)
            for read in reads:
                position = read.position + 1
                wanted = since + len(found) + 1
                found += [each for each in _decode(read.body) if wanted <= each.sequence <= until]
            if not reads:  # the replica that was asked is behind, or away
                if asyncio.get_running_loop().time() > deadline:
                    raise Unavailable("old messages cannot be read from NATS just now")
                await asyncio.sleep(PAUSE_SECONDS)
        return found

    async def _find(self, room: _Room, number: int, latest: int) -> int:
        """The position of the batch that has a number: it is found by halving, as in a dictionary.

        `latest` is a position at or behind it.
        """
        low, high = 1, latest
        while low < high:
            middle = (low + high) // 2
            read = await room.log.first_from(room.subject, middle)
            if read is None or (messages := _decode(read.body))[0].sequence > number:
                high = middle
            elif messages[-1].sequence >= number:
                return read.position
            else:
                low = read.position + 1
        return low

    # Accepting.

    async def _serve(self, room: _Room) -> None:
        """Append what waits, batch by batch, until nothing waits."""
        try:
            await asyncio.sleep(0)  # drafts whose frames arrived at the same moment are queued meanwhile
            while room.queue:
                batch = self._next_batch(room)
                try:
                    await self._append(room, batch)
                except Exception as error:
                    for pending in batch:
                        room.awaited.pop((pending.draft.user, pending.id), None)
                        if not pending.answer.done():
                            pending.answer.set_exception(error)
        finally:
            room.worker = None
            for pending in room.queue:  # some are queued only if this task was cancelled
                pending.answer.cancel()

    def _next_batch(self, room: _Room) -> list[_Pending]:
        """Take drafts off the queue. One that repeats another of them stays there: it will be found as a
        retry.
        """
        batch: dict[_Key, _Pending] = {}
        left: list[_Pending] = []
        size = 0
        for pending in room.queue:
            key = pending.draft.user, pending.id
            size += len(msgspec.json.encode(pending.draft.content)) + 300
            is_full = len(batch) == MAX_BATCH or (batch and size > BATCH_BYTES)
            if is_full or key in batch or pending.answer.done():
                if not pending.answer.done():  # it is, if its caller was cancelled
                    left.append(pending)
            else:
                batch[key] = pending
        room.queue = left
        return list(batch.values())

    async def _append(self, room: _Room, batch: list[_Pending]) -> None:
        """Append a batch until each of its messages is in the log, by this attempt or by another."""
        room.awaited |= {(pending.draft.user, pending.id): pending for pending in batch}
        is_unsure = False
        while left := [pending for pending in batch if not pending.answer.done()]:
            self._give_up_if_out(room, left, is_unsure)
            try:
                position = await room.log.append(self._entries(room, left))
                await room.feed.reach(position)
                continue
            except Unavailable:
                await asyncio.sleep(PAUSE_SECONDS)
                continue
            except Refused:
                pass
            except Unsure:
                is_unsure = True
            with contextlib.suppress(Unavailable):
                await room.feed.catch_up()
                await self._answer_retries(room, left)

    def _give_up_if_out(self, room: _Room, left: list[_Pending], is_unsure: bool) -> None:
        """If this takes too long, tell all who can be told that their message was not accepted.

        Where we are unsure, it may have been, or will be. Whoever gave it an id may be told all the same:
        then it is safe to send it again. Without one, we go on until we know.
        """
        waited = asyncio.get_running_loop().time() - left[0].since
        is_out = room.log.wire.seconds_out > OUT_SECONDS
        if not is_out and waited < PATIENCE:
            return
        error = Unavailable("NATS is out of reach" if is_out else "NATS has no leader for this room")
        for pending in [*left, *room.queue]:
            if pending.draft.id or not is_unsure or pending in room.queue:
                room.awaited.pop((pending.draft.user, pending.id), None)
                if not pending.answer.done():
                    pending.answer.set_exception(error)

    def _entries(self, room: _Room, batch: list[_Pending]) -> list[Entry]:
        """Number the drafts: an entry with all messages, and for each id that a client gave a note of its
        number.
        """
        now, shard = int(time.time() * 1000), room.log.shard
        messages = [
            Message(each.id, room.name, each.draft.user, each.draft.content, number, now)
            for number, each in enumerate(batch, room.number + 1)
        ]
        notes = [
            Entry(shard.id(room.name, each.user, each.id), str(each.sequence).encode(), last=0)
            for each, pending in zip(messages, batch, strict=True)
            if pending.draft.id
        ]
        # The messages come last: so the newest position of a log is always one that its followers are told
        # of.
        return [*notes, Entry(room.subject, msgspec.json.encode(messages), last=room.position)]

    async def _answer_retries(self, room: _Room, batch: list[_Pending]) -> None:
        """Answer those whose message was accepted before, perhaps long ago (rule R)."""
        for pending in batch:
            draft = pending.draft
            if pending.answer.done() or not draft.id:
                continue
            note = await room.log.newest_of(room.log.shard.id(room.name, draft.user, draft.id))
            if note and not pending.answer.done():
                number = int(note.body)
                await room.feed.catch_up()
                (message,) = await self._page(room, number - 1, 1)
                room.awaited.pop((draft.user, pending.id), None)
                _answer(pending, message)


def _answer(pending: _Pending, message: Message) -> None:
    if not pending.answer.done():  # it is, if its caller was cancelled
        pending.answer.set_result(message)
