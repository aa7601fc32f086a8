"""Three NATS nodes with JetStream: started, waited for, killed, and asked who leads."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

from msgspec import Struct

from harness.cluster.nats_node import ALWAYS, NatsNode, free_ports
from harness.cluster.problems import NatsFailed
from harness.cluster.threads import side_by_side

NATS_NODES = 3
"""JetStream keeps three copies of each message, and needs two nodes of three to accept one."""
HEALTHY_SECONDS = 40.0
"""Seconds in which the nodes agree on leaders: an election takes four to nine, and one may follow another."""
_POLL = 0.05
_TRIES = 5
"""Times that ports are chosen: another program may take one between our look at it and the node's."""


class Stream(Struct, frozen=True):
    """A stream as a node sees it: when something was last stored in it, and which node leads it."""

    name: str
    last: str
    leader: str


class Nats:
    """The nodes: their messages are in folders below `data`, their configuration and logs in `scratch`."""

    def __init__(self, data: Path, scratch: Path, count: int = NATS_NODES, sync: str = ALWAYS) -> None:
        names = [f"nats{number}" for number in range(1, count + 1)]
        self.nodes = {name: NatsNode(name, data / name, scratch, sync) for name in names}

    @property
    def running(self) -> list[NatsNode]:
        """The nodes that were started, and not ended by us."""
        return [node for node in self.nodes.values() if node.is_running]

    async def start(self, seconds: float = HEALTHY_SECONDS) -> None:
        """Start all nodes that do not run, and wait until they are one cluster.

        Raises NatsFailed if they do not become one, and ClusterProblem if there is no NATS.
        """
        for _ in range(_TRIES):
            is_first = not self.running
            idle = [node.name for node in self.nodes.values() if not node.is_running]
            # Each waits for its keeper, and meanwhile we have clients to look after.
            await asyncio.gather(*(asyncio.to_thread(self.begin, name) for name in idle))
            await self.until_healthy(seconds, may_lack_ports=is_first)
            if not any(node.found_port_taken for node in self.running):
                return
            self.kill()
            for node in self.nodes.values():
                node.ports = free_ports()
        raise NatsFailed("each choice of ports had one that another program took")

    def begin(self, name: str) -> None:
        """Start a node, again on the same ports and data if it ran before."""
        node = self.nodes[name]
        node.begin([other for other in self.nodes.values() if other is not node])

    async def until_healthy(self, seconds: float = HEALTHY_SECONDS, *, may_lack_ports: bool = False) -> None:
        """Wait until all nodes that run know all that was agreed on, and streams have their leaders.

        With `may_lack_ports`, also until one has found that another program has its port. Raises NatsFailed.
        """
        deadline = time.monotonic() + seconds
        while not await self._are_healthy():
            if may_lack_ports and any(node.found_port_taken for node in self.running):
                return
            self.check()
            if time.monotonic() > deadline:
                raise NatsFailed(f"no cluster after {seconds:g} s:\n{self._logs()}")
            await asyncio.sleep(_POLL)

    async def _are_healthy(self) -> bool:
        """Whether all nodes that run are, and each stream has a leader: a node may be, and wait for that."""
        healthy = await asyncio.gather(*(node.is_healthy() for node in self.running))
        if not all(healthy):
            return False
        told = await self._told()
        return {each.name for _, each in told} == {each.name for name, each in told if each.leader == name}

    def check(self) -> None:
        """Raise NatsFailed if a node has ended by itself."""
        for node in self.running:
            if node.has_ended:
                raise NatsFailed(f"{node.name} has ended:\n" + "\n".join(node.tail()))

    def _logs(self) -> str:
        return "\n".join(f"{node.name}: {line}" for node in self.running for line in node.tail()[-4:])

    def stop_at_once(self) -> None:
        """Let no node do anything more, before anything is done that takes time."""
        for node in self.running:
            node.stop_at_once()

    def kill(self) -> None:
        """End all nodes at the same moment, by SIGKILL."""
        self.stop_at_once()
        side_by_side(node.kill for node in self.running)

    async def newest_stream(self) -> Stream | None:
        """The stream in which something was stored last, as its leader tells; None if there is none."""
        led = [stream for name, stream in await self._told() if stream.leader == name]
        return max(led, key=lambda stream: stream.last, default=None)

    async def in_role(self, role: str) -> tuple[str, str]:
        """The stream in which something was stored last, and the node that leads it, or follows.

        `role` is "leader" or "follower"; of those that follow, it is the one with most clients.
        """
        stream = await self.newest_stream()
        if stream is None:
            return "", self.running[0].name
        if role == "leader":
            return stream.name, stream.leader
        clients = {node.name: (await node.ask("varz")).get("connections", 0) for node in self.running}
        del clients[stream.leader]
        return stream.name, max(clients, key=lambda name: clients[name])

    async def _told(self) -> list[tuple[str, Stream]]:
        """What each node that runs tells of each stream: the node's name, and the stream."""
        nodes = self.running
        answers = await asyncio.gather(*(node.ask("jsz?accounts=true&streams=true") for node in nodes))
        return [
            (node.name, stream)
            for node, answer in zip(nodes, answers, strict=True)
            for stream in _streams_in(answer)
        ]


def _streams_in(answer: dict[str, Any]) -> list[Stream]:
    return [
        Stream(each["name"], each["state"]["last_ts"], each.get("cluster", {}).get("leader", ""))
        for account in answer.get("account_details", [])
        for each in account.get("stream_detail", [])
    ]
