"""The WebSocket server: it accepts connections, runs a session for each, and wires the components together.

The way of a chat message, from one client to all members of its room:

    received     its Connection reads the frame, and its Session checks it
    accepted     the Sequencer numbers it, and the MessageStore saves it
    published    the Sequencer gives it to the PubSub, and the PublishObserver between them takes note
    sent         the PubSub calls `send` of each member's Session, and the member's Connection writes it

`ChatServer` owns what the sessions share: the four components, the frame cache, and two regular duties (to
send heartbeats, and to look for silent clients). All of it runs in one event loop, in one thread; only the
store has a thread of its own.

The server knows its components by `lab.interfaces` alone, so each can be replaced by a student's.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.frames import CloseCode
from websockets.http11 import Request, Response
from websockets.typing import Origin

from lab import interfaces, protocol
from lab.fanout import Connection, FrameCache, Tick, to_wire
from lab.interfaces import Change
from lab.limits import Limits
from lab.pages import Pages
from lab.presence import PresenceManager
from lab.protocol import BadFrame, Error, ErrorCode, Heartbeat, Message, PresenceFrame, ServerFrame
from lab.pubsub import PubSub
from lab.send_queue import TRANSPORT_BUFFER
from lab.sequencer import Sequencer
from lab.session import Session, log_failure
from lab.store import MessageStore

log = logging.getLogger("lab.server")

SWEEPS_PER_INTERVAL = 4
"""How often in a heartbeat interval we look for silent connections."""
STOP_SECONDS = 1.5
"""How long a stop waits for the closing handshakes of clients, and then once more for its own tasks."""
READ_AHEAD = 16
"""Frames of one connection that wait unread before its socket is left alone."""
REJECTION_HEADROOM = 100
"""Connections beyond the limit that are let in just to be told that the server is full (HTTP status 503)."""


@dataclass(frozen=True)
class Config:
    """What a server is told. Intervals in seconds; port 0 lets the system choose one."""

    host: str = "127.0.0.1"
    port: int = 8080
    data_dir: Path = Path("data")
    heartbeat_interval: float = protocol.HEARTBEAT_INTERVAL
    offline_timeout: float = protocol.OFFLINE_TIMEOUT
    limits: Limits = field(default_factory=Limits)
    access_key: str = ""
    """Who connects must give it as `?key=`; empty, everybody may connect."""
    origins: tuple[str, ...] = ()
    """Pages whose scripts may connect, such as `https://chat.example`; none given, all may."""


@dataclass
class Components:
    """The classes of the four components; each can be replaced by another that keeps its interface."""

    pubsub: type[interfaces.PubSub] = PubSub
    sequencer: type[interfaces.Sequencer] = Sequencer
    presence: type[interfaces.PresenceManager] = PresenceManager
    store: type[interfaces.MessageStore] = MessageStore


@dataclass
class ChatServer:
    """All sessions and the components they share. `async with ChatServer(config) as server` runs it.

    Raises StoreError if the data folder cannot be used; to enter it raises OSError or UnicodeError if the
    address cannot be had.
    """

    config: Config
    components: Components = field(default_factory=Components)

    def __post_init__(self) -> None:
        # With the monotonic clock it makes a time of day that never jumps, even if somebody sets the clock.
        self._epoch = time.time() - time.monotonic()
        self.pages = Pages(self.figures)
        make = self.components
        self.store = make.store(self.config.data_dir)
        self.pubsub = make.pubsub()
        self.observer = PublishObserver(self.pubsub)
        self.sequencer = make.sequencer(self.store, self.observer)
        self.presence = make.presence(self.config.heartbeat_interval, self.config.offline_timeout)
        self.frames = FrameCache()
        self.tick = Tick()
        self.accepted = 0  # messages since the start
        self._last_sweep = time.monotonic()
        self._sessions: dict[str, Session] = {}
        self._duties: list[asyncio.Task[None]] = []
        self._listener: Server | None = None

    def now(self) -> float:
        """Seconds since the Unix epoch, never running backwards."""
        return self._epoch + time.monotonic()

    # Start and stop.

    async def __aenter__(self) -> ChatServer:
        try:
            self._listener = await serve(
                self._run_session,
                self.config.host,
                self.config.port,
                process_request=self._answer_http,
                create_connection=self._make_connection,  # type: ignore[arg-type]  # no class, but it makes one
                origins=[*map(Origin, self.config.origins), None] if self.config.origins else None,
                compression=None,
                max_size=self.config.limits.frame,
                max_queue=READ_AHEAD,
                ping_interval=None,  # silence is the presence manager's business
                close_timeout=1.0,
                write_limit=TRANSPORT_BUFFER,
            )
        except BaseException:
            self.store.close()
            raise
        interval = self.config.heartbeat_interval
        self._duties = [
            asyncio.create_task(_every(interval, self._send_heartbeats)),
            asyncio.create_task(_every(interval / SWEEPS_PER_INTERVAL, self._sweep)),
        ]
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Stop: first the duties, then the connections, and the store last, since sessions may still save."""
        for duty in self._duties:
            duty.cancel()
        await asyncio.gather(*self._duties, return_exceptions=True)
        if self._listener:
            self._listener.close()
            try:
                async with asyncio.timeout(STOP_SECONDS):
                    await self._listener.wait_closed()
            except TimeoutError:
                for session in self._sessions.values():
                    session.abort()
                with contextlib.suppress(TimeoutError):  # a component that hangs even then is left behind
                    async with asyncio.timeout(STOP_SECONDS):
                        await self._listener.wait_closed()
        self.store.close()

    @property
    def port(self) -> int:
        """The port that it listens on."""
        assert self._listener is not None, "the server was not started"
        return int(next(iter(self._listener.sockets)).getsockname()[1])

    # What sessions use.

    def publish_presence(self, changes: list[Change]) -> None:
        """Tell each room's members whose presence changed."""
        for change in changes:
            self.pubsub.publish(change.room, PresenceFrame(change.room, [change.presence]))

    async def learn_newest(self, room: str) -> None:
        """Ask the store for the newest number of a room, for its first member; then it is kept up to date."""
        newest = self.observer.newest
        if room in newest:
            return
        last = 0
        try:
            last = (await self.sequencer.history(room, protocol.MAX_SEQUENCE, 1)).last
        except Exception as error:
            log_failure(error, "could not ask for the newest number room=%s", room)
        newest[room] = max(last, newest.get(room, 0))  # while we asked, something may have been published

    def forget_if_empty(self, room: str) -> None:
        """A room that nobody is in costs no memory."""
        if not self.pubsub.members(room):
            self.observer.newest.pop(room, None)

    def figures(self) -> dict[str, int]:
        """What `/metrics` shows."""
        return {
            "chatlab_connections": len(self._sessions),
            "chatlab_rooms": len(self.pubsub.rooms()),
            "chatlab_messages_accepted_total": self.accepted,
        }

    # Who is let in. The websockets library calls the next three methods, in this order, for each connection.

    def _make_connection(self, *args: Any, **kwargs: Any) -> Connection:
        """The object for a TCP connection that was just accepted."""
        connection = Connection(*args, **kwargs)
        connection.tick = self.tick
        connection.max_connections = self.config.limits.connections + REJECTION_HEADROOM
        return connection

    def _answer_http(self, connection: ServerConnection, request: Request) -> Response | None:
        """The answer to its HTTP request; None if it asks for a WebSocket and can have one."""
        page = self.pages.answer(connection, request)
        if page is None and len(self._sessions) >= self.config.limits.connections:
            text = "The server is full: come again later.\n"
            page = connection.respond(HTTPStatus.SERVICE_UNAVAILABLE, text)
        return page

    async def _run_session(self, connection: ServerConnection) -> None:
        """All that happens on a WebSocket connection, from its opening handshake to its end."""
        assert isinstance(connection, Connection)
        assert connection.request is not None
        try:
            user = self._admitted_user(connection.request.path)
        except BadFrame as bad:
            connection.post(to_wire(Error(bad.code, bad.message)))
            await connection.flush_and_close(CloseCode.POLICY_VIOLATION, bad.message)
            return
        session = Session(self, connection, user)
        self._sessions[session.id] = session
        log.info("connected user=%s session=%s", session.user, session.id)
        try:
            await session.run()
        finally:
            del self._sessions[session.id]
            log.info("gone user=%s session=%s code=%s", session.user, session.id, connection.close_code)

    def _admitted_user(self, path: str) -> str | None:
        """The user's name in the address `path`, or None. Raises BadFrame if it cannot be let in."""
        if not protocol.is_key_in(path, self.config.access_key):
            raise BadFrame(ErrorCode.BAD_REQUEST, "this server asks for a key: connect with `?key=`")
        user = protocol.user_in(path)
        if user is not None and len(user) > self.config.limits.name:
            reason = f"names have at most {self.config.limits.name} characters on this server"
            raise BadFrame(ErrorCode.BAD_NAME, reason)
        return user

    # Regular duties.

    async def _send_heartbeats(self) -> None:
        for session in list(self._sessions.values()):
            session.send(Heartbeat())

    async def _sweep(self) -> None:
        """Close the connections of clients that have been silent for longer than the offline time-out.

        A machine that lost its network says no goodbye, and TCP does not notice while nothing is sent (a
        half-open connection): only silence tells. What counts is the client's silence and not ours, so:

        1. Take the time first, then read what had arrived by then: after a stall of this process, that may be
           minutes old, and is no silence.
        2. If we were held up for longer than a heartbeat interval, no client was sent a heartbeat that it
           could have answered in time: all have shown a sign of life.
        3. Likewise for those from whom we have chosen not to read.
        4. Who is silent even so is offline. First the rooms are told, then the connections are closed.
        """
        now = self.now()
        await _read_what_has_arrived()
        was_held_up = time.monotonic() - self._last_sweep > self.config.heartbeat_interval
        self._last_sweep = time.monotonic()
        for session in self._sessions.values():
            if was_held_up or session.connection.may_have_spoken():
                self.publish_presence(self.presence.seen(session.id, now))
            session.connection.mark_progress()
        self.publish_presence(self.presence.sweep(now))
        silent = [each for each in self._sessions.values() if not self.presence.is_connected(each.id)]
        for session in silent:
            reason = f"no sign of life for {self.config.offline_timeout:g} s"
            session.connection.disconnect(CloseCode.GOING_AWAY, reason)
            session.end()


EchoKey = tuple[str, str, str | None]
"""What an echo is known by: the room, the user, and the `id` that the client gave its message."""


class PublishObserver:
    """The pubsub as the sequencer sees it: passes all calls on, and notes which messages were published.

    `newest` has the newest number of each room that somebody is in; notices carry it.

    `awaiting_echo` has the sessions whose message is being accepted and was not published yet. Once it is
    published, its echo is under way to them, and they are taken out. A session that is still here when
    `accept` returns has sent a message that was accepted before. (Several may await the same one: two
    connections of a user that retry at the same time.)
    """

    def __init__(self, pubsub: interfaces.PubSub) -> None:
        self.newest: dict[str, int] = {}
        self.awaiting_echo: dict[EchoKey, set[Session]] = {}
        self._pubsub = pubsub
        self.subscribe, self.unsubscribe = pubsub.subscribe, pubsub.unsubscribe
        self.members, self.rooms = pubsub.members, pubsub.rooms

    def publish(self, room: str, frame: ServerFrame) -> None:
        """See `interfaces.PubSub`."""
        if isinstance(frame, Message):
            self.newest[room] = frame.sequence
            self.awaiting_echo.pop((room, frame.user, frame.id), None)
        self._pubsub.publish(room, frame)

    def await_echo(self, key: EchoKey, session: Session) -> None:
        """`session` is about to have its message accepted; `stop_awaiting` follows in any case."""
        self.awaiting_echo.setdefault(key, set()).add(session)

    def stop_awaiting(self, key: EchoKey, session: Session) -> bool:
        """Undo `await_echo`; returns whether the message has been published since."""
        waiting = self.awaiting_echo.get(key, set())
        was_published = session not in waiting
        waiting.discard(session)
        if not waiting:
            self.awaiting_echo.pop(key, None)
        return was_published


async def _every(seconds: float, duty: Callable[[], Awaitable[None]]) -> None:
    """Call `duty` at each multiple of `seconds`, whatever it raises: this task must never die."""
    due = time.monotonic()
    while True:
        due = max(due + seconds, time.monotonic())
        await asyncio.sleep(due - time.monotonic())
        try:
            await duty()
        except Exception:
            log.exception("a regular duty failed")


async def _read_what_has_arrived() -> None:
    """Let the event loop read from every socket what had arrived there by the time of the call.

    Why twice: each turn of the loop first looks which sockets are readable, and queues their callbacks behind
    those that are queued already. Our wake-up from the first sleep is queued before the next look, so we run
    ahead of the sockets' callbacks; our wake-up from the second sleep comes behind them.
    """
    await asyncio.sleep(0)
    await asyncio.sleep(0)


async def run(server: ChatServer, stop: asyncio.Event) -> None:
    """Serve until `stop` is set. Raises OSError or UnicodeError if the address cannot be had."""
    config = server.config
    async with server:
        print(f"listening on ws://{config.host}:{server.port}/ with data in {config.data_dir}", flush=True)
        with contextlib.suppress(asyncio.CancelledError):
            await stop.wait()
    log.info("stopped after %d messages", server.accepted)
