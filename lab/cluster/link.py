"""The shards of a cluster: their streams are made where they are not there yet, and each is a log."""

from __future__ import annotations

import asyncio
import logging

from lab.cluster.log import Log
from lab.cluster.names import Shard, shard_of
from lab.cluster.wire import START_SECONDS, Unavailable, Wire
from lab.interfaces import StoreError

log = logging.getLogger("lab.cluster")

SHARDS = 3
"""Streams over which rooms are spread: one for each machine to lead. More of them share more rooms out."""
REPLICAS = 3
"""Machines that keep a stream, where there are so many."""
_TOO_FEW = {10005, 10074}  # JetStream's codes: "no suitable peers", "replicas > 1 not supported"


class Link:
    """A connection, and a log for each shard. Made by `link`."""

    def __init__(self, wire: Wire, shards: int) -> None:
        self.wire = wire
        self.logs = [Log(wire, Shard(number, shards)) for number in range(shards)]

    def shard_of(self, room: str) -> int:
        """The number of the shard in which a room is."""
        return shard_of(room, len(self.logs))

    def log_of(self, room: str) -> Log:
        """The log in which a room is."""
        return self.logs[self.shard_of(room)]


async def link(wire: Wire, servers: list[str], shards: int) -> Link:
    """Connect to one of the servers, and see that the streams are there; the first node decides how many.

    Raises StoreError.
    """
    await wire.connect(servers)
    try:
        return Link(wire, await _make_streams(wire, shards))
    except Unavailable as error:
        await wire.close()
        raise StoreError(f"{error}. Does NATS run with JetStream, and a majority of its servers?") from error


async def _make_streams(wire: Wire, shards: int) -> int:
    """Make the streams that are not there; returns how many there are. Raises Unavailable."""
    there = (await wire.ask("STREAM.NAMES", {"subject": "chat.>"}, START_SECONDS)).streams or []
    shards = int(there[0].rpartition("-")[2]) if there else shards  # a room must not be hashed anew
    missing = [
        each for each in (Shard(number, shards) for number in range(shards)) if each.stream not in there
    ]
    try:
        await _make_all(wire, missing, REPLICAS)
    except Unavailable as error:
        if error.code not in _TOO_FEW:
            raise
        log.warning("NATS is fewer than %d servers: who loses a disk loses messages", REPLICAS)
        await _make_all(wire, missing, 1)
    return shards


async def _make_all(wire: Wire, shards: list[Shard], replicas: int) -> None:
    await asyncio.gather(
        *[wire.ask(f"STREAM.CREATE.{each.stream}", _config(each, replicas), START_SECONDS) for each in shards]
    )


def _config(shard: Shard, replicas: int) -> dict[str, object]:
    return {
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
