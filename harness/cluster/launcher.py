"""Starts a cluster on loopback: NATS nodes, and chat nodes on top of them. All of it ends when we end.

Each process is below a keeper of its own (`judged/keeper.py`), which ends it when this process ends, even if
that is killed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from harness.cluster.chat_node import ChatNode
from harness.cluster.nats import Nats
from harness.cluster.threads import side_by_side
from harness.judged.process import ServerProcess

BACKPLANE = "BACKPLANE"
"""The environment variable that names a chat node's NATS nodes."""
Launch = Callable[[ChatNode, str], ServerProcess]
"""Starts the program of a chat node, which is given the addresses of NATS. Raises CommandNotFound."""


class Cluster:
    """Chat nodes on `ports`, and NATS nodes: three whose messages are in folders below `data`, unless given.

    Configuration and logs are in `scratch`. With `has_ways`, each chat node can be cut off from NATS.
    """

    def __init__(
        self,
        data: Path,
        scratch: Path,
        ports: Sequence[int],
        launch: Launch,
        *,
        nats: Nats | None = None,
        has_ways: bool = False,
    ) -> None:
        self.nats = nats or Nats(data, scratch)
        self.nodes = [ChatNode(f"node{number}", port) for number, port in enumerate(ports, start=1)]
        self._launch = launch
        self._has_ways = has_ways

    async def start_nats(self) -> None:
        """Start all NATS nodes that do not run. Raises ClusterProblem and NatsFailed."""
        await self.nats.start()
        for node in self.nodes if self._has_ways else ():
            await node.lay_ways(list(self.nats.nodes.values()))

    def launch(self) -> None:
        """Start all chat nodes. Raises CommandNotFound."""
        side_by_side(partial(self.launch_node, node) for node in self.nodes)

    def launch_node(self, node: ChatNode) -> None:
        """Start a chat node, again on the same port if it ran before."""
        node.process = self._launch(node, node.backplane(list(self.nats.nodes.values())))

    @property
    def running(self) -> list[ChatNode]:
        """The chat nodes that were started, and not ended by us."""
        return [node for node in self.nodes if node.process is not None]

    def kill_node(self, node: ChatNode) -> None:
        """End a chat node by SIGKILL."""
        node.kill()
        node.process = None

    def kill(self) -> None:
        """End all of it at the same moment, by SIGKILL: chat nodes and NATS nodes."""
        self.nats.stop_at_once()
        for node in self.running:
            assert node.process is not None
            node.process.suspend()
        side_by_side([*(node.kill for node in self.running), *(node.kill for node in self.nats.running)])

    def close(self) -> None:
        """End all of it, and give up its ways."""
        self.kill()
        for node in self.nodes:
            node.close()
