"""How many simulated seconds a second of wall time brings, beside looptime: `python -m
tests.bench.virtual_time`.

The same server and clients of the websockets library chat, or stay connected and idle, in our simulated
world and on an asyncio loop with looptime's virtual time (which uses real sockets). The two take turns,
five times each.

looptime is no dependency of the kit, since its pytest plugin gets in the way of tests: install it where
this is run, and nowhere else.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import suppress

from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from harness.worlds.sim.simulator import Simulator

ROUNDS = 5
CLIENTS = 10
_wall = time.perf_counter


async def scene(seconds: float, messages: int, port: int) -> None:
    """Ten clients of one server send so many messages each in so many seconds; all of them receive all."""
    clients: set[ServerConnection] = set()

    async def handler(connection: ServerConnection) -> None:
        clients.add(connection)
        async for text in connection:
            for each in list(clients):
                with suppress(ConnectionClosed):
                    await each.send(text)
        clients.discard(connection)

    async def client(number: int) -> None:
        await asyncio.sleep(number * 1.7)  # clients are not in step
        async with connect(f"ws://127.0.0.1:{port}/", compression=None, proxy=None) as connection:

            async def listen() -> None:
                async for _ in connection:
                    pass

            listening = asyncio.create_task(listen())
            for _ in range(messages):
                await asyncio.sleep(seconds / messages)
                await connection.send("hello")
            if not messages:
                await asyncio.sleep(seconds)
            listening.cancel()
            with suppress(asyncio.CancelledError):
                await listening

    async with serve(handler, "127.0.0.1", port, compression=None):
        await asyncio.gather(*(client(number) for number in range(CLIENTS)))


def ours(seconds: float, messages: int, port: int) -> None:
    """In the simulated world."""
    Simulator("bench", 0.0).run(scene(seconds, messages, port))


def looptimes(seconds: float, messages: int, port: int) -> None:
    """On looptime's loop."""
    import looptime

    loop = looptime.new_event_loop(start=0)
    asyncio.set_event_loop(loop)
    try:
        loop.run_until_complete(scene(seconds, messages, port))
    finally:
        asyncio.set_event_loop(None)
        loop.close()


def speed(world: Callable[[float, int, int], None], seconds: float, messages: int, port: int) -> float:
    """Simulated seconds for each second of wall time."""
    before = _wall()
    world(seconds, messages, port)
    return seconds / (_wall() - before)


def main() -> None:
    """Measure, and print a table."""
    try:
        import looptime  # noqa: F401
    except ModuleNotFoundError:
        sys.exit("looptime is not installed here: pip install looptime")
    print(f"simulated seconds a second, median of {ROUNDS} (least … most), {CLIENTS} clients")
    for name, seconds, messages in (("chatting", 360.0, 10), ("idle", 3600.0, 0)):
        found: dict[str, list[float]] = {"chat-lab": [], "looptime": []}
        for turn in range(ROUNDS):
            found["chat-lab"].append(speed(ours, seconds, messages, 20_000))
            found["looptime"].append(speed(looptimes, seconds, messages, 18_700 + turn))
        for peer, speeds in found.items():
            middle = statistics.median(speeds)
            print(f"  {name:<9} {peer:<9} {middle:10,.0f}  ({min(speeds):,.0f} … {max(speeds):,.0f})")
        ratio = statistics.median(found["chat-lab"]) / statistics.median(found["looptime"])
        print(f"  {name:<9} ratio     {ratio:10.1f}")


if __name__ == "__main__":
    main()
