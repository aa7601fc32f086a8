"""Servers for pages: one in a thread, whose connections a test can cut, and one that can be killed."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from harness.judged.process import ServerProcess, free_port
from lab.hub import Components, Config
from lab.protocol import HEARTBEAT_INTERVAL, OFFLINE_TIMEOUT, Message
from lab.server import ChatServer
from lab.session import Session
from tests.lab.helpers import fill

PATIENCE = 20.0
"""Seconds after which what should have come by now never will."""


def eventually(what: Callable[[], object]) -> None:
    """Wait until `what` holds; fail if it does not in time."""
    deadline = time.monotonic() + PATIENCE
    while not what():
        assert time.monotonic() < deadline, "it never came to hold"
        time.sleep(0.02)


class ThreadedServer:
    """A server in its own thread, with its own event loop, since playwright uses ours."""

    def __init__(
        self,
        folder: Path,
        stored: Sequence[Message] = (),
        components: Components | None = None,
        access_key: str = "",
        rooms: tuple[str, ...] = (),
        intervals: tuple[float, float] = (HEARTBEAT_INTERVAL, OFFLINE_TIMEOUT),
    ) -> None:
        heartbeat, timeout = intervals
        self._config = Config(
            port=0,
            data_dir=folder,
            heartbeat_interval=heartbeat,
            offline_timeout=timeout,
            access_key=access_key,
            rooms=rooms,
        )
        self._stored = stored
        self._components = components or Components()
        self._started = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))
        self._server: ChatServer | None = None
        self._thread.start()
        assert self._started.wait(PATIENCE)

    async def _serve(self) -> None:
        await fill(self._config.data_dir, self._stored)
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        async with ChatServer(self._config, self._components) as self._server:
            self._started.set()
            await self._stop.wait()

    @property
    def url(self) -> str:
        """The page's address."""
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.port}"

    def cut(self, room: str, user: str) -> None:
        """Break the connections of a user in that room, without a close frame."""
        assert self._server is not None
        for member in self._server.pubsub.members(room):
            if isinstance(member, Session) and member.user == user:
                self._loop.call_soon_threadsafe(member.connection.transport.abort)

    def stop(self) -> None:
        """Stop it normally."""
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()


class KillableServer:
    """A server as a process, which can be killed and started again on the same port and data."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port = free_port()
        self._process: ServerProcess | None = None
        self.start()

    @property
    def url(self) -> str:
        """The page's address."""
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Start it, and wait until it listens."""
        env: dict[str, Any] = {
            **os.environ,
            "HOST": "127.0.0.1",
            "PORT": str(self._port),
            "DATA_DIR": str(self._folder / "data"),
        }
        command = [sys.executable, "-m", "lab"]
        self._process = ServerProcess(command, self._folder, env, self._folder / "server.log")
        eventually(self._listens)

    def _listens(self) -> bool:
        assert self._process is not None
        assert self._process.exit_code is None, self._process.tail()
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self._port)) == 0

    def kill(self) -> None:
        """End it by SIGKILL."""
        assert self._process is not None
        self._process.kill()
