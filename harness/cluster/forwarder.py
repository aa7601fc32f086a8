"""A way to a port of this machine that can be cut and healed, without rights and on every system.

While it is cut, bytes wait and no connection breaks, as with a switch that lost its power: whoever is behind
it finds out by its own time-outs alone. What it does not show: new connections are accepted by us, and then
nothing comes, where a real network would not answer at all.
"""

from __future__ import annotations

import asyncio
import contextlib

HOST = "127.0.0.1"
_MOST_WAITING = 1 << 20
"""Bytes that wait for one end before the other is not read any more."""


class Forwarder:
    """Listens on a port of loopback (0: a free one), and passes on all that comes, to the port `target`."""

    def __init__(self, target: int, port: int = 0) -> None:
        self.target = target
        self.port = port
        self.is_cut = False
        self.passed = 0
        """Bytes that were passed on, in both directions."""
        self._server: asyncio.Server | None = None
        self._ends: set[_End] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Listen; `port` says where."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _End(self), HOST, self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    def cut(self) -> None:
        """Let nothing through."""
        self.is_cut = True
        for end in self._ends:
            end.obey()

    def heal(self) -> None:
        """Let all through, what has waited first."""
        self.is_cut = False
        for end in self._ends:
            end.obey()

    def close(self) -> None:
        """Listen no more, and break all connections."""
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        for end in list(self._ends):
            end.transport.abort()

    # --- for its connections ----------------------------------------------------------------------

    def opened(self, end: _End) -> None:
        """A connection was accepted, or made: an accepted one gets its other end."""
        self._ends.add(end)
        end.obey()
        if end.other is None:
            task = asyncio.get_running_loop().create_task(self._connect(end), name="forwarder")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def closed(self, end: _End) -> None:
        """A connection has ended."""
        self._ends.discard(end)

    async def _connect(self, end: _End) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.create_connection(lambda: _End(self, end), HOST, self.target)
        except OSError:
            end.transport.abort()  # nobody listens there


class _End(asyncio.Protocol):
    """One of the two connections between which bytes are passed on."""

    transport: asyncio.Transport

    def __init__(self, way: Forwarder, other: _End | None = None) -> None:
        self._way = way
        self.other = other
        self._is_full = False
        self._has_ended = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.set_write_buffer_limits(_MOST_WAITING)
        if self.other is not None:
            if self.other.transport.is_closing():
                transport.abort()
            self.other.other = self
        self._way.opened(self)
        if self.other is not None:
            self.other.obey()

    def obey(self) -> None:
        """Read, unless the way is cut, or there is no other end to write to yet."""
        may_read = not self._way.is_cut and self.other is not None and not self.other._is_full
        with contextlib.suppress(RuntimeError):  # it is closing
            if may_read and not self.transport.is_reading():
                self.transport.resume_reading()
            elif not may_read and self.transport.is_reading():
                self.transport.pause_reading()

    def data_received(self, data: bytes) -> None:
        assert self.other is not None, "nothing is read before"
        self._way.passed += len(data)
        self.other.transport.write(data)

    def eof_received(self) -> bool:
        """One side has said all that it has to say: the other may still answer."""
        assert self.other is not None, "nothing is read before"
        self._has_ended = True
        if self.other._has_ended:
            self.other.transport.close()
            return False
        self.other.transport.write_eof()
        return True

    def pause_writing(self) -> None:
        self._is_full = True
        if self.other is not None:
            self.other.obey()

    def resume_writing(self) -> None:
        self._is_full = False
        if self.other is not None:
            self.other.obey()

    def connection_lost(self, exc: Exception | None) -> None:
        self._way.closed(self)
        if self.other is not None:
            if exc is None:
                self.other.transport.close()
            else:
                self.other.transport.abort()
