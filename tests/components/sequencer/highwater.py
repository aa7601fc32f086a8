"""`attach` with a number takes no lock: it may show all that was published, and nothing beyond."""

import asyncio
import time
import uuid

from lab.protocol import History, Message


class Sequencer:
    def __init__(self, store, pubsub):
        self.store = store
        self.pubsub = pubsub
        self.locks = {}
        self.published = {}

    def lock(self, room):
        if room not in self.locks:
            self.locks[room] = asyncio.Lock()
        return self.locks[room]

    async def prepare(self, room):
        """With the lock only."""
        if room not in self.published:
            self.published[room] = await self.store.last(room)

    async def accept(self, draft):
        async with self.lock(draft.room):
            await self.prepare(draft.room)
            if draft.id is not None:
                earlier = await self.store.find(draft.room, draft.user, draft.id)
                if earlier is not None:
                    return earlier
            message = Message(
                uuid.uuid4().hex if draft.id is None else draft.id,
                draft.room,
                draft.user,
                draft.content,
                self.published[draft.room] + 1,
                round(time.time() * 1000),
            )
            await self.store.save([message])
            self.published[draft.room] += 1
            self.pubsub.publish(draft.room, message)
            return message

    async def attach(self, room, member, since):
        async with self.lock(room):
            await self.prepare(room)
            if since is None:
                some = await self.store.newest(room, 50)
                if some:
                    member.send(History(room, some, some[-1].sequence, False))
                self.pubsub.subscribe(room, member)
                return
        drained = True
        while since < self.published[room]:
            if not drained:
                await member.drain()
                drained = True
                continue
            page = await self.store.page(room, since, 100)
            top = self.published[room]
            page = [m for m in page if m.sequence <= top]
            since = page[-1].sequence
            member.send(History(room, page, top, since < top))
            drained = False
        self.pubsub.subscribe(room, member)  # no await since the last comparison

    async def history(self, room, since, limit):
        messages = await self.store.page(room, since, limit)
        last = await self.store.last(room)
        return History(room, messages, last, any(True for _ in messages) and messages[-1].sequence < last)
