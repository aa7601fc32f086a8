"""The probe measures a real server beside others, and its record is right."""

from __future__ import annotations

import asyncio
import gc
from contextlib import suppress

import pytest

from harness.judged.targets import reference
from harness.load import probe as probing
from harness.load.judging import Load, judge
from harness.load.probe import Probe
from harness.load.record import pack, unpack
from harness.verdict.outcome import Outcome
from harness.worlds.live import LiveWorld

ROOM = "room1-run"


async def test_the_probe_measures_what_users_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connects and echoes by its schedule, joins and deliveries in the busy room; nothing is found."""
    monkeypatch.setattr(probing, "RATE", 20.0)
    monkeypatch.setattr(probing, "REJOIN", 0.2)
    monkeypatch.setattr(probing, "TALK", 0.1)
    world = LiveWorld(reference(), 0, "probe")
    try:
        await world.start_server()
        probe = Probe(world.address, "run", ROOM)
        began = probe.recorder.now()
        running = asyncio.create_task(probe.run())
        async with asyncio.timeout(20):
            while len(probe.recorder.timings["connect"]) < 20 or probe.recorder.now() < began + 1.2:
                await asyncio.sleep(0.05)
            probe.stop()
            await running
    finally:
        await world.close()
    assert probe.recorder.defect == ""
    recording = unpack(pack(probe.recorder.finish()))
    assert recording.busy_room == ROOM
    assert recording.beats, "it has measured itself"
    result = judge(Load("x", "steady", 1, 0, 0.0), [recording])
    assert result.steady is not None
    assert {"connect", "echo", "join", "delivery"} <= set(result.steady.probe)
    assert all(0 < times[0] <= times[-1] < 10 for times in result.steady.probe.values())
    assert (result.users, result.messages, result.deliveries) == (0, 0, 0)
    assert result.findings.anomalies == []
    assert result.outcome is Outcome.INCONCLUSIVE, "no user has said anything"


async def test_without_a_server_it_still_ends() -> None:
    """It notes that it could not connect, and stops when it is told to."""
    probe = Probe("ws://127.0.0.1:1/", "run", ROOM)
    running = asyncio.create_task(probe.run())
    async with asyncio.timeout(10):
        while not probe.recorder.finish().events:
            await asyncio.sleep(0.01)
        probe.stop()
        await running
    assert probe.recorder.timings["connect"].tolist() == []


async def test_a_mute_server_does_not_hold_it_up(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Who waits for an answer when it is told to stop is waited for a while, not for all of its patience.

    Nothing is printed of what was given up.
    """
    monkeypatch.setattr(probing, "_LINGER", 0.1)

    async def keep(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while await reader.read(1000):
                pass
        writer.close()

    server = await asyncio.start_server(keep, "127.0.0.1", 0)
    async with server:
        probe = Probe(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/", "run", ROOM)
        running = asyncio.create_task(probe.run())
        await asyncio.sleep(0)  # it has begun
        probe.stop()
        async with asyncio.timeout(5):
            await running
    del running
    gc.collect()
    assert caplog.records == []
