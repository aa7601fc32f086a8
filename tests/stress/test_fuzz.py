"""Fuzzing the server as a process. A million messages and 100,000 broken streams are

    CHATLAB_FUZZ_FRAMES=1000000 CHATLAB_FUZZ_STREAMS=100000 pytest tests/stress/test_fuzz.py -m stress -s

and `CHATLAB_STRESS_SEED=...` plays others. A failure names the attack, and what to set to begin with it.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from tests.stress.campaign import OPTIONS, Plan, conduct, rest
from tests.stress.frames import ROOMS
from tests.stress.fuzz import BATCH, batch, broken
from tests.stress.link import Link, asking, handshake, wire
from tests.stress.process import Server
from tests.stress.sizes import FUZZ_FIRST, FUZZ_FRAMES, FUZZ_STREAMS, SEED

pytestmark = pytest.mark.stress


@pytest.mark.timeout(120 + FUZZ_FRAMES / 500)
async def test_frames(tmp_path: Path) -> None:
    """Whatever messages come, the server refuses what it must, goes on answering, logs nothing and does not
    grow.

    Meanwhile two other clients talk without loss, and the history of the fuzzers' rooms has no gap.
    """
    batches = -(-FUZZ_FRAMES // BATCH)
    print(f"\nseed {SEED}: {batches * BATCH} messages")
    plan = Plan("frames", batch, SEED, FUZZ_FIRST, FUZZ_FIRST + batches, at_once=6)
    print(await conduct(plan, tmp_path))
    server = Server(tmp_path)
    server.start()
    try:
        reader = await Link.open(server.port)
        for room in ROOMS:
            stored = [each["sequence"] for each in await reader.history(room)]
            assert stored == list(range(1, len(stored) + 1)), room
        await reader.close()
    finally:
        server.kill()


@pytest.mark.timeout(120 + FUZZ_STREAMS / 50)
async def test_streams(tmp_path: Path) -> None:
    """Whatever bytes come, and however they end, the server ends the connection, logs nothing, does not grow.

    Meanwhile two other clients talk without loss.
    """
    print(f"\nseed {SEED}: {FUZZ_STREAMS} streams")
    plan = Plan("streams", broken, SEED, FUZZ_FIRST, FUZZ_FIRST + FUZZ_STREAMS, at_once=24)
    print(await conduct(plan, tmp_path))


HANGING = (
    b"",
    handshake()[:-2],
    handshake(),
    handshake() + b"\x81",
    handshake() + wire(1, b"{", fin=False),
    handshake() + asking("join", room="hanging") + b"\x81\xfe",
)


async def test_clients_that_stop_in_the_middle_are_disconnected(tmp_path: Path) -> None:
    """A client that goes silent within a handshake or a frame is disconnected after the timeouts."""
    server = Server(tmp_path, *OPTIONS)
    server.start()
    try:
        first = await Link.open(server.port)
        first.ask("join", room="first")  # the store's thread is started by the first question
        await first.settle()
        await first.close()
        alone = server.measure()
        ends = await asyncio.gather(*[_hang(server.port, opening) for opening in HANGING * 5])
        assert max(ends) < 20.0
        assert not alone.growth_to(await rest(server, alone), float("inf"))
        assert server.stop() == 0
        assert not server.log()
    finally:
        server.kill()


async def _hang(port: int, opening: bytes) -> float:
    """The seconds after which the server ends a connection on which nothing follows."""
    began = time.monotonic()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(opening)
    async with asyncio.timeout(30):
        while b"\x88" not in (data := await reader.read(1 << 16)) and data:
            pass
    writer.transport.abort()
    return time.monotonic() - began
