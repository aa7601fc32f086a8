"""A way that can be cut passes on all bytes, holds them while it is cut, and says so when its end is gone."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from harness.cluster.forwarder import HOST, Forwarder
from harness.judged.process import free_port

SECONDS = 5.0


@pytest.fixture
async def way() -> AsyncIterator[Forwarder]:
    """A way to a server that sends back whatever it receives."""

    ended: list[asyncio.Task[None]] = []

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        ended.append(task)
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        await closed(writer)

    server = await asyncio.start_server(echo, HOST, 0)
    way = Forwarder(server.sockets[0].getsockname()[1])
    await way.start()
    yield way
    way.close()
    server.close()
    await asyncio.gather(*ended)
    await server.wait_closed()


async def closed(writer: asyncio.StreamWriter) -> None:
    """Close a connection, and wait until it is."""
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


async def test_all_bytes_come_back_in_order(way: Forwarder) -> None:
    """Also when there are more of them than any buffer holds."""
    data = bytes(range(256)) * 40_000
    reader, writer = await asyncio.open_connection(HOST, way.port)
    async with asyncio.timeout(SECONDS):
        writer.write(data)
        assert await reader.readexactly(len(data)) == data
    assert way.passed == 2 * len(data)
    await closed(writer)


async def test_what_is_sent_while_it_is_cut_comes_when_it_is_healed(way: Forwarder) -> None:
    """No connection breaks meanwhile, and one that is made meanwhile has to wait, too."""
    reader, writer = await asyncio.open_connection(HOST, way.port)
    writer.write(b"one")
    async with asyncio.timeout(SECONDS):
        assert await reader.readexactly(3) == b"one"
    way.cut()
    late_reader, late_writer = await asyncio.open_connection(HOST, way.port)
    writer.write(b"two")
    late_writer.write(b"three")
    held = asyncio.create_task(reader.readexactly(3))
    late = asyncio.create_task(late_reader.readexactly(5))
    done, _ = await asyncio.wait({held, late}, timeout=0.1)
    assert not done
    way.heal()
    async with asyncio.timeout(SECONDS):
        assert (await held, await late) == (b"two", b"three")
    await closed(writer)
    await closed(late_writer)


async def test_an_end_is_passed_on(way: Forwarder) -> None:
    """What was sent before it arrives, and then the connection ends at the other side, too."""
    reader, writer = await asyncio.open_connection(HOST, way.port)
    writer.write(b"last words")
    writer.write_eof()
    async with asyncio.timeout(SECONDS):
        assert await reader.read() == b"last words"
    await closed(writer)


async def test_a_way_to_nobody_breaks(way: Forwarder) -> None:
    """A client is not left to wait."""
    way.target = free_port()
    reader, writer = await asyncio.open_connection(HOST, way.port)
    async with asyncio.timeout(SECONDS):
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await reader.readexactly(1)
    await closed(writer)
