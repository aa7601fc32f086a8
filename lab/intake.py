"""What arrives from many clients is read in turns, so that a flood from one holds up nobody else.

An event loop does one thing at a time. If a client sends ten thousand tiny frames at once, and we read and
obey them all before we look at the next client, everybody waits for seconds. So:

- **slices**: of what has arrived on a connection, SLICE bytes are read at a time. What is left waits for its
  turn (`Turns`), and meanwhile nothing more is taken from that client's socket. TCP then tells the client's
  system to stop sending, which is *back-pressure*. Who sends little never has anything left, and so never
  waits for a turn.
- **one frame a turn**: the next slice is read when the frames of the last have been obeyed, and the session
  waits for its turn between two of them. So a client has few unread frames in our memory, whatever it sends.
  It is the turn of whoever has spent least of its budget.
- **newcomers** are read in turns from their first byte on: to let somebody in costs as much as many messages,
  and when a server is back, thousands come at once.
- **a budget**: each frame costs, in both directions, and a client that has spent its budget is not read from
  until it has gained some again. Who goes on sending all the same for FLOOD_SECONDS is closed (1008).

A connection gives and takes bytes; that a client is far too fast is decided here, without any I/O.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable
from typing import Protocol

from lab.limits import TokenBucket

SLICE = 1024
"""Bytes of one connection that are read at a time: some messages, or a hundred of the smallest frames."""
BYTES_PER_UNIT = 16 * 1024
"""Bytes that cost as much as a frame."""
NEWCOMER = 100.0
"""What a newcomer counts as having spent: who is in, and has sent little lately, has its turn first."""
FLOOD_SECONDS = 10.0
"""How long a client may go on sending although its budget is spent."""


class Turns:
    """Where those wait who have more to be read or obeyed than one slice and one frame.

    One of them goes on in each turn of the event loop; between any two, the loop does everything else. Who
    has spent least goes first: so somebody who sends a few frames at once passes all who flood the server.
    The connections of a server share it.
    """

    def __init__(self) -> None:
        self._waiting: list[tuple[float, int, Callable[[], object]]] = []  # a heap
        self._arrivals = itertools.count()  # among equals, who came first goes first
        self._is_going = False

    @property
    def are_wanted(self) -> bool:
        """Whether anybody waits."""
        return bool(self._waiting)

    def call(self, spent: float, callback: Callable[[], object]) -> None:
        """Call it when it is its turn. It must not raise."""
        heapq.heappush(self._waiting, (spent, next(self._arrivals), callback))
        if not self._is_going:
            self._is_going = True
            asyncio.get_running_loop().call_soon(self._next)

    def _next(self) -> None:
        _, _, callback = heapq.heappop(self._waiting)
        callback()
        self._is_going = bool(self._waiting)
        if self._is_going:
            asyncio.get_running_loop().call_soon(self._next)


class Source(Protocol):
    """A transport that can be told not to read for a while."""

    def pause_reading(self) -> None:
        """Take nothing from the socket."""

    def resume_reading(self) -> None:
        """Go on."""


class Intake:
    """What has arrived on one connection and was not read yet.

    `read` is given each slice, and returns how many frames ended in it. The transport is left unread while
    something waits here; so that is one read of it at the most.
    """

    def __init__(
        self,
        turns: Turns,
        source: Source,
        read: Callable[[bytes], int],
        budget: TokenBucket,
        on_flood: Callable[[], None],
    ) -> None:
        self._turns, self._source, self._read, self._on_flood = turns, source, read, on_flood
        self._budget = budget
        self.is_new = False
        """Whether it is a newcomer, of whom nothing was read: then the first slice is read in turns, too."""
        self._loop = asyncio.get_running_loop()
        self._waiting = b""
        self._at = 0  # how much of it has been read
        self._is_in_turns = False
        self._is_held = False  # by frames that the session has not obeyed yet
        self._is_overdrawn = False
        self._flooding_since = 0.0
        self._is_over = False  # it was a flood: nothing is read any more

    @property
    def is_waiting(self) -> bool:
        """Whether bytes wait here, and perhaps more behind them in the socket."""
        return bool(self._waiting)

    def arrived(self, data: bytes) -> None:
        """Read the first slice of `data` at once, unless it is the very first, and the rest in turns."""
        if self._waiting:
            self._waiting = self._waiting[self._at :] + data
            self._at = 0
        elif len(data) <= SLICE and self._may_read and not self.is_new:  # this is what happens mostly
            self._read_slice(data)
        else:
            self._waiting = data
            self._source.pause_reading()
            if self.is_new:
                self._wait_for_turn()
            else:
                self.take_turn()

    def take_turn(self) -> None:
        """Read until a frame has ended, if nothing speaks against it by now; if more is left, wait again."""
        self._is_in_turns = False
        frames = 0
        while self._waiting and self._may_read and not frames:
            start, self._at = self._at, self._at + SLICE
            data = self._waiting[start : self._at]
            if self._at >= len(self._waiting):
                self._waiting, self._at = b"", 0
                self._source.resume_reading()
            frames = self._read_slice(data)
        self._wait_for_turn()

    @property
    def _may_read(self) -> bool:
        return not (self._is_held or self._is_overdrawn or self._is_over)

    def _read_slice(self, data: bytes) -> int:
        self.is_new = False
        frames = self._read(data)
        self.spend(frames + len(data) / BYTES_PER_UNIT)
        return frames

    def _wait_for_turn(self) -> None:
        if self._waiting and self._may_read and not self._is_in_turns:
            self._is_in_turns = True
            self._turns.call(self._spent, self.take_turn)

    def hold(self) -> None:
        """Read nothing until `release`: what was read has not been obeyed yet."""
        self._is_held = True

    def release(self) -> None:
        """Go on reading."""
        self._is_held = False
        self._wait_for_turn()

    @property
    def _spent(self) -> float:
        if self.is_new:
            return NEWCOMER
        return self._budget.burst - self._budget.tokens

    async def turn(self) -> None:
        """Wait until it is this connection's turn to have another frame obeyed."""
        turn: asyncio.Future[None] = self._loop.create_future()
        self._turns.call(self._spent, lambda: None if turn.done() else turn.set_result(None))
        await turn  # it is done if we were cancelled

    def end(self) -> None:
        """The connection has ended: forget it, and what waits."""
        self._waiting, self._at = b"", 0
        self._read, self._on_flood = (lambda data: 0), (lambda: None)

    # The budget.

    def spend(self, cost: float) -> None:
        """Take so many units from the budget. If that overdraws it, read nothing until it is balanced."""
        self._budget.spend(cost, self._loop.time())
        if self._budget.tokens < 0 and not self._is_overdrawn:
            self._is_overdrawn = True
            self._flooding_since = self._flooding_since or self._loop.time()
            self._loop.call_later(self._budget.seconds_to_zero, self._earn)

    def _earn(self) -> None:
        self._budget.spend(0, self._loop.time())
        if self._budget.tokens < 0:  # it has answered some more frames meanwhile
            self._loop.call_later(self._budget.seconds_to_zero, self._earn)
            return
        self._is_overdrawn = False
        if not self._waiting:
            self._flooding_since = 0.0
        elif self._loop.time() - self._flooding_since > FLOOD_SECONDS:
            self._is_over, self._waiting, self._at = True, b"", 0
            self._on_flood()
        self._wait_for_turn()
