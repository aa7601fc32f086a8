"""Plays scenes in either world, with helpers for writing them."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import textwrap
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from harness.history import events as history
from harness.judged import targets
from harness.judged.targets import Target
from harness.worlds.client import Client
from harness.worlds.live import LiveWorld
from harness.worlds.served import ServedWorld
from harness.worlds.sim.world import SimWorld
from tests.harness.worlds.simulations import simulate

LIVE_MARKS = [pytest.mark.live, pytest.mark.xdist_group("live0")]

Scene = Callable[[ServedWorld], Awaitable[None]]


class Stage:
    """Plays scenes in one of the worlds, each with a new server."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def play(self, scene: Scene, target: Target | None = None) -> None:
        """Play a scene, which starts the server itself."""
        server = target or targets.reference()
        if self.kind == "live":
            asyncio.run(_play(lambda: LiveWorld(server, 1, "seed"), scene))
            return
        with contextlib.chdir(server.cwd):
            simulate(lambda simulator: _play(lambda: SimWorld(simulator, server, 1, "seed"), scene))


async def _play(world: Callable[[], ServedWorld], scene: Scene) -> None:
    made = world()
    try:
        await scene(made)
    finally:
        await made.close()


def details(world: ServedWorld, what: str) -> list[dict[str, Any]]:
    """The details of the history's events of this name about the server."""
    servers = [event for event in world.history if isinstance(event, history.Server)]
    return [event.detail for event in servers if event.what == what]


async def member(world: ServedWorld, name: str, room: str, narrow: bool = False) -> Client:
    """A new client in a room."""
    client = await world.client(name, narrow=narrow)
    await client.join(room)
    return client


def left(watcher: Client, who: Client) -> bool:
    """Whether a client was notified that another one has left."""
    return any(who.user in notice.content and "left" in notice.content for notice in watcher.notices)


async def has_received(world: ServedWorld, client: Client, room: str, messages: int) -> bool:
    """Wait until a client has received so many messages."""
    return await world.until(lambda: messages - client.live[room])


def received_numbers(world: ServedWorld, client: Client, room: str) -> list[int]:
    """The numbers of a room's messages, in the order in which a client received them."""
    frames = [
        event.frame
        for event in world.history
        if isinstance(event, history.Received) and event.client == client.name and event.frame
    ]
    messages = [frame["data"] for frame in frames if frame["type"] == "message"]
    return [data["sequence"] for data in messages if data["room"] == room and data.get("sequence")]


ECHO = """
    import asyncio, json, os, signal
    from websockets.asyncio.server import serve

    class Counter:
        starts = 0

    SEEN = []
    Counter.starts += 1
    SEEN.append(os.environ["DATA_DIR"])

    async def talk(ws):
        user = f"{Counter.starts}-{len(SEEN)}"
        await ws.send(json.dumps({"type": "connected", "data": {"user": user, "clientId": "c"}}))
        async for text in ws:
            await ws.send(text)

    async def main():
        async with serve(talk, os.environ["HOST"], int(os.environ["PORT"])):
            print("serving")
            await asyncio.get_running_loop().create_future()
"""


def server_file(tmp_path: Path, text: str, ending: str = "\n    asyncio.run(main())\n") -> Target:
    """A whole server in one file."""
    path = tmp_path / "server.py"
    path.write_text(textwrap.dedent(text + ending))
    return Target("file", (sys.executable, "server.py"), str(tmp_path))


async def greeted_as(world: ServedWorld) -> str:
    """The user name that the server's greeting gives a new client."""
    client = await world.client("alice")
    assert client.connected_frame is not None
    return client.connected_frame.user
