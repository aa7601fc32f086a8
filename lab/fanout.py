"""Bytes to many sockets: a frame is made once, a tick's frames go out in one write, nobody waits.

What sending costs is the call into the operating system, so a connection gathers what a tick has for it and
writes it at once. This goes past the `send` of the websockets library, which would make each frame anew for
each connection; it may do so because nothing here is compressed or fragmented, and because the state is
looked at before each write.

Back-pressure is ours then. The transport is given frames while it takes them; the rest waits here, up to
a cap. Whoever is further behind than that is told to go (1013) and comes back with `since`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
from collections import deque
from collections.abc import Callable
from typing import Any

from websockets.asyncio.server import ServerConnection
from websockets.frames import CloseCode, Frame, Opcode
from websockets.protocol import State

from lab.protocol import MAX_UNREAD, ServerFrame, encode

log = logging.getLogger("lab.fanout")

TRANSPORT_BUFFER = 256 * 1024
"""Bytes that the transport may hold before frames wait in our own queue."""
MAX_WAITING = MAX_UNREAD // 2
"""Bytes that may wait in our queue. The system's socket buffers hold some megabytes more."""
READ_AT_ONCE = 64 * 1024
"""Bytes that a read has room for. For asyncio's own 256 KiB, glibc gets memory from the system each time."""
GATHER = 0.5
"""For how long to gather after a tick, as a share of the time that it took."""
GOODBYE_SECONDS = 5.0
"""How long a connection that is told to go may take to read that."""


class FrameCache:
    """Remembers the last frame's bytes: a broadcast asks for the same frame a thousand times."""

    def __init__(self) -> None:
        self.last: ServerFrame | None = None
        self.last_wire = b""

    def wire(self, frame: ServerFrame) -> bytes:
        """The frame as a WebSocket text frame, header and all."""
        if frame is not self.last:
            self.last_wire = Frame(Opcode.TEXT, encode(frame)).serialize(mask=False)
            self.last = frame
        return self.last_wire


class Replay(bytes):
    """A frame that is not live: for it, the reader has all the time that it takes."""


def _live_size(wire: bytes) -> int:
    """The bytes of a frame that count against a reader who is behind."""
    return 0 if isinstance(wire, Replay) else len(wire)


class Tick:
    """Writes to all connections that something was posted to, in one go for each.

    What costs is the number of writes, so when many have just been made, what comes next is gathered for half
    of the time that they took. In a small room, or after a pause, that is nothing: a lone message never
    waits.
    """

    def __init__(self) -> None:
        self._due: list[Connection] = []
        self._not_before = 0.0

    def add(self, connection: Connection) -> None:
        """Have `connection` flushed soon."""
        if not self._due:
            loop = connection.loop
            if loop.time() < self._not_before:
                loop.call_at(self._not_before, self._flush, loop)
            else:
                loop.call_soon(self._flush, loop)
        self._due.append(connection)

    def _flush(self, loop: asyncio.AbstractEventLoop) -> None:
        due, self._due = self._due, []
        began = loop.time()
        for connection in due:
            try:
                connection.flush()
            except Exception:  # what is wrong with one connection must not concern the others
                log.exception("could not write to %s", connection.remote_address)
                connection.transport.abort()
        ended = loop.time()
        self._not_before = ended + GATHER * (ended - began)


class Connection(ServerConnection):
    """A WebSocket connection with a queue of its own, which notices every sign of life."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.on_life: Callable[[], object] = lambda: None
        self.patience = 60.0
        """Seconds for which a replay waits for a reader that takes nothing of it."""
        self.tick = Tick()
        """What it is written to with; a server has all its connections share one."""
        self.most = sys.maxsize
        """Connections of its server beyond which it is cut off before it has said anything."""
        self._posted: list[bytes] = []  # since the last tick
        self._waiting: deque[bytes] = deque()  # what the transport would not take yet
        self._live_bytes = 0  # of what waits, without replays
        self._written_bytes = 0
        self._awaits_reader = False
        self._read_at_last_look = 0
        self._drained = asyncio.Event()
        self._drained.set()
        self._leaving: asyncio.Task[None] | None = None

    def post(self, wire: bytes) -> None:
        """Queue one WebSocket frame. Returns at once; what is posted to a closed connection is dropped."""
        if not self._posted:
            self.tick.add(self)
        self._posted.append(wire)

    def flush(self) -> None:
        """Write what was posted, in one go where the transport takes it; the rest waits."""
        posted, self._posted = self._posted, []
        if self._leaving or self.state is not State.OPEN:
            self._forget_waiting()
        elif self._waiting or self.paused or self.send_in_progress is not None:
            self._wait_with(posted)
        elif posted:
            size = sum(map(len, posted))
            if size > TRANSPORT_BUFFER:
                self._wait_with(posted)
            else:
                self._written_bytes += size
                self.transport.write(b"".join(posted))

    def _wait_with(self, posted: list[bytes]) -> None:
        self._waiting.extend(posted)
        self._live_bytes += sum(map(_live_size, posted))
        self._drained.clear()
        self._write_on()  # perhaps it is only that nobody had the time to write
        if self._live_bytes > MAX_WAITING:
            self.dismiss(CloseCode.TRY_AGAIN_LATER, "you read too slowly: come back with `since`")

    async def drained(self) -> None:
        """Wait until the queue is empty, or the connection is gone. A reader that stops altogether is."""
        self.flush()
        self._awaits_reader = True
        while not self._drained.is_set():
            before = self._read_bytes
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.patience):
                    await self._drained.wait()
            if not self._drained.is_set() and self._read_bytes == before:
                self.dismiss(CloseCode.TRY_AGAIN_LATER, "you do not read: come back with `since`")
        self._awaits_reader = False

    @property
    def _read_bytes(self) -> int:
        """What has left our hands; the system's buffers tell us of the reader only in large steps."""
        return self._written_bytes - self.transport.get_write_buffer_size()

    async def finish(self, code: int, reason: str) -> None:
        """Close the connection after what was posted."""
        self.flush()
        await self.close(code, reason)

    def dismiss(self, code: int, reason: str) -> None:
        """Drop what waits and close the connection, by force if it does not answer soon."""
        self._forget_waiting()
        if self._leaving is None:
            self._leaving = asyncio.create_task(self._leave(code, reason))

    async def _leave(self, code: int, reason: str) -> None:
        try:
            async with asyncio.timeout(GOODBYE_SECONDS):
                await self.close(code, reason)
        except TimeoutError:
            self.transport.abort()

    def _write_on(self) -> None:
        """Give the transport what waits, while it takes it."""
        while self._waiting and not self.paused and self.send_in_progress is None:
            wire = self._take()
            self._written_bytes += len(wire)
            self.transport.write(wire)
        if not self._waiting:
            self._drained.set()

    def _take(self) -> bytes:
        """As many frames as the transport should have at once, one at the least."""
        taken, size = [], 0
        while self._waiting and size < TRANSPORT_BUFFER:
            wire = self._waiting.popleft()
            taken.append(wire)
            size += len(wire)
            self._live_bytes -= _live_size(wire)
        return b"".join(taken)

    def _forget_waiting(self) -> None:
        self._posted.clear()
        self._waiting.clear()
        self._live_bytes = 0
        self._drained.set()

    # What the transport tells us.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Somebody is there."""
        super().connection_made(transport)
        if hasattr(transport, "max_size"):  # of asyncio's own transports; others have ways of their own
            transport.max_size = READ_AT_ONCE
        if len(self.server.handler_tasks) > self.most:
            self.transport.abort()

    def data_received(self, data: bytes) -> None:
        """Any byte at all is a sign of life: pings, pongs and bad frames too."""
        self.on_life()
        super().data_received(data)
        # Pongs go past our queue. Who pings and never reads is not waited for either.
        if self.transport.get_write_buffer_size() > MAX_WAITING:
            self.transport.abort()

    def resume_writing(self) -> None:
        """The transport has room again."""
        super().resume_writing()
        if self.state is State.OPEN:
            self._write_on()
        else:
            self._forget_waiting()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone; whoever waits for its reader must not wait for ever."""
        super().connection_lost(exc)
        self._forget_waiting()

    def silence_is_ours(self) -> bool:
        """Whether the client may have spoken since the last look and we have left that unread.

        We stop reading while much is unread: because we are busy, or because the client has a replay to
        take first. Then it is for the client to go on, and taking some of it is its sign of life.
        """
        before, self._read_at_last_look = self._read_at_last_look, self._read_bytes
        if self._awaits_reader and self._read_bytes == before:
            return False
        return self.recv_messages.paused
