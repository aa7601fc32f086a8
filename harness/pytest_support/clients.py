"""A server and simulated clients as a test sees them: what they do, and what a test is told when they cannot.

pytest is not needed here: the fixtures of `fixtures.py` are made of these, and the checks of `chatlab hunt`.
"""

from __future__ import annotations

import asyncio
import inspect
from asyncio import AbstractEventLoop
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import NoReturn

from harness.checkers.catalogue import Anomaly
from harness.history.events import Event, Received
from harness.history.faults import GO_SILENT
from harness.history.index import HistoryIndex
from harness.reports.terminal import Terminal
from harness.reports.words import Words
from harness.texts import Texts
from harness.verdict.any_history import anomalies_in
from harness.verdict.judge import limit_of_machine
from harness.worlds.client import Client
from harness.worlds.served import ServedWorld
from harness.worlds.surroundings import Gone, PlayStopped

MakeClient = Callable[[str], Awaitable["ChatClient"]]


class Failures:
    """Tells what goes wrong in a test, in the language asked for."""

    def __init__(
        self, world: ServedWorld, words: Texts, loop: AbstractEventLoop | None = None, loop_scope: str = ""
    ) -> None:
        self.world = world
        self.words = words
        self._loop = loop
        self._loop_scope = loop_scope

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Turn the end of a play, such as the death of the server, into a failure that says what happened."""
        if self._loop is not None and running_loop() is not self._loop:
            self.fail("other_loop", scope=repr(self._loop_scope))
        try:
            yield
        except Gone:
            self.fail("cut_off")
        except PlayStopped:
            self.fail("stopped")

    def fail(self, key: str = "", **params: str) -> NoReturn:
        """Fail with a sentence, if there is one, the line of the test, and what is wrong in the history."""
        text = StringIO()
        sentence = self.words.say(f"pytest.{key}", **params) if key else ""
        text.write(f"{sentence}{self._place()}\n")
        index, terminal = HistoryIndex(self.world.history), Terminal(self.words, out=text)
        terminal.anomalies(anomalies_in(index), self.world.nonce)
        limit = limit_of_machine(index)
        if limit is not None:
            terminal.line(Words(self.words).text("doubt", limit))
        # What we were handling is told in words, and need not be shown as well.
        raise self.failed(text.getvalue().strip()) from None

    def failed(self, text: str) -> BaseException:
        """The exception that makes the test fail."""
        return AssertionError(text)

    def skip(self, text: str) -> NoReturn:
        """End the test, which cannot be played here."""
        raise self.failed(text)

    def _place(self) -> str:
        """The line of the test that waits for us: the innermost one that is neither ours nor a library's."""
        for frame in inspect.stack():
            code, file = "".join(frame.code_context or ()).strip(), Path(frame.filename).name
            if "await" in code and file.startswith("test_"):
                return "\n" + self.words.say("pytest.place", file=file, line=frame.lineno, code=code)
        return ""


def running_loop() -> AbstractEventLoop | None:
    """The loop that runs this code; None if none does."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


class ChatServer:
    """The server under test: a process that can be stopped, killed and restarted with its data."""

    def __init__(self, failures: Failures) -> None:
        self._failures = failures
        self._world = failures.world
        self._runs = True

    async def start(self) -> None:
        """Start it again, on the same port and data; returns when it accepts clients."""
        self._expect(runs=False)
        with self._failures.explained():
            await self._world.start_server()
        self._runs = True

    async def stop(self) -> None:
        """Ask it to stop (SIGTERM), and wait until it has."""
        self._expect(runs=True)
        with self._failures.explained():
            await self._world.stop_server()
        self._runs = False

    async def kill(self) -> None:
        """Kill it at once (SIGKILL)."""
        self._expect(runs=True)
        with self._failures.explained():
            await self._world.kill_server()
        self._runs = False

    def _expect(self, *, runs: bool) -> None:
        """Skip the test if the server is at a URL and cannot be stopped; fail if the call makes no sense."""
        if not self._world.can_restart:
            self._failures.skip(self._failures.words.say("pytest.url"))
        if self._runs != runs:
            self._failures.fail("runs" if self._runs else "runs_not")


class ChatClient:
    """A simulated client. If what it waits for does not come, the test fails with an explanation."""

    def __init__(self, failures: Failures, client: Client) -> None:
        self._failures = failures
        self._world = failures.world
        self._client = client
        self._said: dict[str, str] = {}

    async def connect(self) -> None:
        """Come back after `reset` or the end of the server, with no room joined."""
        with self._failures.explained():
            await self._client.connect()

    async def join(self, room: str, since: int | None = None) -> None:
        """Join a room; with `since`, what was said after that number is replayed."""
        with self._failures.explained():
            errors = self._client.errors
            await self._client.join(self._world.name(room), since)
            self._expect_no_error(errors, "join", room=room)

    async def leave(self, room: str) -> None:
        """Leave a room."""
        with self._failures.explained():
            errors = self._client.errors
            await self._client.leave(self._world.name(room))
            self._expect_no_error(errors, "leave", room=room)

    async def say(self, room: str, text: str) -> None:
        """Say something, and wait until it has come back: it is numbered and stored then."""
        with self._failures.explained():
            # A tag goes before the text, so that the checkers know each message again.
            tag = self._world.tag()
            await self._client.say(self._world.name(room), f"{tag}. {text}")
            heard, errors = self._client.tags[self._world.name(room)], self._client.errors
            done = await self._world.until(lambda: tag not in heard and self._client.errors == errors)
            self._expect_no_error(errors, "say", text=repr(text), room=room)
            if not done:
                self._fail("not_back", text=repr(text), room=room)

    async def hears(self, room: str, text: str) -> None:
        """Wait until a message with this text has come, live or by replay."""
        with self._failures.explained():
            if not await self._world.until(lambda: text not in self.heard(room)):
                self._fail("not_heard", text=repr(text), room=room)

    def heard(self, room: str) -> list[str]:
        """The texts of all messages that it received in a room, live or by replay, in order of arrival."""
        index = HistoryIndex(self._world.history)
        mine = [h for h in index.in_room(self._world.name(room)) if h.client == self._client.name]
        return [heard.message.content.partition(". ")[2] for heard in mine]

    def numbers(self, room: str) -> list[int]:
        """The sequence numbers of all messages that it received in a room, in order of arrival."""
        index = HistoryIndex(self._world.history)
        mine = [h for h in index.in_room(self._world.name(room)) if h.client == self._client.name]
        return [heard.message.sequence for heard in mine]

    def newest(self, room: str) -> int:
        """The highest sequence number that it received in a room; 0 if none."""
        return self._client.newest[self._world.name(room)]

    async def sees(self, room: str) -> dict[str, str]:
        """Who is in a room, as the server answers now: the status of each user by name."""
        with self._failures.explained():
            presence_frame = await self._client.ask_presence(self._world.name(room))
            if presence_frame is None:
                self._fail("no_presence", room=room)
            suffix = f"-{self._world.nonce}"
            return {
                user.removesuffix(suffix): str(each.status) for user, each in presence_frame.users.items()
            }

    def _fail(self, key: str, **params: str) -> NoReturn:
        self._failures.fail(key, who=self._client.name, **params)

    def _expect_no_error(self, before: int, action: str, **params: str) -> None:
        """Fail if the server has answered by an error since."""
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
        self._fail(action, **params, error=str(errors[-1]))

    async def close(self) -> None:
        """Close the connection properly."""
        with self._failures.explained():
            await self._client.close()

    async def reset(self) -> None:
        """Break the connection: the server's next read or write on it fails."""
        with self._failures.explained():
            await self._client.reset()

    def go_silent(self) -> None:
        """Stop reading and writing, with the connection open."""
        with self._failures.explained():
            self._client.suffer(GO_SILENT)

    vanish = go_silent  # its old name


class ChatHistory:
    """What all clients of a test saw, and what the checkers find in it."""

    def __init__(self, failures: Failures) -> None:
        self._failures = failures
        self._world = failures.world

    @property
    def events(self) -> list[Event]:
        """Everything that happened so far, in order: see `harness/history/events.py`."""
        return self._world.history

    def anomalies(self) -> list[Anomaly]:
        """All anomalies, with the names of the catalogue: `lost`, `reorder`, `duplicate`, …"""
        return anomalies_in(HistoryIndex(self._world.history))

    def check(self) -> None:
        """Fail the test, with an explanation, if anything is wrong."""
        if self.anomalies():
            self._failures.fail()


def client_maker(failures: Failures) -> MakeClient:
    """A function that makes a client of the name given, connected."""

    async def make(name: str) -> ChatClient:
        with failures.explained():
            return ChatClient(failures, await failures.world.client(name))

    return make
