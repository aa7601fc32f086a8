"""The naive server with `websockets.broadcast()`, which does not wait for slow readers."""

from __future__ import annotations

import asyncio

from websockets.asyncio.server import broadcast

from harness.bench.servers import naive


async def tell(text: str) -> None:
    """Send a text to all members."""
    broadcast(naive.members, text)


if __name__ == "__main__":
    naive.tell = tell
    asyncio.run(naive.main())
