from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.protocol import State

from lab import fanout
from lab.fanout import Connection, Tick, to_wire
from lab.protocol import MAX_UNREAD, Message, encode
from lab.send_queue import MAX_WAITING, TRANSPORT_BUFFER, Replay
from tests.lab.helpers import CLOSE, PATIENCE, TEXT, Mute, eventually, message, unwire

BIG = "x" * 60_000


@asynccontextmanager
async def listening() -> AsyncIterator[tuple[int, Callable[[], Awaitable[Connection]]]]:
    """A server that accepts bare connections: its port, and a way to wait for the next connection."""
    connections: list[Connection] = []
    accepted: asyncio.Queue[Connection] = asyncio.Queue()

    async def keep(connection: ServerConnection) -> None:
        assert isinstance(connection, Connection)
        connections.append(connection)
        accepted.put_nowait(connection)
        await connection.wait_closed()

    server = await serve(
        keep,
        "127.0.0.1",
        0,
        create_connection=Connection,
        compression=None,
        ping_interval=None,
        write_limit=256 * 1024,
        close_timeout=0.2,
    )
    try:
        yield int(next(iter(server.sockets)).getsockname()[1]), accepted.get
    finally:
        for each in connections:
            each.transport.abort()
        server.close()
        await server.wait_closed()


@asynccontextmanager
async def pair() -> AsyncIterator[tuple[Connection, ClientConnection]]:
    """Both ends of one connection."""
    async with listening() as (port, accept):
        url = f"ws://127.0.0.1:{port}/"
        async with connect(url, compression=None, proxy=None, max_size=None, ping_interval=None) as client:
            yield await accept(), client


def packed(content: str, number: int = 1) -> bytes:
    """A message, ready for the wire."""
    return to_wire(message(number, content=content))


@pytest.mark.parametrize("size", [1, 200, 65_536])
def test_a_frame_on_the_wire_is_its_text(size: int) -> None:
    """The bytes are one unfragmented WebSocket text frame, short, medium or long,
    with the encoded frame in it.
    """
    frame = message(1, content="é" * (size // 2 + 1))
    assert unwire(to_wire(frame)) == [(TEXT, encode(frame))]


async def test_frames_arrive_whole_and_in_order() -> None:
    """Frames of all sizes, far more than the transport takes at once, arrive unchanged and in order."""
    async with pair() as (ours, client):
        frames = [message(n, content="x" * (n * 397 % 60_000 + 1)) for n in range(200)]
        assert sum(len(encode(each)) for each in frames) > 10 * TRANSPORT_BUFFER
        for each in frames:
            ours.post(to_wire(each))
        for each in frames:
            got = json.loads(await asyncio.wait_for(client.recv(), PATIENCE))
            assert Message(**got["data"]) == each
        await asyncio.wait_for(ours.drained(), PATIENCE)


async def test_a_tick_is_one_write(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything posted in one tick is one write for each connection, whoever posts it."""
    monkeypatch.setattr("lab.fanout.GATHER", 0)  # how long a tick takes is not part of this test
    async with listening() as (port, accept), Mute(port, "ada"), Mute(port, "bob"):
        ours, tick = [await accept(), await accept()], Tick()
        writes: list[bytes] = []
        for each in ours:
            each.tick = tick
            monkeypatch.setattr(each.transport, "write", writes.append, raising=False)
        for number in range(10):
            for each in ours:
                each.post(packed("hi", number))
        assert writes == []
        await asyncio.sleep(0)
        assert writes == [b"".join(packed("hi", number) for number in range(10))] * 2
        ours[0].post(packed("more"))
        await asyncio.sleep(0)
        assert len(writes) == 3


class Clock:
    """The parts of an event loop that a tick uses, with a time that stands still."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.due: list[tuple[float, Callable[[], None]]] = []

    def time(self) -> float:
        """Seconds."""
        return self.now

    def call_at(self, when: float, callback: Callable[..., None], *arguments: object) -> None:
        """Schedule a call at a time."""
        self.due.append((when, lambda: callback(*arguments)))

    def call_soon(self, callback: Callable[..., None], *arguments: object) -> None:
        """Schedule a call now."""
        self.call_at(self.now, callback, *arguments)

    def run(self) -> None:
        """Advance to the time of the next callback, and call it."""
        self.now, callback = self.due.pop(0)
        callback()


def test_after_a_long_tick_the_next_one_is_delayed() -> None:
    """When a tick took some time, the next one is put off for half of that; after a pause it is not."""
    clock, tick, writes = Clock(), Tick(), []

    class Slow:
        loop = clock

        def flush(self) -> None:
            writes.append(clock.now)
            clock.now += 10

    for pause in (0, 1, 100):
        clock.now += pause
        tick.add(Slow())
        clock.run()
    assert writes == [1000, 1015, 1125]


async def test_an_error_of_one_connection_affects_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """A transport that raises is cut off, and those after it are written to."""

    def broken(data: bytes) -> None:
        raise RuntimeError("unable to perform operation")

    async with listening() as (port, accept), Mute(port, "ada"), Mute(port, "bob"):
        ours, tick = [await accept(), await accept()], Tick()
        writes: list[bytes] = []
        for each, write in zip(ours, (broken, writes.append), strict=True):
            each.tick = tick
            monkeypatch.setattr(each.transport, "write", write, raising=False)
            each.post(packed("hi"))
        await asyncio.wait_for(ours[0].wait_closed(), PATIENCE)
        assert writes == [packed("hi")]


async def test_drained_waits_for_the_reader() -> None:
    """While the peer reads nothing, `drained` waits; it returns when everything was read,
    or the peer is gone.
    """
    async with listening() as (port, accept):
        for way_out in ("read", "go"):
            async with Mute(port, "ada") as mute:
                ours = await accept()
                while not ours.paused:  # the system's buffers are full now
                    ours.post(packed(BIG))
                    await asyncio.sleep(0)
                ours.post(packed(BIG))
                waiting = asyncio.create_task(ours.drained())
                for _ in range(20):
                    await asyncio.sleep(0)
                assert not waiting.done()
                if way_out == "read":
                    reading = asyncio.create_task(mute.read_to_the_end())
                    await asyncio.wait_for(waiting, PATIENCE)
                    await asyncio.wait_for(ours.flush_and_close(1000, "done"), PATIENCE)
                    frames = await reading
                    assert frames.pop()[0] == CLOSE
                    assert len(set(frames)) == 1
                else:
                    mute.socket.close()
                    await asyncio.wait_for(waiting, PATIENCE)


async def test_a_reader_that_is_too_slow_is_disconnected() -> None:
    """A peer further behind than the limit is disconnected with 1013;
    what waited for it is dropped at once.
    """
    async with listening() as (port, accept), Mute(port, "ada") as mute:
        ours, posted = await accept(), 0
        while ours.state is State.OPEN:
            ours.post(packed(BIG))
            posted += len(BIG)
            assert ours.transport.get_write_buffer_size() <= 3 * TRANSPORT_BUFFER
            assert posted < 1.5 * MAX_UNREAD, "it is never disconnected"
            await asyncio.sleep(0)
        assert posted > MAX_WAITING
        await asyncio.wait_for(ours.drained(), PATIENCE)
        ours.post(packed("too late"))
        frames = await mute.read_to_the_end()
        assert frames[-1][0] == CLOSE
        assert frames[-1][1].startswith((1013).to_bytes(2, "big"))
        assert b"since" in frames[-1][1]
        assert {payload for opcode, payload in frames if opcode == TEXT} == {encode(message(1, content=BIG))}


async def test_a_replay_is_not_counted() -> None:
    """A replay of any size waits for its reader, and live frames count as if there were no replay."""
    async with listening() as (port, accept), Mute(port, "ada") as mute:
        ours = await accept()
        for _ in range(4 * MAX_WAITING // len(BIG)):
            ours.post(Replay(packed(BIG)))
        for _ in range(MAX_WAITING // len(BIG) - 1):
            ours.post(packed(BIG))
        await asyncio.sleep(0)
        assert ours.state is State.OPEN
        await mute.read_until(ours._drained.is_set)
        posted = 0
        while ours.state is State.OPEN:
            ours.post(packed(BIG))
            posted += len(BIG)
            assert posted < MAX_UNREAD, "it is never disconnected"
            await asyncio.sleep(0)
        assert posted > MAX_WAITING


async def test_a_replay_behind_live_frames_is_not_counted() -> None:
    """A replay that waits behind live frames does not count as live when those have been read."""
    async with listening() as (port, accept), Mute(port, "ada") as mute:
        ours = await accept()
        while not ours.paused:
            ours.post(packed(BIG))
            ours.flush()  # a tick that a slow machine puts off would gather more than the transport takes
            await asyncio.sleep(0)
        for _ in range(7 * MAX_WAITING // 8 // len(BIG)):
            ours.post(packed(BIG))
        replay = 2 * MAX_WAITING // len(BIG)
        for _ in range(replay):
            ours.post(Replay(packed(BIG)))
        await mute.read_until(lambda: ours.queue.live_bytes == 0)
        for _ in range(MAX_WAITING // 2 // len(BIG)):
            ours.post(packed(BIG))
        await asyncio.sleep(0)
        assert ours.state is State.OPEN


async def test_a_replay_waits_for_a_slow_reader_and_not_for_ever() -> None:
    """A peer that reads a replay slowly gets all of it; one that stops reading is disconnected in the end."""
    async with listening() as (port, accept), Mute(port, "ada", buffer=1 << 20) as mute:
        ours = await accept()
        ours.patience = 0.3
        for _ in range(2 * MAX_WAITING // len(BIG)):
            ours.post(Replay(packed(BIG)))
        waiting, begun = asyncio.create_task(ours.drained()), time.monotonic()
        await mute.read_until(waiting.done, pause=0.015)
        assert ours.state is State.OPEN
        assert time.monotonic() - begun > ours.patience, "that was no slow reader"
        for _ in range(2 * MAX_WAITING // len(BIG)):
            ours.post(Replay(packed(BIG)))
        await asyncio.wait_for(ours.drained(), PATIENCE)
        await eventually(lambda: ours.state is not State.OPEN)
        assert ours.transport.get_write_buffer_size() > 0, "it was read"


async def test_a_burst_disconnects_no_peer_that_reads() -> None:
    """More than the limit at one time, before anything could be written,
    does not mean that the reader is slow.
    """
    async with pair() as (ours, client):
        count = MAX_WAITING // len(BIG) + 1
        for number in range(count):
            ours.post(packed(BIG, number))
        for number in range(count):
            got = json.loads(await asyncio.wait_for(client.recv(), PATIENCE))
            assert got["data"]["sequence"] == number
        assert ours.state is State.OPEN


async def test_a_peer_that_does_not_read_the_close_frame_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """A disconnected peer that never reads is cut off after a while."""
    monkeypatch.setattr(fanout, "CLOSE_SECONDS", 0.05)
    async with listening() as (port, accept), Mute(port, "ada") as mute:
        ours = await accept()
        while ours.state is State.OPEN:
            ours.post(packed(BIG))
            await asyncio.sleep(0)
        ours.disconnect(1001, "once more")
        begun = time.monotonic()
        await asyncio.wait_for(ours.wait_closed(), PATIENCE)
        assert time.monotonic() - begun < fanout.CLOSE_SECONDS + 3
        frames = await mute.read_to_the_end()
        assert CLOSE not in [opcode for opcode, _ in frames]


async def test_closing_comes_after_what_was_posted() -> None:
    """`flush_and_close` closes with its code and reason after everything that was posted before it."""
    async with pair() as (ours, client):
        reading = asyncio.create_task(all_of(client))
        for number in (1, 2, 3):
            ours.post(packed("hi", number))
        async with asyncio.timeout(PATIENCE):
            await ours.flush_and_close(1008, "that is all")
            got = [json.loads(text)["data"]["sequence"] for text in await reading]
        assert got == [1, 2, 3]
        assert (client.close_code, client.close_reason) == (1008, "that is all")
        ours.post(packed("too late"))
        await asyncio.wait_for(ours.drained(), PATIENCE)


async def all_of(client: ClientConnection) -> list[str | bytes]:
    """All frames until the connection is closed, whatever the code."""
    got = []
    with contextlib.suppress(ConnectionClosed):
        while True:
            got.append(await client.recv())
    return got


async def test_posting_to_a_closed_connection_is_harmless() -> None:
    """A frame that was posted before the peer went away is dropped, and nothing waits for it."""
    async with pair() as (ours, client):
        ours.post(packed("hi"))
        client.transport.abort()
        ours.transport.abort()
        await asyncio.wait_for(ours.wait_closed(), PATIENCE)
        ours.post(packed("hi"))
        await asyncio.wait_for(ours.drained(), PATIENCE)


async def test_every_byte_is_a_sign_of_life() -> None:
    """Frames, pings, pongs and half a frame count when their bytes arrive, read or not."""
    async with listening() as (port, accept), Mute(port, "ada") as mute:
        signs: list[int] = []
        (await accept()).on_sign_of_life = lambda: signs.append(1)
        for data in (b"\x81\x80\0\0\0\0", b"\x89\x80\0\0\0\0", b"\x8a\x80\0\0\0\0", b"\x81"):
            await mute.write(data)
            await eventually(lambda: signs)
            signs.clear()
