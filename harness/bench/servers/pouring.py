"""Sends messages to its clients once MEMBERS of them are connected, to measure the cost of receiving.

`pouring MEMBERS MESSAGES AT_ONCE SIZE` writes AT_ONCE messages of SIZE bytes at a time to each, and the next
ones a little later: otherwise a slow client would read more in one piece than a fast one, which costs less.
Nothing that clients send is read.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import Any

from websockets.asyncio.server import ServerConnection, serve
from websockets.frames import Frame, Opcode

_PACE = 60e-6
"""Seconds between two pieces, for each member. A client needs about a third of that for a message."""


def _frame(kind: str, data: dict[str, Any]) -> bytes:
    return Frame(Opcode.TEXT, json.dumps({"type": kind, "data": data}).encode()).serialize(mask=False)


def _message(number: int, size: int) -> bytes:
    words = {"id": f"m{number}", "room": "r", "user": "ada", "content": f"bench-{number}. ".ljust(size, "x")}
    return _frame("message", {**words, "sequence": number, "timestamp": 1767225600000})


async def main(members: int, messages: int, at_once: int, size: int) -> None:
    """Serve until the process ends."""
    there: list[ServerConnection] = []
    complete = asyncio.Event()
    greeting = {"clientId": "c", "user": "u", "heartbeatInterval": 60.0, "offlineTimeout": 120.0}

    async def welcome(connection: ServerConnection) -> None:
        connection.transport.write(_frame("connected", {**greeting, "clientId": str(len(there))}))
        there.append(connection)
        if len(there) == members:
            complete.set()
        await connection.wait_closed()

    async with serve(welcome, "127.0.0.1", int(os.environ["PORT"]), compression=None, ping_interval=None):
        await complete.wait()
        loop = asyncio.get_running_loop()
        due = loop.time()
        for start in range(1, messages + 1, at_once):
            numbers = range(start, min(start + at_once, messages + 1))
            wire = b"".join(_message(number, size) for number in numbers)
            for connection in there:
                connection.transport.write(wire)
            due += _PACE * members
            await asyncio.sleep(due - loop.time())
        await loop.create_future()


if __name__ == "__main__":
    asyncio.run(main(*map(int, sys.argv[1:])))
