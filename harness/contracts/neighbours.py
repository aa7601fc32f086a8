"""Test doubles for the neighbours of a sequencer: they keep their contracts, and are as awkward as allowed.

The store answers after random delays, in any order, and fails the saves that the plan has chosen. Members
may stop reading.
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
"""Seconds that a slow save takes. A sequencer that gives up on a save only later than that is not found."""
DELAYS = (0.0, 0.0, 0.001, 0.002, 0.004, 0.008, 0.02)
"""Seconds that a store takes before and after its work; with 0.0, it does not wait at all."""


class Store:
    """A MessageStore that keeps messages in memory, and answers after a while."""

    def __init__(self, stage: Stage, rng: Random, *, is_slow: bool = True) -> None:
        self._stage = stage
        self._rng = rng
        self._delays = DELAYS if is_slow else (0.0,)
        self._rooms: dict[str, list[Message]] = {}
        self.replaced: list[Message] = []
        """Messages that were saved, and then another one under the same number."""
        self.saved: dict[tuple[str, int], Message] = {}
        """Messages for which `save` has returned."""
        self.refusals: set[int] = set()
        """Which saves fail: the first is number 1."""
        self.slow: set[int] = set()
        """Which saves are slow."""
        self.refused: list[tuple[float, list[Message]]] = []
        """The failed saves: when, and their messages."""
        self.looked_up: dict[tuple[str, str, str], list[bool]] = {}
        """For each room, user and id that `find` was asked for: whether it was there, each time."""
        self.unsaved: dict[tuple[str, int], str] = {}
        """What became of the last `save` of a number, unless it was saved: `saving` so far, or `refused`."""
        self.overlapping: set[tuple[str, int]] = set()
        """Numbers whose `save` was under way when that of another number of the room was, too."""
        self._asked: dict[str, int] = {}
        """The highest number passed to `save` for each room, whether it succeeded or not."""
        self._saves = 0

    def put(self, message: Message) -> None:
        """Store a message at once, as if an earlier run had saved it."""
        self._keep(message)
        self.saved[message.room, message.sequence] = message

    @property
    def is_saving(self) -> bool:
        """Whether a `save` is under way: then nobody knows what a page will hold."""
        return "saving" in self.unsaved.values()

    def newest_number(self, room: str) -> int:
        """The highest sequence number stored for a room."""
        return max((each.sequence for each in self._rooms.get(room, [])), default=0)

    def newest_asked(self, room: str) -> int:
        """The highest sequence number that is stored for a room, or was passed to `save`."""
        return max(self.newest_number(room), self._asked.get(room, 0))

    async def _pause(self) -> None:
        seconds = self._rng.choice(self._delays)
        if seconds:
            await asyncio.sleep(seconds)

    def _keep(self, message: Message) -> None:
        insort(self._rooms.setdefault(message.room, []), message, key=lambda each: each.sequence)

    async def _call(self, what: str, args: tuple[Any, ...], do: Callable[[], Any]) -> Any:
        """Run `do` at some moment between the call and its return."""

        async def later(*_: Any) -> Any:
            await self._pause()
            result = do()
            await self._pause()
            return result

        return await self._stage.calls.call(f"store.{what}", later, args)

    async def save(self, messages: list[Message]) -> None:
        """See lab.interfaces. Raises an error for each of `refusals`, and TypeError if given no messages."""
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
                self.unsaved[message.room, message.sequence] = "saving"
        numbers = {(each.room, each.sequence) for each in kept}
        saving = {number for number, state in self.unsaved.items() if state == "saving"}
        for room in {room for room, _ in saving - numbers} & {room for room, _ in numbers}:
            self.overlapping |= {number for number in saving if number[0] == room}

        def do() -> None:
            if number in self.refusals:
                self.refused.append((self._stage.now(), kept))
                self.unsaved.update({(each.room, each.sequence): "refused" for each in kept})
                # A store does not always raise a StoreError.
                raise (
                    OSError(ENOSPC, "No space left on device")
                    if number % 2
                    else StoreError("the disk is full")
                )
            for message in kept:
                self._keep(message)

        await self._call("save", (kept,), do)
        for each in kept:
            before = self.saved.get((each.room, each.sequence))
            self.replaced += [before] if before is not None and before != each else []
            self.saved[each.room, each.sequence] = each
            self.unsaved.pop((each.room, each.sequence), None)

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
            found = next((m for m in self.after(room, -1) if (m.user, m.id) == (user, id)), None)
            self.looked_up.setdefault((room, user, id), []).append(found is not None)
            return found

        return await self._call("find", (room, user, id), do)  # type: ignore[no-any-return]

    def after(self, room: str, since: int) -> list[Message]:
        """The messages of a room with a sequence above `since`, at this moment."""
        return [message for message in self._rooms.get(room, []) if message.sequence > since]

    def close(self) -> None:
        """Nothing to close: there are no files."""


class PubSub:
    """A PubSub that delivers a frame to the members of its room, after calling `published` with it."""

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
    """A member that joins. With `stops_at`, it stops reading once it was sent so many pages."""

    def __init__(
        self, name: str, stage: Stage, rng: Random, newest: Callable[[], int], stops_at: int | None = None
    ) -> None:
        self.name = name
        self.pages: list[History] = []
        self.newest: list[int] = []
        """For each of its pages, what `newest()` returned when the page was sent."""
        self.live: list[ServerFrame] = []
        self.order: list[ServerFrame] = []
        """All frames, in order of arrival."""
        self.undrained = 0
        """Messages that it was sent in pages since a `drain` returned."""
        self.most_undrained = 0
        self.reads = asyncio.Event()
        """Set while it reads; `drain` waits for it."""
        self.reads.set()
        self.is_waited_for = False
        self._newest = newest
        self._stops_at = stops_at
        self._stage = stage
        self._rng = rng

    def send(self, frame: ServerFrame) -> None:
        """Receive a frame that is sent to this member only."""
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
        """Receive a frame that was published."""
        self.order.append(frame)
        self.live.append(frame)

    def read_on(self) -> None:
        """Start reading again, and never stop."""
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
