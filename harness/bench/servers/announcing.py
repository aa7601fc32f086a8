"""Sends the frames in a file to MEMBERS clients, by websockets.broadcast(), once one of them says a word.

`announcing FILE MEMBERS`; the file has a frame in each line. It is the least that announcing could cost.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from websockets.asyncio.server import ServerConnection, broadcast, serve


async def main(file: Path, count: int) -> None:
    """Serve until the process ends."""
    texts = file.read_text(encoding="utf-8").splitlines()
    members: set[ServerConnection] = set()

    async def welcome(connection: ServerConnection) -> None:
        members.add(connection)
        await connection.send('{"type":"connected","data":{"clientId":"c"}}')
        async for _ in connection:
            assert len(members) == count
            for text in texts:
                broadcast(members, text)
                await asyncio.sleep(0)

    async with serve(
        welcome, "127.0.0.1", int(os.environ["PORT"]), compression=None, ping_interval=None, backlog=4096
    ):
        await asyncio.get_running_loop().create_future()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
