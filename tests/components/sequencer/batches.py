"""Group commit: while one batch is being saved, the next one gathers."""

import asyncio
import time
import uuid
from collections import defaultdict

from lab.protocol import History, Message


class Sequencer:
    def __init__(self, store, pubsub):
        self.store = store
        self.pubsub = pubsub
        self.waiting = defaultdict(list)  # room -> [(draft, future)]
        self.locks = defaultdict(asyncio.Lock)
        self.flushers = {}

    async def accept(self, draft):
        future = asyncio.get_running_loop().create_future()
        self.waiting[draft.room].append((draft, future))
        if draft.room not in self.flushers:
            self.flushers[draft.room] = asyncio.ensure_future(self._flush(draft.room))
        return await future

    async def _flush(self, room):
        try:
            while self.waiting[room]:
                async with self.locks[room]:
                    todo, self.waiting[room] = self.waiting[room], []
                    try:
                        await self._batch(room, todo)
                    except Exception as e:
                        for _, future in todo:
                            if not future.done():
                                future.set_exception(e)
        finally:
            del self.flushers[room]

    async def _batch(self, room, todo):
        number = await self.store.last(room)
        new, answers, same = [], [], {}
        for draft, future in todo:
            message = None
            if draft.id is not None:
                stored = await self.store.find(room, draft.user, draft.id)
                if stored is not None:
                    future.set_result(stored)
                    continue
                message = same.get((draft.user, draft.id))
            if message is None:
                number += 1
                message = Message(
                    draft.id if draft.id is not None else uuid.uuid4().hex,
                    room,
                    draft.user,
                    draft.content,
                    number,
                    int(time.time() * 1000),
                )
                new.append(message)
                if draft.id is not None:
                    same[draft.user, draft.id] = message
            answers.append((future, message))
        if new:
            await self.store.save(new)
        for message in new:
            self.pubsub.publish(room, message)
        for future, message in answers:
            future.set_result(message)

    async def attach(self, room, member, since):
        while since is not None:
            page = await self.history(room, since, 100)
            if not page.more:
                break
            member.send(page)
            since = page.messages[-1].sequence
            await member.drain()
        async with self.locks[room]:
            if since is None:
                messages = await self.store.newest(room, 50)
                last = await self.store.last(room)
                if messages:
                    member.send(History(room, messages, last, False))
            else:
                page = await self.history(room, since, 100)
                while page.messages:
                    member.send(page)
                    page = await self.history(room, page.messages[-1].sequence, 100)
            self.pubsub.subscribe(room, member)

    async def history(self, room, since, limit):
        messages, last = await asyncio.gather(self.store.page(room, since, limit), self.store.last(room))
        if messages:
            last = max(last, messages[-1].sequence)
        return History(room, messages, last, bool(messages) and messages[-1].sequence < last)
