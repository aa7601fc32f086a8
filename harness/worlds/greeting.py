"""The first seconds of a connection: whether a client is greeted by `connected`, or by what instead."""

from __future__ import annotations

import asyncio

from websockets.exceptions import ConnectionClosed

from harness.history import frames
from harness.worlds.connection import Connection
from harness.worlds.library_errors import shown

SECONDS = 2.0
"""Within which a server greets a client."""
AT_ONCE = 1.0
"""Seconds: a connection that is closed later than this is not closed at once, but perhaps for its silence."""
_IN_ORDER = (1000, 1001, 1005)
"""Codes by which a server closes a connection in which nothing went wrong."""
_HEARTBEAT = '{"type": "heartbeat"}'


async def look(ws: Connection) -> dict[str, object]:
    """What a server did instead of greeting this client: `why`, and the fields of that text; empty if it did.

    Heartbeats are answered meanwhile, so that a server with a short timeout does not take it for dead.
    """
    greeter = _Greeter(ws)
    try:
        async with asyncio.timeout(SECONDS):
            await greeter.wait()
    except (TimeoutError, ConnectionClosed):
        pass
    return greeter.found()


class _Greeter:
    """What a client has heard so far."""

    def __init__(self, ws: Connection) -> None:
        self._ws = ws
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()
        self._ended: float | None = None
        self._greeted = False
        self._heard: list[str | bytes] = []
        self._heartbeats = 0
        self._change = asyncio.Event()
        ws.listen(self._hear, self._end)

    async def wait(self) -> None:
        """Until it was greeted, or the connection has ended."""
        while not self._greeted and self._ended is None:
            await self._change.wait()
            self._change.clear()
            while self._heartbeats:
                self._heartbeats -= 1
                await self._ws.send(_HEARTBEAT)

    def _hear(self, text: str | bytes) -> None:
        kind = _kind(text)
        self._greeted |= kind == "connected"
        self._heartbeats += kind == "heartbeat"
        if not self._heard:
            self._heard.append(text)
        self._change.set()

    def _end(self) -> None:
        if self._ended is None:
            self._ended = self._loop.time() - self._began
        self._change.set()

    def found(self) -> dict[str, object]:
        """See `look`."""
        if self._greeted:
            return {}
        violation, more = self._ws.violation
        if violation:
            return {"why": "violation", "violation": violation, "more": more, "code": self._ws.end_code}
        first = self._heard[0] if self._heard else None
        closed = self._ended is not None and self._ended < AT_ONCE
        code = self._ws.end_code
        if first is not None and not (closed and _kind(first)):
            return {"why": _oddity(first), "more": shown(first)}
        if not closed:
            return {"why": "no_connected", "more": ""}
        if first is not None:
            return {"why": "hangs_up_said", "more": str(code), "frame": shown(first)}
        return {"why": "returns" if code in _IN_ORDER else "hangs_up", "more": str(code)}


def _kind(text: str | bytes) -> str:
    """The type of a frame; empty if it has none that can be read."""
    return frames.hear(text)[1].kind


def _oddity(first: str | bytes) -> str:
    """In which way the first frame is not a `connected` one."""
    if isinstance(first, bytes):
        return "first_binary"
    if _kind(first):
        return "first_other"
    if first.startswith("\ufeff"):
        return "first_bom"
    if "\0" in first:
        return "first_nul"
    try:
        frames.decode(first)
    except frames.TooMuch:
        return "first_too_much"
    except ValueError:
        return "first_repr" if first.lstrip().startswith(("{'", "b'")) else "first_not_json"
    return "first_no_type"
