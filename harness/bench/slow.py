"""What a member that stops reading does to the other members, and to the server's memory."""

from __future__ import annotations

import re
import socket
from contextlib import suppress

from harness.bench.crowd import PATIENCE, Chat, Crowd, Talk
from harness.bench.peers import REFERENCE, running
from harness.bench.plan import BenchError, Plan
from harness.bench.result import Part, Table
from harness.bench.usage import Peak, megabytes

SECONDS = 60.0
_MEMBERS = 20
_IN_FLIGHT = _MEMBERS
_ROOM = "bench0"
_NUMBER = re.compile(rb'"sequence":(\d+),')
_LAST = re.compile(rb'"last":(\d+),')
_BUFFER = 16 * 1024


def slow_reader(plan: Plan) -> Part:
    """Members talk at full rate, first by themselves, then with one that stops reading. Raises BenchError."""
    part = Part("slow reader", f"One of {_MEMBERS + 1} members stops reading for {SECONDS:g} s. Who notices?")
    with running(REFERENCE) as (port, process), Crowd(port, REFERENCE.dialect(), _MEMBERS) as crowd:
        crowd.settle()
        plan.say("slow reader: everybody reads")
        before = crowd.talk(_IN_FLIGHT, SECONDS / 3)
        memory = megabytes(process)
        plan.say("slow reader: one has stopped")
        with _Stopped(port) as stopped, Peak(process) as peak:
            during = crowd.talk(_IN_FLIGHT, SECONDS)
            told = stopped.read_the_rest()
        missed = _catch_up(port, told)
        after = megabytes(process)
    part.tables = [
        Table(
            "The others",
            ["", "messages/s", "p50 ms", "p99 ms"],
            [_row("before", before), _row("while one does not read", during)],
        ),
        Table("Memory of the server, MiB", ["before", "at most", "after"], [[memory, peak.most, after]]),
    ]
    times = during.percentile(0.99) / before.percentile(0.99)
    part.sentences = [
        f"The others' p99 is {times:.2f} times what it was before.",
        f"The server has {peak.most - memory:.1f} MiB more at most.",
        f"The reader was cut off after {len(told):,} messages; with `since` it got the other {missed:,}, "
        "without a hole.",
    ]
    return part


def _row(name: str, talk: Talk) -> list[str | float]:
    return [name, talk.messages / talk.seconds, talk.percentile(0.5), talk.percentile(0.99)]


class _Stopped:
    """A member that joins, and then does not read."""

    def __init__(self, port: int) -> None:
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
        self._socket.settimeout(PATIENCE)
        self._socket.connect(("127.0.0.1", port))
        Chat().greet(self._socket, _MEMBERS)
        self._socket.sendall(Chat().join(_ROOM))

    def __enter__(self) -> _Stopped:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._socket.close()

    def read_the_rest(self) -> list[int]:
        """The numbers of the messages that were sent to it. Raises BenchError if it was not disconnected."""
        data = bytearray()
        with suppress(ConnectionError):
            while got := _receive(self._socket):
                data += got
        return [int(number) for number in _NUMBER.findall(data)]


def _catch_up(port: int, told: list[int]) -> int:
    """Rejoin with `since`; returns how many messages are replayed. Raises BenchError if one is missing."""
    since, data = told[-1] if told else 0, bytearray()
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as sock:
        Chat().greet(sock, _MEMBERS)
        sock.sendall(Chat.frame({"type": "join", "room": _ROOM, "since": since}))
        while b'"full":true' not in data[-1_000_000:]:  # the list of members comes after the replay
            if not (got := _receive(sock)):
                raise BenchError("it closed the connection of the reader that had come back")
            data += got
    missed = [int(number) for number in _NUMBER.findall(data)]
    last = max(map(int, _LAST.findall(data)), default=since)
    if missed[: last - since] != list(range(since + 1, last + 1)):
        raise BenchError(f"the reader that came back after {since} did not get all up to {last}")
    return len(missed)


def _receive(sock: socket.socket) -> bytes:
    try:
        return sock.recv(1 << 20)
    except TimeoutError:
        raise BenchError("a reader that stopped was not disconnected") from None
