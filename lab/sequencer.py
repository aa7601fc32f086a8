"""One order for all: a room's messages are numbered, saved, and only then published (exercise 2).

How a message is accepted:

1. `accept` puts the draft into its room's queue, with a future for the answer.
2. If no task works on the queue, the caller's own task begins to. First it yields to the event loop once, so
   that drafts which arrived at the same moment are queued as well.
3. If its draft is still the only one, and nobody is joining just then, it handles that itself. This is the
   *uncontended fast path*: to start and wake another task would cost as much as all the rest. Otherwise it
   starts the room's *worker task*, which handles one batch after the other until the queue is empty.
4. A *batch* is all that is queued, up to a limit. Its drafts are compared with what is stored (is this one a
   retry?), numbered, saved in one call, published in the order of their numbers, and answered. Meanwhile the
   next drafts gather in the queue.

Two rules of the protocol then hold by construction, without a lock around each message:

- **order**: a batch is handled under the room's lock, so only one task at a time numbers and publishes;
- **durability**: `publish` comes after `await save`.

And it is fast, because a hundred messages that are saved together cost hardly more than one. Databases call
that *group commit*.

What can go wrong:

- The store raises: every caller of the batch gets that exception, nothing is published, and the numbers are
  free again.
- The caller on the fast path is cancelled: its draft may be lost, and a worker task handles what was queued
  behind it. A caller that only waits may be cancelled at any time; its draft is handled all the same.
- The worker task is cancelled, as happens when the event loop is closed: so are all callers that wait.
"""

from __future__ import annotations

import asyncio
import itertools
import time
import uuid
from collections import deque
from typing import NamedTuple
from weakref import WeakValueDictionary

from lab.interfaces import Draft, Member, MessageStore, PubSub
from lab.protocol import MAX_PAGE, NEWEST, History, Message

_MAX_BATCH = 1000
"""Messages in a batch: enough to share the cost of a sync, few enough not to keep anyone waiting."""
_MAX_BATCH_SIZE = 4 * 1024 * 1024
"""Characters in a batch. A message is never too long to be a batch of its own."""
_RECENT = 10_000
"""Uses of rooms after which an idle one is forgotten; the store is then asked for its newest number."""

_Known = dict[tuple[str, str], Message]
"""Messages that are numbered already, by user and id."""


class _Pending(NamedTuple):
    """A draft in the queue, and the future that its `accept` waits for."""

    draft: Draft
    answer: asyncio.Future[Message]


class _Room:
    """What the sequencer knows of a room."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.last: int | None = None  # the newest number; None where the store is to be asked
        self.published = 0  # the highest number since the start
        self.queue: list[_Pending] = []
        self.is_served = False  # whether a task, a caller's or the worker, works on the queue
        self.worker: asyncio.Task[None] | None = None  # kept here since asyncio keeps only a weak reference
        self.lock = asyncio.Lock()  # held while a batch is handled, and by a join between replay and live

    def is_covered_by(self, page: History, since: int) -> bool:
        """Whether a page that was read before the lock was taken has all that came after `since` by now."""
        reached = page.messages[-1].sequence if page.messages else since
        return reached >= max(self.published, page.last) and len(page.messages) < MAX_PAGE

    def next_batch(self) -> list[_Pending]:
        """Take the first drafts off the queue: one at least, and no more than the limits allow."""
        count = characters = 0
        for pending in self.queue[:_MAX_BATCH]:
            characters += len(pending.draft.content)
            if count and characters > _MAX_BATCH_SIZE:
                break
            count += 1
        batch, self.queue = self.queue[:count], self.queue[count:]
        return batch


class Sequencer:
    """Numbers each room's messages, and lets members join without a hole or an overlap."""

    def __init__(self, store: MessageStore, pubsub: PubSub) -> None:
        self._store = store
        self._pubsub = pubsub
        # For messages without an id: no other start has this beginning, and to count costs next to nothing.
        beginning = uuid.uuid4().hex[:16]
        self._ids = (f"{beginning}-{number}" for number in itertools.count(1))
        # Two `_Room`s of one name would give the same numbers. The weak dictionary has a room for as long as
        # anybody works with it; `_recent` keeps it for some time more, since to ask the store takes a while.
        self._rooms: WeakValueDictionary[str, _Room] = WeakValueDictionary()
        self._recent: deque[_Room] = deque(maxlen=_RECENT)

    async def accept(self, draft: Draft) -> Message:
        """See `interfaces.Sequencer`. Raises whatever the store raises; the number is then free again."""
        room = self._room(draft.room)
        answer: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        room.queue.append(_Pending(draft, answer))
        if not room.is_served:
            room.is_served = True
            await self._begin_serving(room)
        return await answer

    async def attach(self, room_name: str, member: Member, since: int | None) -> None:
        """See `interfaces.Sequencer`."""
        room = self._room(room_name)
        if since is not None:
            # A long replay waits for its reader, and must not hold up the room. So all pages but the last are
            # sent without the room's lock ...
            while (page := await self.history(room_name, since, MAX_PAGE)).more:
                member.send(page)
                since = page.messages[-1].sequence
                del page  # it may have megabytes, and the reader may take its time
                await member.drain()
        # ... and the last is sent under it, along with the subscription. Nothing is published meanwhile, so
        # nothing is missing and nothing comes twice between the last page and the first live message.
        async with room.lock:
            if since is None:
                messages = await self._store.newest(room_name, NEWEST)
                last = messages[-1].sequence if messages else 0
                member.send(History(room_name, messages, last, more=False))
            elif room.is_covered_by(page, since):
                member.send(page)  # nothing was said meanwhile: it is what we would read again
            else:
                while (page := await self.history(room_name, since, MAX_PAGE)).messages:
                    member.send(page)
                    since = page.messages[-1].sequence
            self._pubsub.subscribe(room_name, member)

    async def history(self, room: str, since: int, limit: int) -> History:
        """See `interfaces.Sequencer`."""
        messages = await self._store.page(room, since, limit)
        last = await self._store.last(room)
        more = bool(messages) and messages[-1].sequence < last
        return History(room, messages, last, more)

    def _room(self, name: str) -> _Room:
        room = self._rooms.get(name)
        if room is None:
            room = self._rooms[name] = _Room(name)
        self._recent.append(room)
        return room

    # Who works on a queue.

    async def _begin_serving(self, room: _Room) -> None:
        """Handle the first draft if it stays the only one (the fast path); a worker task handles the rest."""
        try:
            await asyncio.sleep(0)  # drafts whose frames arrived at the same moment are queued meanwhile
            if len(room.queue) == 1 and not room.lock.locked():
                await self._handle_batch(room)
        finally:  # also if this caller was cancelled
            room.is_served = bool(room.queue)
            if room.is_served:
                room.worker = asyncio.create_task(self._serve(room))

    async def _serve(self, room: _Room) -> None:
        """The worker task: handle batches until the queue is empty. No caller's cancellation can end it."""
        try:
            while room.queue:
                await self._handle_batch(room)
        finally:
            room.is_served = False
            for answer in _unanswered(room.queue):  # some are queued only if this task was cancelled
                answer.cancel()
            room.queue = []

    # One batch.

    async def _handle_batch(self, room: _Room) -> None:
        """Accept the next drafts, and answer each: with its message, or with the exception."""
        async with room.lock:
            batch = room.next_batch()
            try:
                messages = await self._accept_all(room, [pending.draft for pending in batch])
            except Exception as error:
                for answer in _unanswered(batch):
                    answer.set_exception(error)
            except asyncio.CancelledError:  # nobody may wait for an answer that will never come
                for answer in _unanswered(batch):
                    answer.cancel()
                raise
            else:
                for pending, message in zip(batch, messages, strict=True):
                    if not pending.answer.done():  # it is, if its caller was cancelled
                        pending.answer.set_result(message)

    async def _accept_all(self, room: _Room, drafts: list[Draft]) -> list[Message]:
        """Number, save and publish; returns each draft's message. Raises whatever the store raises."""
        last = room.last if room.last is not None else await self._store.last(room.name)
        room.last = None  # until the save went well: after one that fails, the store is asked again
        known = await self._find_known(room.name, drafts)
        messages, new = self._number(drafts, known, last)
        if new:
            await self._store.save(new)
        room.last = last + len(new)
        room.published = max(room.published, room.last)
        for message in new:
            self._pubsub.publish(room.name, message)
        return messages

    async def _find_known(self, room: str, drafts: list[Draft]) -> _Known:
        """The stored messages of those drafts that are retries."""
        keys = list({(draft.user, draft.id): None for draft in drafts if draft.id})
        if len(keys) < 2:  # `gather` costs more than one question does
            stored = [await self._store.find(room, *key) for key in keys]
        else:
            stored = await asyncio.gather(*[self._store.find(room, *key) for key in keys])
        return {key: message for key, message in zip(keys, stored, strict=True) if message}

    def _number(self, drafts: list[Draft], known: _Known, last: int) -> tuple[list[Message], list[Message]]:
        """The message of each draft, and those that are new among them, numbered from `last + 1`.

        A draft that is known gets that message. Of several new ones with the same user and id, the first is
        numbered and the others get its message; to that end it is added to `known`.
        """
        messages: list[Message] = []
        new: list[Message] = []
        for draft in drafts:
            message = known.get((draft.user, draft.id)) if draft.id else None
            if message is None:
                message = Message(
                    id=draft.id or next(self._ids),
                    room=draft.room,
                    user=draft.user,
                    content=draft.content,
                    sequence=last + len(new) + 1,
                    timestamp=int(time.time() * 1000),
                )
                new.append(message)
                if draft.id:
                    known[draft.user, draft.id] = message
            messages.append(message)
        return messages, new


def _unanswered(pending: list[_Pending]) -> list[asyncio.Future[Message]]:
    """The futures that are not done. (One whose caller was cancelled is done: it is cancelled, too.)"""
    return [each.answer for each in pending if not each.answer.done()]
