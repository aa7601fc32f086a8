"""Two protocols with a connection between them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tests.harness.worlds.simulations import LONG


class Recorder(asyncio.Protocol):
    """Records the calls that its transport makes."""

    def __init__(self, keeps_open: bool = False) -> None:
        self.keeps_open = keeps_open
        self.happened: list[str] = []
        self.data = bytearray()
        self.error: Exception | None = None
        self.made, self.ended, self.lost = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.may_write = asyncio.Event()
        self.may_write.set()

    def connection_made(self, transport: Any) -> None:
        """The connection is open."""
        self.transport = transport
        self.happened.append("made")
        self.made.set()

    def data_received(self, data: bytes) -> None:
        """Data has arrived."""
        self.data += data

    def eof_received(self) -> bool:
        """The other side has sent its end of file."""
        self.happened.append("eof")
        self.ended.set()
        return self.keeps_open

    def connection_lost(self, error: Exception | None) -> None:
        """The connection is closed."""
        self.happened.append("lost")
        self.error = error
        self.lost.set()

    def pause_writing(self) -> None:
        """The write buffer is full, since the other side does not read."""
        self.happened.append("pause")
        self.may_write.clear()

    def resume_writing(self) -> None:
        """The write buffer has room again."""
        self.happened.append("resume")
        self.may_write.set()


@asynccontextmanager
async def connected(near: Any, far: Any) -> AsyncIterator[None]:
    """Open a connection between two protocols, and close it at the end of the block."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: far, "127.0.0.1", 0)
    try:
        await loop.create_connection(lambda: near, "127.0.0.1", port_of(server))
        async with asyncio.timeout(LONG):
            await far.made.wait()
            yield
            for each in (near, far):
                if not each.lost.is_set():
                    each.transport.abort()
                await each.lost.wait()
    finally:
        server.close()
        await server.wait_closed()


def port_of(server: Any) -> int:
    """The port that a server listens on."""
    return int(server.sockets[0].getsockname()[1])


def pattern(size: int) -> bytes:
    """Bytes in which a missing part is always noticed."""
    return b"".join(number.to_bytes(4, "big") for number in range(size // 4))


async def filled(sender: Recorder, chunk: bytes) -> int:
    """Write until the transport asks to pause; returns the bytes written."""
    written = 0
    while sender.may_write.is_set():
        sender.transport.write(chunk)
        written += len(chunk)
        assert written < 64 * 2**20
        await asyncio.sleep(0)
    return written


async def answer_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Close the connection at once."""
    writer.close()
    await writer.wait_closed()
