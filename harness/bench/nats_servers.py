"""Servers of NATS below what is measured, and a node of the chat on them."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from harness.bench.peers import Peer
from harness.bench.plan import BenchError
from harness.bench.usage import cpu_seconds, megabytes
from harness.cluster.nats import NATS_NODES, Nats
from harness.cluster.nats_node import ALWAYS
from harness.cluster.problems import ClusterProblem, NatsFailed


class NatsServers:
    """Servers of NATS that run."""

    def __init__(self, nats: Nats) -> None:
        self.urls = [node.address for node in nats.running]
        self._processes = [psutil.Process(node.pid) for node in nats.running]

    def cpu(self) -> float:
        """CPU seconds of all of them. Raises BenchError."""
        return sum(map(cpu_seconds, self._processes))

    def memory(self) -> float:
        """MiB of all of them."""
        return sum(map(megabytes, self._processes))

    @property
    def node(self) -> Peer:
        """A node of the chat on these servers."""
        words = [sys.executable, "-P", "-m", "lab", "--backplane", ",".join(self.urls)]
        return Peer("node", "a node of a cluster", lambda port, folder: words)


@contextmanager
def nats_servers(folder: Path, count: int = NATS_NODES, sync: str = ALWAYS) -> Iterator[NatsServers]:
    """So many servers of NATS, with JetStream in the folder. Raises BenchError."""
    nats = Nats(folder / "data", folder, count, sync)
    try:
        asyncio.run(nats.start())
        yield NatsServers(nats)
    except (ClusterProblem, NatsFailed) as error:
        raise BenchError(str(error)) from error
    finally:
        nats.kill()
