"""What looks like a component in Python to its contract, and is one in Node.

`CLASSES` has a class for each; `module` is the number of the loaded module. What a method returns is made one
of the course's values by the method's own decoder.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from harness.contracts.node.channel import Answer, Channel
from harness.contracts.node.values import encoded, encoded_frame
from lab.interfaces import Draft, Member, MessageStore, PubSub
from lab.protocol import Message, ServerFrame


class Array(list[Any]):
    """An array that the component has returned. It may be its own, so looking at it again asks again."""

    def __init__(self, channel: Channel, number: int, items: list[Any], decode: Any) -> None:
        super().__init__(items)
        self._channel, self._number, self._decode = channel, number, decode

    def __iter__(self) -> Iterator[Any]:
        return iter(self._decode(self._channel.array(self._number)))

    def clear(self) -> None:
        """Make the component's array empty."""
        super().clear()
        self._channel.array(self._number, is_cleared=True)


class _Component:
    """An instance in Node."""

    channel: ClassVar[Channel]
    module: ClassVar[int]
    __slots__ = ("_number",)

    def _make(self, *args: Any) -> None:
        self._number = self.channel.make(self.module, list(args))

    def _now(self, method: str, args: list[Any], decode: str = "value") -> Any:
        return self._decoded(self.channel.call(self._number, method, args), decode)

    async def _later(self, method: str, args: list[Any], decode: str = "value") -> Any:
        return self._decoded(await self.channel.call_later(self._number, method, args), decode)

    def _decoded(self, answer: Answer, decode: str) -> Any:
        return getattr(self.channel.decode, decode)(answer.value)


class NodePubSub(_Component):
    """See `lab.interfaces.PubSub`."""

    __slots__ = ()

    def __init__(self) -> None:
        self._make()

    def subscribe(self, room: str, member: Member) -> None:
        """See `lab.interfaces`."""
        self._now("subscribe", [room, self._member(member)])

    def unsubscribe(self, room: str, member: Member) -> None:
        """See `lab.interfaces`."""
        self._now("unsubscribe", [room, self._member(member)])

    def publish(self, room: str, frame: ServerFrame) -> None:
        """See `lab.interfaces`."""
        self.channel.decode.keep(frame)
        self._now("publish", [room, encoded_frame(frame)])

    def members(self, room: str) -> Any:
        """See `lab.interfaces`."""
        return self._array("members", [room])

    def rooms(self) -> Any:
        """See `lab.interfaces`."""
        return self._array("rooms", [])

    def _member(self, member: Member) -> Any:
        return self.channel.stand_in("member", member)

    def _array(self, method: str, args: list[Any]) -> Any:
        answer = self.channel.call(self._number, method, args)
        value = self.channel.decode.value(answer.value)
        if answer.array is None:
            return value
        return Array(self.channel, answer.array, value, self.channel.decode.value)


class NodeSequencer(_Component):
    """See `lab.interfaces.Sequencer`."""

    __slots__ = ()

    def __init__(self, store: MessageStore, pubsub: PubSub) -> None:
        self._make(self.channel.stand_in("store", store), self.channel.stand_in("pubsub", pubsub))

    async def accept(self, draft: Draft) -> Any:
        """See `lab.interfaces`."""
        return await self._later("accept", [encoded(draft)], "message")

    async def attach(self, room: str, member: Member, since: int | None) -> Any:
        """See `lab.interfaces`."""
        args = [room, self.channel.stand_in("member", member), encoded(since)]
        return await self._later("attach", args)

    async def history(self, room: str, since: int, limit: int) -> Any:
        """See `lab.interfaces`."""
        return await self._later("history", [room, since, limit], "history")


class NodePresenceManager(_Component):
    """See `lab.interfaces.PresenceManager`; in Node, times are milliseconds."""

    __slots__ = ()

    def __init__(self, heartbeat_interval: float, offline_timeout: float) -> None:
        self._make(_milliseconds(heartbeat_interval), _milliseconds(offline_timeout))

    def connected(self, connection: str, user: str, now: float) -> Any:
        """See `lab.interfaces`."""
        return self._changes("connected", connection, user, now=now)

    def seen(self, connection: str, now: float) -> Any:
        """See `lab.interfaces`."""
        return self._changes("seen", connection, now=now)

    def joined(self, connection: str, room: str, now: float) -> Any:
        """See `lab.interfaces`."""
        return self._changes("joined", connection, room, now=now)

    def left(self, connection: str, room: str, now: float) -> Any:
        """See `lab.interfaces`."""
        return self._changes("left", connection, room, now=now)

    def lost(self, connection: str, now: float) -> Any:
        """See `lab.interfaces`."""
        return self._changes("lost", connection, now=now)

    def sweep(self, now: float) -> Any:
        """See `lab.interfaces`."""
        return self._changes("sweep", now=now)

    def in_room(self, room: str, now: float) -> Any:
        """See `lab.interfaces`."""
        return self._now("inRoom", [room, _milliseconds(now)], "presences")

    def is_connected(self, connection: str) -> Any:
        """See `lab.interfaces`."""
        return self._now("isConnected", [connection])

    def _changes(self, method: str, *names: str, now: float) -> Any:
        return self._now(method, [*names, _milliseconds(now)], "changes")


class NodeMessageStore(_Component):
    """See `lab.interfaces.MessageStore`."""

    __slots__ = ()

    def __init__(self, data_dir: Path) -> None:
        self._make(str(data_dir))

    async def save(self, messages: list[Message]) -> Any:
        """See `lab.interfaces`."""
        return await self._later("save", [self.channel.encode(messages)])

    async def page(self, room: str, since: int, limit: int) -> Any:
        """See `lab.interfaces`."""
        return await self._later("page", [room, since, limit], "messages")

    async def newest(self, room: str, count: int) -> Any:
        """See `lab.interfaces`."""
        return await self._later("newest", [room, count], "messages")

    async def last(self, room: str) -> Any:
        """See `lab.interfaces`."""
        return await self._later("last", [room])

    async def find(self, room: str, user: str, id: str) -> Any:
        """See `lab.interfaces`."""
        return await self._later("find", [room, user, id], "message")

    async def close(self) -> None:
        """See `lab.interfaces`; in Node it may return a promise."""
        await self._later("close", [])


CLASSES: dict[str, type[_Component]] = {
    "pubsub": NodePubSub,
    "sequencer": NodeSequencer,
    "presence": NodePresenceManager,
    "store": NodeMessageStore,
}


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)
