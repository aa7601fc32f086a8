"""Two clusters that keep a room's messages on three machines (here: processes), for acknowledged.py."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import nats
import nats.errors
import nats.js.errors
import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from harness.judged.process import free_port

NATS_CONF = "cluster {name: room}, jetstream {sync_interval: always}"
"""Each message is on the disk before it is acknowledged."""
PATIENCE = 30.0
"""Seconds that anything may take at the start."""
ANSWER_SECONDS = 0.5
"""How long an answer is waited for."""


class NotAcknowledged(Exception):  # noqa: N818 - the third answer, beside yes and no
    """No answer came: the message was written, or not, or will be."""


class Cluster(Protocol):
    """A room on three machines, one of which leads. Machines are processes, and can be told apart by name."""

    async def start(self, folder: Path) -> None:
        """Start it, and wait until all three are in step."""

    async def append(self, id: str) -> int:
        """Append a message, and return its number when it is acknowledged. Raises NotAcknowledged."""

    async def hang(self, followers: int) -> None:
        """Have this many followers hang."""

    async def kill_leader(self) -> None:
        """Kill the leader, and let the followers go on."""

    async def room(self) -> list[str]:
        """All messages that there are, in order."""

    async def end(self) -> None:
        """End all machines."""


class Machines:
    """Processes, by name."""

    def __init__(self) -> None:
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def run(self, name: str, words: Sequence[object], folder: Path) -> None:
        """Start one, which prints to a file in the folder. Raises OSError if there is no such program."""
        with (folder / f"{name}.log").open("wb") as output:
            self._processes[name] = subprocess.Popen([*map(str, words)], stdout=output, stderr=output)

    def signal(self, name: str, number: signal.Signals) -> None:
        """Kill, stop or continue one."""
        os.kill(self._processes[name].pid, number)

    def end(self) -> None:
        """End all of them."""
        for process in self._processes.values():
            process.kill()
            process.wait()


async def until(what: Callable[[], Awaitable[object]], wanted: str) -> None:
    """Wait until `what` gives something true; an error of a cluster is nothing true."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            if await what():
                return
        except (OSError, RedisError, nats.errors.Error):
            pass
        if time.monotonic() > deadline:
            raise SystemExit(f"it never came about that {wanted}")
        await asyncio.sleep(0.05)


class RedisCluster:
    """A primary with two replicas; and two more primaries, which have nothing to do here but to vote.

    The room is a list: to push a message at its end returns the new length, which is the message's number.
    Each write is synced to the disk before it is acknowledged.
    """

    def __init__(self) -> None:
        self._machines = Machines()
        self._clients: dict[str, redis.asyncio.Redis] = {}
        self._alive = ["leader", "first", "second"]
        self._leader = "leader"
        self._hanging: list[str] = []

    async def start(self, folder: Path) -> None:
        """See Cluster."""
        ports = {name: (free_port(), free_port()) for name in (*self._alive, "voter-1", "voter-2")}
        for name, (port, bus) in ports.items():
            (folder / name).mkdir()
            options = {"port": port, "cluster-port": bus, "dir": folder / name, "cluster-enabled": "yes"}
            options |= {"cluster-node-timeout": 2000, "save": ""}
            options |= {"appendonly": "yes", "appendfsync": "always"}
            given = [word for name, value in options.items() for word in (f"--{name}", value)]
            self._machines.run(name, ["redis-server", *given], folder)
            self._clients[name] = redis.asyncio.Redis(
                port=port, decode_responses=True, socket_timeout=ANSWER_SECONDS, retry=Retry(NoBackoff(), 0)
            )
        for epoch, name in enumerate(ports, 1):
            await until(lambda name=name: self._ask(name, "PING"), f"{name} answers")
            await self._ask(name, "CLUSTER", "SET-CONFIG-EPOCH", epoch)
        slots = {"leader": (0, 16381), "voter-1": (16382, 16382), "voter-2": (16383, 16383)}
        for name, (first, last) in slots.items():
            await self._ask(name, "CLUSTER", "ADDSLOTSRANGE", first, last)
        for port, bus in ports.values():
            await self._ask("leader", "CLUSTER", "MEET", "127.0.0.1", port, bus)
        everybody = f"cluster_known_nodes:{len(ports)}"
        for name in ports:
            await until(lambda name=name: self._says(name, everybody), f"{name} knows all others")
        leader = await self._ask("leader", "CLUSTER", "MYID")
        for name in self._alive[1:]:
            await self._ask(name, "CLUSTER", "REPLICATE", leader)
            await until(lambda name=name: self._follows(name), f"{name} follows the leader")
        await until(lambda: self._leads("leader"), "the cluster serves")

    async def append(self, id: str) -> int:
        """See Cluster."""
        try:
            return int(await self._ask(self._leader, "RPUSH", "room", id))
        except (OSError, RedisError) as error:
            for name in self._alive:
                if name not in self._hanging and await self._leads(name):
                    self._leader = name
            raise NotAcknowledged from error

    async def hang(self, followers: int) -> None:
        """See Cluster. Their connections are cut, else what the system keeps for them would reach them."""
        self._hanging = self._alive[1 : followers + 1]
        for name in self._hanging:
            self._machines.signal(name, signal.SIGSTOP)
        if followers:
            await self._ask(
                "leader", "CLIENT", "KILL", "TYPE", "replica"
            )  # who does not hang is back at once

    async def kill_leader(self) -> None:
        """See Cluster."""
        self._machines.signal("leader", signal.SIGKILL)
        self._alive.remove("leader")
        for name in self._hanging:
            self._machines.signal(name, signal.SIGCONT)
        self._hanging = []

    async def room(self) -> list[str]:
        """See Cluster."""
        found: list[str] = []

        async def read() -> bool:
            found[:] = await self._ask(self._leader, "LRANGE", "room", 0, -1)
            return True

        await until(read, "the room can be read")
        return found

    async def end(self) -> None:
        """See Cluster."""
        self._machines.end()
        for client in self._clients.values():
            await client.aclose()

    async def _ask(self, name: str, *words: object) -> Any:
        return await self._clients[name].execute_command(*words)

    async def _says(self, name: str, words: str) -> bool:
        return words in str(await self._ask(name, "CLUSTER", "INFO"))

    async def _follows(self, name: str) -> bool:
        return (await self._ask(name, "ROLE"))[3] == "connected"

    async def _leads(self, name: str) -> bool:
        try:
            is_leader = (await self._ask(name, "ROLE"))[0] == "master"
            return is_leader and await self._says(name, "cluster_state:ok")
        except (OSError, RedisError):
            return False


class JetStream:
    """A stream with three replicas, each of which syncs each message. Its place there is its number."""

    def __init__(self) -> None:
        self._machines = Machines()
        self._hanging: list[str] = []

    async def start(self, folder: Path) -> None:
        """See Cluster."""
        ports = {f"nats-{number}": (free_port(), free_port()) for number in (1, 2, 3)}
        routes = ",".join(f"nats://127.0.0.1:{route}" for _, route in ports.values())
        conf = folder / "nats.conf"
        conf.write_text(NATS_CONF)
        for name, (port, route) in ports.items():
            words = [
                "nats-server",
                "--config",
                conf,
                "--addr",
                "127.0.0.1",
                "--port",
                port,
                "--name",
                name,
            ]
            words += ["--cluster", f"nats://127.0.0.1:{route}", "--routes", routes]
            self._machines.run(name, [*words, "--jetstream", "--store_dir", folder / name], folder)
        urls = {name: f"nats://127.0.0.1:{port}" for name, (port, _) in ports.items()}
        await until(lambda: self._connect([*urls.values()]), "NATS answers")
        await until(self._make_stream, "there is a stream")
        await until(self._is_in_step, "all three have the stream")
        # Who is connected to a follower notices that it hangs, whatever the cluster does: so to the leader.
        leader = urls.pop((await self._patient.stream_info("room")).cluster.leader)
        await self._client.close()
        await until(lambda: self._connect([leader, *urls.values()]), "the leader answers")

    async def append(self, id: str) -> int:
        """See Cluster. Who says a message twice under one id has written it once."""
        try:
            return (await self._stream.publish("room", id.encode(), headers={"Nats-Msg-Id": id})).seq
        except (OSError, TimeoutError, nats.errors.Error) as error:
            raise NotAcknowledged from error

    async def hang(self, followers: int) -> None:
        """See Cluster."""
        state = (await self._patient.stream_info("room")).cluster
        self._leader = state.leader
        self._hanging = [each.name for each in state.replicas][:followers]
        for name in self._hanging:
            self._machines.signal(name, signal.SIGSTOP)

    async def kill_leader(self) -> None:
        """See Cluster."""
        self._machines.signal(self._leader, signal.SIGKILL)
        for name in self._hanging:
            self._machines.signal(name, signal.SIGCONT)

    async def room(self) -> list[str]:
        """See Cluster."""
        found: list[str] = []

        async def read() -> bool:
            state = (await self._patient.stream_info("room")).state
            entries = await self._patient.subscribe("room", ordered_consumer=True)
            found[:] = [(await entries.next_msg(PATIENCE)).data.decode() for _ in range(state.messages)]
            return True

        await until(read, "the room can be read")
        return found

    async def end(self) -> None:
        """See Cluster."""
        await self._client.close()
        self._machines.end()

    async def _connect(self, servers: list[str]) -> bool:
        async def ignore(error: Exception) -> None:
            """A connection that breaks is made anew, to another machine."""

        self._client = nats.NATS()
        await self._client.connect(
            servers,
            error_cb=ignore,
            dont_randomize=True,
            max_reconnect_attempts=-1,
            reconnect_time_wait=0.1,
            connect_timeout=1,
            ping_interval=1,
            max_outstanding_pings=2,
        )
        self._stream = self._client.jetstream(timeout=ANSWER_SECONDS)
        self._patient = self._client.jetstream(timeout=3.0)
        return True

    async def _make_stream(self) -> object:
        return await self._stream.add_stream(name="room", subjects=["room"], num_replicas=3)

    async def _is_in_step(self) -> bool:
        state = (await self._stream.stream_info("room")).cluster
        return bool(state.leader) and [each.current for each in state.replicas] == [True, True]
