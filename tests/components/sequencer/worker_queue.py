"""A worker task and a queue for each room. Everything that needs an order is a job in that queue."""

import asyncio
import time
import uuid

from lab.protocol import History, Message


class Sequencer:
    PAGE = 100
    NEW = 50

    def __init__(self, store, pubsub):
        self.store = store
        self.pubsub = pubsub
        self.queues = {}
        self.workers = []

    def _queue(self, room):
        if room not in self.queues:
            self.queues[room] = asyncio.Queue()
            self.workers.append(asyncio.create_task(self._work(self.queues[room])))
        return self.queues[room]

    async def _work(self, queue):
        while True:
            job, future = await queue.get()
            try:
                result = await job()
            except Exception as problem:
                if not future.done():
                    future.set_exception(problem)
            else:
                if not future.done():
                    future.set_result(result)

    async def _do(self, room, job):
        future = asyncio.get_running_loop().create_future()
        self._queue(room).put_nowait((job, future))
        return await future

    async def accept(self, draft):
        async def job():
            if draft.id is not None:
                old = await self.store.find(draft.room, draft.user, draft.id)
                if old is not None:
                    return old
            number = 1 + await self.store.last(draft.room)
            name = uuid.uuid4().hex if draft.id is None else draft.id
            message = Message(
                name, draft.room, draft.user, draft.content, number, time.time_ns() // 1_000_000
            )
            await self.store.save([message])
            self.pubsub.publish(draft.room, message)
            return message

        return await self._do(draft.room, job)

    async def attach(self, room, member, since):
        if since is not None:
            while True:  # drains after every page, the last one too, before it asks for its turn
                page = await self.history(room, since, self.PAGE)
                if page.messages:
                    member.send(page)
                    since = page.messages[-1].sequence
                    await member.drain()
                if not page.more:
                    break

        async def job():
            if since is None:
                page = await self.store.newest(room, self.NEW)
                if page:
                    member.send(History(room, page, page[-1].sequence, False))
            else:
                here = since
                while rest := await self.store.page(room, here, self.PAGE):
                    here = rest[-1].sequence
                    last = await self.store.last(room)
                    member.send(History(room, rest, last, here < last))
            self.pubsub.subscribe(room, member)

        await self._do(room, job)

    async def history(self, room, since, limit):
        last = await self.store.last(room)
        page = await self.store.page(room, since, limit)
        last = max([last, *(m.sequence for m in page)])
        return History(room=room, messages=page, last=last, more=bool(page) and page[-1].sequence < last)
