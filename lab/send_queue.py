"""What waits for one reader, and when the reader is too far behind: a queue without any I/O.

A server writes to a socket; the operating system takes the bytes while its buffer has room, and the client
empties that buffer at its own pace. Where the client is slower than the room talks, something must give:
the room could wait (then one slow reader stalls everybody), or the frames could pile up (then it costs
memory without bound). We let them pile up to a limit, and disconnect whoever is beyond it. That is our
*back-pressure*; a client that was disconnected joins again with `since` and reads what it missed from disk.

A frame passes three places:

    posted     collected by the connection until the tick ends; a tick's frames are written in one call
    waiting    in order, because the transport is full or the tick had too much for one write
    written    given to the asyncio transport, which holds up to TRANSPORT_BUFFER bytes and then says "pause"

From the reader's side the queue has these states:

    state        waiting                     a posted frame                         ends when
    keeps up     nothing                     is written at the end of the tick      the transport is full
    behind       some frames                 waits behind the others                all of it was written
    too far      > MAX_WAITING live bytes    the connection is to be closed (1013)  at once: it is dropped
    closed       nothing: it was dropped     is dropped                             never

Only *live* frames count towards the limit. A replay of old messages is as long as the client asked for, and
the server sends it page by page, each when the last one has been taken. A page may have some megabytes, which
no other member shares; so all pages together have a limit, too (`ReplayMemory`).

Nothing here knows a socket, a clock or an event loop: the connection (`lab.fanout`) asks what to write and
does it. So tests can play any order of events. (The separation is known as *sans-I/O*; the libraries
`h11` and `websockets` are built like that.)
"""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

from lab.protocol import MAX_UNREAD

T = TypeVar("T")

TRANSPORT_BUFFER = 256 * 1024
"""Bytes that the transport may hold before frames wait here; also about what one write may have."""
MAX_WAITING = MAX_UNREAD // 2
"""Live bytes that may wait here. The system's socket buffers hold some megabytes more."""
MAX_REPLAYS = 128 * 1024 * 1024
"""Bytes that the replays of all connections of a server may have waiting."""


class Replay(bytes):
    """A frame with old messages. It does not count towards MAX_WAITING."""


class SendQueue:
    """The frames on their way to one reader. All sizes are in bytes; a frame is one WebSocket frame."""

    # Small: a broadcast looks at thousands of queues.
    __slots__ = ("live_bytes", "released_bytes", "released_frames", "waiting")

    def __init__(self) -> None:
        self.waiting: deque[bytes] = deque()
        self.live_bytes = 0
        """Size of the live frames among those that wait."""
        self.released_bytes = 0
        """Size of all that was ever handed out to be written."""
        self.released_frames = 0
        """How many frames these were."""

    def put(self, frames: list[bytes], is_writable: bool) -> bytes:
        """Add the frames of a tick. Returns them as one piece, to be written now, if the reader keeps up.

        If something waits already, the transport is full (`is_writable` is False), or it is too much for one
        write, the frames join those that wait, and the answer is empty.
        """
        size = sum(map(len, frames))
        if is_writable and not self.waiting and size <= TRANSPORT_BUFFER:
            self.released_bytes += size
            self.released_frames += len(frames)
            return b"".join(frames)
        self.waiting.extend(frames)
        self.live_bytes += sum(map(_live_size, frames))
        return b""

    def take_waiting(self) -> bytes:
        """The next frames that wait, as one piece of about TRANSPORT_BUFFER; empty if nothing waits."""
        frames, size = [], 0
        while self.waiting and size < TRANSPORT_BUFFER:
            frame = self.waiting.popleft()
            frames.append(frame)
            size += len(frame)
            self.live_bytes -= _live_size(frame)
        self.released_bytes += size
        self.released_frames += len(frames)
        return b"".join(frames)

    @property
    def replay_bytes(self) -> int:
        """Size of the frames with old messages among those that wait."""
        return sum(map(len, self.waiting)) - self.live_bytes

    @property
    def is_too_far_behind(self) -> bool:
        """Whether the reader has so much to catch up with that it is to be disconnected."""
        return self.live_bytes > MAX_WAITING

    def drop(self) -> None:
        """Forget everything that waits."""
        self.waiting.clear()
        self.live_bytes = 0


class ReplayMemory(Generic[T]):
    """The replays that wait for their readers, and who has to go if they are too much for our memory."""

    def __init__(self, most: int = MAX_REPLAYS) -> None:
        self._most = most
        self._sizes: dict[T, int] = {}  # the one that has waited longest for its page to be taken comes first

    def enter(self, reader: T, size: int) -> list[T]:
        """`reader` begins to wait with so many bytes; returns those that are to be disconnected for it."""
        self._sizes[reader] = size
        excess = sum(self._sizes.values()) - self._most
        victims = []
        for other in self._sizes:
            if excess <= 0 or other is reader:
                break
            victims.append(other)
            excess -= self._sizes[other]
        return victims

    def leave(self, reader: T) -> None:
        """Its page was taken, or it is gone."""
        self._sizes.pop(reader, None)


def _live_size(frame: bytes) -> int:
    return 0 if isinstance(frame, Replay) else len(frame)
