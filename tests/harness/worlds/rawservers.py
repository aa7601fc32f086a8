"""Small servers on raw sockets that answer a handshake, and whatever follows it, as no library would.

A *conduct* is what such a server does with one connection. They are deliberately wrong in one thing each.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

CONT, TEXT, BINARY, CLOSE, PING = 0x0, 0x1, 0x2, 0x8, 0x9
CONNECTED = json.dumps({"type": "connected", "data": {"user": "ada", "clientId": "c1"}})

Conduct = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def listening(
    conduct: Conduct, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None
) -> AsyncIterator[int]:
    """A context with a server that treats each connection so; yields its port."""
    seen: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        seen[task] = writer
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
                await conduct(reader, writer)
        finally:
            writer.close()

    server = await asyncio.start_server(serve, host, 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for writer in seen.values():
            writer.transport.abort()
        await asyncio.gather(*seen)


def frame(
    opcode: int, payload: bytes, *, rsv: int = 0, masked: bool = False, fin: bool = True, size: int = 0
) -> bytes:
    """A frame of RFC 6455, or nearly; `size` is what its head says, if not the length of the payload."""
    first = (0x80 if fin else 0) | rsv << 4 | opcode
    mask = 0x80 if masked else 0
    size = size or len(payload)
    if size < 126:
        head = bytes([first, mask | size])
    elif size < 65536:
        head = struct.pack("!BBH", first, mask | 126, size)
    else:
        head = struct.pack("!BBQ", first, mask | 127, size)
    return head + (bytes(4) if masked else b"") + payload  # a mask of zeros changes nothing


def text(words: str) -> bytes:
    """A right text frame."""
    return frame(TEXT, words.encode())


def accept_key(request: bytes) -> str:
    """What `Sec-WebSocket-Accept` has to be."""
    (key,) = [line.split(b":")[1].strip() for line in request.split(b"\r\n") if b"-WebSocket-Key:" in line]
    return base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()).decode()


def answers(raw: bytes) -> Conduct:
    """Answers the request by these bytes, and closes the connection. `{accept}` is what belongs there."""

    async def conduct(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        writer.write(raw.replace(b"{accept}", accept_key(request).encode()))
        await writer.drain()

    return conduct


def status(line: str, *headers: str, body: str = "no", version: str = "1.1") -> Conduct:
    """Answers by plain HTTP."""
    lines = [f"HTTP/{version} {line}", *headers, f"Content-Length: {len(body)}", "", body]
    return answers("\r\n".join(lines).encode())


def upgrade(*headers: str) -> Conduct:
    """Answers 101, with these headers alone."""
    return answers("\r\n".join(["HTTP/1.1 101 Switching Protocols", *headers, "", ""]).encode())


RIGHT = ("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Accept: {accept}")


def sends(*first: bytes, on_frame: bytes = b"", holds: bool = True) -> Conduct:
    """Answers the handshake rightly, and sends this: at once, and when the client has sent something.

    Then it waits for the end of the connection if it `holds` it, and else ends it.
    """

    async def conduct(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await upgrade(*RIGHT)(reader, writer)
        for each in first:
            writer.write(each)
        await writer.drain()
        if on_frame:
            await reader.read(2)
            writer.write(on_frame)
            await writer.drain()
        while holds and await reader.read(65536):
            pass

    return conduct


async def hangs_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Closes the connection without an answer."""
    await reader.readuntil(b"\r\n\r\n")


async def resets(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Drops the connection with the request unread."""
    writer.transport.abort()


async def never_answers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Reads, and answers nothing."""
    while await reader.read(65536):
        pass
