"""Two protocols with a connection between them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tests.harness.worlds.simulations import LONG


class Recorder(asyncio.Protocol):
    """Keeps what a transport tells it."""

    def __init__(self, keeps_open: bool = False) -> None:
        self.keeps_open = keeps_open
        self.happened: list[str] = []
        self.data = bytearray()
        self.error: Exception | None = None
        self.made, self.ended, self.lost = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.may_write = asyncio.Event()
        self.may_write.set()

    def connection_made(self, transport: Any) -> None:
        """The connection stands."""
        self.transport = transport
        self.happened.append("made")
        self.made.set()

    def data_received(self, data: bytes) -> None:
        """Something has come."""
        self.data += data

    def eof_received(self) -> bool:
        """Nothing more will come."""
        self.happened.append("eof")
        self.ended.set()
        return self.keeps_open

    def connection_lost(self, error: Exception | None) -> None:
        """It is over."""
        self.happened.append("lost")
        self.error = error
        self.lost.set()

    def pause_writing(self) -> None:
        """The other side does not read."""
        self.happened.append("pause")
        self.may_write.clear()

    def resume_writing(self) -> None:
        """It does again."""
        self.happened.append("resume")
        self.may_write.set()


@asynccontextmanager
async def connected(near: Any, far: Any) -> AsyncIterator[None]:
    """A connection between two protocols, which ends with the block."""
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
    """Bytes of which none can be missing unnoticed."""
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
    """Hang up at once."""
    writer.close()
    await writer.wait_closed()
