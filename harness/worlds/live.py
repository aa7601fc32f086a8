"""The live world: a real process, real sockets on this machine, real signals."""

from __future__ import annotations

import asyncio
import secrets
import socket
import struct
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol, cast

from harness.history import events as history
from harness.judged import environment
from harness.judged.bounds import LONGEST_TIMEOUT, LONGEST_WAIT, MOST_VAIN
from harness.judged.isolation import with_own_folders
from harness.judged.process import ServerProcess, free_port
from harness.judged.targets import Target
from harness.worlds.connection import Connection
from harness.worlds.dialling import connected_socket, other_scheme
from harness.worlds.served import QUICK_INTERVAL, QUICK_TIMEOUT, Process, ServedWorld
from harness.worlds.surroundings import POLL
from harness.worlds.timeline import Timeline

_RESET = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)
"""SO_LINGER for 0 seconds: closing discards what was not sent, and resets the connection."""
WEIGH_EVERY = 0.1
"""Seconds between two looks at a server's memory."""
QUIET = 2.0
"""Seconds in which nothing came that is due, after which we look whether the server still accepts clients.

Only here: in virtual time, to wait costs nothing, and another client would change what happens next.
"""
STALL = 0.1
"""Seconds by which the event loop may be late before that is recorded."""
MOVED = 1.0
"""Seconds by which the time of day may differ from the monotonic clock before that is recorded."""


class LiveProcess(Process, Protocol):
    """A run of a server's program by real processes."""

    @property
    def memory(self) -> int:
        """Bytes of memory that it takes."""

    def trim_output(self) -> None:
        """Cut the file of its output short if it has grown large."""


class LiveWorld(ServedWorld):
    """A server in a process of its own (or at a URL), reached over loopback."""

    kind = "live"
    heartbeat_interval = QUICK_INTERVAL
    _weighed = 0.0
    offline_timeout = QUICK_TIMEOUT
    _watch: asyncio.Task[None] | None = None
    _second: LiveWorld | None = None

    def __init__(self, target: Target, exercise: int, seed: str) -> None:
        timeline = Timeline(secrets.token_hex(3))
        timeline.record(history.Began(0.0, exercise, seed, timeline.nonce, self.kind, time.time()))
        super().__init__(target, timeline)
        self._bound()
        self._epoch = time.time() - self.now()
        self._watch = asyncio.create_task(self._watch_machine(), name="watches the machine")

    def _bound(self) -> None:
        """Wait for so long, and no longer: here, waiting takes time."""
        self.most_vain, self.quiet = MOST_VAIN, QUIET
        self.longest_wait, self.longest_timeout = LONGEST_WAIT, LONGEST_TIMEOUT

    async def moment(self) -> float:
        """Let some milliseconds pass; a longer time, when this process did not run, does not count."""
        before = self.now()
        await asyncio.sleep(POLL)
        return min(self.now() - before, 4 * POLL)

    def reset(self, connection: Connection) -> None:
        """A TCP reset."""
        sock = connection.transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        connection.transport.abort()

    def _disk(self) -> str | None:
        return environment.scratch()

    def _free_port(self) -> int:
        return free_port()

    def _launch(self) -> LiveProcess:
        return self._launched(self._port, {}, f"output-{self._starts}.txt")

    def _launched(self, port: int, more: Mapping[str, str], log: str) -> ServerProcess:
        """The target's program, listening on a port, with `more` variables, and with its output in a file."""
        assert self._folder is not None
        assert self.target.command is not None
        managers = self._folder / "managers"
        managers.mkdir(exist_ok=True)
        settings = {**environment.own_managers(managers), **self._settings(), **more}
        env = environment.of_server(settings, self.target.passed)
        isolation = with_own_folders(self.target.isolation, [self.data, managers])
        place = Path(self.target.cwd)
        return ServerProcess(self.target.command, place, env, self._folder / log, port, isolation)

    async def _socket(self, host: str, port: int, timeout: float, *, narrow: bool) -> socket.socket:
        return await connected_socket(host, port, timeout, narrow=narrow)

    async def _other_scheme(self) -> str:
        return await other_scheme(self.address)

    async def close(self) -> None:
        """End all clients and processes, and remove the files; nothing is left behind."""
        if self._watch is not None:
            self._watch.cancel()
        await super().close()

    def has_outgrown(self, process: Process) -> bool:
        """Whether it takes more memory than a chat needs."""
        now = self.now()
        if now - self._weighed < WEIGH_EVERY:
            return False
        self._weighed = now
        return cast(LiveProcess, process).memory > self.most_memory

    def _beside(self) -> LiveWorld:
        self._second = SecondLiveWorld(self)
        return self._second

    # --- the machine ------------------------------------------------------------------------------

    async def _watch_machine(self) -> None:
        """Note when this process was held up; read what the server prints, and keep its file small."""
        tick, ticks, moved = 0.02, 0, 0.0
        while True:
            before = self.now()
            await asyncio.sleep(tick)
            late = self.now() - before - tick
            if self.lags:
                step = next(reversed(self.lags))  # the one that is being played
                self.lags[step] = max(self.lags[step], late)
            if late > STALL:
                self.record(history.Stalled(self.now(), round(late, 3)))
            moved = self._watch_clock(moved)
            ticks += 1
            for world in (self, self._second):
                if world is not None and world._started is not None:
                    world._hear_output(world._started)
                    if ticks % 5 == 0:
                        cast(LiveProcess, world._started).trim_output()

    def _hear_output(self, process: Process) -> bool:
        """Take what the server has printed since the last time; whether there was anything."""
        assert isinstance(process, ServerProcess)
        text, lost = process.new_output()
        if text or lost:
            self.printing.take(self.now(), text, lost)
        else:
            self.printing.end_block()
        return bool(text)

    def _watch_clock(self, moved: float) -> float:
        """Note when the time of day was set, or went on while the machine slept.

        Takes, and returns, the seconds by which it has moved since the run began.
        """
        now = time.time() - self.now() - self._epoch
        if abs(now - moved) <= MOVED:
            return moved
        self.note("clock_moved", round(now, 1))
        return now


class SecondLiveWorld(LiveWorld):
    """A world beside another one, which watches the machine for both."""

    def __init__(self, first: LiveWorld) -> None:
        ServedWorld.__init__(self, first.target, first.timeline, first)
        self._bound()
