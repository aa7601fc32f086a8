"""A server that says what a test wants, as fast as a page can read, and a page's cost in memory."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from lab.pages import Pages
from tests.browser.helpers import PATIENCE

if TYPE_CHECKING:
    from playwright.sync_api import Page

Json = dict[str, Any]
NOON = 1_767_225_600_000
"""When the messages of a fake server begin: milliseconds since 1970."""


def frame(kind: str, **data: Any) -> str:
    """A server's frame."""
    return json.dumps({"type": kind, "data": data})


def said(sequence: int, user: str = "bob", content: str = "", room: str = "red", id: str = "") -> Json:
    """A message, one each second."""
    content = content or f"no. {sequence}, and a few words more, as people write them"
    return {
        "id": id or f"id-{sequence}",
        "room": room,
        "user": user,
        "content": content,
        "sequence": sequence,
        "timestamp": NOON + 1000 * sequence,
    }


def person(user: str, status: str = "online") -> Json:
    """One entry of a presence frame."""
    return {"user": user, "status": status, "lastSeen": NOON}


def pages(first: int, last: int, room: str = "red", newest: int = 0) -> Iterator[str]:
    """The messages with these numbers, as pages of history."""
    for start in range(first, last + 1, 100):
        numbers = range(start, min(start + 100, last + 1))
        yield frame(
            "history",
            room=room,
            messages=[said(number, room=room) for number in numbers],
            last=max(last, newest),
            more=numbers[-1] < last,
        )


class FakeServer:
    """Serves the page, lets everybody in, numbers what is said, and sends what the test says.

    past       messages in each room: a join is answered by the last `replayed` of them
    others     names of those who are in each room besides whoever joins
    """

    def __init__(self, past: int = 0, replayed: int = 50, others: int = 0) -> None:
        self.newest = past
        self.asked: list[Json] = []
        """All frames of the page."""
        self.is_deaf = False
        """Whether it does not do what the page asks."""
        self._replayed = replayed
        self._others = [person(f"user {number:05}") for number in range(others)]
        self._connections: set[ServerConnection] = set()
        self._started = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))
        self._thread.start()
        assert self._started.wait(PATIENCE)

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        answer = Pages(dict).answer
        async with serve(
            self._talk, "127.0.0.1", 0, process_request=answer, compression=None, max_size=None
        ) as server:
            self._port = next(iter(server.sockets)).getsockname()[1]
            self._started.set()
            await self._stop.wait()

    async def _talk(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        user = parse_qs(urlsplit(connection.request.path).query)["user"][0]
        self._connections.add(connection)
        try:
            await connection.send(frame("connected", clientId="c", user=user, offlineTimeout=60))
            async for text in connection:
                asked = json.loads(text)
                self.asked.append(asked)
                for each in () if self.is_deaf else self._answer(user, asked):
                    await connection.send(each)
        except ConnectionClosed:
            pass
        finally:
            self._connections.discard(connection)

    def _answer(self, user: str, asked: Json) -> Iterator[str]:
        if asked["type"] == "join":
            first = asked.get("since", max(0, self.newest - self._replayed)) + 1
            yield from pages(first, self.newest, asked["room"])
            yield frame("presence", room=asked["room"], users=[person(user), *self._others], full=True)
        elif asked["type"] == "history":
            last = min(self.newest, asked["since"] + asked["limit"])
            yield from pages(asked["since"] + 1, last, asked["room"], self.newest)
            if last <= asked["since"]:
                yield frame("history", room=asked["room"], messages=[], last=self.newest, more=False)
        elif asked["type"] == "message":
            self.newest += 1
            data = asked["data"]
            yield frame("message", **said(self.newest, user, data["content"], data["room"], data["id"]))

    @property
    def url(self) -> str:
        """The page's address."""
        return f"http://127.0.0.1:{self._port}"

    def send(self, *frames: str | bytes) -> None:
        """Send these to every page, and wait until all are on their way."""

        async def send() -> None:
            for each in frames:
                for connection in list(self._connections):
                    await connection.send(each)

        asyncio.run_coroutine_threadsafe(send(), self._loop).result(120)

    def talk(self, count: int, room: str = "red", content: str = "") -> None:
        """Let bob say that many messages, each a frame."""
        first = self.newest + 1
        self.newest += count
        numbers = range(first, first + count)
        self.send(*(frame("message", **said(number, content=content, room=room)) for number in numbers))

    def stop(self) -> None:
        """Stop it."""
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()


def heap(page: Page) -> float:
    """MiB that the page's JavaScript holds, after the garbage was collected."""
    tools = page.context.new_cdp_session(page)
    tools.send("HeapProfiler.collectGarbage")
    used: float = tools.send("Runtime.getHeapUsage")["usedSize"] / 2**20
    tools.detach()
    return used


SEND = """async (content) => {
  const field = document.querySelector("#text");
  field.value = content;
  const start = performance.now();
  field.dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", cancelable: true, bubbles: true }));
  const isShown = () => [...document.querySelectorAll("#log ol > .own")].slice(-3)
    .some((item) => item.dataset.sequence && item.textContent.includes(content));
  while (!isShown()) {
    if (performance.now() - start > 20_000) throw new Error("it is not shown");
    await new Promise(requestAnimationFrame);
  }
  await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
  return performance.now() - start;
}"""


def send_time(page: Page, content: str) -> float:
    """Milliseconds from Enter until the message has come back and is painted with its number."""
    took: float = page.evaluate(SEND, content)
    return took
