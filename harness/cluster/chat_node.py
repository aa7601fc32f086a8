"""One chat node: where it listens, its process, and its ways to NATS, which may be cut."""

from __future__ import annotations

from collections.abc import Sequence

from harness.cluster.forwarder import Forwarder
from harness.cluster.nats_node import HOST, NatsNode
from harness.judged.process import ServerProcess


class ChatNode:
    """A chat node on a port. It is given the addresses of its ways to NATS, if it has some of its own."""

    def __init__(self, name: str, port: int) -> None:
        self.name = name
        self.port = port
        self.process: ServerProcess | None = None
        """Its process, unless it was not started, or was ended by us."""
        self._ways: list[Forwarder] = []

    @property
    def address(self) -> str:
        """Where its clients connect to."""
        return f"ws://{HOST}:{self.port}/"

    async def lay_ways(self, nats: Sequence[NatsNode]) -> None:
        """Have ways of its own to these nodes."""
        self.close()
        self._ways = [Forwarder(node.ports.client) for node in nats]
        for way in self._ways:
            await way.start()

    def backplane(self, nats: Sequence[NatsNode]) -> str:
        """The addresses of NATS, as this node is given them."""
        addresses = [f"nats://{HOST}:{way.port}" for way in self._ways] or [node.address for node in nats]
        return ",".join(addresses)

    @property
    def passed(self) -> int:
        """Bytes that went over its own ways."""
        return sum(way.passed for way in self._ways)

    def cut(self) -> None:
        """Let nothing through between it and NATS. It must have ways of its own."""
        assert self._ways, "there is nothing to cut"
        for way in self._ways:
            way.cut()

    def heal(self) -> None:
        """The end of that."""
        for way in self._ways:
            way.heal()

    def kill(self) -> None:
        """End it by SIGKILL."""
        if self.process is not None:
            self.process.kill()

    def close(self) -> None:
        """Give up its ways."""
        for way in self._ways:
            way.close()
        self._ways = []
