"""No lock: each call waits for the future of the call before it. Logs a lot."""

import asyncio
import contextlib
import logging
import time
import uuid

from lab.interfaces import Draft, Member
from lab.protocol import History, Message

log = logging.getLogger(__name__)


class Sequencer:
    def __init__(self, store, pubsub):
        self._store = store
        self._pubsub = pubsub
        self._tail: dict[str, asyncio.Future[None]] = {}

    @contextlib.asynccontextmanager
    async def _turn(self, room):
        mine = asyncio.get_running_loop().create_future()
        before = self._tail.get(room)
        self._tail[room] = mine
        if before is not None:
            await before
        try:
            yield
        finally:
            mine.set_result(None)
            if self._tail[room] is mine:
                del self._tail[room]

    async def accept(self, draft: Draft) -> Message:
        async with self._turn(draft.room):
            if draft.id is not None:
                twin = await self._store.find(draft.room, draft.user, draft.id)
                if twin is not None:
                    log.info("again: %s", twin.id)
                    return twin
            sequence = await self._store.last(draft.room) + 1
            stamp = int(time.time() * 1000)
            ident = draft.id or uuid.uuid1().hex
            message = Message(ident, draft.room, draft.user, draft.content, sequence, stamp)
            await self._store.save([message])
            print("saved", sequence)
            self._pubsub.publish(draft.room, message)
            return message

    async def attach(self, room: str, member: Member, since: int | None) -> None:
        if since is not None:
            while (last := await self._store.last(room)) - since > 20:
                page = await self._store.page(room, since, 20)  # short pages
                since = page[-1].sequence
                member.send(History(room, page, last, True))
                await member.drain()
        async with self._turn(room):
            last = await self._store.last(room)
            if since is None:
                member.send(History(room, await self._store.newest(room, 50), last, False))
            else:
                while rest := await self._store.page(room, since, 100):
                    since = rest[-1].sequence
                    member.send(History(room, rest, last, since < last))
            self._pubsub.subscribe(room, member)

    async def history(self, room: str, since: int, limit: int) -> History:
        messages = await self._store.page(room, since, limit)
        last = await self._store.last(room)
        more = bool(messages) and messages[-1].sequence < last
        return History(room, messages, last, more)
