"""The connection of a node to NATS, and the shards: their streams are made where they are not there yet."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

import nats
from nats.aio.client import Client

from lab.cluster.log import Log, Unavailable, ask
from lab.cluster.names import Shard, shard_of
from lab.interfaces import StoreError

log = logging.getLogger("lab.cluster")

SHARDS = 16
"""Streams onto which rooms are hashed, unless there are some already."""
REPLICAS = 3
"""Machines that keep a stream, where there are so many."""
START_SECONDS = 8.0
"""How long a node that starts waits for NATS."""
_PING_SECONDS = 1.0
"""How often the connection is tried; after two pings without an answer it is made anew, perhaps to another
machine.
"""
_TOO_FEW = {10005, 10074}  # JetStream's codes: "no suitable peers", "replicas > 1 not supported"


@dataclass
class Outage:
    """Since when, on the loop's clock, there has been no connection; None while there is one."""

    since: float | None = None


class Link:
    """The connection, and a log for each shard. Made by `connect`."""

    def __init__(self, client: Client, outage: Outage, shards: int) -> None:
        self.client = client
        self.shards = [Shard(number, shards) for number in range(shards)]
        self._logs = [Log(client, shard, self.seconds_out) for shard in self.shards]
        self._outage = outage

    def log_of(self, room: str) -> Log:
        """The log in which a room is."""
        return self._logs[shard_of(room, len(self._logs))]

    def seconds_out(self) -> float:
        """How long there has been no connection; 0.0 if there is one."""
        since = self._outage.since
        return 0.0 if since is None else asyncio.get_running_loop().time() - since

    async def close(self) -> None:
        """End the connection; what was published is sent before."""
        try:
            async with asyncio.timeout(_PING_SECONDS):
                await self.client.drain()
        except Exception:  # whatever it is, the connection is given up
            await self.client.close()


async def connect(servers: list[str], on_change: Callable[[bool], None], shards: int = SHARDS) -> Link:
    """Connect to one of the servers, and see that the streams are there.

    `on_change` is called with False when the connection is lost, and with True when it is back. Raises
    StoreError.
    """
    outage = Outage()

    async def lost() -> None:
        if outage.since is None:
            outage.since = asyncio.get_running_loop().time()
            log.warning("lost NATS")
            on_change(False)

    async def back() -> None:
        outage.since = None
        log.info("back at NATS: %s", client.connected_url.netloc if client.connected_url else "")
        on_change(True)

    async def ignore(error: Exception) -> None:
        log.debug("NATS: %s", error)

    client = Client()
    try:
        async with asyncio.timeout(START_SECONDS):
            await client.connect(
                servers,
                name="chatlab",
                error_cb=ignore,
                disconnected_cb=lost,
                reconnected_cb=back,
                max_reconnect_attempts=-1,
                reconnect_time_wait=0.1,  # its hints say int, and it takes parts of seconds
                connect_timeout=1,
                ping_interval=_PING_SECONDS,
                max_outstanding_pings=2,
            )
    except (TimeoutError, OSError, nats.errors.Error, ValueError) as error:
        await client.close()
        why = "no answer" if isinstance(error, TimeoutError) else error
        text = f"cannot reach NATS at {', '.join(servers)}: {why}. Start it, or check --backplane."
        raise StoreError(text) from error
    try:
        return Link(client, outage, await _make_streams(client, shards))
    except Unavailable as error:
        await client.close()
        raise StoreError(f"{error}. Does NATS run with JetStream, and a majority of its servers?") from error


async def _make_streams(client: Client, shards: int) -> int:
    """Make the streams that are not there; returns how many there are. Raises Unavailable."""
    there = (await ask(client, "STREAM.NAMES", {"subject": "chat.>"}, START_SECONDS)).streams or []
    shards = int(there[0].rpartition("-")[2]) if there else shards  # a room must not be hashed anew
    for replicas in (REPLICAS, 1):
        try:
            missing = [each for each in (Shard(n, shards) for n in range(shards)) if each.stream not in there]
            await asyncio.gather(*[_make_stream(client, each, replicas) for each in missing])
            break
        except Unavailable as error:
            if replicas == 1 or error.code not in _TOO_FEW:
                raise
            log.warning("NATS is one server only: who loses its disk loses all messages")
    return shards


async def _make_stream(client: Client, shard: Shard, replicas: int) -> None:
    config = {
        "name": shard.stream,
        "subjects": [shard.everything],
        "num_replicas": replicas,
        "storage": "file",
        "retention": "limits",
        "discard": "new",
        "max_msgs": -1,
        "max_bytes": -1,
        "max_age": 0,
        "allow_atomic": True,
        "allow_direct": True,
        "allow_msg_ttl": True,
        "allow_rollup_hdrs": True,
    }
    await ask(client, f"STREAM.CREATE.{shard.stream}", config, START_SECONDS)
