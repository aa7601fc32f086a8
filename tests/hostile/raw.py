"""WebSockets by hand, for servers that break every rule: it is put beside each of them as `raw.py`.

A connection has a thread, whose function is called with a `Peer`. Nothing here is bounded.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import re
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

HOST, PORT = os.environ.get("HOST", "127.0.0.1"), int(os.environ.get("PORT", "8080"))
_MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
NOW = int(time.time() * 1000)


def serve(client: Callable[[Peer], None], listener: socket.socket | None = None) -> None:
    """Accept connections for ever."""
    with listener or socket.create_server((HOST, PORT)) as accepting:
        while True:
            sock, _ = accepting.accept()
            threading.Thread(target=_run, args=(client, Peer(sock)), daemon=True).start()


def _run(client: Callable[[Peer], None], peer: Peer) -> None:
    with contextlib.suppress(OSError, EOFError), peer.sock:
        client(peer)


def encode(kind: str, data: Any) -> str:
    """A frame as JSON."""
    return json.dumps({"type": kind, "data": data})


def message(room: str, number: Any, content: str = "hello", user: str = "eve") -> dict[str, Any]:
    """What a message has."""
    said = {"id": f"id{number}", "room": room, "user": user, "content": content}
    return {**said, "sequence": number, "timestamp": NOW}


def head_of(size: int, opcode: int = 1, fin: bool = True) -> bytes:
    """The head of a frame with so many bytes."""
    first = bytes([opcode | (0x80 if fin else 0)])
    if size < 126:
        return first + bytes([size])
    return first + (b"\x7e" + size.to_bytes(2) if size < 1 << 16 else b"\x7f" + size.to_bytes(8))


class Peer:
    """The other end of a connection."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.user = "nobody"
        self._read = b""
        self._key = b""

    def request(self) -> bytes:
        """Read the request of the handshake."""
        while b"\r\n\r\n" not in self._read:
            self._more()
        head, _, self._read = self._read.partition(b"\r\n\r\n")
        named = re.search(rb"[?&]user=([^ &]+)", head)
        self.user = named[1].decode() if named else "nobody"
        key = re.search(rb"(?i)sec-websocket-key: *(\S+)", head)
        self._key = key[1] if key else b""
        return head

    def accepts(self, *more: bytes) -> bytes:
        """The answer to the handshake, with more headers."""
        digest = base64.b64encode(hashlib.sha1(self._key + _MAGIC).digest())
        lines = [b"HTTP/1.1 101 Switching Protocols", b"Upgrade: websocket", b"Connection: Upgrade"]
        return b"\r\n".join([*lines, b"Sec-WebSocket-Accept: " + digest, *more, b"\r\n"])

    def shake(self) -> None:
        """Read the request, and answer it."""
        self.request()
        self.raw(self.accepts())

    def connected(self, **others: Any) -> str:
        """What greets this client."""
        data = {"clientId": "c", "user": self.user, "heartbeatInterval": 0.5, "offlineTimeout": 1.5}
        return encode("connected", {**data, **others})

    def greet(self, **others: Any) -> None:
        """Open the connection, and greet."""
        self.shake()
        self.send(self.connected(**others))

    def raw(self, data: bytes) -> None:
        """Send bytes."""
        self.sock.sendall(data)

    def frame(self, data: bytes, opcode: int = 1, fin: bool = True) -> None:
        """Send a frame."""
        self.raw(head_of(len(data), opcode, fin) + data)

    def send(self, text: str) -> None:
        """Send a text frame."""
        self.frame(text.encode())

    def drip(self, data: bytes, seconds: float = 0.3) -> None:
        """Send bytes, one after the other."""
        for byte in data:
            self.raw(bytes([byte]))
            time.sleep(seconds)

    def aside(self, other: Callable[[], None]) -> None:
        """Do something else beside, in a thread."""
        _Aside(other).start()

    def texts(self) -> Any:
        """The client's frames, as they come."""
        while True:
            head = self._exactly(2)
            size = head[1] & 0x7F
            if size > 125:
                size = int.from_bytes(self._exactly(2 if size == 126 else 8))
            mask = self._exactly(4)
            data = bytes(byte ^ mask[at % 4] for at, byte in enumerate(self._exactly(size)))
            if head[0] & 0x0F == 1:
                yield json.loads(data) if data[:1] == b"{" else {}
            elif head[0] & 0x0F == 8:
                return

    def chat(self) -> None:
        """Answer so that a client goes on: presence, empty pages, and each message to its sender alone."""
        for number, frame in enumerate(self.texts(), start=1):
            for text in self.answers(frame, number):
                self.send(text)

    def answers(self, frame: Any, number: int) -> list[str]:
        """The frames that answer one."""
        room = frame.get("room")
        match frame.get("type"):
            case "join" | "presence":
                there = [{"user": self.user, "status": "online", "lastSeen": NOW}]
                return [encode("presence", {"room": room, "users": there, "full": True})]
            case "message":
                data = frame.get("data", {})
                said = message(data.get("room"), number, data.get("content"), self.user)
                return [encode("message", {**said, "id": data.get("id") or f"m{number}"})]
            case "history":
                page = {"room": room, "messages": [], "last": 0, "more": False}
                return [encode("history", page)]
            case "heartbeat" | "leave":
                return []
        return [encode("error", {"code": "unknown_type", "message": "no"})]

    def _exactly(self, size: int) -> bytes:
        while len(self._read) < size:
            self._more()
        found, self._read = self._read[:size], self._read[size:]
        return found

    def _more(self) -> None:
        data = self.sock.recv(1 << 16)
        if not data:
            raise EOFError
        self._read += data


class _Aside(threading.Thread):
    def __init__(self, does: Callable[[], None]) -> None:
        super().__init__(daemon=True)
        self._does = does

    def run(self) -> None:
        with contextlib.suppress(OSError, EOFError):
            self._does()
