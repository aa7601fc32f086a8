"""Fixtures for students' own tests: a server, simulated clients, and the history of what they saw.

    async def test_who_comes_late_reads_what_was_said(chat_client, history):
        ada = await chat_client("ada")
        await ada.join("red")
        await ada.say("red", "hello")
        bob = await chat_client("bob")
        await bob.join("red")
        await bob.hears("red", "hello")
        history.check()

They need pytest-asyncio. The server is the one that a `--lab-…` option names, with all four components of
a submission at once, else the reference server. Each test gets a new server with empty data.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pytest
import pytest_asyncio

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.checkers.catalogue import Anomaly
    from harness.history.events import Event
    from harness.worlds.client import Client
    from harness.worlds.live import LiveWorld

MakeClient = Callable[[str], Awaitable["ChatClient"]]


class ChatServer:
    """The server under test: a process that can be stopped, killed and restarted with its data."""

    def __init__(self, world: LiveWorld) -> None:
        self._world = world
        self._runs = True

    async def start(self) -> None:
        """Start it again, on the same port and data; returns when it accepts clients."""
        self._expect(runs=False)
        with _explained(self._world):
            await self._world.start_server()
        self._runs = True

    async def stop(self) -> None:
        """Ask it to stop (SIGTERM), and wait until it has."""
        self._expect(runs=True)
        with _explained(self._world):
            await self._world.stop_server()
        self._runs = False

    async def kill(self) -> None:
        """Kill it at once (SIGKILL)."""
        self._expect(runs=True)
        await self._world.kill_server()
        self._runs = False

    def _expect(self, *, runs: bool) -> None:
        """Skip the test if the server is at a URL and cannot be stopped; fail if the call makes no sense."""
        if not self._world.can_restart:
            pytest.skip("a server at a URL is not ours to stop and start")
        if self._runs != runs:
            _fail(self._world, f"The server {'runs already' if self._runs else 'does not run'}.")


class ChatClient:
    """A simulated client. If what it waits for does not come, the test fails with an explanation."""

    def __init__(self, world: LiveWorld, client: Client) -> None:
        self._world = world
        self._client = client
        self._said: dict[str, str] = {}

    async def connect(self) -> None:
        """Reconnect after `reset` or the end of the server, with no room joined."""
        with _explained(self._world):
            await self._client.connect()

    async def join(self, room: str, since: int | None = None) -> None:
        """Join a room; with `since`, what was said after that number is replayed."""
        with _explained(self._world):
            errors = self._client.errors
            await self._client.join(self._world.name(room), since)
            self._expect_no_error(errors, f"join {room}")

    async def leave(self, room: str) -> None:
        """Leave a room."""
        with _explained(self._world):
            errors = self._client.errors
            await self._client.leave(self._world.name(room))
            self._expect_no_error(errors, f"leave {room}")

    async def say(self, room: str, text: str) -> None:
        """Say a message, and wait until it has come back: it is numbered and stored then."""
        with _explained(self._world):
            # A tag before the text lets the checkers recognize each message.
            tag = self._world.tag()
            await self._client.say(self._world.name(room), f"{tag}. {text}")
            heard, errors = self._client.tags[self._world.name(room)], self._client.errors
            done = await self._world.until(lambda: tag not in heard and self._client.errors == errors)
            self._expect_no_error(errors, f"say {text!r} in {room}")
            if not done:
                _fail(self._world, f"{self._client.name} said {text!r} in {room}, and did not hear it back.")

    async def hears(self, room: str, text: str) -> None:
        """Wait until it has received a message with this text, live or by replay."""
        with _explained(self._world):
            if not await self._world.until(lambda: text not in self.heard(room)):
                _fail(self._world, f"{self._client.name} did not hear {text!r} in {room}.")

    def heard(self, room: str) -> list[str]:
        """The texts of all messages that it received in a room, live or by replay, in order of arrival."""
        from harness.history.index import HistoryIndex

        index = HistoryIndex(self._world.history)
        mine = [h for h in index.in_room(self._world.name(room)) if h.client == self._client.name]
        return [heard.message.content.partition(". ")[2] for heard in mine]

    def newest(self, room: str) -> int:
        """The highest sequence number that it received in a room; 0 if none."""
        return self._client.newest[self._world.name(room)]

    async def sees(self, room: str) -> dict[str, str]:
        """Ask who is in a room; returns the status of each user by name."""
        with _explained(self._world):
            presence_frame = await self._client.ask_presence(self._world.name(room))
            if presence_frame is None:
                _fail(self._world, f"{self._client.name} asked who is in {room}, and got no answer.")
            suffix = f"-{self._world.nonce}"
            return {
                user.removesuffix(suffix): str(each.status) for user, each in presence_frame.users.items()
            }

    def _expect_no_error(self, before: int, action: str) -> None:
        """Fail if the server has answered with an error since."""
        from harness.history.events import Received

        if self._client.errors == before:
            return
        errors = [
            event.frame["data"]
            for event in self._world.history
            if isinstance(event, Received)
            and event.client == self._client.name
            and isinstance(event.frame, dict)
            and event.frame.get("type") == "error"
        ]
        _fail(self._world, f"{self._client.name} wanted to {action}, and the server answered: {errors[-1]}")

    async def close(self) -> None:
        """Close the connection properly."""
        await self._client.close()

    async def reset(self) -> None:
        """Reset the connection: the server's next read or write on it fails."""
        with _explained(self._world):
            await self._client.reset()

    def go_silent(self) -> None:
        """Stop reading and writing, with the connection open."""
        from harness.history.faults import GO_SILENT

        with _explained(self._world):
            self._client.suffer(GO_SILENT)

    vanish = go_silent  # its old name


class ChatHistory:
    """What all clients of a test saw, and what the checkers find in it."""

    def __init__(self, world: LiveWorld) -> None:
        self._world = world

    @property
    def events(self) -> list[Event]:
        """Everything that happened so far, in order: see `harness/history/events.py`."""
        return self._world.history

    def anomalies(self) -> list[Anomaly]:
        """All anomalies, with the names of the catalogue: `lost`, `reorder`, `duplicate`, …"""
        from harness.history.index import HistoryIndex
        from harness.verdict.any_history import anomalies_in

        return anomalies_in(HistoryIndex(self._world.history))

    def check(self) -> None:
        """Fail the test, with an explanation, if anything is wrong."""
        if self.anomalies():
            _fail(self._world, "")


@contextmanager
def _explained(world: LiveWorld) -> Iterator[None]:
    """Turn the end of a play, such as a crash of the server, into a failure that says what happened."""
    from harness.worlds.surroundings import Gone, PlayStopped

    try:
        yield
    except Gone:
        _fail(world, "The client has no connection: it was cut off, or never let in. Try `connect`.")
    except PlayStopped:
        _fail(world, "The test cannot go on.")


def _fail(world: LiveWorld, what: str) -> NoReturn:
    from harness.history.index import HistoryIndex
    from harness.reports.terminal import Terminal
    from harness.texts import texts
    from harness.verdict.any_history import anomalies_in

    text = StringIO()
    text.write(f"{what}{_place()}\n")
    terminal = Terminal(texts("en"), out=text)
    terminal.anomalies(anomalies_in(HistoryIndex(world.history)), world.nonce)
    # The text says what we were handling; pytest need not show the exception as well.
    raise pytest.fail.Exception(text.getvalue().strip(), pytrace=False) from None


def _place() -> str:
    """The line of the test that is waiting: the innermost one that is neither the kit's nor a library's."""
    for frame in inspect.stack():
        code, file = "".join(frame.code_context or ()).strip(), Path(frame.filename).name
        if "await" in code and file.startswith("test_"):
            return f"\n  {file}, line {frame.lineno}: {code}"
    return ""


@pytest_asyncio.fixture
async def chat_world(request: pytest.FixtureRequest) -> AsyncIterator[LiveWorld]:
    """The world of one test, with its server started; the other fixtures use it."""
    from harness.pytest_support.options import is_asked_for, target_of
    from harness.verdict.steps import EXERCISES
    from harness.worlds import targets
    from harness.worlds.live import LiveWorld

    config = request.config
    target = target_of(config, min(EXERCISES), together=True) if is_asked_for(config) else targets.reference()
    world = LiveWorld(target, 0, "")
    try:
        with _explained(world):
            await world.start_server()
        yield world
    finally:
        await world.close()


@pytest.fixture
def chat_server(chat_world: LiveWorld) -> ChatServer:
    """The server of this test, started."""
    return ChatServer(chat_world)


@pytest.fixture
def chat_client(chat_world: LiveWorld) -> MakeClient:
    """A function that makes a connected client with a given name."""

    async def make(name: str) -> ChatClient:
        with _explained(chat_world):
            return ChatClient(chat_world, await chat_world.client(name))

    return make


@pytest.fixture
def history(chat_world: LiveWorld) -> ChatHistory:
    """The history of this test so far."""
    return ChatHistory(chat_world)
