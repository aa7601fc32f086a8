"""One lock for the whole server; slow, but right. Reads `last` only once per message."""

import asyncio
import secrets
from datetime import UTC, datetime

from lab.protocol import History, Message


def now_ms():
    return int(datetime.now(UTC).timestamp() * 1000)


class Sequencer:
    def __init__(self, store, pubsub):
        self.store, self.pubsub = store, pubsub
        self.lock = asyncio.Lock()

    async def accept(self, draft):
        await self.lock.acquire()
        try:
            if draft.id is not None and (known := await self.store.find(draft.room, draft.user, draft.id)):
                return known
            seq = await self.store.last(draft.room)
            msg = Message(
                id=draft.id if draft.id is not None else "srv-" + secrets.token_hex(16),
                room=draft.room,
                user=draft.user,
                content=draft.content,
                sequence=seq + 1,
                timestamp=now_ms(),
            )
            await self.store.save([msg])
            self.pubsub.publish(msg.room, msg)
        finally:
            self.lock.release()
        return msg

    async def attach(self, room, member, since):
        if since is None:
            async with self.lock:
                member.send(
                    History(room, await self.store.newest(room, 50), await self.store.last(room), False)
                )
                self.pubsub.subscribe(room, member)
            return
        cursor = since
        while True:
            async with self.lock:
                page = await self.history(room, cursor, 100)
                member.send(page)
                if not page.more:
                    self.pubsub.subscribe(room, member)
                    return
            cursor = page.messages[-1].sequence
            await member.drain()

    async def history(self, room, since, limit):
        found = await self.store.page(room, since, limit)
        newest = await self.store.last(room)
        return History(room, found, newest, len(found) > 0 and found[-1].sequence != newest)
