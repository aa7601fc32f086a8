"""What the machine lacks is told as that, and no step fails because of it."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.history.events import Server
from harness.judged import machine_limits, targets
from harness.judged.machine_limits import AT_START, FILES, few_files, is_full, limit_of
from harness.texts import LANGUAGES, texts
from harness.worlds.live import LiveWorld
from harness.worlds.surroundings import PlayStopped


def free(bytes_free: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let all disks have so much room."""
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_bavail=bytes_free, f_frsize=1))


def test_a_disk_is_full_if_little_is_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless the server has filled it by itself, which is no limit of the machine."""
    free(AT_START, monkeypatch)
    assert not is_full(tmp_path, AT_START)
    free(AT_START - 1, monkeypatch)
    assert is_full(tmp_path, AT_START)
    monkeypatch.setattr(machine_limits, "_ITS_OWN", 10)
    (tmp_path / "messages").write_bytes(b"x" * 11)
    assert not is_full(tmp_path, AT_START)


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENOSPC, errno.ENOMEM, errno.EAGAIN])
def test_each_limit_has_a_sentence(number: int) -> None:
    """In all languages, with what to do; other errors of the system are no limit."""
    limit = limit_of(OSError(number, os.strerror(number)))
    assert all(texts(each).has(f"doubt.limit_{limit}") for each in LANGUAGES)
    assert limit_of(OSError(errno.ECONNREFUSED, "refused")) == limit_of(ValueError()) == ""


async def events_of(world: LiveWorld, action: Any) -> list[tuple[str, Any]]:
    """The events of the server after something that stops a play."""
    try:
        with pytest.raises(PlayStopped):
            await action()
    finally:
        await world.close()
    return [(each.what, each.detail.get("limit")) for each in world.history if isinstance(each, Server)]


async def test_a_full_disk_stops_a_play_before_its_server_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not told as a server that does not start."""
    free(1, monkeypatch)
    world = LiveWorld(targets.reference(), 1, "1")
    assert await events_of(world, world.start_server) == [("limit", "disk")]


async def test_a_process_that_cannot_be_started_is_no_missing_program(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The system had no more processes."""

    def popen(*_: Any, **__: Any) -> None:
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr("harness.judged.kept.subprocess.Popen", popen)
    world = LiveWorld(targets.reference(), 1, "1")
    assert await events_of(world, world.start_server) == [("limit", "processes")]


async def test_a_machine_without_loopback_is_no_dead_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody could reach any server, as in a network namespace whose `lo` is down."""

    async def connect(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENETUNREACH, os.strerror(errno.ENETUNREACH))

    monkeypatch.setattr("harness.worlds.live.connected_socket", connect)
    world = LiveWorld(targets.reference(), 1, "1")
    assert await events_of(world, world.start_server) == [("started", None), ("limit", "loopback")]


def test_a_load_needs_a_file_for_each_user(monkeypatch: pytest.MonkeyPatch) -> None:
    """Besides those that any check needs."""
    monkeypatch.setattr(machine_limits, "allow_files", lambda wanted: min(wanted, FILES + 10))
    assert not few_files()
    assert not few_files(10)
    assert few_files(11)


async def test_a_connection_that_we_cannot_open_is_no_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process had no more files."""

    async def connect(*_: Any, **__: Any) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    world = LiveWorld(targets.at_url("ws://127.0.0.1:9/"), 1, "1")
    monkeypatch.setattr("harness.worlds.live.connected_socket", connect)
    assert await events_of(world, lambda: world.client("alice")) == [("limit", "files")]
