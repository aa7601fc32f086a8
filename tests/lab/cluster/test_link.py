from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.cluster.link import _config, link
from lab.cluster.names import Shard
from lab.cluster.wire import Wire
from lab.interfaces import StoreError
from tests.lab.cluster.nats_server import NatsServer


@pytest.fixture
def nats(tmp_path: Path) -> Iterator[NatsServer]:
    """A NATS server in which nothing is."""
    server = NatsServer(tmp_path)
    server.start()
    yield server
    server.kill()


def wire() -> Wire:
    """A connection to be."""
    return Wire(lambda is_there: None)


async def test_nodes_agree_on_the_number_of_streams(nats: NatsServer) -> None:
    """Nodes that start at once, and would make different numbers, come to one; each room has a place."""
    wires = [wire() for _ in range(4)]
    counts = [2, 5, 3, 5]
    links = await asyncio.gather(
        *[link(each, [nats.url], count) for each, count in zip(wires, counts, strict=True)]
    )
    assert len({len(each.logs) for each in links}) == 1
    for number in range(20):
        assert len({each.log_of(f"room {number}").shard.stream for each in links}) == 1
    assert await asyncio.gather(*[log.last() for log in links[0].logs]) == [0] * len(links[0].logs)
    for each in wires:
        await each.close()


async def test_another_program_has_our_subjects(nats: NatsServer) -> None:
    """It is said, and not taken for one of ours."""
    first = wire()
    await first.connect([nats.url])
    await first.ask("STREAM.CREATE.mine", {**_config(Shard(0, 1), 1), "name": "mine"})
    with pytest.raises(StoreError, match="another program"):
        await link(wire(), [nats.url], 3)
    await first.close()


async def test_with_three_servers_named_a_log_is_never_kept_on_one(nats: NatsServer) -> None:
    """Two of them are not up yet: that must not decide that messages are on one disk for ever."""
    with pytest.raises(StoreError, match="replicas"):
        await link(wire(), [nats.url, "nats://127.0.0.1:1", "nats://127.0.0.1:2"], 3)
