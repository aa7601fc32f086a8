"""What a scenario may ask of the world that it is played in.

Scenarios know this class and no other: they start and stop "the server", make clients, wait and count,
and never learn whether the server is a process or a simulation.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from typing import Any

from harness.history import events as history
from harness.history.events import Event, History
from harness.history.frames import Reading
from harness.worlds.client import Client, PlayStopped
from harness.worlds.connection import Connection
from harness.worlds.torn import Sizes, Watch

POLL = 0.005
"""Seconds between two looks at what is waited for."""
PATIENCE = 6.0
"""Seconds without any progress after which we stop waiting. Only failures take that long."""

MAX_EVENTS = 150_000
"""Events after which a server counts as flooding: a play has some thousands."""
LEAST_PATIENCE = 1.5
"""Seconds that are left of it after several disappointments."""


class World(ABC):
    """A place with a server, clients and a clock; it keeps the history of what happens."""

    kind = "abstract"

    def __init__(self, exercise: int, seed: str, nonce: str, clock: float) -> None:
        self.history: History = []
        self.readings: list[Reading] = []
        """The readings of all frames received, in their order."""
        self.nonce = nonce
        self.patience = PATIENCE
        self.fences = True
        """Whether the server answers `presence`, so that an answer fences off what went before."""
        self.can_restart = True
        """Whether the server is ours to stop and start."""
        self.skip_slow = False
        """Whether steps that wait for long time-outs are left out."""
        self.on_step: Callable[[Event], None] = lambda event: None
        """Told of each step that begins or ends, and of long waits, to show progress."""
        self.lags: dict[str, float] = {}
        """For each step that was played, the seconds by which our own event loop was late at the most."""
        self.most_events = MAX_EVENTS
        """Events after which a server counts as flooding."""
        self.flooded = False
        """Whether the server sent so much that nothing more is read."""
        self.heartbeat = 0.0
        self.timeout = 0.0
        self._clock = asyncio.get_running_loop().time
        self._began = self._clock()
        self._conns = 0
        self._numbers = 0
        self._clients: list[Client] = []
        self._long_texts: dict[str, str] = {}
        self.record(history.Began(0.0, exercise, seed, nonce, self.kind, clock))

    # --- names, numbers, time ---------------------------------------------------------------------

    def now(self) -> float:
        """Seconds since the run began."""
        return self._clock() - self._began

    def record(self, event: Event) -> None:
        """Add an event to the history. A server that sends without end is told of once."""
        self.history.append(event)
        if len(self.history) > self.most_events and not self.flooded:
            self.flooded = True
            self.record(history.Server(self.now(), "flooding", {"events": self.most_events}))

    def note(self, what: str, value: Any) -> None:
        """Write down something that was counted or measured."""
        self.record(history.Noted(self.now(), what, value))

    def name(self, text: str) -> str:
        """A name that no other run uses, for a room or a user."""
        return f"{text}-{self.nonce}"

    def tag(self) -> str:
        """A new tag, for a message to begin with."""
        return f"{self.nonce}-{self.next_number()}"

    def next_conn(self) -> int:
        """The number of a new connection."""
        self._conns += 1
        return self._conns

    def next_number(self) -> int:
        """A number that was not given out before."""
        self._numbers += 1
        return self._numbers

    def same(self, text: str) -> str:
        """The one copy that is kept of a long text, which hundreds of frames may hold."""
        return self._long_texts.setdefault(text, text) if len(text) > 1024 else text

    async def pause(self, seconds: float) -> None:
        """Let time pass: the pace of a plan, never a way to wait for the server."""
        await asyncio.sleep(seconds)

    @abstractmethod
    async def moment(self) -> float:
        """Wait until something may have happened; returns the seconds that count as waiting."""

    async def until(
        self, remaining: Callable[[], int], patience: float | None = None, *, may_hang: bool = False
    ) -> bool:
        """Wait until `remaining()` is 0 (or False); True if it is.

        Patience begins anew whenever it has become less. A moment for which this process did not get
        the processor does not count, so that a loaded machine is not mistaken for a silent server.
        Raises PlayStopped if the server dies meanwhile, or (unless it `may_hang`) greets nobody any more.
        """
        left, waited = int(remaining()), 0.0
        limit = self.patience if patience is None else patience
        while left:
            if waited > limit:
                # Whoever kept us waiting once is waited for less: the verdict is clear, and time is dear.
                self.patience = max(self.patience / 2, LEAST_PATIENCE)
                if not may_hang:
                    await self.check_alive()
                return False
            self.check_server()
            if self.flooded:
                raise PlayStopped
            waited += await self.moment()
            less = int(remaining())
            if less < left:
                waited = 0.0
            left = less
        return True

    @contextmanager
    def step(self, step: str) -> Iterator[None]:
        """Mark what is played inside as one of the course's steps."""
        self.lags[step] = 0.0
        for done in (False, True):
            event = history.Step(self.now(), step, done)
            self.record(event)
            self.on_step(event)
            if not done:
                yield

    def announce_wait(self, seconds: float) -> None:
        """Say that what comes takes long, because the server's own time-outs do."""
        event = history.Noted(self.now(), "long_wait", seconds)
        self.record(event)
        self.on_step(event)

    # --- clients ----------------------------------------------------------------------------------

    async def client(
        self, name: str, user: str | None = None, *, narrow: bool = False, copy: bool = False
    ) -> Client:
        """A new client, connected. `user` is asked for as a name of this run; `name` unless given.

        With `narrow`, the network takes little before a client that does not read is felt. With
        `copy` it speaks to the second server. Raises PlayStopped if it is not let in.
        """
        client = Client(self, name, self.name(user or name), narrow, copy)
        self._clients.append(client)
        await client.connect()
        if client.connected_frame and not copy:
            opened = self.history[-1]
            assert isinstance(opened, history.Opened)
            self.heartbeat, self.timeout = opened.heartbeat, opened.timeout
        return client

    async def stranger(self, name: str, user: str) -> Client:
        """A client that is not connected yet, with a user name that nobody may have."""
        client = Client(self, name, user, narrow=False, copy=False, unwelcome=True)
        self._clients.append(client)
        return client

    async def settle(self) -> None:
        """Wait until all that was sent to clients who read has come to them: networks take their time."""
        readers = [each for each in self._clients if each.is_open and not each.is_mute and not each.copy]
        await asyncio.gather(*(each.fence() for each in readers), return_exceptions=True)

    async def close(self) -> None:
        """End everything: clients, servers, files."""
        for client in self._clients:
            await client.dispose()

    @abstractmethod
    async def dial(self, user: str, *, narrow: bool, copy: bool) -> Connection:
        """Open a WebSocket to the server. Raises OSError or TimeoutError."""

    @abstractmethod
    def reset(self, connection: Connection) -> None:
        """Break a connection without a farewell."""

    # --- the server -------------------------------------------------------------------------------

    @abstractmethod
    async def start_server(self) -> None:
        """Start the server, also again, on the same address and data; returns when it answers.

        Raises PlayStopped if it does not.
        """

    @abstractmethod
    async def stop_server(self) -> None:
        """Ask the server to stop (SIGTERM), and wait until it has. Raises PlayStopped if it does not."""

    @abstractmethod
    async def kill_server(self) -> None:
        """End the server at once (SIGKILL)."""

    @abstractmethod
    async def kill_while_writing(self, watch: Watch, fraction: float) -> int:
        """SIGKILL as soon as the server has written something since `watch` looks, or after a while.

        Of what it has written then, the end is torn off, and about so much of it (0 to 1) stays. Returns how
        many bytes were torn off.
        """

    @abstractmethod
    def check_server(self) -> None:
        """Raise PlayStopped if the server ended without being told to."""

    @abstractmethod
    async def check_alive(self) -> None:
        """Raise PlayStopped if the server answers nobody any more."""

    @abstractmethod
    async def _start_copy(self) -> None:
        """Start a second server on a copy of the data."""

    @abstractmethod
    async def _stop_copy(self) -> None:
        """End the second server."""

    @abstractmethod
    def stored(self) -> Sizes:
        """The files in the server's data folder."""

    @abstractmethod
    def watch_files(self) -> Watch:
        """Look what the server writes there from now on."""

    def second_server(self) -> AbstractAsyncContextManager[None]:
        """A second server on a copy of the data, for clients made with `copy`."""
        return self._second_server()

    @asynccontextmanager
    async def _second_server(self) -> AsyncIterator[None]:
        await self._start_copy()
        try:
            yield
        finally:
            await self._stop_copy()


__all__ = ["PATIENCE", "POLL", "PlayStopped", "World"]
