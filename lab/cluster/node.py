"""A node of a cluster: the sequencer and the presence manager that `lab.hub` has instead of its own."""

from __future__ import annotations

import asyncio
import logging
import uuid
from functools import partial
from pathlib import Path

import msgspec
from nats.aio.msg import Msg

from lab.cluster.feed import Feed
from lab.cluster.link import SHARDS, Link, link
from lab.cluster.log import Entry, Read
from lab.cluster.names import place_of
from lab.cluster.outbox import Outbox
from lab.cluster.presence import FORGET_SECONDS, Lease, Move, PresenceManager, Told
from lab.cluster.room import Follower
from lab.cluster.sequencer import Sequencer
from lab.cluster.wire import Wire, end, quietly
from lab.hub import Backplane, Components, Hub
from lab.interfaces import MessageStore
from lab.protocol import Status

log = logging.getLogger("lab.cluster")

ALIVE = "chat.alive"
"""Where nodes say that they live; core NATS, not kept."""
TELL = "chat.tell"
"""Where a node asks the others to say so now."""
HEAR_SECONDS = 0.3
"""How long a node that starts waits to hear who else is there."""
FAREWELL_SECONDS = 0.7
"""How long a node that stops goes on saying that its users left."""

_decode_told = msgspec.json.Decoder(Told).decode
_decode_lease = msgspec.json.Decoder(Lease).decode


class Node(Backplane):
    """Shares rooms with the other nodes at the same NATS servers."""

    def __init__(self, servers: list[str], shards: int) -> None:
        self.id = uuid.uuid4().hex[:16]
        self._servers, self._shards = servers, shards
        self._wire = Wire(self._on_change)
        self._link: Link
        self._hub: Hub
        self._followers: dict[int, asyncio.Task[Follower]] = {}
        self._outboxes: dict[int, Outbox] = {}  # by shard
        self._leases: asyncio.Task[None] | None = None
        self._asking: asyncio.Task[None] | None = None

    def components(self) -> Components:
        """What a hub is made of that has this backplane."""
        return Components(
            sequencer=self._make_sequencer,
            presence=self._make_presence,
            store=_Elsewhere,  # type: ignore[arg-type]  # nobody asks it for anything but to close
            backplane=self,
        )

    def _make_sequencer(self, store: MessageStore, pubsub: object) -> Sequencer:
        self._sequencer = Sequencer(pubsub, self._follow)  # type: ignore[arg-type]
        return self._sequencer

    def _make_presence(self, heartbeat_interval: float, offline_timeout: float) -> PresenceManager:
        self._presence = PresenceManager(heartbeat_interval, offline_timeout, self.id, self._say)
        return self._presence

    # See `hub.Backplane`.

    async def start(self, hub: Hub) -> None:
        """Connect, and hear who else is there. Raises StoreError."""
        self._hub = hub
        self._link = await link(self._wire, self._servers, self._shards)
        client = self._wire.client
        await client.subscribe(ALIVE, cb=self._on_lease)
        await client.subscribe(TELL, cb=self._on_question)
        await self._ask_who_lives()
        await client.flush()
        self._leases = asyncio.create_task(self._tell_leases())
        await asyncio.sleep(HEAR_SECONDS)

    async def synced(self, room: str) -> None:
        """Wait until the others can know what we said, and we know what they have. Raises Unavailable."""
        if outbox := self._outboxes.get(self._link.shard_of(room)):
            await outbox.said(room)
        await (await self._follow(room)).feed.catch_up()

    def is_elsewhere(self, room: str, user: str) -> bool:
        """Whether the user is in the room at another node."""
        return self._presence.is_elsewhere(room, user)

    async def close(self) -> None:
        """Say what is left to say, and go."""
        if self._leases:
            self._leases.cancel()
        await asyncio.gather(*[outbox.close(FAREWELL_SECONDS) for outbox in self._outboxes.values()])
        await self._sequencer.close()
        await end(self._followers.values())
        followers = await asyncio.gather(*self._followers.values(), return_exceptions=True)
        feeds = [follower.feed for follower in followers if isinstance(follower, Follower)]
        await asyncio.gather(*[feed.close() for feed in feeds])
        await self._wire.close()

    # Following.

    async def _follow(self, room: str) -> Follower:
        """The log that a room is in, followed from now on. Raises Unavailable."""
        number = self._link.shard_of(room)
        task = self._followers.get(number)
        if task is None or (task.done() and not task.cancelled() and task.exception()):
            task = self._followers[number] = asyncio.create_task(self._begin_to_follow(room))
        return await asyncio.shield(task)

    async def _begin_to_follow(self, room: str) -> Follower:
        source = self._link.log_of(room)
        feed = Feed(source, self._hear, partial(self._restore, source.shard.number))
        await self._ask_who_lives()  # of whom we have not heard what stands there says nothing
        await feed.start()
        return Follower(source, feed)

    def _hear(self, read: Read) -> None:
        kind, room, user, node = place_of(read.subject)
        if kind == "room":
            self._sequencer.hear(room, read)
        elif kind == "here":
            self._publish(self._presence.hear(room, user, node, _decode_told(read.body)))

    def _restore(self, shard: int, standing: list[Read]) -> None:
        entries = {place_of(read.subject)[1:]: _decode_told(read.body) for read in standing}
        self._publish(self._presence.restore(entries, lambda room: self._link.shard_of(room) == shard))

    def _publish(self, moves: list[Move]) -> None:
        """Tell our members what changed at other nodes, and who came and went there."""
        self._hub.publish_presence([move.change for move in moves])
        for move in moves:
            if move.is_crossing:
                is_gone = move.change.presence.status is Status.OFFLINE
                user = move.change.presence.user
                self._hub.announcer.announce(move.change.room, user, "left" if is_gone else "joined")

    # Saying.

    def _say(self, room: str, user: str, told: Told) -> None:
        source = self._link.log_of(room)
        subject = source.shard.here(room, user, self.id)
        entry = Entry(subject, msgspec.json.encode(told), seconds=FORGET_SECONDS, replaces=True)
        if source.shard.number not in self._outboxes:
            self._outboxes[source.shard.number] = Outbox(source)
        self._outboxes[source.shard.number].add(room, entry)

    # Signs of life.

    async def _tell_leases(self) -> None:
        said_everything = self._hub.now()
        while True:
            await self._tell_lease()
            try:
                self._publish(self._presence.doubt(self._hub.now()))
                if self._hub.now() - said_everything > FORGET_SECONDS / 2:
                    said_everything = self._hub.now()
                    self._presence.say_everything()
            except Exception:  # this task must never die: without leases we pass for dead
                log.exception("could not look for silent nodes")
            await asyncio.sleep(self._presence.lease_interval)

    async def _tell_lease(self) -> None:
        try:
            if not self._wire.is_out:
                for lease in self._presence.leases():
                    await self._wire.client.publish(ALIVE, msgspec.json.encode(lease))
        except Exception as error:
            log.debug("could not tell a lease: %s", error)

    async def _ask_who_lives(self) -> None:
        await quietly(self._wire.client.publish(TELL))

    async def _on_question(self, message: Msg) -> None:
        await self._tell_lease()

    async def _on_lease(self, message: Msg) -> None:
        self._publish(self._presence.hear_lease(_decode_lease(message.data), self._hub.now()))

    def _on_change(self, is_there: bool) -> None:
        if is_there:
            self._presence.forgive(self._hub.now())
            self._presence.say_everything()
            self._asking = asyncio.create_task(self._ask_who_lives())  # somebody may have come meanwhile


class _Elsewhere:
    """Stands where a store does: what is said is kept in NATS."""

    def __init__(self, data_dir: Path) -> None:
        """Nothing is written here."""

    def close(self) -> None:
        """Nothing was opened."""


def components_of(backplane: str, shards: int = SHARDS) -> Components:
    """The components of a node, for `--backplane nats://HOST:PORT,nats://HOST:PORT,…`."""
    return Node([each.strip() for each in backplane.split(",") if each.strip()], shards).components()
