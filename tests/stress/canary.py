"""Two well-behaved clients in a room of their own: whatever others do, they receive all, once, in order."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from types import TracebackType

from tests.stress.link import Gone, Link

RHYTHM = 0.02
"""Seconds between two messages: people who talk as fast as they can would be the load themselves."""


class Canary:
    """`async with Canary(port) as canary` lets them talk;
    `check` fails as soon as anything has gone wrong.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._room = f"canary-{secrets.token_hex(8)}"  # a name that no other client can guess
        self._links: list[Link] = []
        self._talk: asyncio.Task[None] | None = None
        self.said = 0
        self.took: list[float] = []
        """Seconds that each message took to be heard by both."""
        self.began = 0.0
        """When the last message was sent, on the loop's clock."""

    async def __aenter__(self) -> Canary:
        for name in ("tweety", "cici"):
            link = await Link.open(self._port, name)
            self._links.append(link)
            link.ask("join", room=self._room, since=0)
            await link.settle()
        self._talk = asyncio.create_task(self._go_on())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._talk is not None
        self._talk.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await self._talk
        for link in self._links:
            link.abort()

    def check(self) -> None:
        """Raise the exception with which the talk ended, if there is one."""
        assert self._talk is not None
        if self._talk.done():
            try:
                self._talk.result()
            except (Gone, TimeoutError) as error:
                raise AssertionError(f"the canary died after {self.said} messages: {error!r}") from error

    async def final_check(self) -> None:
        """Everything that was sent is stored, once, in order, and nothing else."""
        self.check()
        assert self.said, "the canary had no time to say anything"
        reader = await Link.open(self._port)
        stored = await reader.history(self._room)
        await reader.close()
        assert [(each["sequence"], each["content"]) for each in stored[: self.said]] == [
            (number, f"tweet {number}") for number in range(1, self.said + 1)
        ]
        assert len(stored) <= self.said + 1  # one may be in flight

    async def _go_on(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            number, self.began = self.said + 1, loop.time()
            self._links[number % 2].say(self._room, f"tweet {number}")
            for link in self._links:
                await self._hears(link, number)
            self.said = number
            self.took.append(loop.time() - self.began)
            await asyncio.sleep(RHYTHM)

    async def _hears(self, link: Link, number: int) -> None:
        """Wait for the message of that number; anything else but notices and heartbeats is wrong."""
        while True:
            frame = await link.next()
            kind, data = frame["type"], frame.get("data", {})
            if kind == "message" and data["user"] != "system":
                heard = (data["room"], data["sequence"], data["content"])
                assert heard == (self._room, number, f"tweet {number}"), heard
                return
            assert kind in ("heartbeat", "message", "presence"), frame
            assert data.get("room", self._room) == self._room, frame
