"""The client of a load's user, with servers that do not answer as they should."""

from __future__ import annotations

import asyncio

import pytest

from harness.history.events import Closed, Event, GaveUp
from harness.load.client import Chatter, Gone
from harness.load.record import Recorder
from tests.harness.worlds.rawservers import CONNECTED, TEXT, Conduct, frame, listening, sends, status, text


async def played(conduct: Conduct) -> tuple[list[Event], list[str | None]]:
    """A user that connects, in a thread, and asks something: the events, and the errors that it measured."""
    recorder = Recorder("p", "h")
    errors: list[str | None] = []

    def talk(address: str) -> None:
        user = Chatter(recorder, address, "ada", "ada-1", "t", lambda *measured: errors.append(measured[-1]))
        user.rooms.append("red")
        with pytest.raises(Gone):
            user.arrive()

    async with listening(conduct) as port:
        await asyncio.to_thread(talk, f"ws://127.0.0.1:{port}/?key=abc")
    async with asyncio.timeout(5):  # its other thread notes the end a moment later
        while not any(isinstance(event, Closed | GaveUp) for event in recorder.finish().events):
            await asyncio.sleep(0.01)
    return recorder.finish().events, errors


async def test_a_redirect_is_not_followed() -> None:
    """It is measured by the same name as in a check."""
    events, errors = await played(status("302 Found", "Location: /chat"))
    (event,) = events
    assert isinstance(event, GaveUp)
    assert event.wanted == "connection redirect"
    assert errors == ["redirect"]


async def test_a_violation_ends_the_connection_by_the_kit() -> None:
    """And not by the server."""
    events, _ = await played(sends(text(CONNECTED), on_frame=frame(TEXT, b"\xe9")))
    (closed,) = [event for event in events if isinstance(event, Closed)]
    assert (closed.by, closed.code, closed.reason) == ("kit", 1007, r"not_utf8 b'\xe9'")


async def test_what_is_refused_or_not_answered_is_noted() -> None:
    """A connect that is refused, and a request that the server hangs up on; not what a storm cut off."""
    recorder = Recorder("p", "h")

    def talk(address: str, *, cut: bool) -> None:
        user = Chatter(recorder, address, "ada", "ada-1", "t", lambda *_: None)
        user.rooms.append("red")
        user.connect() if cut else None
        if cut:
            user.reset()
        with pytest.raises(Gone):
            user.join("red") if cut else user.come_back()

    async with listening(status("503 Busy")) as port:
        await asyncio.to_thread(talk, f"ws://127.0.0.1:{port}/", cut=False)
    counts = {name: len(dues) for name, dues in recorder.never.items()}
    assert counts == {"connect": 1, "reconnect": 1}
    async with listening(sends(text(CONNECTED))) as port:
        await asyncio.to_thread(talk, f"ws://127.0.0.1:{port}/", cut=True)
    assert {name: len(dues) for name, dues in recorder.never.items()} == counts
