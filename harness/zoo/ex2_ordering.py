"""Animals of exercise 2: numbers, order, retries, pages of history and slow readers."""

from __future__ import annotations

import asyncio
import time
import uuid
from typing import Any

import msgspec

import lab.fanout
import lab.protocol
import lab.send_queue
from harness.zoo.animal import animal
from lab.fanout import Connection
from lab.hub import Components
from lab.interfaces import Draft, Member
from lab.protocol import BadFrame, ErrorCode, History, Join, Message, Say, ServerFrame
from lab.pubsub import PubSub
from lab.sequencer import Sequencer
from lab.session import Session
from lab.store import MessageStore


@animal("2.2", "sequence_reset", also="4.3 4.4 4.5")
def numbering_restarts(parts: Components) -> None:
    """The counter is kept in memory only."""

    class Forgetful(Sequencer):
        def _room(self, name: str) -> Any:
            room = super()._room(name)
            if room.last is None:
                room.last = 0
            return room

    parts.sequencer = Forgetful


class _Hasty(Sequencer):
    """Assigns a number, awaits the save, then publishes, all of it without a lock."""

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


@animal("2.2", "reorder", also="2.3 4.4")
def await_between_number_and_broadcast(parts: Components) -> None:
    """Each message is a file: the time of a save depends on its size, so messages overtake each other."""

    class Uneven(MessageStore):
        async def save(self, messages: list[Message]) -> None:
            for _ in range(messages[0].sequence * 7 % 5):
                await asyncio.sleep(0.001)
            await super().save(messages)

    parts.sequencer = _Hasty
    parts.store = Uneven


@animal("2.2", "split_sequence", also="2.3 4.3 4.4 4.5")
def read_then_write_counter(parts: Components) -> None:
    """Two concurrent messages read the same last number."""

    class Racing(_Hasty):
        async def accept(self, draft: Draft) -> Message:
            self.counts[draft.room] = await self._store.last(draft.room)
            return await super().accept(draft)

    parts.sequencer = Racing


@animal("2.1", "lost", also="2.3 4.1 4.4")
def one_delivery_in_300_is_dropped(parts: Components) -> None:
    """Now and then a message is not sent to one of the members."""

    class Forgetting(PubSub):
        count = 0

        def publish(self, room: str, frame: ServerFrame) -> None:
            for member in self.members(room):
                self.count += isinstance(frame, Message) and frame.user != "system"
                if self.count % 300 != 299 or not isinstance(frame, Message):
                    member.send(frame)

    parts.pubsub = Forgetting


@animal("2.3", "stored_twice", also="4.4")
def retries_are_stored_again(parts: Components) -> None:
    """The `id` is never looked up."""

    class Amnesic(MessageStore):
        async def find(self, room: str, user: str, id: str) -> Message | None:
            return None

    parts.store = Amnesic


@animal("2.3", "replay_overlap")
def subscribed_before_the_replay(parts: Components) -> None:
    """A message accepted while the history is read is delivered live and in the replay."""

    class Overlapping(Sequencer):
        async def attach(self, room_name: str, member: Member, since: int | None) -> None:
            self._pubsub.subscribe(room_name, member)
            await asyncio.sleep(0.02)
            await super().attach(room_name, member, since)

    parts.sequencer = Overlapping


@animal("2.3", "replay_hole")
def subscribed_after_the_replay(parts: Components) -> None:
    """A message accepted while the history is sent is delivered neither live nor in the replay."""

    class Holey(Sequencer):
        async def attach(self, room_name: str, member: Member, since: int | None) -> None:
            if since is None:
                newest = await self._store.newest(room_name, 50)
                member.send(History(room_name, newest, newest[-1].sequence if newest else 0, False))
            else:
                while (page := await self.history(room_name, since, 100)).messages:
                    member.send(page)
                    await member.drain()
                    since = page.messages[-1].sequence
            await asyncio.sleep(0.02)
            self._pubsub.subscribe(room_name, member)

    parts.sequencer = Holey


@animal("2.4", "history_disorder", also="2.3 4.5")
def history_is_sorted_as_text(parts: Components) -> None:
    """Numbers are sorted as text: 1, 10, 2, like a directory listing with a file for each number."""

    class Textual(MessageStore):
        async def page(self, room: str, since: int, limit: int) -> list[Message]:
            return sorted(await super().page(room, since, limit), key=lambda m: str(m.sequence))

    parts.store = Textual


@animal("2.3", "replay_hole", also="2.4 4.4 4.5")
def history_is_off_by_one(parts: Components) -> None:
    """A page of history begins one message too late."""

    class OffByOne(MessageStore):
        async def page(self, room: str, since: int, limit: int) -> list[Message]:
            return await super().page(room, since + 1 if since else 0, limit)

    parts.store = OffByOne


@animal(
    "2.1", "stalled_by_slow_reader", is_alone=True
)  # others fill the queue, and the reader is disconnected
def slow_readers_are_waited_for(parts: Components) -> None:
    """The sender's next frame is read only when all members have received this one."""
    say = Session._say

    async def patient(self: Session, frame: Say) -> None:
        await say(self, frame)
        for member in self._hub.pubsub.members(frame.data.room):
            assert isinstance(member, Session), "every member is a session"
            member.connection.patience = 1e9
            await member.drain()

    Session._say = patient  # type: ignore[method-assign]


@animal("2.1", "unbounded_slow_reader")
def slow_readers_are_hoarded_for(parts: Components) -> None:
    """Frames that a client does not read are queued without limit."""
    for module in (lab.send_queue, lab.fanout):  # where it is defined, and where it is imported
        vars(module)["MAX_WAITING"] = 2**40


@animal("2.1", "lost", also="1.4 2.3 4.1 4.4")
def newcomers_miss_the_first(parts: Components) -> None:
    """The first message after a join is not sent to the client that joined."""

    class Late(PubSub):
        fresh: set[Member] = set()  # noqa: RUF012

        def subscribe(self, room: str, member: Member) -> None:
            self.fresh.add(member)
            super().subscribe(room, member)

        def publish(self, room: str, frame: ServerFrame) -> None:
            if not isinstance(frame, Message) or frame.user == "system":
                super().publish(room, frame)
                return
            for member in self.members(room):
                if member in self.fresh:
                    self.fresh.discard(member)
                else:
                    member.send(frame)

    parts.pubsub = Late


@animal("2.2", "reorder", also="2.1 2.3 4.1 4.4")
def one_member_hears_out_of_order(parts: Components) -> None:
    """The second member receives every tenth message after the one that follows it."""

    class Swapping(PubSub):
        held: dict[str, Message] = {}  # noqa: RUF012

        def publish(self, room: str, frame: ServerFrame) -> None:
            if not isinstance(frame, Message) or frame.user == "system":
                super().publish(room, frame)
                return
            for number, member in enumerate(self.members(room)):
                if number == 1 and frame.sequence % 10 == 5:
                    self.held[room] = frame
                    continue
                member.send(frame)
                if number == 1 and room in self.held:
                    member.send(self.held.pop(room))

    parts.pubsub = Swapping


def _each_delivery(nth: int, times: int) -> type[PubSub]:
    class Odd(PubSub):
        count = 0

        def publish(self, room: str, frame: ServerFrame) -> None:
            for member in self.members(room):
                live = isinstance(frame, Message) and frame.user != "system"
                self.count += live
                for _ in range(times if live and self.count % nth == nth - 1 else 1):
                    member.send(frame)

    return Odd


@animal("2.1", "duplicate", also="2.3 4.1")
def one_delivery_in_500_comes_twice(parts: Components) -> None:
    """Now and then a member is sent a message twice."""
    parts.pubsub = _each_delivery(500, times=2)


@animal("2.1", "lost", also="2.3", worlds=("live",), why="a simulated play has fewer deliveries")
def one_delivery_in_1000_is_dropped(parts: Components) -> None:
    """Very rarely a message is not sent to one of the members."""
    parts.pubsub = _each_delivery(1000, times=0)


@animal("2.2", "gap", also="4.4")
def notices_burn_numbers(parts: Components) -> None:
    """Each join or leave notice uses up a sequence number."""
    announce = Session._announce

    def numbered(self: Session, room: str, what: str) -> None:
        announce(self, room, what)
        known = self._hub.sequencer._room(room)  # type: ignore[attr-defined]
        known.last = (self._hub.observer.newest.get(room, 0) if known.last is None else known.last) + 1

    Session._announce = numbered  # type: ignore[method-assign]


@animal("2.2", "gap", also="2.3 2.4 3.3 4.4 4.5")
def notices_are_stored(parts: Components) -> None:
    """Join and leave notices are numbered and stored like any other message."""

    tasks = []

    def stored(self: Session, room: str, what: str) -> None:
        draft = Draft(room, "system", f"{self.user} {what}", None)
        tasks.append(asyncio.ensure_future(self._hub.sequencer.accept(draft)))

    Session._announce = stored  # type: ignore[method-assign]


@animal("2.3", "duplicate", also="4.4")
def retries_are_published_again(parts: Components) -> None:
    """A retry is not stored again, but its message is sent to all members again."""
    say = Session._say

    async def loud(self: Session, frame: Any) -> None:
        words = frame.data
        known = words.id and await self._hub.store.find(words.room, self.user, words.id)
        await say(self, frame)
        if known:
            for member in self._hub.pubsub.members(words.room):
                if member is not self:
                    member.send(known)

    Session._say = loud  # type: ignore[method-assign]


@animal("2.3", "retry_unanswered", also="4.4")
def retries_are_not_answered(parts: Components) -> None:
    """A retry is discarded without an answer."""

    async def quiet(self: Session, frame: Any) -> None:
        words = frame.data
        if words.room not in self._rooms:
            raise BadFrame(ErrorCode.NOT_JOINED, "not there", words.id)
        await self._hub.sequencer.accept(Draft(words.room, self.user, words.content, words.id))

    Session._say = quiet  # type: ignore[method-assign]


@animal("2.3", "lost")
def retries_are_known_across_users(parts: Components) -> None:
    """An `id` is looked up without regard to the user."""

    class Anybody(MessageStore):
        async def find(self, room: str, user: str, id: str) -> Message | None:
            found = await self._run(self._select, "room = ? AND id = ? LIMIT 1", room, id)
            return found[0] if found else None

    parts.store = Anybody


@animal("2.1", "lost", also="2.3")
def retries_are_known_across_rooms(parts: Components) -> None:
    """An `id` is looked up without regard to the room."""

    class Anywhere(MessageStore):
        async def find(self, room: str, user: str, id: str) -> Message | None:
            found = await self._run(self._select, "user = ? AND id = ? LIMIT 1", user, id)
            return found[0] if found else None

    parts.store = Anywhere


@animal("2.3", "replay_hole")
def a_replay_is_one_page(parts: Components) -> None:
    """A client that missed more than a hundred messages is sent only the first hundred."""

    class OnePage(Sequencer):
        async def attach(self, room_name: str, member: Member, since: int | None) -> None:
            if since is None:
                await super().attach(room_name, member, since)
                return
            async with self._room(room_name).lock:
                member.send(await self.history(room_name, since, 100))
                self._pubsub.subscribe(room_name, member)

    parts.sequencer = OnePage


@animal("2.3", "replay_hole")
def since_zero_is_none(parts: Components) -> None:
    """`if since:` takes a `since` of 0 for a missing one."""

    class Falsy(Sequencer):
        async def attach(self, room_name: str, member: Member, since: int | None) -> None:
            await super().attach(room_name, member, since or None)

    parts.sequencer = Falsy


@animal("2.3", "lost")
def since_beyond_the_end_waits(parts: Components) -> None:
    """A client that joins with a `since` beyond the newest number is sent nothing until it is reached."""
    join = Session._join

    async def wait(self: Session, frame: Join) -> None:
        await join(self, frame)
        if frame.since and frame.since > await self._hub.store.last(frame.room):
            self._hub.pubsub.unsubscribe(frame.room, self)

    Session._join = wait  # type: ignore[method-assign]


@animal("2.4", "malformed_frame", also="2.3")
def frames_may_be_huge(parts: Components) -> None:
    """A page of history has a hundred messages, whatever their size."""
    lab.protocol.split = lambda history: iter([history])


@animal("2.3", "dropped_connection")
def replays_count_as_unread(parts: Components) -> None:
    """A replay is queued as a whole, and a client that cannot read it at once is disconnected."""

    class Impatient(Sequencer):
        async def attach(self, room_name: str, member: Member, since: int | None) -> None:
            if since is None:
                await super().attach(room_name, member, since)
                return
            async with self._room(room_name).lock:
                while (page := await self.history(room_name, since, 10)).messages:
                    member.send(page)
                    since = page.messages[-1].sequence
                self._pubsub.subscribe(room_name, member)

    def counting(self: Connection, wire: bytes) -> None:
        post(self, bytes(wire))  # as if it were live

    post = Connection.post
    Connection.post = counting  # type: ignore[method-assign]
    parts.sequencer = Impatient


@animal("2.3", "lost")
def slow_readers_lose_messages(parts: Components) -> None:
    """Frames that do not fit into a client's queue are silently dropped."""

    def dropping(self: Connection, wire: bytes) -> None:
        if self.queue.live_bytes + len(wire) <= 1024 * 1024:
            post(self, wire)

    post = Connection.post
    Connection.post = dropping  # type: ignore[method-assign]


@animal("2.4", "history_disorder", also="4.5")
def pages_have_101(parts: Components) -> None:
    """A page of history has one message too many."""

    class More(MessageStore):
        async def page(self, room: str, since: int, limit: int) -> list[Message]:
            return await super().page(room, since, limit + 1)

    parts.store = More


@animal("2.4", "history_hole", also="4.5")
def more_is_always_true(parts: Components) -> None:
    """`more` is always true: a client that relies on it never stops paging."""

    async def lie(self: Session, frame: Any) -> None:
        page = await self._hub.sequencer.history(frame.room, frame.since or 0, frame.limit or 0)
        self.send(msgspec.structs.replace(page, more=True))

    Session._send_history = lie  # type: ignore[method-assign]


@animal("2.4", "history_hole", also="4.5")
def more_is_always_false(parts: Components) -> None:
    """`more` is always false: a client that relies on it stops paging too soon."""

    async def lie(self: Session, frame: Any) -> None:
        page = await self._hub.sequencer.history(frame.room, frame.since or 0, frame.limit or 0)
        self.send(msgspec.structs.replace(page, more=False))

    Session._send_history = lie  # type: ignore[method-assign]


@animal("2.4", "history_hole", also="4.5")
def last_is_too_high(parts: Components) -> None:
    """`last` is the next number instead of the newest one."""

    async def lie(self: Session, frame: Any) -> None:
        page = await self._hub.sequencer.history(frame.room, frame.since or 0, frame.limit or 0)
        self.send(msgspec.structs.replace(page, last=page.last + 1))

    Session._send_history = lie  # type: ignore[method-assign]


@animal("2.4", "history_hole", also="4.5")
def last_is_of_the_page(parts: Components) -> None:
    """`last` is the last number of the page instead of the room."""

    async def lie(self: Session, frame: Any) -> None:
        page = await self._hub.sequencer.history(frame.room, frame.since or 0, frame.limit or 0)
        last = page.messages[-1].sequence if page.messages else 0
        self.send(msgspec.structs.replace(page, last=last))

    Session._send_history = lie  # type: ignore[method-assign]


@animal("2.3", "wrong_replay", also="4.5")
def joins_bring_all(parts: Components) -> None:
    """A join without `since` is answered with the newest hundred messages."""

    class Hundred(MessageStore):
        async def newest(self, room: str, count: int) -> list[Message]:
            return await super().newest(room, 100 if count > 1 else count)

    parts.store = Hundred


@animal("2.3", "refused", also="2.1")
def long_ids_are_refused(parts: Components) -> None:
    """An `id` of more than 64 characters is refused."""
    parse = lab.protocol.parse

    def strict(text: str | bytes) -> Any:
        frame = parse(text)
        if isinstance(frame, lab.protocol.Say) and len(frame.data.id or "") > 64:
            raise BadFrame(ErrorCode.BAD_REQUEST, "this id is too long")
        return frame

    lab.protocol.parse = strict
