"""What the tests of `lab/` share: simple clients, one that does not read, and a clock that the test sets."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from hypothesis import settings
from websockets.asyncio.client import ClientConnection, connect

from lab.hub import Components, Config
from lab.protocol import SYSTEM, Message
from lab.server import ChatServer
from lab.store import MessageStore

Json = dict[str, Any]

PATIENCE = 10.0
"""Seconds after which what should have come by now never will."""
PROPERTY = settings(derandomize=True, database=None, deadline=None)
"""The same examples each time, and nothing left on disk."""


def message(sequence: int, room: str = "r", user: str = "ada", **more: Any) -> Message:
    """A stored message; what is not given is made from its number."""
    fields: Json = {"id": f"id-{sequence}", "content": f"no. {sequence}", "timestamp": 1000 + sequence}
    return Message(room=room, user=user, sequence=sequence, **{**fields, **more})


async def fill(folder: Path, messages: Iterable[Message]) -> None:
    """Put messages into a folder in which no server runs."""
    store = MessageStore(folder)
    try:
        await store.save(list(messages))
    finally:
        store.close()


async def eventually(what: Callable[[], object], seconds: float = PATIENCE) -> None:
    """Wait until `what` holds; fail if it does not within `seconds`."""
    async with asyncio.timeout(seconds):
        while not what():
            await asyncio.sleep(0.002)


class ClockedServer(ChatServer):
    """A chat server with a clock that the test sets, and sweeps for silent clients only when a test asks."""

    clock = 1_000_000.0

    async def __aenter__(self) -> ClockedServer:
        await super().__aenter__()
        return self

    def now(self) -> float:
        """What the test set."""
        return self.clock

    async def look_after(self, seconds: float) -> None:
        """Let time pass, and then look for silent clients: the regular sweep,
        at a time that the test chooses.
        """
        self.clock += seconds
        await self._sweep()


def serving(folder: Path, components: Components | None = None, **config: Any) -> ChatServer:
    """A server on a free port; `async with` runs it."""
    return ChatServer(Config(port=0, data_dir=folder, **config), components or Components())


def clocked(folder: Path, offline_timeout: float = 100.0) -> ClockedServer:
    """A server whose clock, heartbeats and sweeps are controlled by the test."""
    return ClockedServer(
        Config(port=0, data_dir=folder, heartbeat_interval=3600.0, offline_timeout=offline_timeout)
    )


# --- a client -------------------------------------------------------------------------------------


@dataclass
class Client:
    """A WebSocket client that speaks in JSON objects."""

    socket: ClientConnection
    greeting: Json = field(default_factory=dict)
    settled: int = 0

    @property
    def user(self) -> str:
        """The user name that the server gave us."""
        return str(self.greeting["user"])

    async def send(self, kind: str, **fields: Any) -> None:
        """Send a frame of that `type`."""
        await self.socket.send(json.dumps({"type": kind, **fields}))

    async def say(self, content: str, room: str = "r", **more: Any) -> None:
        """Send a chat message."""
        await self.send("message", data={"room": room, "content": content, **more})

    async def next(self) -> Json:
        """The next frame, heartbeats too."""
        frame = json.loads(await asyncio.wait_for(self.socket.recv(), PATIENCE))
        assert isinstance(frame, dict)
        return frame

    async def settle(self) -> list[Json]:
        """The frames received, except heartbeats, until the server has processed everything we sent."""
        self.settled += 1
        room = f"settled-{self.settled}"
        await self.send("presence", room=room)
        came = []
        while (frame := await self.next()).get("data", {}).get("room") != room:
            if frame["type"] != "heartbeat":
                came.append(frame)
        return came

    async def until(self, found: Callable[[Json], object]) -> list[Json]:
        """The frames received up to and including the first one that is `found`."""
        came = [await self.next()]
        while not found(came[-1]):
            came.append(await self.next())
        return came

    async def join(self, room: str = "r", **more: Any) -> list[Json]:
        """Join a room; returns the frames received until that was done."""
        await self.send("join", room=room, **more)
        return await self.settle()

    async def heartbeats(self, count: int) -> None:
        """Wait for that many heartbeats;
        meanwhile the server has swept for silent clients at least as often.
        """
        for _ in range(count):
            await self.until(lambda frame: frame["type"] == "heartbeat")

    async def closed(self) -> int:
        """Wait until the server closed the connection; returns the code."""
        await asyncio.wait_for(self.socket.wait_closed(), PATIENCE)
        assert self.socket.close_code is not None
        return self.socket.close_code


@asynccontextmanager
async def dial(server: ChatServer, user: str | None = None, path: str = "/") -> AsyncIterator[Client]:
    """A client that is connected and has received the greeting."""
    query = f"?user={user}" if user is not None else ""
    url = f"ws://127.0.0.1:{server.port}{path}{query}"
    options: Json = {"compression": None, "proxy": None, "ping_interval": None}
    async with connect(url, max_size=None, max_queue=None, **options) as socket:
        client = Client(socket)
        greeting = await client.next()
        assert greeting["type"] == "connected", greeting
        client.greeting = greeting["data"]
        yield client


def messages(frames: Iterable[Json]) -> list[Json]:
    """The live, numbered messages among the frames."""
    return [f["data"] for f in frames if f["type"] == "message" and f["data"]["user"] != SYSTEM]


def notices(frames: Iterable[Json]) -> list[Json]:
    """The announcements among the frames."""
    return [f["data"] for f in frames if f["type"] == "message" and f["data"]["user"] == SYSTEM]


def replayed(frames: Iterable[Json]) -> list[Json]:
    """The messages in all history frames, in the order in which they came."""
    return [each for f in frames if f["type"] == "history" for each in f["data"]["messages"]]


def errors(frames: Iterable[Json]) -> list[Json]:
    """The texts of the error frames."""
    return [f["data"] for f in frames if f["type"] == "error"]


def statuses(frames: Iterable[Json], room: str = "r") -> list[tuple[str, str]]:
    """Each user's status changes in the room, in order."""
    shown = [f["data"] for f in frames if f["type"] == "presence" and f["data"]["room"] == room]
    return [(each["user"], each["status"]) for data in shown for each in data["users"]]


def numbers(data: Iterable[Json]) -> list[int]:
    """The sequence numbers of messages."""
    return [each["sequence"] for each in data]


# --- a client that does not read ------------------------------------------------------------------

TEXT, CLOSE, PING, PONG = 1, 8, 9, 10


def wire(opcode: int, payload: bytes) -> bytes:
    """A masked WebSocket frame, with a mask of zeros."""
    length = len(payload)
    if length < 126:
        size = bytes([0x80 | length])
    else:
        size = struct.pack(">BH", 0xFE, length) if length < 1 << 16 else struct.pack(">BQ", 0xFF, length)
    return bytes([0x80 | opcode]) + size + bytes(4) + payload


def unwire(data: bytes | bytearray) -> list[tuple[int, bytes]]:
    """The opcodes and payloads of the frames that a server sent, but for what is not complete."""
    return _unwire(data)[0]


def _unwire(data: bytes | bytearray) -> tuple[list[tuple[int, bytes]], int]:
    found, at = [], 0
    while at + 2 <= len(data):
        start, size = at + 2, data[at + 1]
        if size == 126:
            start, size = at + 4, int.from_bytes(data[at + 2 : at + 4], "big")
        elif size == 127:
            start, size = at + 10, int.from_bytes(data[at + 2 : at + 10], "big")
        if start + size > len(data):
            break
        found.append((data[at] & 0x0F, bytes(data[start : start + size])))
        at = start + size
    return found, at


class Mute:
    """A client on a bare socket with a small buffer that reads nothing unless the test asks."""

    def __init__(self, port: int, user: str, buffer: int = 16 * 1024) -> None:
        self._address = ("127.0.0.1", port)
        self._user = user
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        self.socket.setblocking(False)

    async def __aenter__(self) -> Mute:
        loop = asyncio.get_running_loop()
        await loop.sock_connect(self.socket, self._address)
        await self.write(
            f"GET /?user={self._user} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            "Sec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        head = b""
        while not head.endswith(b"\r\n\r\n"):  # and not a byte of the frames after it
            head += await asyncio.wait_for(loop.sock_recv(self.socket, 1), PATIENCE)
        assert b" 101 " in head.splitlines()[0]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.socket.close()

    async def write(self, data: bytes) -> None:
        """Send bytes."""
        await asyncio.wait_for(asyncio.get_running_loop().sock_sendall(self.socket, data), PATIENCE)

    async def send(self, kind: str, **fields: Any) -> None:
        """Send a frame of that `type`."""
        await self.write(wire(TEXT, json.dumps({"type": kind, **fields}).encode()))

    async def read_until(self, enough: Callable[[], object], pause: float = 0) -> None:
        """Read without parsing, some bytes at a time, as long as it takes."""
        loop = asyncio.get_running_loop()
        while not enough():
            with contextlib.suppress(TimeoutError):
                assert await asyncio.wait_for(loop.sock_recv(self.socket, 1 << 19), 0.05), "cut off"
            await asyncio.sleep(pause)

    async def read_to_the_end(self) -> list[tuple[int, bytes]]:
        """All frames up to a close frame, or until the connection is cut or reset;
        then close our side, too.
        """
        loop = asyncio.get_running_loop()
        frames: list[tuple[int, bytes]] = []
        data = bytearray()
        with contextlib.suppress(ConnectionError):
            while CLOSE not in [opcode for opcode, _ in frames[-1:]]:
                part = await asyncio.wait_for(loop.sock_recv(self.socket, 1 << 20), PATIENCE)
                if not part:
                    break
                data += part
                more, used = _unwire(data)
                frames += more
                del data[:used]
        self.socket.close()
        return frames
