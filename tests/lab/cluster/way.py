"""A way to a server that can be cut, so that nobody at its ends is told."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Way:
    """Passes bytes on between `port` and another port of this machine. While it is cut, they wait."""

    def __init__(self, to: int) -> None:
        self.port = 0
        self.connections: list[asyncio.Task[None]] = []
        self._to = to
        self._is_open = asyncio.Event()
        self._is_open.set()

    def cut(self) -> None:
        """From now on nothing passes."""
        self._is_open.clear()

    def heal(self) -> None:
        """It does again, and what has waited, too."""
        self._is_open.set()

    def _begin(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections.append(asyncio.create_task(self._serve(reader, writer)))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self._to)
        both = [asyncio.create_task(self._pass_on(*way)) for way in ((reader, back), (there, writer))]
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in both:
                task.cancel()
            await asyncio.gather(*both, return_exceptions=True)
            for end in (writer, back):
                end.transport.abort()
                with contextlib.suppress(ConnectionError):
                    await end.wait_closed()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(1 << 16):
                await self._is_open.wait()
                writer.write(data)
                await writer.drain()


@asynccontextmanager
async def way_to(port: int) -> AsyncIterator[Way]:
    """A way to that port."""
    way = Way(port)
    server = await asyncio.start_server(way._begin, "127.0.0.1", 0)
    way.port = server.sockets[0].getsockname()[1]
    try:
        yield way
    finally:
        server.close()
        for connection in way.connections:
            connection.cancel()
        await asyncio.gather(*way.connections, return_exceptions=True)
