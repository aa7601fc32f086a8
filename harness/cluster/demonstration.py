"""A cluster to look at: started on ports that one knows, until Ctrl-C."""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path

from msgspec import Struct

from harness.cluster.chat_node import ChatNode
from harness.cluster.launcher import BACKPLANE, Cluster
from harness.cluster.nats import Nats
from harness.cluster.nats_node import HOST
from harness.cluster.problems import ClusterProblem, NatsFailed
from harness.judged import environment
from harness.judged.listeners import can_listen, is_listened_on
from harness.judged.process import ServerProcess
from harness.judged.targets import reference
from harness.texts import MARK, Texts
from harness.texts.console import echo
from lab.system import when_told_to_stop

READY_SECONDS = 20.0
"""Seconds in which a chat node listens: NATS makes its streams meanwhile."""
STOP_SECONDS = 5.0
"""Seconds in which a chat node stops."""
_POLL = 0.05
_EXIT_FAILED = 1


class Demonstration(Struct, frozen=True):
    """What was asked for: so many chat nodes, on ports from `port` on, NATS nodes, and their folder."""

    nodes: int
    nats: int
    port: int
    data_dir: Path | None = None


async def demonstrate(asked: Demonstration, words: Texts) -> int:
    """Start it, tell where it is, and end all of it when we are asked to end; returns the exit code.

    Raises ClusterProblem if it cannot be started, for a reason that the user can do something about.
    """
    stop = asyncio.Event()
    when_told_to_stop(stop.set)
    with tempfile.TemporaryDirectory(prefix="chatlab-cluster-", ignore_cleanup_errors=True) as folder:
        scratch = Path(folder)
        data = (asked.data_dir or scratch / "data").absolute()
        cluster = _cluster(asked, data, scratch)
        try:
            task = asyncio.create_task(_run(cluster, asked, data, words, stop))
            ended = asyncio.create_task(stop.wait())
            await asyncio.wait({task, ended}, return_when=asyncio.FIRST_COMPLETED)
            ended.cancel()
            if task.done():
                return task.result()
            task.cancel()
            echo(words.say("cluster.ending"))
            return 0
        finally:
            await _end(cluster)


def _cluster(asked: Demonstration, data: Path, scratch: Path) -> Cluster:
    ports = range(asked.port, asked.port + asked.nodes)
    command = reference().command
    assert command is not None, "we start it"

    def launch(node: ChatNode, backplane: str) -> ServerProcess:
        settings = {"HOST": HOST, "PORT": str(node.port), "DATA_DIR": str(scratch), BACKPLANE: backplane}
        env = environment.of_server(settings)
        return ServerProcess(command, Path.cwd(), env, scratch / f"{node.name}.log", node.port)

    return Cluster(data, scratch, ports, launch, nats=Nats(data, scratch, asked.nats))


async def _run(cluster: Cluster, asked: Demonstration, data: Path, words: Texts, stop: asyncio.Event) -> int:
    """Start all of it, and tell what there is; returns the exit code when a node has ended by itself."""
    for node in cluster.nodes:
        if not can_listen(node.port):
            raise ClusterProblem("cluster.port_taken", name=node.name, port=node.port)
    is_again = any(data.glob("nats*"))
    echo(words.say("cluster.again" if is_again else "cluster.starting", nats=asked.nats, path=data))
    data.mkdir(parents=True, exist_ok=True)
    try:
        await cluster.start_nats()
        echo(words.say("cluster.chat", nodes=asked.nodes))
        cluster.launch()
        if not await _all_listen(cluster, words):
            return _EXIT_FAILED
        _tell(cluster, asked, data, words)
        while not (ended := _ended(cluster)):
            cluster.nats.check()
            await asyncio.sleep(_POLL)
    except NatsFailed as error:
        echo(words.say("cluster.nats_failed", why=error), err=True)
        return _EXIT_FAILED
    if not stop.is_set():
        code = ended.process.exit_code if ended.process is not None else None
        _complain(words.say("cluster.node_ended", name=ended.name, code=code), ended)
    return _EXIT_FAILED


def _tell(cluster: Cluster, asked: Demonstration, data: Path, words: Texts) -> None:
    for node in cluster.nodes:
        page = f"http://{HOST}:{node.port}/"
        echo(words.say("cluster.node", name=node.name, address=node.address, page=page))
    echo(words.say("cluster.nats", addresses=",".join(each.address for each in cluster.nats.nodes.values())))
    echo(words.say("cluster.ready" if asked.data_dir else "cluster.temporary", path=data))


def _ended(cluster: Cluster) -> ChatNode | None:
    """A chat node that has ended by itself."""
    running = (node for node in cluster.running if node.process is not None)
    return next((node for node in running if node.process and node.process.exit_code is not None), None)


async def _all_listen(cluster: Cluster, words: Texts) -> bool:
    deadline = time.monotonic() + READY_SECONDS
    for node in cluster.nodes:
        while not is_listened_on(node.port):
            ended = _ended(cluster)
            if ended is not None and ended.process is not None:
                code = ended.process.exit_code
                _complain(words.say("cluster.node_ended", name=ended.name, code=code), ended)
                return False
            if time.monotonic() > deadline:
                _complain(words.say("cluster.not_ready", name=node.name, seconds=READY_SECONDS), node)
                return False
            await asyncio.sleep(_POLL)
    return True


def _complain(sentence: str, node: ChatNode) -> None:
    echo(sentence, err=True)
    for line in node.process.tail() if node.process is not None else []:
        echo(f"  {MARK}{line}", err=True)


async def _end(cluster: Cluster) -> None:
    """Ask the chat nodes to stop; what has not stopped in time, and NATS, is killed."""
    for node in cluster.running:
        if node.process is not None:
            node.process.terminate()
    deadline = time.monotonic() + STOP_SECONDS
    while time.monotonic() < deadline and not all(
        each.process.is_gone for each in cluster.running if each.process
    ):
        await asyncio.sleep(_POLL)
    cluster.close()
