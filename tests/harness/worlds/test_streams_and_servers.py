"""Each loop: streams, servers and their addresses, and the library websockets on top of them."""

from __future__ import annotations

import asyncio
import errno
import json
import socket

import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve

from tests.harness.worlds.connections import Recorder, answer_nothing, connected, port_of
from tests.harness.worlds.loops import Run


def test_streams_are_half_closed(run: Run) -> None:
    """After `write_eof`, answers can still be read."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        text = await reader.read()
        writer.write(text.upper())
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    async def main() -> None:
        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", port_of(server))
            for word in (b"one ", b"two ", b"three"):
                writer.write(word)
            writer.write_eof()
            assert await reader.read() == b"ONE TWO THREE"
            writer.close()
            await writer.wait_closed()

    run(main)


def test_lines_and_exact_lengths(run: Run) -> None:
    """A stream's reader splits data into lines and exact lengths, and reports what is missing at the end."""

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for piece in (b"one\ntw", b"o\n", b"12345", b"678", b"rest"):
            writer.write(piece)
            await asyncio.sleep(0.001)
        writer.close()
        await writer.wait_closed()

    async def main() -> None:
        async with await asyncio.start_server(speak, "127.0.0.1", 0) as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", port_of(server))
            assert [await reader.readline() for _ in range(2)] == [b"one\n", b"two\n"]
            assert await reader.readexactly(8) == b"12345678"
            with pytest.raises(asyncio.IncompleteReadError) as error:
                await reader.readexactly(100)
            assert error.value.partial == b"rest"
            writer.close()
            await writer.wait_closed()

    run(main)


def test_drain_waits_for_the_reader(run: Run) -> None:
    """`drain` returns only when the other side has read enough."""

    async def main() -> None:
        may_read, total = asyncio.Event(), 16 * 2**20

        async def read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await may_read.wait()
            writer.write(str(len(await reader.read())).encode())
            writer.close()
            await writer.wait_closed()

        async with await asyncio.start_server(read, "127.0.0.1", 0) as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", port_of(server))
            writer.write(bytes(total))
            draining = asyncio.create_task(writer.drain())
            await asyncio.sleep(0.02)
            assert not draining.done()
            may_read.set()
            await draining
            writer.write_eof()
            assert int(await reader.read()) == total
            writer.close()
            await writer.wait_closed()

    run(main)


# --- servers and addresses ----------------------------------------------------------------------------


def test_addresses(run: Run) -> None:
    """Each side knows its own address and the other's, and they agree."""

    async def main() -> None:
        near, far = Recorder(), Recorder()
        async with connected(near, far):
            for one, other in ((near, far), (far, near)):
                peer = other.transport.get_extra_info("sockname")
                assert one.transport.get_extra_info("peername") == peer
                assert one.transport.get_extra_info("socket").getpeername() == peer
            assert near.transport.get_extra_info("nothing", "default") == "default"

    run(main)


def test_a_port_as_text(run: Run) -> None:
    """A port may be given as a text, as it comes from the environment."""

    async def main() -> None:
        async with await asyncio.start_server(answer_nothing, "127.0.0.1", "0") as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", str(port_of(server)))
            assert await reader.read() == b""
            writer.close()
            await writer.wait_closed()

    run(main)


def test_options_of_the_socket(run: Run) -> None:
    """The usual options of a connection's socket can be set and asked for."""

    async def main() -> None:
        near, far = Recorder(), Recorder()
        async with connected(near, far):
            sock = near.transport.get_extra_info("socket")
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
            assert (sock.family, sock.type) == (socket.AF_INET, socket.SOCK_STREAM)

    run(main)


def test_nobody_listens(run: Run) -> None:
    """To connect where nobody listens, or not any more, raises a ConnectionRefusedError with its number."""

    async def main() -> None:
        server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
        port = port_of(server)
        server.close()
        await server.wait_closed()
        with pytest.raises(ConnectionRefusedError) as error:
            await asyncio.open_connection("127.0.0.1", port)
        assert error.value.errno == errno.ECONNREFUSED

    run(main)


def test_a_taken_port(run: Run) -> None:
    """To listen on a port that is taken raises an OSError, EADDRINUSE; once it is free again, it works."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(Recorder, "127.0.0.1", 0)
        port = port_of(server)
        with pytest.raises(OSError, match="address already in use") as error:
            await loop.create_server(Recorder, "127.0.0.1", port)
        assert error.value.errno == errno.EADDRINUSE
        server.close()
        await server.wait_closed()
        server = await loop.create_server(Recorder, "127.0.0.1", str(port))  # type: ignore[call-overload]
        assert port_of(server) == port
        server.close()
        await server.wait_closed()

    run(main)


def test_a_server_that_does_not_serve_yet(run: Run) -> None:
    """With `start_serving=False`, nobody can connect before `start_serving`."""

    async def main() -> None:
        server = await asyncio.start_server(answer_nothing, "127.0.0.1", 0, start_serving=False)
        port = port_of(server)
        assert not server.is_serving()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)
        await server.start_serving()
        assert server.is_serving()
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()

    run(main)


def test_serving_forever(run: Run) -> None:
    """`serve_forever` serves, ends by its cancellation, and closes the server."""

    async def main() -> None:
        server = await asyncio.start_server(answer_nothing, "127.0.0.1", 0)
        serving = asyncio.create_task(server.serve_forever())
        reader, writer = await asyncio.open_connection("127.0.0.1", port_of(server))
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()
        assert server.is_serving()
        serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await serving
        assert not server.is_serving()
        assert server.sockets == ()

    run(main)


def test_websockets_echo(run: Run) -> None:
    """The library websockets works: texts, bytes, large messages, the closing code and its reason."""

    async def echo(ws: ServerConnection) -> None:
        async for message in ws:
            if message == "bye":
                await ws.close(4000, "asked")
            else:
                await ws.send(message)

    async def main() -> None:
        async with (
            serve(echo, "127.0.0.1", 0) as server,
            connect(f"ws://127.0.0.1:{port_of(server)}/", proxy=None) as ws,
        ):
            for message in ("text", b"bytes", "x" * 900_000, json.dumps({"ä": 1})):
                await ws.send(message)
                assert await ws.recv() == message
            await (await ws.ping())
            await ws.send("bye")
            await ws.wait_closed()
            assert (ws.close_code, ws.close_reason) == (4000, "asked")

    run(main)
