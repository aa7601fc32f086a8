"""What the users of one process sent and received, compact enough for millions of deliveries.

A message that a room's members receive is stored once, as the JSON of its `data`; each delivery of it is a
time and an index in the columns of its connection and room, 12 bytes in all. Everything rarer (connections,
joins, sent messages) is stored as events, as in any other history. `harness.load.merge` merges the records of
all processes, and turns deliveries into events again where a checker needs them.
"""

from __future__ import annotations

import hashlib
import os
import platform
import time
import uuid
import zlib
from array import array
from collections import defaultdict
from math import inf

import msgspec
from msgspec import Struct, field

from harness.history import events as history
from harness.history import frames
from harness.history.events import Event
from harness.history.frames import Meaning
from harness.history.index import DYING_SECONDS, ENDS
from harness.judged.bounds import (
    BYTES_PER_MESSAGE,
    FRAME_BYTES,
    MAX_DELIVERIES,
    MAX_VALUES,
    OWN_MEMORY,
    WEIGH_EVERY,
)
from harness.judged.families import memory_of
from harness.posix import proc
from lab.protocol import SYSTEM, Message

PIECE = 512 * 1024
"""Bytes in one piece of a recording when it is sent to another process."""
_MAX_ODD = 200
"""Malformed frames, and errors, that each process keeps in full."""
SERVER = "server"
"""The process whose record has what became of the server."""
_CACHED = 4096


class HeardLive(Struct, array_like=True):
    """The live messages that a connection received of one room.

    `at` and `messages` are arrays (types d and I) with one entry for each delivery: its time and its message.
    """

    conn: int
    room: str
    at: bytes
    messages: bytes


class HeardPage(Struct, array_like=True):
    """A `history` frame that a connection received; `messages` is an array of indexes (type I)."""

    at: float
    conn: int
    room: str
    messages: bytes
    last: int | None
    more: bool | None


class Recording(Struct):
    """A finished record. Times are in seconds on the monotonic clock of `host`, shared by its processes."""

    process: str
    host: str
    conns: int
    """How many connections it numbered, from 1."""
    events: list[Event]
    messages: list[bytes]
    live: list[HeardLive]
    notices: list[HeardLive]
    """The server's notices of joins and leaves, received among the messages."""
    pages: list[HeardPage]
    timings: dict[str, bytes]
    """By name, arrays of pairs: when each was due, and the seconds that it took from then on."""
    lags: bytes
    complete: bool
    defect: str = ""
    """A traceback, if the kit itself failed."""
    flooded: bool = False
    """Whether the server sent so much more than the users have said that nothing more was read."""
    different: int = 0
    """Bytes of the different frames that came."""
    dues: dict[str, float] = field(default_factory=dict)
    """When each message was due to be said, by its tag."""
    arrivals: bytes = b""
    """Array of pairs: when each user was due to come for the first time, and when it was in all its rooms."""
    beats: bytes = b""
    """Array of fours, one a second: when, how many lags so far, and since the last: see `Recorder.beat`."""
    never: dict[str, bytes] = field(default_factory=dict)
    """By the names of `timings`, arrays: when what was due that was refused, or not answered."""
    busy_room: str = ""
    """Only for the probe's record: the room that it shares with the users."""
    checks: dict[str, tuple[int, int]] = field(default_factory=dict)
    """By the names of a scenario's checks: how many there were, and how many of them failed."""


def this_host() -> str:
    """Four letters or digits that identify this machine, and so its clock.

    On Linux they come from the boot id, which containers on one machine share as they share its clock.
    """
    try:
        machine = proc("sys/kernel/random/boot_id").read_text()
    except OSError:
        machine = f"{platform.node()}/{uuid.getnode()}"
    return hashlib.sha256(machine.encode()).hexdigest()[:4]


class _Column:
    """The live messages that one connection receives of one room: when, and which."""

    __slots__ = ("at", "messages")

    def __init__(self) -> None:
        self.at = array("d")
        self.messages = array("I")


class _Columns:
    """Columns by room and connection."""

    def __init__(self) -> None:
        self._of: dict[str, dict[int, _Column]] = defaultdict(lambda: defaultdict(_Column))

    def of(self, room: str) -> dict[int, _Column]:
        """Those of a room, by connection; missing ones are created when they are looked up."""
        return self._of[room]

    def finish(self) -> list[HeardLive]:
        """All of them."""
        return [
            HeardLive(conn, room, column.at.tobytes(), column.messages.tobytes())
            for room, columns in self._of.items()
            for conn, column in columns.items()
        ]


class Recorder:
    """Writes the record of one process. `now` is its clock, in seconds."""

    def __init__(self, process: str, host: str) -> None:
        self.process = process
        self.host = host
        self.heard = 0
        """Messages and pages received so far."""
        self.timings: dict[str, array[float]] = defaultdict(lambda: array("d"))
        """By name: when joins, reconnections and other requests were due, and the seconds that they took."""
        self.never: dict[str, array[float]] = defaultdict(lambda: array("d"))
        """By name: when what was due that was refused, or not answered."""
        self.dues: dict[str, float] = {}
        """When each message was due to be said, by its tag."""
        self.arrivals = array("d")
        """When each user was due to come, and when it had come."""
        self.beats = array("d")
        """Once a second: when, how many lags so far, and the two shares of `beat`."""
        self.busy_room = ""
        """The room that the probe shares with the users, if this is its record."""
        self.checks: dict[str, tuple[int, int]] = {}
        """By the names of a scenario's checks: how many there were, and how many of them failed."""
        self.lags = array("d")
        """Seconds by which this process woke up too late, sampled continuously."""
        self.defect = ""
        """A traceback, if the kit itself failed."""
        self._events: list[Event] = []
        self._messages: dict[bytes, int] = {}
        self._live, self._notices = _Columns(), _Columns()
        self._pages: list[HeardPage] = []
        self._readings: dict[str, tuple[Meaning | None, int, dict[int, _Column]]] = {}
        self._conns = 0
        self._odd = 0
        self._complete = True
        self.flooded = False
        """Whether the server has sent so much that nothing more is read."""
        self._said = 0
        self._different = self._values = self._unweighed = 0
        self._before = memory_of(os.getpid())

    def now(self) -> float:
        """Seconds on a clock that all processes of this machine share."""
        return time.monotonic()

    def next_conn(self) -> int:
        """The number of a new connection of this process."""
        self._conns += 1
        return self._conns

    def add(self, event: Event) -> None:
        """Keep an event."""
        self._said += isinstance(event, history.Sent)
        self._events.append(event)

    def check(self, name: str, *, ok: bool) -> None:
        """Count a check of a scenario."""
        count, failed = self.checks.get(name, (0, 0))
        self.checks[name] = count + 1, failed + (not ok)

    def beat(self, used: float, waited: float) -> None:
        """Note for which share of the time since the last call we had a core, and waited for one."""
        self.beats.extend((self.now(), float(len(self.lags)), used, waited))

    def hear(self, client: str, conn: int, text: str | bytes) -> Meaning | None:
        """Record a received frame, and return its meaning; None if it has none.

        Members of a room receive the same bytes, so nearly always the result is in the cache.
        """
        if self.flooded:
            return None
        at = self.now()
        known = self._readings.get(text) if isinstance(text, str) else None
        if known is None:
            known = self._read(at, client, conn, text)
            self._weigh(len(text), frames.values_in(text))
        meaning, index, columns = known
        if isinstance(meaning, Message):
            if self.heard >= MAX_DELIVERIES:
                self._complete = False
                return meaning
            column = columns[conn]
            column.at.append(at)
            column.messages.append(index)
            self.heard += 1
        return meaning

    def _read(
        self, at: float, client: str, conn: int, text: str | bytes
    ) -> tuple[Meaning | None, int, dict[int, _Column]]:
        """The meaning of a frame; for a live message also its index, and the columns of its room."""
        frame, reading = frames.hear(text)
        meaning = reading.meaning
        if meaning is None or isinstance(meaning, frames.Error):
            self._keep_whole(history.Received(at, client, conn, frame, len(text), repr(text[:200])))
            return meaning, 0, {}
        if isinstance(meaning, frames.History):
            indexes = array("I", map(self._index, frame["data"]["messages"]))
            page = HeardPage(at, conn, meaning.room, indexes.tobytes(), meaning.last, meaning.more)
            self._pages.append(page)
            self.heard += 1
            return meaning, 0, {}
        index, columns = 0, {}
        if isinstance(meaning, Message):
            index = self._index(frame["data"])
            columns = (self._notices if meaning.user == SYSTEM else self._live).of(meaning.room)
        if isinstance(text, str) and len(text) < _CACHED:
            if len(self._readings) >= _CACHED:
                self._readings.clear()
            self._readings[text] = meaning, index, columns
        return meaning, index, columns

    def _weigh(self, size: int, values: int) -> None:
        """See whether a frame that is like none before is one too many, by its bytes and by our memory."""
        self._different += size
        self._values += values
        self._unweighed += size + FRAME_BYTES
        if self._unweighed < WEIGH_EVERY:
            return
        self._unweighed = 0
        own = BYTES_PER_MESSAGE * self._said
        grown = memory_of(os.getpid()) - self._before
        self.flooded = grown > OWN_MEMORY + own or self._values > MAX_VALUES + own
        if self.flooded:
            self._forget()

    def _forget(self) -> None:
        """Drop what came: nobody will judge it."""
        self._messages.clear()
        self._pages.clear()
        self._readings.clear()
        self._live, self._notices = _Columns(), _Columns()
        self._events = [event for event in self._events if not isinstance(event, history.Received)]

    def _keep_whole(self, event: history.Received) -> None:
        self._odd += 1
        if self._odd <= _MAX_ODD:
            self._events.append(event)

    def _index(self, data: object) -> int:
        return self._messages.setdefault(msgspec.json.encode(data), len(self._messages))

    def finish(self) -> Recording:
        """All that was kept."""
        return Recording(
            self.process,
            self.host,
            self._conns,
            list(self._events),
            list(self._messages),
            self._live.finish(),
            self._notices.finish(),
            self._pages,
            {name: times.tobytes() for name, times in self.timings.items()},
            self.lags.tobytes(),
            self._complete,
            self.defect,
            self.flooded,
            self._different,
            dict(self.dues),
            self.arrivals.tobytes(),
            self.beats.tobytes(),
            {name: dues.tobytes() for name, dues in self.never.items()},
            self.busy_room,
            dict(self.checks),
        )


def pack(recording: Recording) -> list[bytes]:
    """A recording, compressed and in pieces of at most PIECE bytes."""
    data = zlib.compress(msgspec.msgpack.encode(recording), 1)
    return [data[start : start + PIECE] for start in range(0, len(data), PIECE)]


def unpack(pieces: list[bytes]) -> Recording:
    """The recording in these pieces. Raises ValueError if they are not those of a recording."""
    try:
        return msgspec.msgpack.decode(zlib.decompress(b"".join(pieces)), type=Recording)
    except (zlib.error, msgspec.DecodeError) as error:
        raise ValueError(f"these pieces are no recording: {error}") from error


def with_end_of_server(recordings: list[Recording], server: list[history.Server]) -> list[Recording]:
    """The recordings, and what became of the server: then nobody is blamed for what it could not do any more.

    Users who could not connect when it was gone are left out.
    """
    ended = min((event.at for event in server if event.what in ENDS), default=inf) - DYING_SECONDS
    kept = [
        msgspec.structs.replace(
            each,
            events=[e for e in each.events if not (isinstance(e, history.GaveUp) and e.at > ended)],
            never={
                name: array("d", (due for due in seconds(dues) if due <= ended)).tobytes()
                for name, dues in each.never.items()
            },
        )
        for each in recordings
    ]
    host = recordings[0].host if recordings else this_host()
    return [*kept, Recording(SERVER, host, 0, list(server), [], [], [], [], {}, b"", True)]


def numbers(data: bytes) -> array[int]:
    """The whole numbers in the bytes of an array of type I."""
    return array("I", data)


def seconds(data: bytes) -> array[float]:
    """The times in the bytes of an array of type d."""
    return array("d", data)
