"""The live world with a cluster as its server: several chat nodes on a backplane of NATS nodes.

To scenarios it is one server. Clients are spread over the chat nodes, as by a balancer: each new connection
goes to the node that has the fewest, and from one to the next if they have as many. "Stopped" means that all
chat nodes stop, by SIGTERM, and that NATS is then killed; "killed" that all of it is, chat nodes and NATS
nodes, at the same moment. It starts again on what NATS has stored, and a second cluster starts on a copy of
that: the chat nodes themselves keep nothing.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from random import Random

from harness.cluster.as_process import ClusterProcess
from harness.cluster.chat_node import ChatNode
from harness.cluster.launcher import BACKPLANE, Cluster
from harness.cluster.nats import Nats
from harness.history import events as history
from harness.history import faults
from harness.history.printed import Output
from harness.judged.process import ServerProcess, free_port
from harness.judged.targets import Target
from harness.verdict.outcome import Outcome, Text
from harness.worlds import greeting
from harness.worlds.base import SeveralNodes
from harness.worlds.client import Client
from harness.worlds.connection import Connection
from harness.worlds.live import LiveWorld
from harness.worlds.served import DIAL_SECONDS, GONE_SECONDS, READY_SECONDS, Process, ServedWorld
from harness.worlds.surroundings import PlayStopped
from harness.worlds.torn import Watch

SLOWER_SECONDS = 60.0
"""Seconds that a play may take longer than with one server: each message is written to three disks, and where
NATS nodes are killed one by one, those that are left elect leaders. (A restart of all is counted apart.)"""


class ClusterWorld(LiveWorld, SeveralNodes):
    """A cluster of as many chat nodes as the target says. Where they are to be cut off, it `has_ways`."""

    def __init__(self, target: Target, exercise: int, seed: str, *, has_ways: bool) -> None:
        super().__init__(target, exercise, seed)
        self._lay_out(Random(f"{seed}/nodes").randrange(target.nodes), has_ways=has_ways)

    @property
    def _pays(self) -> ServedWorld:
        """The world whose play takes longer by what we wait for."""
        return self

    def _lay_out(self, first: int, *, has_ways: bool) -> None:
        nodes = self.target.nodes
        assert self._folder is not None, "a cluster is started by us"
        scratch = self._folder / "nats"
        scratch.mkdir()
        ports = [self._port, *(free_port() for _ in range(nodes - 1))]
        nats = self._nats(self.data, scratch)
        self._cluster = Cluster(self.data, scratch, ports, self._launch_node, nats=nats, has_ways=has_ways)
        self._first = first
        self._conn = 0  # the number of the connection that is opened next
        self.next_conn = self._next_conn
        self.not_its_own = SLOWER_SECONDS
        self._node_of: dict[int, str] = {}  # by connection
        hidden, aside = str(self._folder), self.timeline.aside
        outputs = {node.name: Output(aside, hidden=hidden, is_second=self.is_second) for node in self._chat}
        for output in outputs.values():
            output.is_reference = self.printing.is_reference
        self._printings = outputs
        self._outputs[-1:] = outputs.values()  # in place of the one for a single server

    def _nats(self, data: Path, scratch: Path) -> Nats:
        """The NATS nodes."""
        return Nats(data, scratch)

    @property
    def _chat(self) -> list[ChatNode]:
        return self._cluster.nodes

    # --- clients ----------------------------------------------------------------------------------

    def _next_conn(self) -> int:
        self._conn = self.timeline.next_conn()
        return self._conn

    async def dial(self, user: str, *, narrow: bool) -> Connection:
        """Open a WebSocket to the running chat node that has the fewest clients. Raises NotOpened."""
        running = self._cluster.running or self._chat
        turned = [running[(self._first + self._conn + n) % len(running)] for n in range(len(running))]
        node = min(turned, key=lambda node: len(self._on(node.name)))
        self._node_of[self._conn] = node.name
        self.note("node", [self._conn, node.name])
        return await self._dial(node.address, user, narrow, DIAL_SECONDS)

    def node_of(self, client: Client) -> str:
        """The chat node that a client was connected to last."""
        return self._node_of[client.conn]

    def _on(self, name: str) -> list[Client]:
        """The clients that are connected to a chat node."""
        return [each for each in self._clients if each.is_open and self._node_of.get(each.conn) == name]

    # --- the server -------------------------------------------------------------------------------

    async def start_server(self) -> None:
        """Start NATS, which takes some seconds where it has stored something, and then the chat nodes."""
        self.data.mkdir(exist_ok=True)
        began = self.now()
        await self._cluster.start_nats()
        self._pays.not_its_own += self.now() - began
        await super().start_server()

    def _launch(self) -> ClusterProcess:
        return ClusterProcess(self._cluster)

    def _launch_node(self, node: ChatNode, backplane: str) -> ServerProcess:
        own = self.data / node.name
        own.mkdir(exist_ok=True)
        settings = {"PORT": str(node.port), "DATA_DIR": str(own), BACKPLANE: backplane}
        return self._launched(node.port, settings, f"output-{node.name}-{self._starts}.txt")

    def watch_files(self) -> Watch:
        """Watch what the first chat node writes itself: what NATS writes is no text, and cannot be torn."""
        return Watch(self.data / self._chat[0].name)

    async def _look(self, seconds: float = greeting.SECONDS) -> dict[str, object]:
        """Why a new client of one of the chat nodes is not greeted; empty if all greet it."""
        for node in self._cluster.running:
            self._port = node.port  # what is said of the server is then said of this one
            found = await super()._look(seconds)
            if found:
                return found
        return {}

    def check_server(self) -> None:
        """Raise PlayStopped if a chat node ended by itself, and NatsFailed if a NATS node did."""
        self._cluster.nats.check()
        super().check_server()

    async def close(self) -> None:
        """End all clients, chat nodes and NATS nodes, and remove the files; nothing is left behind."""
        try:
            if self._process is None:  # NATS may run all the same
                self._cluster.kill()
            await super().close()
        finally:
            self._cluster.close()
            if self._folder is not None:
                shutil.rmtree(self._folder, ignore_errors=True)

    def _beside(self) -> LiveWorld:
        self._second = _SecondClusterWorld(self)
        return self._second

    # --- what it prints, and what is said of it ----------------------------------------------------

    def _hear_output(self, process: Process) -> bool:
        heard = False
        for name, node in process.nodes if isinstance(process, ClusterProcess) else ():
            text, lost = node.new_output()
            if text or lost:
                heard = True
                self._printings[name].take(self.now(), text, lost)
            else:
                self._printings[name].end_block()
        return heard

    def _hear_rest(self, process: Process) -> None:
        super()._hear_rest(process)
        for output in self._printings.values():
            output.flush(self.timeline.just_now)

    def output(self) -> list[str]:
        """The last lines that each chat node printed, with its name and their times."""
        if self._process is not None:
            self._keep_output(self._process)
        return [f"{name}  {line}" for name, each in self._printings.items() for line in each.last_lines()]

    def remarks(self, outcome: Outcome) -> list[Text]:
        """How the clients were spread, besides what else there is to say."""
        counts = Counter(self._node_of.values())
        spread = ", ".join(f"{node.name}: {counts[node.name]}" for node in self._chat)
        nats = len(self._cluster.nats.nodes)
        return [
            *super().remarks(outcome),
            Text("cluster", {"nodes": len(self._chat), "nats": nats, "spread": spread}),
        ]

    # --- faults -----------------------------------------------------------------------------------

    @property
    def nodes(self) -> list[str]:
        """The names of the chat nodes that run."""
        return [node.name for node in self._cluster.running]

    def _chat_node(self, name: str) -> ChatNode:
        return next(node for node in self._chat if node.name == name)

    def _suffer(self, clients: Iterable[Client], fault: str) -> None:
        for client in clients:
            self.record(history.Fault(self.now(), fault, client.name, client.conn))

    async def kill_node(self, name: str) -> list[Client]:
        """SIGKILL to a chat node; returns the clients that it had, when they have noticed it."""
        node, clients = self._chat_node(name), self._on(name)
        assert node.process is not None, "it runs"
        process = node.process
        self._cluster.kill_node(node)
        self._event("node_killed", node=name)
        self._suffer(clients, faults.NODE_KILLED)
        await self.until(lambda: sum(c.is_open for c in clients) + (not process.is_gone), GONE_SECONDS)
        for client in clients:
            await client.dispose()
        return clients

    async def start_node(self, name: str) -> None:
        """Start a chat node again; returns when it answers. Raises PlayStopped if it does not."""
        node = self._chat_node(name)
        self._starts += 1
        self._cluster.launch_node(node)
        self._event("node_started", node=name)
        assert self._process is not None, "the others run"
        if not await self._answers(node):
            self._port = node.port
            self._event("not_ready", **{"seconds": READY_SECONDS, **await self._look()})
            raise PlayStopped

    async def _answers(self, node: ChatNode) -> bool:
        waited = 0.0
        while waited <= READY_SECONDS:
            self.check_server()
            self._port = node.port
            if not await ServedWorld._look(self):
                return True
            waited += await self.moment()
        return False

    async def kill_nats(self, role: str) -> str:
        """SIGKILL to the NATS node that leads the stream in which something was stored last, or to another.

        `role` is "leader" or "follower". Returns the name of the node.
        """
        stream, name = await self._cluster.nats.in_role(role)
        self._cluster.nats.nodes[name].kill()
        self._event("nats_killed", node=name, role=role, stream=stream)
        return name

    async def start_nats(self, name: str) -> None:
        """Start a NATS node again; returns when it knows all that the others do."""
        self._cluster.nats.begin(name)
        self._event("nats_started", node=name)
        await self._cluster.nats.until_healthy()

    async def leads(self, name: str) -> bool:
        """Whether a NATS node leads the stream in which something was stored last."""
        stream = await self._cluster.nats.newest_stream()
        return stream is not None and stream.leader == name

    async def cut_node(self, name: str) -> None:
        """Let nothing through between a chat node and NATS; its clients stay connected to it."""
        self._chat_node(name).cut()
        self._event("node_cut", node=name)
        self._suffer(self._on(name), faults.NODE_CUT)

    async def heal_node(self, name: str) -> None:
        """The end of that."""
        self._chat_node(name).heal()
        self._event("node_healed", node=name)


class _SecondClusterWorld(ClusterWorld):
    """A cluster beside another one, on a copy of what NATS has stored there."""

    def __init__(self, first: ClusterWorld) -> None:
        self._first_world = first
        ServedWorld.__init__(self, first.target, first.timeline, first)
        self._bound()
        self._nats = first._nats  # type: ignore[method-assign]
        self._lay_out(first._first, has_ways=False)

    @property
    def _pays(self) -> ServedWorld:
        return self._first_world
