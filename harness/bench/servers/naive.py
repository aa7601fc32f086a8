"""The server that beginners write: for each message, `await send` to one member after the other."""

from __future__ import annotations

import asyncio
import json
import os
import time

from websockets.asyncio.server import ServerConnection, serve

members: set[ServerConnection] = set()
count = 0


def answer(room: str, content: str) -> str:
    """The frame of a message; made once for all members."""
    global count
    count += 1
    data = {"id": str(count), "room": room, "user": "somebody", "content": content, "sequence": count}
    return json.dumps({"type": "message", "data": {**data, "timestamp": int(time.time() * 1000)}})


async def tell(text: str) -> None:
    """Send a text to all members."""
    for member in list(members):
        await member.send(text)


async def welcome(connection: ServerConnection) -> None:
    """Serve one client."""
    members.add(connection)
    try:
        async for text in connection:
            frame = json.loads(text)
            if frame["type"] == "message":
                await tell(answer(frame["data"]["room"], frame["data"]["content"]))
    finally:
        members.discard(connection)


async def main() -> None:
    """Serve until the process ends."""
    # Without pings, since a crowd on raw sockets does not answer them.
    async with serve(welcome, "127.0.0.1", int(os.environ["PORT"]), compression=None, ping_interval=None):
        await asyncio.get_running_loop().create_future()


if __name__ == "__main__":
    asyncio.run(main())
