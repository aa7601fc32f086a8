"""Animals of exercise 4: what survives a stop, a kill and a restart."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
import time
from pathlib import Path
from typing import Any

import msgspec

from harness.zoo.animal import animal
from lab.hub import Components
from lab.protocol import Join, Message
from lab.session import Session
from lab.store import MessageStore


@animal("4.5", "wrong_replay", also="2.3")
def oldest_50_at_a_join(parts: Components) -> None:
    """A join is answered with the first 50 messages of the room instead of the last 50."""

    class Oldest(MessageStore):
        async def newest(self, room: str, count: int) -> list[Message]:
            return await self.page(room, 0, count) if count > 1 else await super().newest(room, count)

    parts.store = Oldest


def _joined(stored: list[Message], late: list[Message]) -> list[Message]:
    """Stored messages and later ones, which may have been stored while the others were read."""
    known = {message.sequence for message in stored}
    return [*stored, *(message for message in late if message.sequence not in known)]


class _InMemory(MessageStore):
    """Keeps messages in memory, and writes them when it is closed."""

    def __init__(self, data_dir: Path) -> None:
        super().__init__(data_dir)
        self._late: list[Message] = []

    async def save(self, messages: list[Message]) -> None:
        self._late += messages

    async def page(self, room: str, since: int, limit: int) -> list[Message]:
        late = [m for m in self._late if m.room == room and m.sequence > since]
        return _joined(await super().page(room, since, limit), late)[:limit]

    async def newest(self, room: str, count: int) -> list[Message]:
        late = [m for m in self._late if m.room == room]
        return _joined(await super().newest(room, count), late)[-count:]

    async def last(self, room: str) -> int:
        late = max((m.sequence for m in self._late if m.room == room), default=0)
        return max(late, await super().last(room))

    async def find(self, room: str, user: str, id: str) -> Message | None:
        late = (m for m in self._late if (m.room, m.user, m.id) == (room, user, id))
        return next(late, None) or await super().find(room, user, id)


@animal("4.3", "lost_after_crash", also="4.4 4.5")
def written_only_at_a_clean_stop(parts: Components) -> None:
    """Messages survive SIGTERM, but not SIGKILL."""

    class AtTheEnd(_InMemory):
        def close(self) -> None:
            if self._late:
                self._commit(self._late)
            super().close()

    parts.store = AtTheEnd


@animal("4.4", "changed_after_restart", also="2.4")
def times_are_made_anew(parts: Components) -> None:
    """The timestamp is not stored, but generated when a message is read."""

    class Timeless(MessageStore):
        async def page(self, room: str, since: int, limit: int) -> list[Message]:
            now = int(time.time() * 1000)
            return [msgspec.structs.replace(m, timestamp=now) for m in await super().page(room, since, limit)]

    parts.store = Timeless


@animal("4.4", "replayed_as_new", also="2.1 2.2 2.3")
def old_messages_come_as_new(parts: Components) -> None:
    """A join with `since` is answered with old messages as live ones, from the first on."""
    join = Session._join

    async def again(self: Session, frame: Join) -> None:
        await join(self, frame)
        if frame.since:
            for message in (await self._hub.sequencer.history(frame.room, 0, 3)).messages:
                self.send(message)

    Session._join = again  # type: ignore[method-assign]


@animal("4.2", "slow_stop", also="2.2")
def sigterm_is_ignored(parts: Components) -> None:
    """The server does not stop on SIGTERM."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


@animal(
    "4.3",
    "data_dir_ignored",
    worlds=("live",),
    why="files outside of DATA_DIR are not simulated: a database there stays locked by a killed server",
)
def data_dir_is_ignored(parts: Components) -> None:
    """Messages are stored in a fixed place, and not in DATA_DIR."""

    class Fixed(MessageStore):
        def __init__(self, data_dir: Path) -> None:
            super().__init__(Path("messages"))

    parts.store = Fixed


@animal("4.3 4.4", "lost_after_crash", also="4.5")
def published_before_saved(parts: Components) -> None:
    """A message is published before it is stored."""

    class Behind(MessageStore):
        tasks: set[Any] = set()  # noqa: RUF012
        late: dict[tuple[str, int], Message] = {}  # noqa: RUF012

        async def save(self, messages: list[Message]) -> None:
            self.late |= {(m.room, m.sequence): m for m in messages}
            task = asyncio.create_task(self._later(messages))
            self.tasks.add(task)

        async def _later(self, messages: list[Message]) -> None:
            await super().save(messages)
            for m in messages:
                del self.late[m.room, m.sequence]

        async def page(self, room: str, since: int, limit: int) -> list[Message]:
            while any(key[0] == room for key in self.late):
                await asyncio.sleep(0.001)
            return await super().page(room, since, limit)

        async def newest(self, room: str, count: int) -> list[Message]:
            while any(key[0] == room for key in self.late):
                await asyncio.sleep(0.001)
            return await super().newest(room, count)

    parts.store = Behind


def _flushing_every(seconds: float) -> type[MessageStore]:
    class Flushing(_InMemory):
        timer: Any = None

        async def save(self, messages: list[Message]) -> None:
            await super().save(messages)
            if self.timer is None:
                self.timer = asyncio.create_task(self._flush())

        async def _flush(self) -> None:
            while True:
                await asyncio.sleep(seconds)
                late, self._late = self._late, []
                if late:
                    self._commit(late)

        def close(self) -> None:
            if self._late:
                self._commit(self._late)
            super().close()

    return Flushing


@animal("4.3", "lost_after_crash", also="4.4 4.5")
def flushed_every_2_s(parts: Components) -> None:
    """Messages wait in memory for the next flush, every two seconds."""
    parts.store = _flushing_every(2.0)


@animal(
    "4.3",
    "lost_after_crash",
    also="4.4 4.5",
    worlds=("sim",),
    why="in the live world it is caught in about half of the plays",
)
def flushed_every_50_ms(parts: Components) -> None:
    """Messages wait in memory for the next flush, twenty times a second."""
    parts.store = _flushing_every(0.05)


@animal("4.4", "stored_twice")
def retries_are_forgotten_at_a_restart(parts: Components) -> None:
    """Ids are kept in memory only."""

    class Forgetful(MessageStore):
        def __init__(self, data_dir: Path) -> None:
            super().__init__(data_dir)
            self._ids: dict[tuple[str, str, str], Message] = {}

        async def save(self, messages: list[Message]) -> None:
            await super().save(messages)
            self._ids |= {(m.room, m.user, m.id): m for m in messages}

        async def find(self, room: str, user: str, id: str) -> Message | None:
            return self._ids.get((room, user, id))

    parts.store = Forgetful


def _storing(**fields: Any) -> type[MessageStore]:
    class Partly(MessageStore):
        async def save(self, messages: list[Message]) -> None:
            await super().save([msgspec.structs.replace(m, **fields) for m in messages])

    return Partly


@animal("4.4", "changed_after_restart", also="1.4 2.1 2.3 2.4")
def users_are_not_stored(parts: Components) -> None:
    """The user of a message is not stored with it."""
    parts.store = _storing(user="somebody")


@animal("4.4", "changed_after_restart", also="2.4")
def times_lose_their_milliseconds(parts: Components) -> None:
    """Timestamps are stored in whole seconds."""

    class Whole(MessageStore):
        async def save(self, messages: list[Message]) -> None:
            await super().save(
                [msgspec.structs.replace(m, timestamp=m.timestamp // 1000 * 1000) for m in messages]
            )

    parts.store = Whole


@animal("4.4", "split_sequence", also="4.3 4.5")
def rooms_share_files(parts: Components) -> None:
    """A room's file is named by its letters and digits only: `a.b`, `a-b` and `ab` share a file."""

    def file(room: str) -> str:
        return re.sub(r"[^A-Za-z0-9]", "", room).lower()

    class Shared(MessageStore):
        async def save(self, messages: list[Message]) -> None:
            await super().save([msgspec.structs.replace(m, room=file(m.room)) for m in messages])

        async def page(self, room: str, since: int, limit: int) -> list[Message]:
            found = await super().page(file(room), since, limit)
            return [msgspec.structs.replace(m, room=room) for m in found]

        async def newest(self, room: str, count: int) -> list[Message]:
            found = await super().newest(file(room), count)
            return [msgspec.structs.replace(m, room=room) for m in found]

        async def find(self, room: str, user: str, id: str) -> Message | None:
            found = await super().find(file(room), user, id)
            return found and msgspec.structs.replace(found, room=room)

    parts.store = Shared


@animal("4.3", "no_start")
def a_lock_file_is_left(parts: Components) -> None:
    """A lock file prevents the start, even if the server that made it was killed."""

    class Locked(MessageStore):
        def __init__(self, data_dir: Path) -> None:
            super().__init__(data_dir)
            self._lock = Path(data_dir) / "lock"
            if self._lock.exists():
                print("another server runs", file=sys.stderr)
                os._exit(1)
            self._lock.touch()

        def close(self) -> None:
            super().close()
            self._lock.unlink()

    parts.store = Locked
