"""A process of clients that receive what `servers/pouring.py` sends, and print the cost of receiving.

`listening KIND PORT MEMBERS MESSAGES` prints the microseconds of CPU for each message that a client received.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable

from websockets.asyncio.client import ClientConnection, connect

from harness.judged import targets
from harness.worlds.live import LiveWorld


async def _library(hear: Callable[[str | bytes], object], port: int, members: int, messages: int) -> float:
    """Clients of the websockets library, each with a task that calls `hear`; returns CPU seconds."""
    uri = f"ws://127.0.0.1:{port}/"

    async def listen(client: ClientConnection) -> None:
        for _ in range(messages + 1):  # with the `connected` frame
            hear(await client.recv())

    clients = [await connect(uri, compression=None, max_queue=None, proxy=None) for _ in range(members)]
    began = time.process_time()
    await asyncio.gather(*map(listen, clients))
    spent = time.process_time() - began
    for client in clients:
        client.transport.abort()
    return spent


async def _harness(port: int, members: int, messages: int) -> float:
    """The harness's clients, which read and record every frame; returns CPU seconds."""
    world = LiveWorld(targets.at_url(f"ws://127.0.0.1:{port}/"), 0, "bench")
    world.timeline.most_events = members * (messages + 10)
    try:
        clients = await asyncio.gather(*(world.client(f"user{n}") for n in range(members)))
        began, heard = time.process_time(), sum(client.received for client in clients)
        while sum(client.received for client in clients) < members * (messages + 1):
            await asyncio.sleep(0.02)
        spent = time.process_time() - began
        return spent * members * messages / max(members * (messages + 1) - heard, 1)
    finally:
        await world.close()


KINDS: dict[str, Callable[[int, int, int], Awaitable[float]]] = {
    "harness": _harness,
    "websockets": lambda *size: _library(len, *size),
    "websockets and json.loads": lambda *size: _library(json.loads, *size),
}
"""The clients that are compared."""


async def _main(kind: str, port: int, members: int, messages: int) -> None:
    print(1e6 * await KINDS[kind](port, members, messages) / (members * messages))


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], *map(int, sys.argv[2:])))
