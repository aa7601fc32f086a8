"""People who arrive in rooms all at once, on raw sockets: each connects, joins, and waits until it is whole.

Everything happens in one thread, without an event loop, and as little as possible is parsed: a few *witnesses*
keep all bytes that they receive, which are looked through when all is over.
"""

from __future__ import annotations

import json
import select
import socket
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from harness.bench.crowd import PATIENCE, Chat
from harness.bench.plan import BenchError

WITNESSES = 10
"""People whose frames are looked at one by one."""
_READ = 1 << 20
_CONNECTED, _LIST, _FENCE, _HEARTBEAT = b'"clientId"', b'"full":true', b'"a-fence"', b'{"type":"heartbeat"}'
_LONGEST = 64
"""Bytes at the end of a read that may be the beginning of one of these."""


@dataclass(eq=False)
class Person:
    """A connection, what it waits for, and what it has received."""

    number: int
    room: str
    sock: socket.socket
    waits_for: bytes = _CONNECTED
    tail: bytes = b""
    received: int = 0
    kept: bytearray | None = None
    beats: list[float] = field(default_factory=list)
    done: float = 0.0


class Arrivals:
    """People who come at once: `connect` and `join` are phases, which return the seconds that they took.

    A context manager that closes all connections. Raises BenchError, also where the server closes one.
    """

    def __init__(self, port: int, people: int, room: Callable[[int], str]) -> None:
        self._port = port
        self._poll = select.epoll()
        self.people = [Person(number, room(number), socket.socket()) for number in range(people)]
        self._by_fd = {each.sock.fileno(): each for each in self.people}
        for each in self.people[:: max(people // WITNESSES, 1)]:
            each.kept = bytearray()

    def __enter__(self) -> Arrivals:
        return self

    def __exit__(self, *exc_info: object) -> None:
        for each in self.people:
            each.sock.close()
        self._poll.close()

    @property
    def received(self) -> int:
        """Bytes that all have received."""
        return sum(each.received for each in self.people)

    def connect(self) -> float:
        """Everybody connects at the same moment, and is greeted by the server."""
        began = time.perf_counter()
        self.start_connecting()
        self._run(lambda person: None)
        return time.perf_counter() - began

    def arrive(self, since: int) -> float:
        """Everybody connects at the same moment, and joins as soon as it is greeted."""
        began = time.perf_counter()
        self.start_connecting()
        self._run(lambda person: self._join(person, since))
        return time.perf_counter() - began

    def join(self) -> float:
        """Everybody, connected by now, joins at the same moment; returns when all that was sent has come."""
        began = time.perf_counter()
        for person in self.people:
            self._join(person, None)
        self._run(lambda person: None)
        return time.perf_counter() - began

    def fence(self) -> float:
        """Everybody asks something; when it is answered, all that was sent before has come."""
        began = time.perf_counter()
        for person in self.people:
            self._ask(person, _FENCE, {"type": "presence", "room": "a-fence"})
        self._run(lambda person: None)
        return time.perf_counter() - began

    def start_connecting(self) -> None:
        """Open all sockets; the system goes on with it."""
        for person in self.people:
            person.sock.setblocking(False)
            person.sock.connect_ex(("127.0.0.1", self._port))
            self._poll.register(person.sock.fileno(), select.EPOLLOUT)

    def _join(self, person: Person, since: int | None) -> None:
        self._ask(person, _LIST, {"type": "join", "room": person.room, "since": since})

    def _ask(self, person: Person, waits_for: bytes, frame: dict[str, Any]) -> None:
        person.waits_for, person.tail = waits_for, b""
        person.sock.sendall(Chat.frame(frame))

    def _run(self, then: Callable[[Person], object]) -> None:
        """Read until everybody has what it waits for; `then` is what each does when it is greeted."""
        waiting = len(self.people)
        while waiting:
            events = self._poll.poll(PATIENCE)
            if not events:
                raise BenchError(f"it went silent while {waiting} of {len(self.people)} waited for it")
            for fd, event in events:
                person = self._by_fd[fd]
                if event & select.EPOLLOUT:
                    self._request(person)
                elif self._has_come(person) and self._is_done(person, then):
                    waiting -= 1
                    person.done = time.perf_counter()

    def _request(self, person: Person) -> None:
        """It is connected, or was refused: ask for a WebSocket."""
        self._poll.modify(person.sock.fileno(), select.EPOLLIN)
        try:
            person.sock.sendall(Chat.request(person.number))
        except OSError as error:
            raise BenchError(f"a connection was refused: {error}") from error

    def _has_come(self, person: Person) -> bool:
        """Receive; returns whether what it waits for is there."""
        try:
            data = person.sock.recv(_READ)
        except OSError as error:
            raise BenchError(f"a connection broke: {error}") from error
        if not data:
            raise BenchError("it closed a connection")
        person.received += len(data)
        if person.kept is not None:
            person.kept += data
        seen = person.tail + data
        if _HEARTBEAT in seen:
            seen = seen.replace(_HEARTBEAT, b"")
            person.beats.append(time.perf_counter())
            person.sock.sendall(Chat.frame({"type": "heartbeat"}))
        person.tail = seen[-_LONGEST:]
        return bool(person.waits_for) and person.waits_for in seen

    def _is_done(self, person: Person, then: Callable[[Person], object]) -> bool:
        is_greeted = person.waits_for == _CONNECTED
        person.waits_for = b""
        if is_greeted:
            then(person)
        return not person.waits_for


def frames(stream: bytes) -> Iterator[bytes]:
    """The texts of the WebSocket frames in what a client has received, after the HTTP answer."""
    at = stream.find(b"\r\n\r\n") + 4
    while at + 2 <= len(stream):
        size, at = stream[at + 1], at + 2
        if size >= 126:
            kind = "!H" if size == 126 else "!Q"
            (size,) = struct.unpack_from(kind, stream, at)
            at += struct.calcsize(kind)
        yield stream[at : at + size]
        at += size


def check_knows(person: Person, room_mates: list[Person]) -> int:
    """Raise BenchError unless a witness was shown everybody in its room; returns its number of frames."""
    shown: dict[str, str] = {}
    named = ""
    count = 0
    for text in frames(bytes(person.kept or b"")):
        count += 1
        frame = json.loads(text)
        if frame["type"] == "presence" and frame["data"]["room"] == person.room:
            shown |= {each["user"]: each["status"] for each in frame["data"]["users"]}
        elif frame["type"] == "message" and frame["data"]["user"] == "system":
            named += f" {frame['data']['content']},"
    names = [f"member{each.number}" for each in room_mates]
    missing = [name for name in names if shown.get(name) != "online"]
    unnamed = [each for each in room_mates if each.number > person.number and each.kept is None]
    if missing:
        raise BenchError(f"{len(missing)} of {len(names)} members were not shown to one of them")
    del unnamed, named
    return count
