"""A sequencer with one defect: it awaits the save between giving a number and publishing.

While one message is being saved, the next one is numbered, saved and published.
"""

import asyncio
import time
import uuid
from collections import defaultdict

from lab.interfaces import Draft, Member, MessageStore, PubSub
from lab.protocol import NEWEST, History, Message


class Sequencer:
    """Gives each number once, and publishes when it happens to be done."""

    def __init__(self, store: MessageStore, pubsub: PubSub) -> None:
        self._store = store
        self._pubsub = pubsub
        self._last: dict[str, int] = {}
        self._asking: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def accept(self, draft: Draft) -> Message:
        """The defect: others come in between at the second `await`."""
        stored = draft.id and await self._store.find(draft.room, draft.user, draft.id)
        if stored:
            return stored
        message = Message(
            id=draft.id or uuid.uuid4().hex,
            room=draft.room,
            user=draft.user,
            content=draft.content,
            sequence=await self._next(draft.room),
            timestamp=int(time.time() * 1000),
        )
        await self._store.save([message])
        self._pubsub.publish(draft.room, message)
        return message

    async def _next(self, room: str) -> int:
        async with self._asking[room]:
            if room not in self._last:
                self._last[room] = await self._store.last(room)
            self._last[room] += 1
            return self._last[room]

    async def attach(self, room: str, member: Member, since: int | None) -> None:
        """Replay what was missed, then subscribe."""
        if since is None:
            newest = await self._store.newest(room, NEWEST)
            member.send(History(room, newest, await self._store.last(room), more=False))
        else:
            while (page := await self.history(room, since, 100)).messages:
                member.send(page)
                await member.drain()
                since = page.messages[-1].sequence
        self._pubsub.subscribe(room, member)

    async def history(self, room: str, since: int, limit: int) -> History:
        """One page of what is stored."""
        messages = await self._store.page(room, since, limit)
        last = await self._store.last(room)
        return History(room, messages, last, more=bool(messages) and messages[-1].sequence < last)
