"""The shards of a cluster: their streams are made where they are not there yet, and each is a log."""

from __future__ import annotations

import asyncio
import logging
import re

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
_OVERLAP = 10065  # likewise: another stream has some of these subjects


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
        return Link(wire, await _make_streams(wire, len(servers), shards))
    except Unavailable as error:
        await wire.close()
        raise StoreError(f"{error}. Does NATS run with JetStream, and a majority of its servers?") from error


async def _make_streams(wire: Wire, servers: int, shards: int) -> int:
    """Make the streams that are not there; returns how many there are. Raises Unavailable.

    The first one decides how many: rooms must not be hashed anew, also if two nodes that start at once would
    have different numbers.
    """
    if (there := await _count(wire)) is None:
        try:
            await _make_all(wire, servers, [Shard(0, shards)])
        except Unavailable as error:
            if error.code != _OVERLAP:  # another node was faster
                raise
        there = await _count(wire)
        if there is None:
            raise Unavailable("another program has a stream with subjects chat.>", _OVERLAP)
    await _make_all(wire, servers, [Shard(number, there) for number in range(1, there)])
    return there


async def _count(wire: Wire) -> int | None:
    """How many streams there are, or are about to be; None if nobody has begun to make them."""
    names = (await wire.ask("STREAM.NAMES", {"subject": "chat.0.>"}, START_SECONDS)).streams or []
    found = [re.fullmatch(r"chat-0-of-(\d+)", name) for name in names]
    return next((int(each[1]) for each in found if each), None)


async def _make_all(wire: Wire, servers: int, shards: list[Shard]) -> None:
    """Make streams; one that is there already stays as it is. Raises Unavailable."""
    names = (await wire.ask("STREAM.NAMES", {"subject": "chat.>"}, START_SECONDS)).streams or []
    missing = [shard for shard in shards if shard.stream not in names]
    try:
        await _make_with(wire, missing, REPLICAS)
    except Unavailable as error:
        # Of several that are named, some may only not be up yet.
        if error.code not in _TOO_FEW or servers >= REPLICAS:
            raise
        log.warning("NATS is fewer than %d servers: who loses a disk loses messages", REPLICAS)
        await _make_with(wire, missing, 1)


async def _make_with(wire: Wire, shards: list[Shard], replicas: int) -> None:
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
