"""The live world keeps its promises: real processes, real faults, and nothing left behind."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from harness.history import events as history
from harness.history.faults import GO_SILENT
from harness.judged import targets
from harness.worlds.live import LiveWorld
from harness.worlds.surroundings import Gone, PlayStopped

pytestmark = [pytest.mark.live, pytest.mark.xdist_group("live1")]


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[LiveWorld]:
    """A live world with the reference server; at the end, no temporary files may be left."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    world = LiveWorld(targets.reference(), 1, "seed")
    try:
        await world.start_server()
        yield world
    finally:
        await world.close()
    assert list(tmp_path.iterdir()) == []


def events(world: LiveWorld, kind: type) -> list[history.Event]:
    """The events of one kind in the world's history."""
    return [event for event in world.history if isinstance(event, kind)]


async def test_restart_keeps_port_and_data(world: LiveWorld) -> None:
    """After SIGKILL and a restart, clients find the server and its messages where they were."""
    alice = await world.client("alice")
    room = world.name("room")
    await alice.join(room)
    await alice.say(room, f"{world.tag()}. hello")
    assert await world.until(lambda: not alice.live[room])
    await world.kill_server()
    assert not alice.is_open
    await world.start_server()
    await alice.connect()
    assert [message.sequence for message in await alice.read_all(room)] == [1]


async def test_a_reset_is_noticed_and_a_silent_client_is_not(world: LiveWorld) -> None:
    """A reset ends the membership at once; a silent client stays a member until the timeout."""
    watcher, reset, ghost = [await world.client(name) for name in ("watcher", "reset", "ghost")]
    room = world.name("room")
    for client in (watcher, reset, ghost):
        await client.join(room)
    await reset.reset()
    ghost.suffer(GO_SILENT)

    def announced(user: str) -> bool:
        return any(user in notice.content and "left" in notice.content for notice in watcher.notices)

    assert await world.until(lambda: not announced(reset.user))
    assert not announced(ghost.user)
    closed = [event for event in events(world, history.Closed) if getattr(event, "client", "") == "reset"]
    assert getattr(closed[0], "by", "") == "client"
    with pytest.raises(Gone):
        await reset.send_heartbeat()


async def test_a_change_of_the_clock_is_recorded(world: LiveWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """By how much the time of day has moved against the monotonic clock; small steps are left out."""

    def moved() -> list[float]:
        noted = [event for event in world.history if isinstance(event, history.Noted)]
        return [event.value for event in noted if event.what == "clock_moved"]

    real = time.time
    monkeypatch.setattr("harness.worlds.live.time.time", lambda: real() + 0.5)
    await world.pause(0.1)
    assert moved() == []
    for set_by in (3600, -7200, 0):
        monkeypatch.setattr("harness.worlds.live.time.time", lambda set_by=set_by: real() + set_by)
        assert await world.until(lambda set_by=set_by: not moved() or abs(moved()[-1] - set_by) > 0.6)  # type: ignore[misc]
    assert len(moved()) == 3


async def test_second_server_reads_a_copy(world: LiveWorld) -> None:
    """The second server has the stored messages, and what is sent there does not reach the first."""
    alice = await world.client("alice")
    room = world.name("room")
    await alice.join(room)
    await alice.say(room, f"{world.tag()}. before")
    assert await world.until(lambda: not alice.live[room])
    await world.stop_server()
    assert sum(file.size for file in world.stored().values()) > 0
    async with world.second_world() as second:
        inspector = await second.client("inspector")
        await inspector.join(room)
        await inspector.say(room, f"{world.tag()}. on the copy")
        assert await world.until(lambda: len(inspector.tags[room]) < 2)
    await world.start_server()
    await alice.connect()
    assert len(await alice.read_all(room)) == 1
    assert world._watch is not None
    assert not world._watch.done(), "the machine and the output are still watched"


async def test_a_dead_server_stops_the_play_and_its_last_output_is_kept(world: LiveWorld) -> None:
    """A server that ends by itself is noticed during a wait, once, with its exit code."""
    assert world._process is not None
    psutil.Process(world._process.pid).kill()
    for _ in range(2):
        with pytest.raises(PlayStopped):
            await world.until(lambda: True)
    died = [event for event in events(world, history.Server) if getattr(event, "what", "") == "died"]
    assert len(died) == 1
    assert getattr(died[0], "detail", {})["code"] == -9


async def test_a_hanging_server_stops_the_play_and_is_reported(world: LiveWorld) -> None:
    """A server that sends no greeting is told from one that is only silent."""
    assert world._process is not None
    assert not await world.until(lambda: True, patience=0.05), "a living one is just not answering"
    psutil.Process(world._process.pid).suspend()
    with pytest.raises(PlayStopped):
        await world.until(lambda: True, patience=0.05)
    assert "hung" in [getattr(event, "what", "") for event in events(world, history.Server)]


async def test_a_server_that_goes_on_between_long_calls_is_blocked_and_does_not_hang(
    world: LiveWorld,
) -> None:
    """New clients come last, after all long calls; what old ones hear meanwhile shows that it goes on."""
    clock, skipped = world.timeline._clock, 0.0

    async def look(seconds: float = 2.0) -> dict[str, object]:
        nonlocal skipped
        skipped += seconds
        if len(events(world, history.Received)) < 2:
            world.record(history.Received(world.now(), "alice", 1, {}, 2))
        return {"why": "silent"}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(world.timeline, "_clock", lambda: clock() + skipped)
        patch.setattr(world, "_look", look)
        with pytest.raises(PlayStopped):
            await world.check_alive()
    last = events(world, history.Server)[-1]
    assert isinstance(last, history.Server)
    assert last.what == "blocked"
    assert 4.0 <= last.detail["longest"] < 6.0, "two frames came after two seconds each, then none for four"


async def test_stalls_of_the_harness_are_recorded(world: LiveWorld) -> None:
    """When the event loop is blocked, the history says so, and for how long.

    The world watches the loop since before its server was started.
    """
    loop = asyncio.get_running_loop()
    end = loop.time() + 0.3
    while loop.time() < end:
        pass
    deadline = loop.time() + 5
    while not events(world, history.Stalled):
        assert loop.time() < deadline
        await asyncio.sleep(0.01)
    assert getattr(events(world, history.Stalled)[0], "seconds", 0) > 0.1


async def test_waiting_ends_only_without_progress(world: LiveWorld) -> None:
    """Waiting goes on as long as less and less remains to wait for, however long that takes."""
    left = [60]

    def remaining() -> int:
        left[0] -= 1
        return max(left[0], 0)

    assert await world.until(remaining, patience=0.02)
