"""Counts in memory, and knows all ids in memory; both are read from the store at a room's first use."""

import asyncio
import time
import uuid

from lab.protocol import MAX_PAGE, NEWEST, History, Message


class Room:
    def __init__(self, name):
        self.name = name
        self.lock = asyncio.Lock()
        self.next = None
        self.ids = {}


class Sequencer:
    def __init__(self, store, pubsub):
        self._store = store
        self._pubsub = pubsub
        self._rooms = {}

    def _room(self, name):
        return self._rooms.setdefault(name, Room(name))

    async def _load(self, room):
        if room.next is None:
            at = 0
            ids = {}
            while page := await self._store.page(room.name, at, 1000):
                for m in page:
                    ids[m.user, m.id] = m
                at = page[-1].sequence
            room.ids, room.next = ids, at + 1

    async def accept(self, draft):
        room = self._room(draft.room)
        async with room.lock:
            await self._load(room)
            if draft.id is not None and (draft.user, draft.id) in room.ids:
                return room.ids[draft.user, draft.id]
            m = Message(
                draft.id if draft.id is not None else str(uuid.uuid4()),
                draft.room,
                draft.user,
                draft.content,
                room.next,
                int(time.time() * 1000),
            )
            await self._store.save([m])
            room.next += 1
            room.ids[m.user, m.id] = m
            self._pubsub.publish(room.name, m)
            return m

    async def attach(self, name, member, since):
        room = self._room(name)
        if since is not None:
            page = await self.history(name, since, MAX_PAGE)
            while page.more:
                member.send(page)
                await member.drain()
                since = page.messages[-1].sequence
                page = await self.history(name, since, MAX_PAGE)
        async with room.lock:
            if since is None:
                frames = [
                    History(name, await self._store.newest(name, NEWEST), await self._store.last(name), False)
                ]
            else:
                frames = []
                while True:
                    page = await self.history(name, since, MAX_PAGE)
                    if not page.messages:
                        break
                    frames.append(page)
                    since = page.messages[-1].sequence
            for frame in frames:
                member.send(frame)
            self._pubsub.subscribe(name, member)

    async def history(self, name, since, limit):
        messages = await self._store.page(name, since, limit + 1)
        last = await self._store.last(name)
        more = len(messages) > limit or (bool(messages) and messages[-1].sequence < last)
        return History(name, messages[:limit], last, more)
