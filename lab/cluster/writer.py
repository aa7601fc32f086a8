"""Appends what waits in the rooms of one log.

Mostly, what waits in all of these rooms is appended *together*, in one atomic batch: it costs three disks one
write, and not one for each room (group commit, as in `lab.sequencer`). If that is refused, another node was
faster in one of the rooms, and we do not know in which. Then each room is *alone*: it has a task of its own,
which goes on until nothing waits there. After such a conflict rooms stay alone for a moment, since where two
nodes talk in the same rooms the next attempt would be refused as well.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from random import random

import msgspec

from lab.cluster.feed import Feed
from lab.cluster.log import MOST_ENTRIES, Entry, Log, Refused, Unsure
from lab.cluster.room import Key, Pending, Room
from lab.cluster.wire import OUT_SECONDS, PATIENCE, PAUSE_SECONDS, Unavailable, end
from lab.protocol import Message

log = logging.getLogger("lab.cluster")

MAX_BATCH = MOST_ENTRIES // 4
"""Messages in a batch: each has an entry for its id, and each room has one."""
BATCH_BYTES = 512 * 1024
"""Bytes of a batch. NATS takes a megabyte in one entry; the longest message takes 400 KB as JSON."""
ALONE_SECONDS = 1.0
"""How long rooms are alone after a conflict."""
LOOK_AFTER = 3
"""Times that another node was faster after which we look whether we repeat old messages."""
_OVERHEAD = 300  # bytes of a message besides its content, about


class Writer:
    """Appends to one log. `feed` follows it."""

    def __init__(self, log: Log, feed: Feed) -> None:
        self._log, self._feed = log, feed
        self._waiting: dict[Room, None] = {}  # an ordered set: rooms whose drafts are appended together
        self._taken: dict[Room, list[Pending]] = {}  # what is being appended together
        self._alone: dict[Room, asyncio.Task[None]] = {}
        self._together: asyncio.Task[None] | None = None
        self._alone_until = 0.0  # on the loop's clock

    def add(self, room: Room, pending: Pending) -> None:
        """Append a message, soon. It is resolved when it comes back from the log, or fails by Unavailable."""
        room.queue.append(pending)
        if room in self._alone:
            return
        if asyncio.get_running_loop().time() < self._alone_until and room not in self._taken:
            self._set_alone(room, [], is_unsure=False)
            return
        self._waiting[room] = None
        if self._together is None:
            self._together = asyncio.create_task(self._append_together())

    async def close(self) -> None:
        """Append no more."""
        tasks = [*self._alone.values(), *([self._together] if self._together else [])]
        await end(tasks)

    # Together.

    async def _append_together(self) -> None:
        """Append what waits, batch by batch, until nothing waits."""
        try:
            await asyncio.sleep(0)  # drafts whose frames arrived at the same moment are queued meanwhile
            while self._waiting:
                self._taken = self._next_batches()
                if self._taken:  # else all of their callers were cancelled
                    await self._try_together(self._taken)
                self._taken = {}
        finally:
            self._together = None

    def _next_batches(self) -> dict[Room, list[Pending]]:
        """Take drafts off the queues of the rooms that wait, as many as one append may have."""
        batches: dict[Room, list[Pending]] = {}
        count = size = 0
        for room in list(self._waiting):
            batch, bytes_of_it = _next_batch(room, MAX_BATCH - count, BATCH_BYTES - size)
            if batch:
                batches[room] = batch
                count, size = count + len(batch), size + bytes_of_it
            del self._waiting[room]
            if room.queue:
                self._waiting[room] = None  # behind those that had no turn yet
            if count >= MAX_BATCH or size >= BATCH_BYTES // 2:
                break
        return batches

    async def _try_together(self, batches: dict[Room, list[Pending]]) -> None:
        """Append these, or have each room go on alone."""
        for room, batch in batches.items():
            room.awaited |= {pending.key: pending for pending in batch}
        is_unsure = False
        try:
            position = await self._log.append(_entries(batches))
            is_unsure = True  # until it comes back
            await self._feed.reach(position)
            return
        except Unsure:
            is_unsure = True
        except (Refused, Unavailable):
            pass
        except Exception as error:
            log.exception("could not append")
            for room, batch in batches.items():
                _fail(room, batch, error)
            return
        self._alone_until = asyncio.get_running_loop().time() + ALONE_SECONDS
        for room, batch in batches.items():
            self._set_alone(room, batch, is_unsure)

    # Alone.

    def _set_alone(self, room: Room, batch: list[Pending], is_unsure: bool) -> None:
        """Have a room's own task append the rest of this batch, and then what waits there."""
        self._waiting.pop(room, None)
        self._alone[room] = asyncio.create_task(self._append_alone(room, batch, is_unsure))

    async def _append_alone(self, room: Room, batch: list[Pending], is_unsure: bool) -> None:
        try:
            # Who was just faster is the first to know it, and would be faster again: give others a chance.
            await asyncio.sleep(random() * 2 * room.took)
            while batch or room.queue:
                try:
                    await self._append(room, batch, is_unsure)
                except Exception as error:
                    log.exception("could not append")
                    _fail(room, batch, error)
                batch, _ = _next_batch(room, MAX_BATCH, BATCH_BYTES)
                is_unsure = False
        finally:
            del self._alone[room]

    async def _append(self, room: Room, batch: list[Pending], is_unsure: bool) -> None:
        """Append a batch until each of its messages is in the log, by this attempt or by another."""
        room.awaited |= {pending.key: pending for pending in batch if not pending.answer.done()}
        refused = 0
        while left := self._left(room, batch, is_unsure):
            if self._log.wire.is_out:
                await asyncio.sleep(PAUSE_SECONDS)
                continue
            before = room.position
            try:
                begun = asyncio.get_running_loop().time()
                position = await self._log.append(_entries({room: left}))
                room.took = asyncio.get_running_loop().time() - begun
                is_unsure = True  # until it comes back
                await self._feed.reach(position)
                continue
            except Unsure:  # if it is there, the next attempt is refused
                is_unsure = True
                continue
            except Unavailable:
                await asyncio.sleep(PAUSE_SECONDS)
                continue
            except Refused:
                refused += 1
            with contextlib.suppress(Unavailable):
                await self._feed.catch_up()
                # If nobody was faster, it is for an id; if somebody always is, it may be for an id as well.
                if room.position == before or refused % LOOK_AFTER == 0:
                    await _answer_retries(room, left)

    def _left(self, room: Room, batch: list[Pending], is_unsure: bool) -> list[Pending]:
        """What of a batch is still to be appended. If it takes too long, all who can be told
        that their message was not accepted are told, and it will not be.

        Where we are unsure, it may have been, or will be. Whoever gave it an id may be told all the same:
        then it is safe to send it again. Without one, we go on until we know.
        """
        is_out, seconds_out = self._log.wire.is_out, self._log.wire.seconds_out
        error = Unavailable("NATS is out of reach" if is_out else "NATS has no leader for this room")
        now = asyncio.get_running_loop().time()
        telling = batch if not is_unsure else [pending for pending in batch if pending.draft.id]
        for pending in [*telling, *room.queue]:
            waited = max(now - pending.since, seconds_out)
            if waited > (OUT_SECONDS if is_out else PATIENCE):
                _fail(room, [pending], error)
        room.queue = [pending for pending in room.queue if not pending.answer.done()]
        for pending in batch:
            if pending.answer.done():  # perhaps since its caller was cancelled
                _forget(room, pending)
        return [pending for pending in batch if not pending.answer.done()]


def _forget(room: Room, pending: Pending) -> None:
    if room.awaited.get(pending.key) is pending:
        del room.awaited[pending.key]


def _fail(room: Room, batch: list[Pending], error: Exception) -> None:
    for pending in batch:
        _forget(room, pending)
        pending.fail(error)


def _next_batch(room: Room, most: int, most_bytes: int) -> tuple[list[Pending], int]:
    """Take drafts off a room's queue, one at least; and their bytes, about.

    One that repeats another of them stays in the queue: it will be found as a retry.
    """
    batch: dict[Key, Pending] = {}
    size, looked_at = 0, 0
    repeated: list[Pending] = []
    for pending in room.queue:
        if pending.answer.done():  # its caller was cancelled, or told to try again
            looked_at += 1
            continue
        more = _OVERHEAD + len(msgspec.json.encode(pending.draft.content))
        if batch and (len(batch) >= most or size + more > most_bytes):
            break
        looked_at += 1
        if pending.key in batch:
            repeated.append(pending)
        else:
            batch[pending.key] = pending
            size += more
    room.queue = [*repeated, *room.queue[looked_at:]]
    return list(batch.values()), size


def _entries(batches: dict[Room, list[Pending]]) -> list[Entry]:
    """Number the drafts. For each room, an entry has all messages, on condition that none came in between.
    For each id that a client gave, one has the number of its message, on condition that there is none.
    """
    now = int(time.time() * 1000)
    notes: list[Entry] = []
    entries: list[Entry] = []
    for room, batch in batches.items():
        messages = [
            Message(each.id, room.name, each.draft.user, each.draft.content, number, now)
            for number, each in enumerate(batch, room.number + 1)
        ]
        notes += [
            Entry(room.log.shard.id(room.name, each.user, each.id), str(each.sequence).encode(), last=0)
            for each, pending in zip(messages, batch, strict=True)
            if pending.draft.id
        ]
        entries.append(Entry(room.subject, msgspec.json.encode(messages), last=room.position))
    # Messages come last: so the newest position of a log is always one that its followers are told of.
    return [*notes, *entries]


async def _answer_retries(room: Room, batch: list[Pending]) -> None:
    """Answer those whose message was accepted before, perhaps long ago (rule R). Raises Unavailable."""
    asked = [each for each in batch if each.draft.id and not each.answer.done()]
    subjects = [room.log.shard.id(room.name, *each.key) for each in asked]
    notes = await asyncio.gather(*map(room.log.newest_of, subjects))
    if any(notes):
        await room.feed.catch_up()
    for pending, note in zip(asked, notes, strict=True):
        if note and not pending.answer.done():
            (message,) = await room.page(int(note.body) - 1, 1)
            _forget(room, pending)
            pending.resolve(message)
