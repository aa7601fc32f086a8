"""A crowd of members on raw sockets. It counts deliveries by a mark in each message, and parses as little as
possible, so that a measurement measures the server.

Everything happens in one thread, without an event loop: `talk` keeps a number of messages in flight; each
sender says the next one when its last has come back to it.
"""

from __future__ import annotations

import base64
import json
import os
import re
import select
import socket
import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass

from harness.bench.plan import BenchError
from harness.posix import EPOLL
from harness.reports.charts import percentile

MARK = b"|~"
"""Occurs once in each message, and nowhere else in what a server sends. A single byte would not be enough:
it may also be the length of a frame."""
PATIENCE = 60.0
"""Seconds of silence after which a server counts as broken."""
_PATIENCE_WITH_EACH = 0.1
"""Extra seconds for each member until all have joined."""
SIZE = 200
"""Bytes of the content of a message."""
_SAMPLED = 20
"""Members, besides the senders, whose delivery times are measured."""
_TOKEN = re.compile(rb"\|~(\d+)\.(\d+)\.(\d+)\.")  # sender, number, and time in nanoseconds
_LONGEST_TOKEN = 60
_READ = 1 << 20
_QUIET = 0.7
"""Seconds without a byte after which we assume that the server has sent everything."""


class Chat:
    """The dialect of servers that follow lab/PROTOCOL.md, or a part of it."""

    @staticmethod
    def request(user: str) -> bytes:
        """The HTTP request for a WebSocket."""
        key = base64.b64encode(os.urandom(16)).decode()
        lines = [
            f"GET /?user={user} HTTP/1.1",
            "Host: localhost",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Key: {key}",
            "Sec-WebSocket-Version: 13",
        ]
        return ("\r\n".join(lines) + "\r\n\r\n").encode()

    def greet(self, sock: socket.socket, number: int) -> None:
        """Open the WebSocket. Raises BenchError."""
        sock.sendall(self.request(f"member{number}"))
        answer = b""
        while b"\r\n\r\n" not in answer:
            got = sock.recv(4096)
            if not got:
                raise BenchError("it closed a connection instead of opening a WebSocket")
            answer += got
        if b" 101 " not in answer.split(b"\r\n")[0]:
            raise BenchError(f"it refused a WebSocket: {answer[:80]!r}")

    def join(self, room: str) -> bytes:
        """The bytes of a join."""
        return self.frame({"type": "join", "room": room})

    def say(self, room: str, text: str) -> bytes:
        """The bytes of a message."""
        return self.frame({"type": "message", "data": {"room": room, "content": text}})

    @staticmethod
    def frame(value: object) -> bytes:
        """A JSON value as a text frame."""
        return _masked(json.dumps(value).encode())


class Nats(Chat):
    """The dialect of nats-server over a WebSocket."""

    def join(self, room: str) -> bytes:
        """Subscribe."""
        return _masked(f'CONNECT {{"verbose":false}}\r\nSUB {room} 1\r\n'.encode(), binary=True)

    def say(self, room: str, text: str) -> bytes:
        """Publish."""
        return _masked(f"PUB {room} {len(text)}\r\n{text}\r\n".encode(), binary=True)


class Bytes(Chat):
    """No protocol at all: the server sends the bytes that it receives."""

    def greet(self, sock: socket.socket, number: int) -> None:
        """Nothing to do."""

    def join(self, room: str) -> bytes:
        """Nothing: a connection is a member at once."""
        return b""

    def say(self, room: str, text: str) -> bytes:
        """The text itself."""
        return text.encode()


def _masked(payload: bytes, binary: bool = False) -> bytes:
    """A client's WebSocket frame; a mask of zeros leaves the payload as it is."""
    size = len(payload)
    length = struct.pack("!B", 0x80 | size) if size < 126 else struct.pack("!BH", 0xFE, size)
    return bytes([0x82 if binary else 0x81]) + length + bytes(4) + payload


@dataclass
class Talk:
    """The result of `Crowd.talk`: `latencies` are in milliseconds."""

    messages: int
    deliveries: int
    seconds: float
    latencies: list[float]

    def percentile(self, share: float) -> float:
        """The latency in milliseconds that this share of the deliveries does not exceed."""
        return percentile(self.latencies, share)


class Crowd:
    """Connected members, spread evenly over some rooms, and over `others`, ports of more nodes, if given.

    A context manager that closes them.

    Raises BenchError or OSError.
    """

    def __init__(
        self, port: int, dialect: Chat, members: int, rooms: int = 1, others: Sequence[int] = ()
    ) -> None:
        self._dialect = dialect
        self._rooms = rooms
        self._sockets: list[socket.socket] = []
        self._member: dict[int, int] = {}  # by file descriptor
        self._marks = [0] * members  # seen by each member
        if EPOLL is None:
            raise BenchError("only Linux can wait for so many connections at once (epoll)")
        self._poll = EPOLL()
        self._halves: set[int] = set()  # members whose last byte may be the first half of a mark
        self._said = 0
        try:
            ports = [port, *others]
            for number in range(members):
                self._connect(ports[(number + number // rooms) % len(ports)], number)
            for number, sock in enumerate(self._sockets):
                sock.sendall(dialect.join(self._room(number)))
                self._read_all(0.0)  # or the notices of all joins would fill the buffers of the first members
        except BaseException:
            self.close()
            raise

    def _connect(self, port: int, number: int) -> None:
        sock = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        self._sockets.append(sock)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._dialect.greet(sock, number)
        sock.setblocking(False)
        self._member[sock.fileno()] = number
        self._poll.register(sock.fileno(), select.EPOLLIN)

    def _room(self, member: int) -> str:
        return f"bench{member % self._rooms}"

    def __enter__(self) -> Crowd:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        for sock in self._sockets:
            sock.close()
        self._poll.close()

    def settle(self) -> None:
        """Wait until all members receive messages, and nothing else is in flight. Raises BenchError."""
        deadline = time.monotonic() + PATIENCE + _PATIENCE_WITH_EACH * len(self._sockets)
        while True:
            self._read_until_quiet(deadline)
            before = list(self._marks)
            for sender in range(self._rooms):
                self._say(sender)
            self._read_until_quiet(deadline)
            without = sum(now != then + 1 for now, then in zip(self._marks, before, strict=True))
            if not without:
                return
            if time.monotonic() > deadline:
                raise BenchError(f"{without} of {len(self._marks)} members did not hear a message just once")

    def read_for(self, seconds: float) -> None:
        """Read what comes for so many seconds."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self._read_all(0.1)

    def talk(self, in_flight: int, seconds: float) -> Talk:
        """Keep so many messages in flight for so long; return when all members have received all of them."""
        members, member = len(self._sockets), self._member
        audience = members // self._rooms
        watched = {*range(in_flight), *range(0, members, max(members // _SAMPLED, 1))}
        tails = dict.fromkeys(watched, b"")
        latencies: list[float] = []
        heard, said, waiting = 0, in_flight, in_flight  # a mark may come before the rest of its message
        began = time.perf_counter()
        for sender in range(in_flight):
            self._say(sender)
        while waiting or heard < said * audience:
            events = self._poll.poll(PATIENCE)
            if not events:
                raise BenchError(f"it went silent: {heard} of {said * audience} deliveries had begun to come")
            for fd, _ in events:
                number = member[fd]
                data = self._receive(number)
                heard += data.count(MARK)
                if number not in watched:
                    continue
                tails[number], own = self._look(tails[number] + data, number, latencies)
                if own and time.perf_counter() < began + seconds:
                    self._say(number)
                    said += 1
                elif own:
                    waiting -= 1
        return Talk(said, heard, time.perf_counter() - began, latencies)

    def _look(self, data: bytes, member: int, latencies: list[float]) -> tuple[bytes, bool]:
        """Record latencies; returns the rest, which may be half a token, and if one was the member's own."""
        now, end, own = time.perf_counter_ns(), 0, False
        for found in _TOKEN.finditer(data):
            end = found.end()
            latencies.append((now - int(found[3])) / 1e6)
            own |= int(found[1]) == member
        return data[max(end, len(data) - _LONGEST_TOKEN) :], own

    def _say(self, sender: int) -> None:
        self._said += 1
        text = f"|~{sender}.{self._said}.{time.perf_counter_ns()}.".ljust(SIZE, "x")
        self._sockets[sender].sendall(self._dialect.say(self._room(sender), text))

    def _read_until_quiet(self, deadline: float) -> None:
        """Read until nothing has come for a while, or until the deadline."""
        while self._read_all(_QUIET) and time.monotonic() < deadline:
            pass

    def _read_all(self, timeout: float) -> bool:
        """Read what has arrived, or arrives within the timeout; returns whether anything did."""
        events = self._poll.poll(timeout)
        for fd, _ in events:
            number = self._member[fd]
            self._marks[number] += self._receive(number).count(MARK)
        return bool(events)

    def _receive(self, number: int) -> bytes:
        """The bytes that a member has received; half a mark at their end is kept for the next call."""
        sock = self._sockets[number]
        data = sock.recv(_READ)
        if not data:
            raise BenchError("it closed a connection")
        if number in self._halves:
            self._halves.discard(number)
            data = MARK[:1] + data
        if data.endswith(MARK[:1]):
            self._halves.add(number)
            data = data[:-1]
        return data
