"""Chat servers that are broken on purpose: `python broken.py DEFECT` runs the reference with one defect.

Each defect is a small difference on the reference's components. A test plays the exercises against each of
them and expects the anomaly that the defect is about.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

import lab.fanout
import lab.server
from lab.interfaces import Change, Draft, Member
from lab.presence import PresenceManager
from lab.protocol import BadFrame, Error, History, Join, Leave, Message, Presence, Say, ServerFrame, Status
from lab.pubsub import PubSub
from lab.sequencer import Sequencer
from lab.server import Components, Config, Session
from lab.store import MessageStore

DEFECTS: dict[str, Callable[[Components], None]] = {}


def defect(apply: Callable[[Components], None]) -> Callable[[Components], None]:
    """Register a defect under its function's name."""
    DEFECTS[apply.__name__] = apply
    return apply


# --- exercise 1 -----------------------------------------------------------------------------------


@defect
def leaving_is_not_announced(parts: Components) -> None:
    """Who sends `leave` is taken off the list, and nobody is told."""

    async def leave(self: Session, frame: Leave) -> None:
        if frame.room not in self._rooms:
            raise BadFrame(lab.protocol.ErrorCode.NOT_JOINED, "not there")
        del self._rooms[frame.room]
        self._server.pubsub.unsubscribe(frame.room, self)
        self._server.show(self._server.presence.left(self.id, frame.room, self._server.now()))

    Session._leave = leave  # type: ignore[method-assign]


@defect
def sender_is_left_out(parts: Components) -> None:
    """The message goes to everybody but the one who said it."""

    class WithoutSender(PubSub):
        def publish(self, room: str, frame: ServerFrame) -> None:
            for member in self.members(room):
                if not (isinstance(frame, Message) and getattr(member, "user", "") == frame.user):
                    member.send(frame)

    parts.pubsub = WithoutSender


@defect
def rooms_ignore_case(parts: Components) -> None:
    """`Lobby` and `lobby` are one room for those who publish."""

    class Folded(PubSub):
        def publish(self, room: str, frame: ServerFrame) -> None:
            for name in self.rooms():
                if name.casefold() == room.casefold():
                    super().publish(name, frame)

    parts.pubsub = Folded


@defect
def content_is_trimmed(parts: Components) -> None:
    """Spaces at the ends are cut off."""

    class Trimming(Sequencer):
        async def accept(self, draft: Draft) -> Message:
            return await super().accept(msgspec.structs.replace(draft, content=draft.content.strip()))

    parts.sequencer = Trimming


@defect
def leavers_still_hear(parts: Components) -> None:
    """Unsubscribing forgets to."""

    class Sticky(PubSub):
        def unsubscribe(self, room: str, member: Member) -> None:
            if getattr(member, "connection", None) and member.connection.state.value != 1:  # type: ignore[attr-defined]
                super().unsubscribe(room, member)

    parts.pubsub = Sticky


@defect
def bad_frames_are_ignored(parts: Components) -> None:
    """No `error` is ever sent."""
    send = Session.send

    def silent(self: Session, frame: ServerFrame) -> None:
        if not isinstance(frame, Error):
            send(self, frame)

    Session.send = silent  # type: ignore[method-assign]


@defect
def bad_frames_disconnect(parts: Components) -> None:
    """A bad frame ends its connection, as an exception that nobody catches does."""
    obey = Session._obey

    async def fatal(self: Session, text: str | bytes) -> None:
        try:
            lab.protocol.parse(text)
        except BadFrame as bad:
            raise RuntimeError(bad.message) from bad
        await obey(self, text)

    Session._obey = fatal  # type: ignore[method-assign]


@defect
def bad_frames_kill_the_server(parts: Components) -> None:
    """A bad frame ends the process."""
    obey = Session._obey

    async def deadly(self: Session, text: str | bytes) -> None:
        try:
            lab.protocol.parse(text)
        except BadFrame:
            print("Traceback: something went wrong", file=sys.stderr)
            os._exit(3)
        await obey(self, text)

    Session._obey = deadly  # type: ignore[method-assign]


@defect
def bad_frames_kill_the_server_slowly(parts: Components) -> None:
    """Likewise, but the connections are gone some time before the process is."""
    obey = Session._obey

    async def deadly(self: Session, text: str | bytes) -> None:
        try:
            lab.protocol.parse(text)
        except BadFrame:
            os.closerange(3, 256)
            time.sleep(0.4)  # noqa: ASYNC251 - like clean-up work that a crash leaves to do
            os._exit(3)
        await obey(self, text)

    Session._obey = deadly  # type: ignore[method-assign]


@defect
def empty_content_is_said(parts: Components) -> None:
    """Content is not checked at all."""
    lab.protocol.check_content = lambda content, id=None: None


# --- exercise 2 -----------------------------------------------------------------------------------


@defect
def numbering_restarts(parts: Components) -> None:
    """The counter lives in memory only."""

    class Forgetful(Sequencer):
        def _room(self, name: str) -> Any:
            room = super()._room(name)
            if room.last is None:
                room.last = 0
            return room

    parts.sequencer = Forgetful


class _Hasty(Sequencer):
    """Numbers, then awaits the save, then publishes, with nothing that keeps others out."""

    counts: dict[str, int] = {}  # noqa: RUF012 - it is a bad example

    async def accept(self, draft: Draft) -> Message:
        if draft.room not in self.counts:
            self.counts[draft.room] = await self._store.last(draft.room)
        if draft.id and (known := await self._store.find(draft.room, draft.user, draft.id)):
            return known
        self.counts[draft.room] += 1
        message = Message(
            draft.id or uuid.uuid4().hex,
            draft.room,
            draft.user,
            draft.content,
            self.counts[draft.room],
            int(time.time() * 1000),
        )
        await self._store.save([message])
        self._pubsub.publish(draft.room, message)
        return message


@defect
def await_between_number_and_broadcast(parts: Components) -> None:
    """A file for each message: how long a save takes depends on its size, so they overtake each other."""

    class Uneven(MessageStore):
        async def save(self, messages: list[Message]) -> None:
            for _ in range(messages[0].sequence * 7 % 5):
                await asyncio.sleep(0.001)
            await super().save(messages)

    parts.sequencer = _Hasty
    parts.store = Uneven


@defect
def read_then_write_counter(parts: Components) -> None:
    """Two messages read the same last number."""

    class Racing(_Hasty):
        async def accept(self, draft: Draft) -> Message:
            self.counts[draft.room] = await self._store.last(draft.room)
            return await super().accept(draft)

    parts.sequencer = Racing


@defect
def one_delivery_in_300_is_dropped(parts: Components) -> None:
    """Now and then somebody is forgotten."""

    class Forgetting(PubSub):
        count = 0

        def publish(self, room: str, frame: ServerFrame) -> None:
            for member in self.members(room):
                self.count += isinstance(frame, Message) and frame.user != "system"
                if self.count % 300 != 299 or not isinstance(frame, Message):
                    member.send(frame)

    parts.pubsub = Forgetting


@defect
def retries_are_stored_again(parts: Components) -> None:
    """The `id` is never looked up."""

    class Amnesic(MessageStore):
        async def find(self, room: str, user: str, id: str) -> Message | None:
            return None

    parts.store = Amnesic


@defect
def subscribed_before_the_replay(parts: Components) -> None:
    """What is said while the history is read comes both ways."""

    class Overlapping(Sequencer):
        async def attach(self, room_name: str, member: Member, since: int | None) -> None:
            self._pubsub.subscribe(room_name, member)
            await asyncio.sleep(0.02)
            await super().attach(room_name, member, since)

    parts.sequencer = Overlapping


@defect
def subscribed_after_the_replay(parts: Components) -> None:
    """What is said while the history is sent comes by neither way."""

    class Holey(Sequencer):
        async def attach(self, room_name: str, member: Member, since: int | None) -> None:
            if since is None:
                newest = await self._store.newest(room_name, 50)
                page = History(room_name, newest, newest[-1].sequence if newest else 0, False)
            else:
                page = await self.history(room_name, since, 100)
            member.send(page)
            await asyncio.sleep(0.02)
            self._pubsub.subscribe(room_name, member)

    parts.sequencer = Holey


@defect
def history_is_sorted_as_text(parts: Components) -> None:
    """1, 10, 2: as a folder with a file for each number lists them."""

    class Textual(MessageStore):
        async def page(self, room: str, since: int, limit: int) -> list[Message]:
            return sorted(await super().page(room, since, limit), key=lambda m: str(m.sequence))

    parts.store = Textual


@defect
def history_is_off_by_one(parts: Components) -> None:
    """A page begins one message too late."""

    class OffByOne(MessageStore):
        async def page(self, room: str, since: int, limit: int) -> list[Message]:
            return await super().page(room, since + 1 if since else 0, limit)

    parts.store = OffByOne


@defect
def slow_readers_are_waited_for(parts: Components) -> None:
    """Before the next frame is read, everybody must have taken this one."""
    say = Session._say

    async def patient(self: Session, frame: Say) -> None:
        await say(self, frame)
        for member in self._server.pubsub.members(frame.data.room):
            assert isinstance(member, Session), "all members are"
            member.connection.patience = 1e9
            await member.drain()

    Session._say = patient  # type: ignore[method-assign]


@defect
def slow_readers_are_hoarded_for(parts: Components) -> None:
    """Whatever is not read is kept, without bound."""
    lab.fanout.MAX_WAITING = 2**40


# --- exercise 3 -----------------------------------------------------------------------------------


def _with_timeout(factor: float) -> Callable[[Components], None]:
    class Wrong(PresenceManager):
        def __init__(self, heartbeat_interval: float, offline_timeout: float) -> None:
            super().__init__(heartbeat_interval, offline_timeout * factor)

    def apply(parts: Components) -> None:
        parts.presence = Wrong

    return apply


DEFECTS["frozen_clients_stay_online"] = _with_timeout(1e6)
DEFECTS["offline_at_40_percent"] = _with_timeout(0.4)
DEFECTS["offline_at_250_percent"] = _with_timeout(2.5)


@defect
def one_connection_ends_the_user(parts: Components) -> None:
    """One entry for each user name: the first connection that ends takes it away."""

    class ByName(PresenceManager):
        def lost(self, connection: str, now: float) -> list[Change]:
            known = self._connections.get(connection)
            changes = super().lost(connection, now)
            if known and not changes:
                gone = Presence(known.user, Status.OFFLINE, int(now * 1000))
                changes = [Change(room, gone) for room in known.rooms]
            return changes

    parts.presence = ByName


@defect
def presence_is_not_broadcast(parts: Components) -> None:
    """Who asks is told, who listens is not."""
    lab.server.ChatServer.show = lambda self, changes: None  # type: ignore[method-assign]


@defect
def presence_of_all_rooms(parts: Components) -> None:
    """The list has everybody, in whatever room."""

    class Everywhere(PresenceManager):
        def in_room(self, room: str, now: float) -> list[Presence]:
            return [p for name in list(self._here) for p in super(Everywhere, self).in_room(name, now)]

    parts.presence = Everywhere


@defect
def no_heartbeats(parts: Components) -> None:
    """The loop that sends them died."""

    async def dead(self: lab.server.ChatServer) -> None:
        return None

    lab.server.ChatServer._beat = dead  # type: ignore[method-assign]


@defect
def only_heartbeats_count(parts: Components) -> None:
    """Pings and bad frames are no signs of life."""
    obey = Session._obey

    async def strict(self: Session, text: str | bytes) -> None:
        if "heartbeat" in str(text):
            self._server.show(self._server.presence.seen(self.id, self._server.now()))
        await obey(self, text)

    Session._obey = strict  # type: ignore[method-assign]
    Session._alive = lambda self: None  # type: ignore[method-assign]


# --- exercise 4 -----------------------------------------------------------------------------------


@defect
def oldest_50_at_a_join(parts: Components) -> None:
    """The first 50 of the room instead of the last."""

    class Oldest(MessageStore):
        async def newest(self, room: str, count: int) -> list[Message]:
            return await self.page(room, 0, count) if count > 1 else await super().newest(room, count)

    parts.store = Oldest


class _InMemory(MessageStore):
    """Keeps messages in memory, and writes them when it is closed."""

    def __init__(self, data_dir: Path) -> None:
        super().__init__(data_dir)
        self._late: list[Message] = []

    async def save(self, messages: list[Message]) -> None:
        self._late += messages

    async def page(self, room: str, since: int, limit: int) -> list[Message]:
        stored = await super().page(room, since, limit)
        late = [m for m in self._late if m.room == room and m.sequence > since]
        return (stored + late)[:limit]

    async def newest(self, room: str, count: int) -> list[Message]:
        late = [m for m in self._late if m.room == room]
        return (await super().newest(room, count) + late)[-count:]

    async def find(self, room: str, user: str, id: str) -> Message | None:
        late = (m for m in self._late if (m.room, m.user, m.id) == (room, user, id))
        return next(late, None) or await super().find(room, user, id)


@defect
def written_only_at_a_clean_stop(parts: Components) -> None:
    """SIGTERM is survived, SIGKILL is not."""

    class AtTheEnd(_InMemory):
        def close(self) -> None:
            if self._late:
                self._commit(self._late)
            super().close()

    parts.store = AtTheEnd


@defect
def times_are_made_anew(parts: Components) -> None:
    """The time is not stored, but made when a message is read."""

    class Timeless(MessageStore):
        async def page(self, room: str, since: int, limit: int) -> list[Message]:
            now = int(time.time() * 1000)
            return [msgspec.structs.replace(m, timestamp=now) for m in await super().page(room, since, limit)]

    parts.store = Timeless


@defect
def old_messages_come_as_new(parts: Components) -> None:
    """A join with `since` is answered by live messages, from the beginning."""
    join = Session._join

    async def again(self: Session, frame: Join) -> None:
        await join(self, frame)
        if frame.since:
            for message in (await self._server.sequencer.history(frame.room, 0, 3)).messages:
                self.send(message)

    Session._join = again  # type: ignore[method-assign]


@defect
def sigterm_is_ignored(parts: Components) -> None:
    """It does not stop when it is asked to."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


@defect
def data_dir_is_ignored(parts: Components) -> None:
    """Messages are stored where the code says, as the course's listing does: beside the program."""
    elsewhere = Path(os.environ["ELSEWHERE"])

    class Fixed(MessageStore):
        def __init__(self, data_dir: Path) -> None:
            super().__init__(elsewhere)

    parts.store = Fixed


def main() -> None:
    """Run the server that the first argument names."""
    parts = Components()
    DEFECTS[sys.argv[1]](parts)
    env = os.environ
    config = Config(
        env["HOST"],
        int(env["PORT"]),
        Path(env["DATA_DIR"]),
        float(env["HEARTBEAT_INTERVAL"]),
        float(env["OFFLINE_TIMEOUT"]),
    )

    async def serve() -> None:
        stop = asyncio.Event()
        if sys.argv[1] != "sigterm_is_ignored":
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
        await lab.server.run(lab.server.ChatServer(config, parts), stop)

    asyncio.run(serve())


if __name__ == "__main__":
    main()
