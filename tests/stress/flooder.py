"""The attackers of `tests.stress.floods`: one process that floods a server on loopback for some seconds.

    python -m tests.stress.flooder NAME PORT SECONDS

Each attacker sends its bytes again and again, as fast as its socket takes them, and comes back at once when
it is turned away. It prints what happened to it as a line of JSON.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import socket
import struct
import sys
import time
from collections import Counter
from dataclasses import dataclass

from tests.stress.link import BINARY, CONTINUATION, PING, TEXT, asking, handshake, reset, wire

HALL = "hall"
"""A room with many members, who only listen."""
ARCHIVE = "archive"
"""A room with a long history."""
MIB = 1024 * 1024
_LULL = 0.005
"""Seconds after which an attacker that was turned away comes back."""


@dataclass(frozen=True)
class Flood:
    """What each of `attackers` does: it sends `first` once, and then `block` again and again."""

    name: str
    block: bytes
    attackers: int = 20
    first: bytes = b""
    opens: bool = True
    """Whether a WebSocket is opened first."""
    reads: bool = True
    """Whether the attacker reads what it is sent."""
    is_once: bool = False
    """Whether it resets the connection when the block was sent, and begins again."""
    holds: bool = False
    """Whether it sends the block once, and then keeps the connection."""
    members: int = 0
    """Members of HALL that the attack needs."""
    archive: int = 0
    """Messages of 60 kB that ARCHIVE holds."""
    options: tuple[str, ...] = ()
    """Of the server."""


def _say(room: str, content: str) -> bytes:
    return asking("message", data={"room": room, "content": content})


def _block(frame: bytes, size: int = 64 * 1024) -> bytes:
    return frame * max(size // len(frame), 1)


_NESTED = wire(TEXT, b"[" * 500_000)
_LARGE = wire(TEXT, b'{"type":"message","data":{"room":"x","content":"' + b"\\u00e9" * 170_000 + b'"}}')
_FRAGMENTS = wire(TEXT, b"{", fin=False) + wire(CONTINUATION, b" ", fin=False) * 4000
_FULL = ("--max-connections", "200")

FLOODS = [
    Flood("nothing", b"", attackers=0),
    Flood("presence of a full room", _block(asking("presence", room=HALL)), attackers=1, members=1000),
    Flood("presence of a full room, 20 ask", _block(asking("presence", room=HALL)), members=1000),
    Flood("empty objects", _block(wire(TEXT, b"{}"))),
    Flood("empty objects, 200 send", _block(wire(TEXT, b"{}")), attackers=200),
    Flood("empty objects, unread", _block(wire(TEXT, b"{}")), reads=False),
    Flood("pings", _block(wire(PING, b""))),
    Flood("pings, unread", _block(wire(PING, b"")), reads=False),
    Flood("pings and a reset", _block(wire(PING, b""), 4 * MIB), reads=False, is_once=True),
    Flood("heartbeats", _block(asking("heartbeat"))),
    Flood("binary frames", _block(wire(BINARY, b"x"))),
    Flood("unknown types", _block(asking("mesage"))),
    Flood("messages", _block(_say("x", "hello")), first=asking("join", room="x")),
    Flood(
        "messages to a full room", _block(_say(HALL, "hello")), first=asking("join", room=HALL), members=1000
    ),
    Flood("messages without a room", _block(_say("x", "hello"))),
    Flood("joins and leaves", _block(asking("join", room="x") + asking("leave", room="x"))),
    Flood(
        "joins and leaves of a full room",
        _block(asking("join", room=HALL) + asking("leave", room=HALL)),
        members=1000,
    ),
    Flood("questions for history", _block(asking("history", room=ARCHIVE)), archive=2000),
    Flood(
        "long replays, read",
        asking("join", room=ARCHIVE, since=0),
        holds=True,
        archive=8000,
    ),
    Flood(
        "long replays, closed at once",
        asking("join", room=ARCHIVE, since=0),
        is_once=True,
        archive=8000,
    ),
    Flood(
        "stalled readers",
        asking("join", room=ARCHIVE, since=0),
        attackers=200,
        reads=False,
        holds=True,
        archive=2000,
    ),
    Flood("large frames", _LARGE),
    Flood("large frames, 200 send", _LARGE, attackers=200),
    Flood("nested JSON", _NESTED),
    Flood("fragments", _FRAGMENTS + wire(CONTINUATION, b"}")),
    Flood("half a frame of 1 MiB", wire(TEXT, bytes(MIB))[:-1], attackers=200, holds=True),
    Flood("connections that come and go", b"", is_once=True),
    Flood(
        "requests that never end",
        b"GET / HTTP/1.1\r\n",
        attackers=600,
        opens=False,
        holds=True,
        options=_FULL,
    ),
    Flood("silent connections", b"", attackers=600, opens=False, holds=True, options=_FULL),
    Flood(
        "pipelined requests and a reset",
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 50,
        opens=False,
        reads=False,
        is_once=True,
    ),
]


@dataclass
class Attacker:
    """One connection after the other. `left` is what it is still to send, None if it is done with that."""

    flood: Flood
    port: int
    seen: Counter[str]
    chooser: selectors.DefaultSelector
    sock: socket.socket | None = None
    left: memoryview | None = None
    tail: bytes = b""
    again_at: float = 0.0
    came: bool = False
    """Whether the server has sent anything."""

    def begin(self) -> None:
        """Connect, without waiting for anything."""
        self.sock = socket.socket()
        self.sock.setblocking(False)
        self.sock.connect_ex(("127.0.0.1", self.port))
        first = handshake("flooder") if self.flood.opens else b""
        self.left, self.came, self.tail = memoryview(first + self.flood.first + self.flood.block), False, b""
        self.seen["connections"] += 1
        self.chooser.register(self.sock, self._wanted(), self)

    def _wanted(self) -> int:
        reading = selectors.EVENT_READ if self.flood.reads or not self.came else 0
        return reading | (selectors.EVENT_WRITE if self.left is not None else 0) or selectors.EVENT_READ

    def work(self, events: int) -> None:
        """Read and write once."""
        try:
            if events & selectors.EVENT_READ:
                self._read()
            if self.sock is not None and events & selectors.EVENT_WRITE:
                self._write()
        except (BlockingIOError, InterruptedError):
            pass
        except OSError as error:
            self.seen[type(error).__name__] += 1
            self.end()

    def _read(self) -> None:
        assert self.sock is not None
        if not self.flood.reads and self.came:  # who does not read still notices that it was cut off
            if not self.sock.recv(1, socket.MSG_PEEK):
                self._closed(b"")
            return
        data = self.sock.recv(MIB)
        self.came = True
        self.seen["bytes read"] += len(data)
        if not data:
            self._closed(self.tail)
        self.tail = (self.tail + data)[-140:]

    def _closed(self, tail: bytes) -> None:
        at = tail.rfind(b"\x88")
        code = struct.unpack(">H", tail[at + 2 : at + 4])[0] if 0 <= at <= len(tail) - 4 else 0
        self.seen[f"closed {code}"] += 1
        self.end()

    def _write(self) -> None:
        assert self.sock is not None
        if self.left is None:
            return
        sent = self.sock.send(self.left)
        self.seen["bytes sent"] += sent
        self.left = self.left[sent:]
        if self.left:
            return
        if self.flood.is_once:
            self.end()
        elif self.flood.holds:
            self.left = None
            self.chooser.modify(self.sock, self._wanted(), self)
        else:
            self.left = memoryview(self.flood.block)

    def end(self) -> None:
        """Reset the connection."""
        if self.sock is not None:
            with contextlib.suppress(KeyError, ValueError):
                self.chooser.unregister(self.sock)
            reset(self.sock)
            self.sock, self.again_at = None, time.monotonic() + _LULL


ALL = "all at once"
"""The name under which every flood goes on, each by some attackers."""
_OF_EACH = 2


def attack(floods: list[Flood], port: int, seconds: float) -> Counter[str]:
    """Attack for so long, a connection for each of `floods`; returns what happened how often."""
    seen: Counter[str] = Counter()
    chooser = selectors.DefaultSelector()
    connections = [Attacker(each, port, seen, chooser) for each in floods]
    end = time.monotonic() + seconds
    while (now := time.monotonic()) < end:
        for each in connections:
            if each.sock is None and each.again_at <= now:
                each.begin()
        for key, events in chooser.select(_LULL):
            key.data.work(events)
    for each in connections:
        each.end()
    return seen


def main() -> None:
    """Attack, as the arguments say."""
    name, port, seconds = sys.argv[1:]
    os.nice(5)  # of two cores, the server and the canary are to have what they need
    chosen = [each for each in FLOODS if name in (each.name, ALL)]
    attackers = [each for each in chosen for _ in range(_OF_EACH if name == ALL else each.attackers)]
    print(json.dumps(attack(attackers, int(port), float(seconds))))


if __name__ == "__main__":
    main()
