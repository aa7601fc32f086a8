"""A WebSocket client on a bare stream: as fast as possible, and free to break the protocol."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from typing import Any
from urllib.parse import quote

import msgspec

Json = dict[str, Any]

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
FIN = 0x80
PATIENCE = 30.0
"""Seconds after which what should have come by now never will, on a machine that is held up too."""
HANDSHAKE = (
    "GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
_RESET = struct.pack("ii", 1, 0)


class Gone(Exception):  # noqa: N818 - it says what is the case, which is not always an error
    """The server ended the connection: `code` is that of its close frame, 0 without one."""

    def __init__(self, code: int) -> None:
        super().__init__(f"the server ended the connection with {code or 'no close frame'}")
        self.code = code


def handshake(user: str | None = None) -> bytes:
    """A valid request for a WebSocket."""
    return HANDSHAKE.format(path="/" if user is None else f"/?user={quote(user)}").encode()


def wire(opcode: int, payload: bytes, *, fin: bool = True, mask: bytes = bytes(4)) -> bytes:
    """A masked WebSocket frame of any length."""
    size = len(payload)
    head = bytes([(FIN if fin else 0) | opcode])
    if size < 126:
        head += bytes([0x80 | size])
    elif size < 1 << 16:
        head += struct.pack(">BH", 0xFE, size)
    else:
        head += struct.pack(">BQ", 0xFF, size)
    return head + mask + (payload if mask == bytes(4) else masked(payload, mask))


def masked(payload: bytes, mask: bytes) -> bytes:
    """The payload under a mask of four bytes."""
    size = len(payload)
    key = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(key, "big")).to_bytes(size, "big")


def asking(kind: str, **fields: Any) -> bytes:
    """A client's frame of that `type`, encoded for the wire."""
    return wire(TEXT, json.dumps({"type": kind, **fields}).encode())


def take_frames(data: bytearray) -> list[tuple[int, bytes]]:
    """Take the complete frames of a server, opcode and payload, off the beginning of `data`."""
    found, at, have = [], 0, len(data)
    while at + 2 <= have:
        start, size = at + 2, data[at + 1]
        if size == 126:
            start, size = at + 4, int.from_bytes(data[at + 2 : at + 4], "big")
        elif size == 127:
            start, size = at + 10, int.from_bytes(data[at + 2 : at + 10], "big")
        if start + size > have:
            break
        found.append((data[at] & 0x0F, bytes(data[start : start + size])))
        at = start + size
    del data[:at]
    return found


def reset(sock: socket.socket) -> None:
    """Close a socket so that the other side gets a reset, and nothing lingers."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    sock.close()


class Link:
    """An open WebSocket connection. Pings are answered; the greeting is read by `open`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._data = bytearray()
        self._texts: list[Json] = []
        self._code = 0
        self._fences = 0
        self.user = ""

    @classmethod
    async def open(cls, port: int, user: str | None = None, receive_buffer: int = 0) -> Link:
        """Connect and read the greeting. `receive_buffer` in bytes; 0 is the system's.
        Raises OSError, Gone.
        """
        sock = socket.socket()
        sock.setblocking(False)
        if receive_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        try:
            await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
            # A small limit makes asyncio stop reading when we do not read, so that the server notices.
            reader, writer = await asyncio.open_connection(sock=sock, limit=16 * 1024)
        except BaseException:
            sock.close()
            raise
        link = cls(reader, writer)
        try:
            writer.write(handshake(user))
            async with asyncio.timeout(PATIENCE):
                head = await reader.readuntil(b"\r\n\r\n")
            assert b" 101 " in head.partition(b"\r\n")[0], head
            greeting = await link.next()
            assert greeting["type"] == "connected", greeting
            link.user = greeting["data"]["user"]
        except asyncio.IncompleteReadError:
            link.abort()
            raise Gone(0) from None
        except BaseException:
            link.abort()
            raise
        return link

    def write(self, data: bytes) -> None:
        """Write bytes, without waiting."""
        self._writer.write(data)

    async def flush(self) -> None:
        """Wait until most of what was written has been sent. Raises ConnectionError."""
        async with asyncio.timeout(PATIENCE):
            await self._writer.drain()

    def ask(self, kind: str, **fields: Any) -> None:
        """Send a frame of that `type`."""
        self.write(asking(kind, **fields))

    def say(self, room: str, content: str, id: str | None = None) -> None:
        """Send a chat message."""
        self.ask("message", data={"room": room, "content": content, "id": id})

    async def next(self) -> Json:
        """The next frame, heartbeats too. Raises Gone at the end, and TimeoutError."""
        while not self._texts:
            if self._code:
                raise Gone(self._code)
            self._texts = (await self.some())[::-1]
        return self._texts.pop()

    async def some(self) -> list[Json]:
        """The frames that have come, at least one. Raises Gone at the end, and TimeoutError."""
        texts: list[Json] = []
        while not texts and not self._code:
            try:
                async with asyncio.timeout(PATIENCE):
                    part = await self._reader.read(1 << 16)
            except ConnectionError:
                part = b""
            if not part:
                raise Gone(self._code)
            self._data += part
            for opcode, payload in take_frames(self._data):
                if opcode == TEXT:
                    texts.append(msgspec.json.decode(payload))
                elif opcode == PING:
                    self.write(wire(PONG, payload))
                elif opcode == CLOSE:
                    self._code = int.from_bytes(payload[:2], "big")
        if not texts:
            raise Gone(self._code)
        return texts

    async def settle(self) -> list[Json]:
        """The frames, except heartbeats, until the server has processed everything we sent. Raises Gone."""
        self._fences += 1
        fence = f"settled-{self._fences}"  # a room that nobody is in
        self.ask("presence", room=fence)
        came: list[Json] = []
        while (frame := await self.next()).get("data", {}).get("room") != fence:
            if frame["type"] != "heartbeat":
                came.append(frame)
        return came

    async def history(self, room: str, since: int = 0) -> list[Json]:
        """All messages of a room after the number `since`, page by page. Raises Gone, AssertionError."""
        found: list[Json] = []
        while True:
            self.ask("history", room=room, since=found[-1]["sequence"] if found else since)
            while (frame := await self.next())["type"] != "history" or frame["data"]["room"] != room:
                pass
            page = frame["data"]
            found += page["messages"]
            if not page["more"]:
                last = found[-1]["sequence"] if found else since
                assert page["last"] <= last, f"{room} ends at {page['last']}, and its pages at {last}"
                return found
            assert page["messages"], f"an empty page of {room} after {since}, and more is to come"

    async def close(self) -> None:
        """Close normally, and wait until the server ends the connection."""
        self.write(wire(CLOSE, (1000).to_bytes(2, "big")))
        try:
            while True:
                await self.some()
        except (Gone, TimeoutError):
            self.abort()

    def abort(self) -> None:
        """Cut the connection: the server gets a reset."""
        sock = self._writer.get_extra_info("socket")
        if sock is not None and sock.fileno() >= 0:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._writer.transport.abort()
