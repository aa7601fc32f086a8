"""The model answer to exercise 2: one lock for each room, around number, save and publish.

Why it is correct: numbering, saving and publishing are one critical section for each room. So no number is
used twice, none is left out, and messages are published in the order of their numbers. The next number always
comes from the store, so a restart changes nothing. A message is published after `save` has returned: what a
client has received is never lost.

`attach` takes the same lock for the end of the replay and for `subscribe`: nothing can be published
between the two, so there is no gap, and nothing was published to the member before, so there are no
duplicates. A long history is sent *before* it takes the lock, because its reader may be slow.

The reference (`lab/sequencer.py`) gives the same guarantees and is faster: it saves many messages at once.
"""

import asyncio
import time
import uuid
from collections import defaultdict

from lab.interfaces import Draft, Member, MessageStore, PubSub
from lab.protocol import MAX_PAGE, NEWEST, History, Message


class Sequencer:
    """Numbers a room's messages, saves them, and publishes them in order."""

    def __init__(self, store: MessageStore, pubsub: PubSub) -> None:
        self._store = store
        self._pubsub = pubsub
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def accept(self, draft: Draft) -> Message:
        """Number, save, publish: one message at a time in each room."""
        async with self._locks[draft.room]:
            if draft.id is not None:
                stored = await self._store.find(draft.room, draft.user, draft.id)
                if stored is not None:
                    return stored
            message = Message(
                id=draft.id or uuid.uuid4().hex,
                room=draft.room,
                user=draft.user,
                content=draft.content,
                sequence=await self._store.last(draft.room) + 1,
                timestamp=int(time.time() * 1000),
            )
            await self._store.save([message])
            self._pubsub.publish(draft.room, message)
            return message

    async def attach(self, room: str, member: Member, since: int | None) -> None:
        """Replay all pages but the last without the lock, and the rest with it."""
        if since is not None:
            while (page := await self.history(room, since, MAX_PAGE)).more:
                member.send(page)
                await member.drain()
                since = page.messages[-1].sequence
        async with self._locks[room]:
            if since is None:
                newest = await self._store.newest(room, NEWEST)
                member.send(History(room, newest, await self._store.last(room), more=False))
            else:
                while (page := await self.history(room, since, MAX_PAGE)).messages:
                    member.send(page)
                    since = page.messages[-1].sequence
            self._pubsub.subscribe(room, member)

    async def history(self, room: str, since: int, limit: int) -> History:
        """One page of the stored messages of `room` after `since`."""
        messages = await self._store.page(room, since, limit)
        last = await self._store.last(room)
        more = bool(messages) and messages[-1].sequence < last
        return History(room, messages, last, more)
