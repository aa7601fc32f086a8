"""One order for all: a room's messages are numbered, saved, and only then published (exercise 2).

Every room has one line in which drafts wait. Who comes while nobody serves the line does so: it takes *all*
drafts that wait, numbers them, saves them in one go, and publishes them in the order of their numbers.
While it saves, the next drafts gather in the line. Two rules of the protocol then hold by construction,
without a lock around each message:

- **order**: only one task at a time numbers and publishes in a room;
- **durability**: `publish` stands behind `await save`.

And it is fast for the reason that a ferry is: a hundred that cross together cost hardly more than one. Who
is alone crosses at once, in its own boat; where more wait, a task of the room's own ferries them all.
"""

from __future__ import annotations

import asyncio
import itertools
import time
import uuid
from collections import deque
from typing import Any
from weakref import WeakValueDictionary

from lab.interfaces import Draft, Member, MessageStore, PubSub
from lab.protocol import MAX_PAGE, NEWEST, History, Message

_MAX_BATCH = 1000
"""Messages saved at once: enough to share the cost of a sync, few enough not to keep anyone waiting."""
_MAX_BATCH_SIZE = 4 * 1024 * 1024
"""Characters saved at once; a message is never too long to go alone."""
_RECENT = 10_000
"""Uses of a room after which an idle one is forgotten; its last number is then the store's to say."""


class _Room:
    """A room's line: the drafts that wait, each with the future of its `accept`."""

    def __init__(self) -> None:
        self.last: int | None = None  # the newest number; None where the store is to be asked
        self.line: list[tuple[Draft, asyncio.Future[Message]]] = []
        self.turn = asyncio.Lock()  # held while numbers are given and frames published
        self.server: asyncio.Task[Any] | None = None  # who serves the line at this moment


class Sequencer:
    """Numbers each room's messages, and joins newcomers without a hole or an overlap."""

    def __init__(self, store: MessageStore, pubsub: PubSub) -> None:
        self._store = store
        self._pubsub = pubsub
        # For messages without an id: no other start has this beginning, and to count costs next to nothing.
        beginning = uuid.uuid4().hex[:16]
        self._ids = (f"{beginning}-{number}" for number in itertools.count(1))
        # A room lives while somebody works with it, or did lately; there is never a second of its name.
        self._rooms: WeakValueDictionary[str, _Room] = WeakValueDictionary()
        self._recent: deque[_Room] = deque(maxlen=_RECENT)

    async def accept(self, draft: Draft) -> Message:
        """See `interfaces.Sequencer`. Raises whatever the store raises; the number is then free again."""
        room = self._room(draft.room)
        accepted: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        room.line.append((draft, accepted))
        if room.server is None:
            room.server = asyncio.current_task()
            await self._begin(room)
        return await accepted

    async def attach(self, room_name: str, member: Member, since: int | None) -> None:
        """See `interfaces.Sequencer`."""
        room = self._room(room_name)
        if since is not None:
            # A long replay waits for its reader, so it must not hold up the room ...
            while (page := await self.history(room_name, since, MAX_PAGE)).more:
                member.send(page)
                await member.drain()
                since = page.messages[-1].sequence
        # ... but between its last page and the first live message nothing may slip through. So we
        # take the room's turn: nothing is published while we hold it.
        async with room.turn:
            if since is None:
                messages = await self._store.newest(room_name, NEWEST)
                last = messages[-1].sequence if messages else 0
                member.send(History(room_name, messages, last, more=False))
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
            room = self._rooms[name] = _Room()
        self._recent.append(room)
        return room

    async def _begin(self, room: _Room) -> None:
        """Serve the first in line, if it is alone there. If it is not, or not any more, a task goes on."""
        try:
            await asyncio.sleep(0)  # those whose frames came at the same moment shall be in the line too
            if len(room.line) == 1 and not room.turn.locked():
                await self._serve_batch(room)
        finally:
            room.server = asyncio.create_task(self._serve(room)) if room.line else None

    async def _serve(self, room: _Room) -> None:
        """Serve the line until it is empty. In a task of its own: nobody's connection can end that."""
        try:
            while room.line:
                await self._serve_batch(room)
        finally:
            room.server = None
            for _, accepted in room.line:
                accepted.cancel()  # this task was cancelled: nobody shall wait for it for ever
            room.line = []

    async def _serve_batch(self, room: _Room) -> None:
        async with room.turn:
            size = _batch_size(room.line)
            batch, room.line = room.line[:size], room.line[size:]
            try:
                await self._number_save_publish(room, batch)
            except Exception as error:
                for _, accepted in batch:
                    if not accepted.done():
                        accepted.set_exception(error)
            finally:
                for _, accepted in batch:
                    accepted.cancel()  # who has no answer yet: this task was cancelled

    async def _number_save_publish(
        self, room: _Room, batch: list[tuple[Draft, asyncio.Future[Message]]]
    ) -> None:
        name = batch[0][0].room
        last = room.last if room.last is not None else await self._store.last(name)
        room.last = None  # until all went well: how much a save that fails has saved is the store's to say
        known = await self._known(name, batch)
        fresh: list[Message] = []
        answers: list[Message] = []
        for draft, _ in batch:
            message = known.get((draft.user, draft.id)) if draft.id else None
            if message is None:
                last += 1
                message = Message(
                    id=draft.id or next(self._ids),
                    room=name,
                    user=draft.user,
                    content=draft.content,
                    sequence=last,
                    timestamp=int(time.time() * 1000),
                )
                fresh.append(message)
                if draft.id:
                    known[draft.user, draft.id] = message
            answers.append(message)
        if fresh:
            await self._store.save(fresh)
        room.last = last
        for message in fresh:
            self._pubsub.publish(name, message)
        for (_, accepted), message in zip(batch, answers, strict=True):
            if not accepted.done():
                accepted.set_result(message)

    async def _known(
        self, name: str, batch: list[tuple[Draft, asyncio.Future[Message]]]
    ) -> dict[tuple[str, str], Message]:
        """Those of the drafts that were stored before, by user and id."""
        keys = list({(draft.user, draft.id): None for draft, _ in batch if draft.id})
        if len(keys) < 2:  # to gather costs more than to ask
            stored = [await self._store.find(name, *key) for key in keys]
        else:
            stored = await asyncio.gather(*[self._store.find(name, *key) for key in keys])
        return {key: message for key, message in zip(keys, stored, strict=True) if message}


def _batch_size(line: list[tuple[Draft, asyncio.Future[Message]]]) -> int:
    """How many of the drafts that wait are saved at once."""
    size = 0
    for count, (draft, _) in enumerate(line[:_MAX_BATCH]):
        size += len(draft.content)
        if count and size > _MAX_BATCH_SIZE:
            return count
    return min(len(line), _MAX_BATCH)
