"""A client of the chat, whose connection can be broken.

A client speaks the protocol as it should (it answers heartbeats), writes everything that it sends and
receives into the world's history, and remembers just enough of it to know what it waits for. It judges
nothing. Its faults are real ones: a reset is a TCP reset, and a client that goes silent stops
reading and writing with the socket open, as a machine does that lost its network.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from contextlib import suppress
from typing import Any

import msgspec
from websockets.exceptions import ConnectionClosed

from harness.history import events as history
from harness.history import faults, frames
from harness.history.faults import FAULTS, Way
from harness.history.frames import tag_in
from harness.worlds.connection import Connection
from harness.worlds.library_errors import NotOpened
from harness.worlds.surroundings import MANY, Gone, PlayStopped, Surroundings
from lab.protocol import HEARTBEAT_INTERVAL, MAX_FRAME, MAX_PAGE, OFFLINE_TIMEOUT, SYSTEM, Message

QUIET = 0.3
"""Seconds without a frame after which a server that answers no `presence` counts as done."""
LONGEST_QUIET = 5.0
"""Seconds after which it does in any case."""
SEND_PATIENCE = 10.0
"""Seconds for which a server may refuse to read what a client sends."""


class Client:
    """A client with one connection at a time; `conn` numbers the connections of the whole run."""

    def __init__(
        self, world: Surroundings, name: str, user: str, narrow: bool, unwelcome: bool = False
    ) -> None:
        self.world = world
        self.name = name
        self.asked = user
        self.user = user
        self.conn = 0
        self.narrow = narrow
        self.unwelcome = unwelcome
        """Whether the server should refuse it, for its name."""
        self.answers_heartbeats = True
        self.writes_nulls = False
        """Whether it writes `null` for a field that it could leave out, which is the same."""
        self.connected_frame: frames.Connected | None = None
        self.tags: dict[str, set[str]] = defaultdict(set)
        """Tags of the messages received, live or by replay, in each room."""
        self.newest: dict[str, int] = defaultdict(int)
        """The highest number received in each room, over all connections."""
        self.received = 0
        self.live: Counter[str] = Counter()
        """Numbered live messages received in each room, over all connections."""
        self.notices: list[Message] = []
        self.presence_frames: list[frames.PresenceFrame] = []
        self.pages: list[frames.History] = []
        self.pages_ahead = 0
        """Pages that went on where the last one in their room had ended, since it was last joined."""
        self._reached: dict[str, int] = {}
        self.errors = 0
        self.heartbeats = 0
        self._ws: Connection | None = None
        self._session: asyncio.Task[None] | None = None
        self._work = asyncio.Event()
        """Set when the session has something to do: to answer heartbeats, or to end."""
        self._unanswered = 0
        self._defect: Exception | None = None
        self._ended_by_us = False
        self._inside: set[str] = set()
        """The rooms that it joined on this connection."""
        self._echoes: dict[str, asyncio.Future[None]] = {}
        """By tag, those of its own messages that it waits for."""

    # --- the connection ---------------------------------------------------------------------------

    @property
    def is_open(self) -> bool:
        """Whether the connection is open, as far as this side knows."""
        return self._session is not None and not self._session.done()

    @property
    def is_mute(self) -> bool:
        """Whether it stopped reading, so that it would not notice the end of its connection."""
        return self._ws is not None and self._ws.inbound is Way.HELD

    @property
    def is_answered(self) -> bool:
        """Whether it has a connection on which requests and answers arrive."""
        return self.is_open and self._ws is not None and self._ws.is_undisturbed

    def is_in(self, room: str) -> bool:
        """Whether it asked to be in a room, on an open connection."""
        return self.is_open and room in self._inside

    async def connect(self) -> None:
        """Open a connection, in place of any open one, and wait for `connected`. Raises Gone."""
        await self.dispose()
        self.conn = self.world.next_conn()
        self.connected_frame = None
        self._ended_by_us = False
        self._unanswered = 0
        self._inside.clear()
        if self.unwelcome:
            self._fault(faults.BAD_NAME)
        try:
            self._ws = await self.world.dial(self.asked, narrow=self.narrow)
        except NotOpened as error:
            self._give_up("connection", 0.0, detail=error.why)
            raise Gone from error
        self._session = asyncio.create_task(self._run_session(self._ws), name=f"{self.name} session")
        self._ws.listen(self._take, self._work.set)
        patience = self.world.patience
        answered = await self.world.until(lambda: self.connected_frame is None and self.is_open, patience)
        if self.connected_frame is None:
            if answered:  # it was closed instead
                await self._session
            else:
                self._give_up("connected", patience)
            raise Gone
        self.user = self.connected_frame.user
        self.world.record(
            history.Opened(
                self.world.now(),
                self.name,
                self.conn,
                self.user,
                self.asked,
                self.connected_frame.heartbeat or HEARTBEAT_INTERVAL,
                self.connected_frame.timeout or OFFLINE_TIMEOUT,
                self.world.is_second,
            )
        )

    async def _run_session(self, ws: Connection) -> None:
        """Answer heartbeats until the connection ends, and record how it ended."""
        try:
            while not (ws.is_lost or self.world.flooded or self._defect):
                if self._unanswered and ws.outbound is Way.FLOWS:
                    self._unanswered -= 1
                    await self._send({"type": "heartbeat"})
                else:
                    self._work.clear()
                    await self._work.wait()
        except PlayStopped:
            pass
        finally:
            ws.listen(_ignore)
        if self._defect:
            raise self._defect
        by, how = _how_it_ended(ws)
        by = "client" if self._ended_by_us else by
        self.world.record(
            history.Closed(self.world.now(), self.name, self.conn, by, ws.end_code, ws.close_reason or how)
        )

    def _take(self, text: str | bytes) -> None:
        """Handle a frame. A defect of the harness is raised by the session, whose end is awaited."""
        if self.world.flooded or self._defect:
            self._work.set()
            if self._ws is not None:
                self._ws.transport.abort()  # else whoever sends without end keeps both of us busy
            return
        try:
            self._hear(text)
        except Exception as error:
            self._defect = error
            self._work.set()
        if self.heartbeats > 0 and self.answers_heartbeats:
            self.heartbeats = 0
            self._unanswered += 1
            self._work.set()

    def _hear(self, text: str | bytes) -> None:
        world, size = self.world, len(text)
        frame, reading = frames.hear(text)
        self.received += 1
        excerpt = None if frame is not None else repr(text[:200])
        page = reading.meaning if isinstance(reading.meaning, frames.History) else None
        world.timeline.heard(size, frames.values_in(text), len(page.messages) if page else 0)
        if not frames.is_small(text) and page is None and not isinstance(reading.meaning, Message):
            frame = history.cut(frame)  # nobody needs more of it, and there may be many
        world.record(history.Received(world.now(), self.name, self.conn, frame, size, excerpt))
        world.readings.append(reading)
        # A frame that is too large has a flaw, and is read all the same.
        match reading.meaning if size <= MAX_FRAME else frames.read(frame).meaning:
            case Message() as message:
                if size > frames.SHORT:
                    frame["data"]["content"] = world.same(message.content)
                if message.user == SYSTEM:
                    self.notices.append(message)
                else:
                    self._remember(message)
                    self.live[message.room] += 1
            case frames.History() as page:
                for message, raw in zip(page.messages, frame["data"]["messages"], strict=True):
                    raw["content"] = world.same(message.content)
                    self._remember(message)
                self.pages.append(page)
                self._note_progress(page)
            case frames.PresenceFrame() as presence_frame:
                self.presence_frames.append(presence_frame)
            case frames.Connected() as connected:
                self.connected_frame = connected
            case frames.Error():
                self.errors += 1
            case frames.Heartbeat():
                self.heartbeats += 1

    def _note_progress(self, page: frames.History) -> None:
        """See whether a page goes on where the last one has ended, or repeats what came."""
        reached = page.messages[-1].sequence if page.messages else 0
        if reached > self._reached.get(page.room, 0):
            self._reached[page.room] = reached
            self.pages_ahead += 1

    def _remember(self, message: Message) -> None:
        if message.sequence > self.newest[message.room]:
            self.newest[message.room] = message.sequence
        tag = tag_in(message.content)
        if tag:
            self.tags[message.room].add(tag)
            echo = self._echoes.get(tag)
            if echo and not echo.done():
                echo.set_result(None)

    # --- what a client says -----------------------------------------------------------------------

    async def _send(self, frame: Any, text: str | bytes | None = None, bad: str | None = None) -> None:
        """Send one frame (a binary one if `text` is bytes), and record it. Raises Gone without a connection.

        Where a fault stops what the client sends, nothing is sent, and nothing recorded.
        """
        if self._ws is None or not self.is_open:
            raise Gone
        if self._ws.outbound is not Way.FLOWS:
            return
        wire = text if text is not None else msgspec.json.encode(frame).decode()
        excerpt = repr(text[:200]) if isinstance(text, bytes) else text and text[:200]
        self.world.record(history.Sent(self.world.now(), self.name, self.conn, frame, excerpt, bad))
        try:
            async with asyncio.timeout(SEND_PATIENCE):
                await self._ws.send(wire)
        except ConnectionClosed as error:
            raise Gone from error
        except TimeoutError as error:
            self._give_up("reading", SEND_PATIENCE)
            raise Gone from error

    async def send(self, frame: Any) -> None:
        """Send a correct frame as it is; does not wait for an answer."""
        await self._send(frame)

    async def join(self, room: str, since: int | None = None) -> None:
        """Join a room, and wait until the server has done all that this asks for."""
        frame: dict[str, Any] = {"type": "join", "room": room}
        if since is not None or self.writes_nulls:
            frame["since"] = since
        self._inside.add(room)
        self._reached.pop(room, None)
        await self._send(frame)
        await self.fence()
        self.world.record(history.Joined(self.world.now(), self.name, self.conn, room))

    async def join_and_say(self, room: str, content: str) -> None:
        """Join a room and say something there in one go, and wait until the server has done both."""
        self._inside.add(room)
        self._reached.pop(room, None)
        await self._send({"type": "join", "room": room})
        await self.say(room, content)
        await self.fence()
        self.world.record(history.Joined(self.world.now(), self.name, self.conn, room))

    async def leave(self, room: str) -> None:
        """Leave a room, and wait until the server has done it."""
        await self._send({"type": "leave", "room": room})
        await self.fence()
        self._inside.discard(room)
        self.world.record(history.Left(self.world.now(), self.name, self.conn, room))

    async def leave_and_say(self, room: str, data: dict[str, Any], rule: str) -> None:
        """Leave a room, and say something there in the same go, which breaks a rule; wait for both."""
        await self._send({"type": "leave", "room": room})
        await self.send_bad({"type": "message", "data": data}, rule)
        await self.fence()
        self._inside.discard(room)
        self.world.record(history.Left(self.world.now(), self.name, self.conn, room))

    async def say(self, room: str, content: str, id: str | None = None, **more: Any) -> None:
        """Say something; does not wait for it to come back. `more` are fields that do not belong there."""
        data = {"room": room, "content": self.world.same(content), **more}
        if id is not None or self.writes_nulls:
            data["id"] = id
        await self._send({"type": "message", "data": data})

    async def say_and_hear(self, room: str, content: str, seconds: float) -> None:
        """Say something and return as soon as it comes back, or after so many seconds."""
        tag = tag_in(content)
        assert tag is not None
        echo = self._echoes[tag] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(seconds):
                await self.say(room, content)
                await echo
        except TimeoutError:
            pass  # whether it was lost is for the checkers
        finally:
            del self._echoes[tag]

    async def send_bad(self, frame: Any, rule: str, text: str | bytes | None = None) -> None:
        """Send a frame that breaks the contract on purpose; `rule` names what is wrong with it."""
        await self._send(frame, text, rule)

    async def send_heartbeat(self) -> None:
        """Send a heartbeat unasked."""
        await self._send({"type": "heartbeat"})

    async def ping(self) -> None:
        """Send a WebSocket ping, which is a sign of life too, and do not wait for the pong."""
        if self._ws is None or not self.is_open:
            raise Gone
        with suppress(ConnectionClosed):
            await self._ws.ping()

    # --- what a client asks -----------------------------------------------------------------------

    async def fence(self) -> bool:
        """Wait until the server has handled all that this client sent before.

        The frames of a connection are answered in order, by the contract. So the client asks for the
        presence in an empty room, and waits for that answer. Where a server does not answer such
        questions, it waits until no frame has come for a while.
        """
        if self.world.fences:
            room = self.world.name(f"fence-{self.world.next_number()}")
            if await self._presence_frame(room) is not None:
                return True
            if not self.is_open:
                raise Gone
            self.world.fences = False
        seen, quiet_since = self.received, self.world.now()
        latest = quiet_since + LONGEST_QUIET
        while self.world.now() - quiet_since < QUIET and self.world.now() < latest and self.is_open:
            await self.world.pause(QUIET / 10)
            if self.received != seen:
                seen, quiet_since = self.received, self.world.now()
        return False

    async def ask_presence(self, room: str) -> frames.PresenceFrame | None:
        """Ask who is in a room; None if that is not answered."""
        presence_frame = await self._presence_frame(room)
        if presence_frame is None and self.is_open:
            self._give_up("presence", self.world.patience, room)
        return presence_frame

    async def _presence_frame(self, room: str) -> frames.PresenceFrame | None:
        start = len(self.presence_frames)
        await self._send({"type": "presence", "room": room})

        def answer() -> frames.PresenceFrame | None:
            for presence_frame in self.presence_frames[start:]:
                if presence_frame.room == room and self.is_whole(presence_frame):
                    return presence_frame
            return None

        def missing() -> int:
            # A long replay may come before the answer: each of its pages is progress, if it brings something.
            return 0 if answer() or not self.is_open else MANY - self.pages_ahead

        await self.world.until(missing)
        return answer()

    def is_whole(self, presence_frame: frames.PresenceFrame) -> bool:
        """Whether a presence frame lists all users; where it does not say, it does if it lists this user,
        or is of a room that this client is not in."""
        if presence_frame.full is not None:
            return presence_frame.full
        return self.user in presence_frame.users or presence_frame.room not in self._inside

    async def ask_history(
        self, room: str, since: int | None = None, limit: int | None = None
    ) -> frames.History | None:
        """Ask for one page of history; None if that is not answered."""
        frame: dict[str, Any] = {"type": "history", "room": room}
        if since is not None or self.writes_nulls:
            frame["since"] = since
        if limit is not None or self.writes_nulls:
            frame["limit"] = limit
        start = len(self.pages)
        await self._send(frame)

        def answer() -> frames.History | None:
            return next((page for page in self.pages[start:] if page.room == room), None)

        await self.world.until(lambda: answer() is None and self.is_open)
        page = answer()
        if page is None and self.is_open:
            self._give_up("history", self.world.patience, room)
        return page

    async def read_all(self, room: str, limit: int | None = None) -> list[Message]:
        """Page through a room's whole history, until a page is empty or brings nothing newer."""
        found: list[Message] = []
        since = 0
        while True:
            page = await self.ask_history(room, since, limit)
            if page is None or not page.messages:
                return found
            found += page.messages
            newest = max(message.sequence for message in page.messages)
            # `more` and a short page are hints, not proofs: only an empty page ends the history.
            if newest <= since or len(found) > 100 * MAX_PAGE:
                return found
            since = newest

    # --- faults -----------------------------------------------------------------------------------

    def _fault(self, what: str) -> None:
        self.world.record(history.Fault(self.world.now(), what, self.name, self.conn))

    async def close(self) -> None:
        """End the connection by a closing handshake, as a client should."""
        if self._ws is None or not self.is_open:
            return
        self._ended_by_us = True
        self._fault(faults.CLOSE)
        await self._ws.close()
        if self._session:
            await self._session

    async def reset(self) -> None:
        """Break the connection: the server's next read or write on it fails."""
        if self._ws is None or not self.is_open:
            raise Gone
        self._ended_by_us = True
        self._fault(faults.RESET)
        self.world.reset(self._ws)
        if self._session:
            await self._session

    def suffer(self, fault: str) -> None:
        """Disturb the open connection from now on by a fault of the catalogue.

        A client that cannot receive or send then sends nothing of its own accord; a scenario lets it go on
        sending on purpose (`send_heartbeat`). Raises Gone if there is no connection.
        """
        kind = FAULTS[fault]
        if self._ws is None or not (self.is_open or kind.heals):
            raise Gone
        self._fault(fault)
        self._ws.disturb(kind)

    async def stutter(self, seconds: float) -> None:
        """Read nothing for a moment, as networks do: that is no fault, and every server must cope with it."""
        if self._ws is None or not self.is_open:
            raise Gone
        transport = self._ws.transport
        transport.pause_reading()
        await self.world.pause(seconds)
        if not transport.is_closing():
            transport.resume_reading()

    async def dispose(self) -> None:
        """Abort the connection and end the session, whatever state they are in."""
        self._ended_by_us = True
        if self._ws is not None:
            self._ws.transport.abort()
        if self._session is not None:
            self._session.cancel()
            with suppress(asyncio.CancelledError):
                await self._session

    def _give_up(self, wanted: str, seconds: float, room: str = "", detail: str = "") -> None:
        self.world.record(
            history.GaveUp(
                self.world.now(),
                self.name,
                self.conn,
                wanted + (f" {detail}" if detail else ""),
                seconds,
                room,
            )
        )


def _how_it_ended(ws: Connection) -> tuple[str, str]:
    """Who ended a connection, and how if there was no closing frame: see `Closed`."""
    violation, more = ws.violation
    if violation:
        return "kit", f"{violation} {more}".strip()
    error = ws.close_exc if ws.is_lost else None
    if error is None or error.rcvd is not None or error.sent is not None:
        return "server", ""
    return "server", "reset" if isinstance(error.__cause__, ConnectionError) else "eof"


def _ignore(text: str | bytes) -> None:
    """Discard a message that comes after the end of the session."""
