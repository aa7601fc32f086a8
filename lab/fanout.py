"""Fan-out: one message to the many connections of a room, with few system calls and without waiting.

A message for a room of a thousand is a thousand sends, and what a send costs is the call into the operating
system. Three things keep that small, a class for each:

- `FrameCache`: a frame is turned into bytes once, and not for each member;
- `Tick`: what a connection is sent within one tick of the event loop goes out in one write;
- `Connection`: nobody waits for a slow reader. What its transport does not take waits in a `SendQueue`
  (`lab.send_queue` tells when it is written, and when the reader is disconnected).

The way of a frame:

1. `Session.send` has the frame's bytes from the cache and calls `Connection.post`.
2. `post` collects them. The first post of a tick registers the connection with the tick.
3. When the callbacks of this turn of the event loop are done, the tick calls `flush` on each connection
   that is registered. That puts all its frames into the queue, which mostly hands them back at once as one
   piece, and writes that piece in one call.
4. When a full transport has room again, asyncio calls `resume_writing`, which writes what waits.

This goes past the `send` method of the websockets library, which builds each frame anew for each connection.
It may do so because nothing here is compressed or fragmented, because the connection's state is looked at
before each write, and because nothing is written while the library has a send of its own under way.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Callable
from typing import Any

from websockets.asyncio.server import ServerConnection
from websockets.frames import CloseCode, Frame, Opcode
from websockets.protocol import Event, State

from lab.intake import Intake, Turns
from lab.limits import TokenBucket
from lab.protocol import ServerFrame, encode
from lab.send_queue import MAX_WAITING, ReplayMemory, SendQueue

log = logging.getLogger("lab.fanout")

READ_AT_ONCE = 64 * 1024
"""Bytes that one read has room for. For asyncio's own 256 KiB, glibc asks the system for memory each time."""
GATHER = 0.5
"""For how long to gather frames after a tick, as a share of the time that its writes took."""
CLOSE_SECONDS = 5.0
"""How long a client that is disconnected may take to answer the close frame."""


class FrameCache:
    """The last frame that was sent, and its bytes: a broadcast sends one frame a thousand times.

    The sender compares its frame with `frame` by identity, which costs less than a call, and calls `encode`
    if it is another one. Then `wire` is what to send.
    """

    def __init__(self) -> None:
        self.frame: ServerFrame | None = None
        self.wire = b""

    def encode(self, frame: ServerFrame) -> None:
        """Make `frame` the last one."""
        self.frame, self.wire = frame, to_wire(frame)


def to_wire(frame: ServerFrame) -> bytes:
    """The frame as one WebSocket text frame, header included."""
    return Frame(Opcode.TEXT, encode(frame)).serialize(mask=False)


def _nothing() -> None:
    """What is called where nobody wants to know."""


class Tick:
    """Flushes each connection that something was posted to, once, at the end of the event loop's turn.

    The number of writes is what costs. So when writing took time, because many connections were due, the next
    flush is put off for half of that time, and more frames share a write. In a small room, or after a pause,
    the delay is over before the next frame comes: a lone message never waits.
    """

    def __init__(self) -> None:
        self._due: list[Connection] = []
        self._flush: asyncio.Handle | None = None  # the call that is to come
        self._not_before = 0.0  # seconds on the loop's clock

    def add(self, connection: Connection) -> None:
        """Have `connection` flushed soon."""
        if not self._due:
            loop = connection.loop
            if loop.time() < self._not_before:
                self._flush = loop.call_at(self._not_before, self.flush)
            else:
                self._flush = loop.call_soon(self.flush)
        self._due.append(connection)

    def flush(self) -> None:
        """Flush all that are registered, now."""
        if not self._due:
            return
        if self._flush:
            self._flush.cancel()
        due, self._due = self._due, []
        loop = due[0].loop
        began = loop.time()
        for connection in reversed(due):  # who has just joined, and waits for the answer, is first
            try:
                connection.flush()
            except Exception:  # what is wrong with one connection must not concern the others
                log.exception("could not write to %s", connection.remote_address)
                connection.transport.abort()
        ended = loop.time()
        self._not_before = ended + GATHER * (ended - began)


class Connection(ServerConnection):
    """A WebSocket connection that owns a `SendQueue`, moves its bytes, and notices every sign of life."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.on_sign_of_life: Callable[[], object] = _nothing
        """Called whenever bytes arrive."""
        self.patience = 60.0
        """Seconds that `drained` waits for a reader that takes nothing at all."""
        self.on_made: Callable[[], object] = _nothing
        """Called when it has begun."""
        self.on_lost: Callable[[], object] = _nothing
        """Called when the connection is gone."""
        self.tick = Tick()
        """Calls our `flush`; a server has all its connections share one."""
        self.turns = Turns()
        """Says when to read what has arrived; likewise."""
        self.replays: ReplayMemory[Connection] = ReplayMemory()
        """What waits for slow readers; likewise."""
        self.budget = TokenBucket(1e9, 1e9, 0.0)
        """What may be done for the client."""
        self.disconnects: Counter[int] = Counter()
        """How often the server has ended a connection, by the code; all of them share it."""
        self.intake: Intake  # made in connection_made
        self.queue = SendQueue()
        self._posted: list[bytes] = []  # frames of this tick, before they are put into the queue
        self._drained = asyncio.Event()  # set while nothing waits in the queue
        self._drained.set()
        self._is_awaiting_reader = False
        self._marked_bytes = 0  # of `_sent_bytes`, at the last `mark_progress`
        self._frames = 0  # that were read
        self._received_bytes = 0
        self._disconnecting: asyncio.Task[None] | None = None

    # Sending.

    def post(self, wire: bytes) -> None:
        """Send one WebSocket frame, soon. Returns at once; on a closed connection the frame is dropped."""
        if not self._posted:
            self.tick.add(self)
        self._posted.append(wire)

    def flush(self) -> None:
        """Write what was posted, in one call if the transport takes it; otherwise it waits.

        If too much waits then, the client is disconnected.
        """
        posted, self._posted = self._posted, []
        if self._disconnecting or self.state is not State.OPEN:
            self._drop_queue()
        elif piece := self.queue.put(posted, not self.paused and self.send_in_progress is None):
            self.transport.write(piece)  # otherwise the queue has kept all of it
        elif self.queue.waiting:
            self._write_waiting()
            if self.queue.is_too_far_behind:
                self.disconnect(CloseCode.TRY_AGAIN_LATER, "you read too slowly: come back with `since`")

    def _write_waiting(self) -> None:
        """Give the transport what waits, piece by piece, until it is full."""
        self._drained.clear()
        while self.queue.waiting and not self.paused and self.send_in_progress is None:
            self.transport.write(self.queue.take_waiting())
        if not self.queue.waiting:
            self._note_drained()

    def _drop_queue(self) -> None:
        self._posted.clear()
        self.queue.drop()
        self._note_drained()

    def _note_drained(self) -> None:
        self.replays.leave(self)
        self._drained.set()

    async def drained(self) -> None:
        """Wait until all that was posted is written, or the connection is gone.

        A reader that takes nothing for `patience` seconds is disconnected.
        """
        self.flush()
        if self._drained.is_set():
            return
        self._is_awaiting_reader = True
        for other in self.replays.enter(self, self.queue.replay_bytes):
            other.disconnect(CloseCode.TRY_AGAIN_LATER, "too many replays wait: come back with `since`")
        while not self._drained.is_set():
            before = self._sent_bytes
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.patience):
                    await self._drained.wait()
            if not self._drained.is_set() and self._sent_bytes == before:
                self.disconnect(CloseCode.TRY_AGAIN_LATER, "you do not read: come back with `since`")
        self._is_awaiting_reader = False

    # Closing.

    async def flush_and_close(self, code: int, reason: str) -> None:
        """Send what was posted, then close the connection. Waits for the closing handshake."""
        self.flush()
        await self.close(code, reason)

    def disconnect(self, code: int, reason: str) -> None:
        """Drop what waits and close the connection, by force if that takes longer than CLOSE_SECONDS.

        Returns at once. A second call changes nothing.
        """
        self._drop_queue()
        if self._disconnecting is None:
            self.disconnects[code] += 1
            self._disconnecting = asyncio.create_task(self._close_or_abort(code, reason))

    async def _close_or_abort(self, code: int, reason: str) -> None:
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await self.close(code, reason)
        except TimeoutError:
            self.transport.abort()

    # Whether something was sent that we have not read.

    @property
    def has_unread(self) -> bool:
        """Whether the next frame is here already."""
        return len(self.recv_messages.frames) > 0

    def is_left_unread(self) -> bool:
        """Whether the client may have sent something since the last `mark_progress` that we have not read.

        Nothing is read from a socket while `intake` has something left. Then either the session is busy, or
        it is not the client's turn: it may have gone on sending. Or the session waits until the client has
        taken its replay: then taking some is the client's sign of life, and if it took nothing, it is silent.
        """
        took_nothing = self._is_awaiting_reader and self._sent_bytes == self._marked_bytes
        return self.intake.is_waiting and not took_nothing

    def mark_progress(self) -> None:
        """Remember how much the client has taken by now: `is_left_unread` compares with it."""
        self._marked_bytes = self._sent_bytes

    @property
    def _sent_bytes(self) -> int:
        """Bytes given to the operating system. What the client itself has read, nobody tells us.

        The system takes more when the client has read some, in steps of its socket buffers.
        """
        return self.queue.released_bytes - self.transport.get_write_buffer_size()

    def traffic(self) -> list[int]:
        """Frames and bytes that were written, then frames and bytes that were read."""
        read = max(self._frames - 1, 0)  # without the HTTP request
        return [self.queue.released_frames, self.queue.released_bytes, read, self._received_bytes]

    # What the transport calls, and what the library does with what it reads.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has connected; it has sent nothing yet."""
        super().connection_made(transport)
        if hasattr(transport, "max_size"):  # of asyncio's own transports; others have ways of their own
            transport.max_size = READ_AT_ONCE
        self.intake = Intake(self.turns, self.transport, self._read, self.budget, self._close_flood)
        self.intake.is_new = True
        # The library's queue of unread frames is to hold up the intake, and not the transport itself.
        self.recv_messages.pause, self.recv_messages.resume = self.intake.hold, self.intake.release
        self.on_made()

    def data_received(self, data: bytes) -> None:
        """Bytes have arrived. Any byte is a sign of life: pings, pongs and bad frames too."""
        self._received_bytes += len(data)
        self.on_sign_of_life()
        self.intake.arrived(data)

    def _read(self, data: bytes) -> int:
        """Have the library read a slice of what arrived; returns how many frames ended in it."""
        before = self._frames
        super().data_received(data)
        # The library answers pings straight into the transport. Who pings and never reads is cut off, too.
        if self.transport.get_write_buffer_size() > MAX_WAITING:
            self.transport.abort()
        return self._frames - before

    def process_event(self, event: Event) -> None:
        """The library has read a frame, or the HTTP request before all frames."""
        self._frames += 1
        super().process_event(event)

    def send_data(self) -> None:
        """Write what the library has to send, such as pongs, in one call."""
        waiting = self.protocol.writes  # the library's own list; an empty piece stands for the end
        if len(waiting) > 1 and b"" not in waiting:
            waiting[:] = [b"".join(waiting)]
        if waiting:
            super().send_data()

    def _close_flood(self) -> None:
        self.disconnect(CloseCode.POLICY_VIOLATION, "you send far more than this server takes")

    def resume_writing(self) -> None:
        """The transport has room again."""
        super().resume_writing()
        if self.state is State.OPEN:
            self._write_waiting()
        else:
            self._drop_queue()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone. Whoever waits in `drained` must not wait for ever."""
        self.intake.end()
        super().connection_lost(exc)
        self._drop_queue()
        self.on_lost()
        self._let_go()

    def _let_go(self) -> None:
        """Undo what makes cycles, so that all of it is freed as soon as nobody needs it.

        What refers to itself is freed by the garbage collector alone, which stops everybody: for 300 ms at a
        time, while somebody opened and cut four thousand connections a second.
        """
        self.on_sign_of_life = self.on_made = self.on_lost = _nothing
        self.protocol.parser.close()
        failed = self.protocol.handshake_exc
        for error in (failed, failed and failed.__cause__, self.protocol.parser_exc):
            if error:  # its traceback leads to the library's objects, which keep the error
                error.__traceback__ = None
