"""A double of a cluster: one reference server in the place of NATS, and nodes that pass on all they get.

To clients it is a correct cluster, and it starts in no time. As a program, it is such a node.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from urllib.parse import urlsplit

from harness.cluster.forwarder import Forwarder
from harness.cluster.launcher import BACKPLANE
from harness.cluster.nats import Nats, Stream
from harness.cluster.nats_node import NatsNode
from harness.judged.listeners import is_listened_on
from harness.judged.process import ServerProcess
from harness.judged.targets import Target
from harness.worlds.client import Client
from harness.worlds.clustered import ClusterWorld

TARGET = Target("double", (sys.executable, "-P", "-m", "tests.harness.cluster.double"), nodes=2)


class OneNode(NatsNode):
    """The reference server in the place of a NATS node."""

    def begin(self, others: list[NatsNode]) -> None:
        """See NatsNode."""
        settings = {"PORT": str(self.ports.client), "DATA_DIR": str(self.store)}
        settings |= {"HEARTBEAT_INTERVAL": "0.5", "OFFLINE_TIMEOUT": "1.5"}
        command = [sys.executable, "-P", "-m", "lab", "--log-level", "warning"]
        log = self.store.parent / "one.log"
        self._process = ServerProcess(command, Path.cwd(), os.environ | settings, log, self.ports.client)

    async def is_healthy(self) -> bool:
        """See NatsNode."""
        return is_listened_on(self.ports.client)


class OneServer(Nats):
    """The one server in the place of three NATS nodes."""

    def __init__(self, data: Path, scratch: Path) -> None:
        super().__init__(data, scratch, 1)
        self.nodes = {name: OneNode(name, data / name, scratch) for name in self.nodes}

    async def newest_stream(self) -> Stream | None:
        """See Nats."""
        return None


class DoubleWorld(ClusterWorld):
    """A world with the double as its server."""

    def _nats(self, data: Path, scratch: Path) -> Nats:
        return OneServer(data, scratch)


class OfOneEngine(DoubleWorld):
    """The same, where NATS nodes are killed in name only: the one server goes on, as a right cluster does."""

    leads_on = False
    """Whether a NATS node that was killed is still shown as the leader."""

    async def kill_nats(self, role: str) -> str:
        """See SeveralNodes."""
        self._event("nats_killed", node="nats1", role=role, stream="chat")
        return "nats1"

    async def start_nats(self, name: str) -> None:
        """See SeveralNodes."""
        self._event("nats_started", node=name)

    async def leads(self, name: str) -> bool:
        """See SeveralNodes."""
        return self.leads_on


class WithoutEffect(OfOneEngine):
    """The same, where faults have no effect."""

    leads_on = True

    async def cut_node(self, name: str) -> None:
        """See SeveralNodes."""
        self._event("node_cut", node=name)

    async def kill_node(self, name: str) -> list[Client]:
        """See SeveralNodes: here, to no client."""
        self._event("node_killed", node=name)
        return []

    async def start_node(self, name: str) -> None:
        """See SeveralNodes."""
        self._event("node_started", node=name)


async def main() -> None:
    """Be a chat node: pass on all connections to the server that the backplane names."""
    target = urlsplit(os.environ[BACKPLANE].split(",")[0]).port
    assert target
    await Forwarder(target, int(os.environ["PORT"])).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
