"""The neighbours of a sequencer that is called directly: they are right, and as awkward as they may be.

The store answers in an order of its own and at times of its own, and refuses what it is told to refuse.
Members read when they please.
"""

from __future__ import annotations

import asyncio
from bisect import insort
from collections.abc import Callable
from errno import ENOSPC
from random import Random
from typing import Any

from harness.contracts.base import Stage
from lab.interfaces import StoreError
from lab.protocol import History, Message, ServerFrame

_SLOW = 5.0
"""Seconds that a slow save takes. Whoever gives one up after that is told nothing."""
DELAYS = (0.0, 0.0, 0.001, 0.002, 0.004, 0.008, 0.02)
"""Seconds for which a store works on something. Without any, it answers at once."""


class Store:
    """Keeps messages in memory, and tells what it is asked after a while."""

    def __init__(self, stage: Stage, rng: Random, *, is_slow: bool = True) -> None:
        self._stage = stage
        self._rng = rng
        self._delays = DELAYS if is_slow else (0.0,)
        self._rooms: dict[str, list[Message]] = {}
        self.saved: dict[tuple[str, int], Message] = {}
        """What `save` has returned for."""
        self.refusals: set[int] = set()
        """Which saves are refused: the first is number 1."""
        self.slow: set[int] = set()
        """Which saves are slow."""
        self.refused: list[tuple[float, list[Message]]] = []
        """What was refused, and when."""
        self._asked: dict[str, int] = {}
        """The highest number of each room that a save was asked to put there, whatever came of it."""
        self._saves = 0

    def put(self, message: Message) -> None:
        """Have a message be there, as from an earlier run."""
        self._keep(message)
        self.saved[message.room, message.sequence] = message

    def newest_number(self, room: str) -> int:
        """The highest number that is in a room."""
        return max((each.sequence for each in self._rooms.get(room, [])), default=0)

    def newest_asked(self, room: str) -> int:
        """The highest number that is in a room, or that a save was asked to put there."""
        return max(self.newest_number(room), self._asked.get(room, 0))

    async def _pause(self) -> None:
        seconds = self._rng.choice(self._delays)
        if seconds:
            await asyncio.sleep(seconds)

    def _keep(self, message: Message) -> None:
        insort(self._rooms.setdefault(message.room, []), message, key=lambda each: each.sequence)

    async def _call(self, what: str, args: tuple[Any, ...], do: Callable[[], Any]) -> Any:
        """Do it at some moment between the call and its return."""

        async def later(*_: Any) -> Any:
            await self._pause()
            result = do()
            await self._pause()
            return result

        return await self._stage.calls.call(f"store.{what}", later, args)

    async def save(self, messages: list[Message]) -> None:
        """See lab.interfaces. Raises for one of `refusals`, and TypeError for what is no message."""
        if not isinstance(messages, list | tuple) or not all(isinstance(each, Message) for each in messages):
            raise TypeError(
                f"`save` takes a list of messages, and was given {self._stage.calls.shown(messages)}"
            )
        self._saves += 1
        number, kept = self._saves, list(messages)
        if number in self.slow and self._stage.host is not None:
            await asyncio.sleep(_SLOW)
        for message in kept:
            if isinstance(message.sequence, int):
                self._asked[message.room] = max(message.sequence, self._asked.get(message.room, 0))

        def do() -> None:
            if number in self.refusals:
                self.refused.append((self._stage.now(), kept))
                # What a store raises is not always a StoreError.
                raise (
                    OSError(ENOSPC, "No space left on device")
                    if number % 2
                    else StoreError("the disk is full")
                )
            for message in kept:
                self._keep(message)

        await self._call("save", (kept,), do)
        self.saved.update({(each.room, each.sequence): each for each in kept})

    async def page(self, room: str, since: int, limit: int) -> list[Message]:
        """See lab.interfaces."""
        return await self._call("page", (room, since, limit), lambda: self.after(room, since)[:limit])  # type: ignore[no-any-return]

    async def newest(self, room: str, count: int) -> list[Message]:
        """See lab.interfaces."""
        return await self._call("newest", (room, count), lambda: self.after(room, -1)[-count:])  # type: ignore[no-any-return]

    async def last(self, room: str) -> int:
        """See lab.interfaces."""
        return await self._call("last", (room,), lambda: self.newest_number(room))  # type: ignore[no-any-return]

    async def find(self, room: str, user: str, id: str) -> Message | None:
        """See lab.interfaces."""

        def do() -> Message | None:
            return next((m for m in self.after(room, -1) if (m.user, m.id) == (user, id)), None)

        return await self._call("find", (room, user, id), do)  # type: ignore[no-any-return]

    def after(self, room: str, since: int) -> list[Message]:
        """The messages of a room with a sequence above `since`, at this moment."""
        return [message for message in self._rooms.get(room, []) if message.sequence > since]

    def close(self) -> None:
        """There are no files."""


class PubSub:
    """Tells the members of a room what is published, and `published` before them."""

    def __init__(self, stage: Stage, published: Callable[[str, ServerFrame], None]) -> None:
        self._stage = stage
        self._published = published
        self._rooms: dict[str, dict[Any, None]] = {}
        self.subscribed: list[tuple[str, Any]] = []

    def subscribe(self, room: str, member: Any) -> None:
        """See lab.interfaces."""
        self._stage.calls.begin(self._stage.calls.written("pubsub.subscribe", (room, member)))
        self.subscribed.append((room, member))
        self._rooms.setdefault(room, {})[member] = None

    def unsubscribe(self, room: str, member: Any) -> None:
        """See lab.interfaces."""
        self._stage.calls.begin(self._stage.calls.written("pubsub.unsubscribe", (room, member)))
        self._rooms.get(room, {}).pop(member, None)

    def publish(self, room: str, frame: ServerFrame) -> None:
        """See lab.interfaces."""
        self._stage.calls.begin(self._stage.calls.written("pubsub.publish", (room, frame)))
        self._published(room, frame)
        for member in list(self._rooms.get(room, {})):
            member.hear(frame)

    def members(self, room: str) -> list[Any]:
        """See lab.interfaces."""
        return list(self._rooms.get(room, {}))

    def rooms(self) -> list[str]:
        """See lab.interfaces."""
        return [room for room, members in self._rooms.items() if members]


class Member:
    """Somebody who joins. With `stops_at`, it reads nothing any more once it was sent so many pages."""

    def __init__(
        self, name: str, stage: Stage, rng: Random, newest: Callable[[], int], stops_at: int | None = None
    ) -> None:
        self.name = name
        self.pages: list[History] = []
        self.newest: list[int] = []
        """For each of its pages, what `newest` said of its room when the page was sent."""
        self.live: list[ServerFrame] = []
        self.order: list[ServerFrame] = []
        """All frames, in the order in which they came."""
        self.undrained = 0
        """Messages that it was sent in pages since the last `drain` that has returned."""
        self.most_undrained = 0
        self.reads = asyncio.Event()
        """Whether it reads; who waits for it waits for this."""
        self.reads.set()
        self.is_waited_for = False
        self._newest = newest
        self._stops_at = stops_at
        self._stage = stage
        self._rng = rng

    def send(self, frame: ServerFrame) -> None:
        """A frame that it is sent by itself."""
        self._stage.calls.begin(self._stage.calls.written(f"{self.name}.send", (frame,)))
        self.order.append(frame)
        if isinstance(frame, History):
            self.pages.append(frame)
            self.newest.append(self._newest())
            self.undrained += len(frame.messages)
            self.most_undrained = max(self.most_undrained, self.undrained)
            if len(self.pages) == self._stops_at:
                self.reads.clear()
        else:
            self.live.append(frame)

    def hear(self, frame: ServerFrame) -> None:
        """A frame that was published."""
        self.order.append(frame)
        self.live.append(frame)

    def read_on(self) -> None:
        """Read, and never stop again."""
        self._stops_at = None
        self.reads.set()

    async def drain(self) -> None:
        """Wait until it has read everything."""

        async def until_read() -> None:
            await asyncio.sleep(self._rng.choice((0.001, 0.005)))
            self.is_waited_for = True
            await self.reads.wait()
            self.is_waited_for = False
            self.undrained = 0

        await self._stage.calls.call(f"{self.name}.drain", until_read, ())

    def __repr__(self) -> str:
        return self.name
