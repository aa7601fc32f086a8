"""People who arrive at a server all at once, on raw sockets: each connects, joins its room, and waits for it.

Everything happens in one thread, without an event loop, and as little as possible is parsed. A few
*witnesses* keep all bytes that they receive, which are looked through when all is over.
"""

from __future__ import annotations

import json
import re
import select
import socket
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from harness.bench.crowd import PATIENCE, Chat
from harness.bench.plan import BenchError
from harness.posix import EPOLL

_WITNESSES = 10
_READ = 1 << 20
CONNECTED, LIST, FENCE = b'"clientId"', b'"full":true', b'"a-fence"'
"""What stands in the greeting of a server, in the answer to a join, and in that to a last question."""
_HEARTBEAT = b'{"type":"heartbeat"}'
_LONGEST = 64
"""Bytes at the end of a read that may be the beginning of one of these."""
_HEAD = 16 * 1024
"""Bytes that everybody keeps: the greeting and the replay are there."""
_NUMBER = re.compile(rb'"sequence":(\d+),')


@dataclass(eq=False)
class Person:
    """A connection, what it waits for, and what it has received. `whole` is when it had its last answer."""

    name: str
    room: str
    sock: socket.socket
    waits_for: bytes = CONNECTED
    tail: bytes = b""
    received: int = 0
    head: bytes = b""
    kept: bytearray | None = None
    whole: float = 0.0

    def frames(self) -> Iterator[bytes]:
        """The texts of the WebSocket frames that a witness has received, after the HTTP answer."""
        stream = bytes(self.kept or b"")
        at = stream.find(b"\r\n\r\n") + 4
        while at + 2 <= len(stream):
            size, at = stream[at + 1], at + 2
            if size >= 126:
                kind = "!H" if size == 126 else "!Q"
                (size,) = struct.unpack_from(kind, stream, at)
                at += struct.calcsize(kind)
            yield stream[at : at + size]
            at += size

    def replayed(self) -> list[int]:
        """The numbers of the messages in the first history frame."""
        history = self.head[self.head.find(b'"type":"history"') :]
        return [int(number) for number in _NUMBER.findall(history[: history.find(b'"more":')])]


class Arrivals:
    """A context manager that closes all connections. Each method is one thing that all do at the same moment,
    and returns the seconds until the last has its answer. Raises BenchError, also if a connection is closed.
    """

    def __init__(self, port: int, people: int, rooms: int = 1) -> None:
        self._port = port
        if EPOLL is None:
            raise BenchError("only Linux can wait for so many connections at once (epoll)")
        self._poll = EPOLL()
        self.people = [
            Person(f"member{number}", f"room{number % rooms}", socket.socket()) for number in range(people)
        ]
        self._by_fd = {each.sock.fileno(): each for each in self.people}
        self.witnesses = self.people[:: max(people // _WITNESSES, 1)]
        for each in self.witnesses:
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
        """Connect, and wait to be greeted."""
        return self._run(self._start_connecting)

    def join(self) -> float:
        """Join, when all are connected."""

        def begin() -> None:
            for person in self.people:
                self._join(person, None)

        return self._run(begin)

    def arrive(self, since: int) -> float:
        """Connect, and join as soon as one is greeted."""
        return self._run(self._start_connecting, lambda person: self._join(person, since))

    def fence(self) -> float:
        """Ask something: when it is answered, all that was sent before has come."""
        question = {"type": "presence", "room": "a-fence"}

        def begin() -> None:
            for person in self.people:
                self.ask(person, FENCE, question)

        return self._run(begin)

    def hear(self) -> float:
        """One of them says a word, and all wait for the last frame of what they are sent then."""

        def begin() -> None:
            for person in self.people:
                person.waits_for, person.tail = FENCE, b""
            self.ask(self.people[0], FENCE, {"type": "go"})

        return self._run(begin)

    def ask(self, person: Person, answer: bytes, frame: dict[str, Any]) -> None:
        """Send a frame; from now on the person waits for `answer`."""
        person.waits_for, person.tail = answer, b""
        person.sock.sendall(Chat.frame(frame))

    def _join(self, person: Person, since: int | None) -> None:
        self.ask(person, LIST, {"type": "join", "room": person.room, "since": since})

    def _start_connecting(self) -> None:
        for person in self.people:
            person.sock.setblocking(False)
            person.sock.connect_ex(("127.0.0.1", self._port))
            self._poll.register(person.sock.fileno(), select.EPOLLOUT)

    def _run(self, begin: Callable[[], object], then: Callable[[Person], object] | None = None) -> float:
        """Read until everybody has what it waits for; `then` is what each does when it has been greeted."""
        began = time.perf_counter()
        begin()
        waiting = len(self.people)
        while waiting:
            events = self._poll.poll(PATIENCE)
            if not events:
                raise BenchError(f"it went silent while {waiting} of {len(self.people)} waited for it")
            for fd, event in events:
                person = self._by_fd[fd]
                try:
                    has_come = self._request(person) if event & select.EPOLLOUT else self._receive(person)
                except OSError as error:
                    raise BenchError(f"a connection was refused, or broke: {error}") from error
                if has_come and then and person.waits_for == CONNECTED:
                    then(person)
                elif has_come:
                    person.waits_for, person.whole = b"", time.perf_counter() - began
                    waiting -= 1
        return time.perf_counter() - began

    def _request(self, person: Person) -> bool:
        """The connection is there, or was refused: ask for a WebSocket."""
        self._poll.modify(person.sock.fileno(), select.EPOLLIN)
        person.sock.sendall(Chat.request(person.name))
        return False

    def _receive(self, person: Person) -> bool:
        """Receive what there is; returns whether the person has what it waits for."""
        data = person.sock.recv(_READ)
        if not data:
            raise BenchError("it closed a connection")
        person.received += len(data)
        if len(person.head) < _HEAD:
            person.head += data[:_HEAD]
        if person.kept is not None:
            person.kept += data
        seen = person.tail + data
        if _HEARTBEAT in seen:
            seen = seen.replace(_HEARTBEAT, b"")
            person.sock.sendall(Chat.frame({"type": "heartbeat"}))
        person.tail = seen[-_LONGEST:]
        return bool(person.waits_for) and person.waits_for in seen


def check_witness(witness: Person, mates: list[Person]) -> int:
    """Raise BenchError unless a witness was shown all `mates` in its room; returns how many frames it got."""
    shown: dict[str, str] = {}
    count = 0
    for text in witness.frames():
        count += 1
        frame = json.loads(text)
        if frame["type"] == "presence" and frame["data"]["room"] == witness.room:
            shown |= {each["user"]: each["status"] for each in frame["data"]["users"]}
    missing = [each.name for each in mates if shown.get(each.name) != "online"]
    if missing:
        raise BenchError(f"{witness.name} was not shown {len(missing)} of {len(mates)} members of its room")
    return count
