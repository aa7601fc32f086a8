"""The WebSocket manager: one session for each connection; it wires the four components together.

A session reads its connection's frames one after the other and answers each before it reads the next.
So the frames of one connection are handled in the order in which they were sent, and a client that
floods us is slowed down by its own socket. Everything that takes time is awaited, so that meanwhile the
other sessions go on.

The server knows its components by `lab.interfaces` alone. It decides nothing that is theirs: who hears a
message, which number it gets, who counts as present, and what is stored.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.frames import CloseCode
from websockets.http11 import Request, Response
from websockets.typing import Origin

from lab import interfaces, protocol
from lab.fanout import TRANSPORT_BUFFER, Connection, FrameCache, Replay, Tick
from lab.interfaces import Change, Draft
from lab.limits import Limits, RateLimit
from lab.pages import Pages
from lab.presence import PresenceManager
from lab.protocol import (
    SYSTEM,
    AskHistory,
    AskPresence,
    BadFrame,
    Connected,
    Error,
    ErrorCode,
    Heartbeat,
    History,
    Join,
    Leave,
    Message,
    PresenceFrame,
    Say,
    ServerFrame,
)
from lab.pubsub import PubSub
from lab.sequencer import Sequencer
from lab.store import MessageStore

log = logging.getLogger("lab.server")

SWEEPS_PER_INTERVAL = 4
"""How often in a heartbeat interval we look for silent connections."""
STOP_SECONDS = 1.5
"""How long a stop waits for clients to say goodbye."""
LEAST_PATIENCE = 4.0
"""Seconds for which a replay waits at least for a reader that takes nothing: networks stutter."""
READ_AHEAD = 16
"""Frames of one connection that wait unread before its socket is left alone."""

HALLWAY = 100
"""Connections beyond the limit that may be there to be told that the server is full."""


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
    """Who comes must give it as `?key=`; empty, everybody may come."""
    origins: tuple[str, ...] = ()
    """Pages whose scripts may connect, such as `https://chat.example`; none given, all may."""


@dataclass
class Components:
    """The classes of the four components; each can be replaced by another that keeps its interface."""

    pubsub: type[interfaces.PubSub] = PubSub
    sequencer: type[interfaces.Sequencer] = Sequencer
    presence: type[interfaces.PresenceManager] = PresenceManager
    store: type[interfaces.MessageStore] = MessageStore


class Session:
    """One connection of one user: a member of rooms, and the reader of what the client sends."""

    def __init__(self, server: ChatServer, connection: Connection, user: str | None) -> None:
        self.id = uuid.uuid4().hex
        self.user = user or f"user_{self.id[:8]}"
        self.connection = connection
        self._server = server
        self._rooms: dict[str, None] = {}  # an ordered set
        self._post, self._frames = connection.post, server.frames
        self._limits = server.config.limits
        self._rate = RateLimit(self._limits.rate, self._limits.burst, server.now())
        self._running: asyncio.Task[None] | None = None

    # What a member owes the components.

    def send(self, frame: ServerFrame) -> None:
        """Queue a frame for the client."""
        frames = self._frames
        if frame is frames.last:  # as it is for all members but the first whom a message goes to
            self._post(frames.last_wire)
        elif isinstance(frame, History):
            for page in protocol.split(frame):
                self._post(Replay(frames.wire(page)))
        else:
            self._post(frames.wire(frame))

    async def drain(self) -> None:
        """Wait until the client has read what was queued."""
        await self.connection.drained()

    # The life of a session.

    def stop(self) -> None:
        """Have done with a client that does not say goodbye, and with a component that does not answer."""
        self.connection.transport.abort()
        if self._running:
            self._running.cancel()

    async def run(self) -> None:
        """Greet the client, obey its frames until the connection ends, and clean up after it."""
        server, config = self._server, self._server.config
        self._running = asyncio.current_task()
        self.connection.on_life = self._alive
        self.connection.patience = max(config.offline_timeout, LEAST_PATIENCE)
        server.show(server.presence.connected(self.id, self.user, server.now()))
        self.send(Connected(self.id, self.user, config.heartbeat_interval, config.offline_timeout))
        try:
            async for text in self.connection:
                await self._obey(text)
        except ConnectionClosed:
            pass  # without a farewell; that is no error in a chat
        finally:
            self.end()

    def end(self) -> None:
        """Leave every room and be forgotten; a second time changes nothing."""
        rooms, self._rooms = self._rooms, {}
        for room in rooms:
            self._server.pubsub.unsubscribe(room, self)
        self._server.show(self._server.presence.lost(self.id, self._server.now()))
        for room in rooms:
            self._gone(room)

    def _alive(self) -> None:
        try:
            self._server.show(self._server.presence.seen(self.id, self._server.now()))
        except Exception:  # this runs while bytes are read, where an exception would end the connection
            log.exception("could not note a sign of life user=%s", self.user)

    # Frames.

    async def _obey(self, text: str | bytes) -> None:
        """Do what one frame asks for. A frame that cannot be obeyed is answered, and changes nothing."""
        try:
            if isinstance(text, bytes):
                raise BadFrame(ErrorCode.BAD_JSON, "send text frames, not binary ones")
            frame = protocol.parse(text)
            match frame:
                case Say():
                    await self._say(frame)
                case Join():
                    await self._join(frame)
                case Leave():
                    self._leave(frame)
                case AskPresence(room=room):
                    self._tell_presence(room)
                case AskHistory():
                    await self._tell_history(frame)
                case Heartbeat():
                    pass  # it was noticed as a sign of life when its bytes came
        except BadFrame as bad:
            self.send(Error(bad.code, bad.message, bad.id))
        except ConnectionClosed:
            raise
        except Exception as error:
            _log_failure(error, "could not obey user=%s frame=%.200r", self.user, text)
            reason = "that went wrong on our side (the server's log says why); try again later"
            self.send(Error(ErrorCode.UNAVAILABLE, reason))

    async def _say(self, frame: Say) -> None:
        words = frame.data
        self._rate.take(self._server.now(), words.id)
        if words.room not in self._rooms:
            reason = f"join the room `{words.room}` before you speak in it"
            raise BadFrame(ErrorCode.NOT_JOINED, reason, words.id)
        key = (words.room, self.user, words.id)
        unheard = self._server.unheard.setdefault(key, set())
        unheard.add(self)
        try:
            message = await self._server.sequencer.accept(
                Draft(words.room, self.user, words.content, words.id)
            )
        except Exception as error:
            _log_failure(error, "could not accept user=%s room=%s", self.user, words.room)
            reason = "the message could not be accepted (the server's log says why); send it again later"
            raise BadFrame(ErrorCode.UNAVAILABLE, reason, words.id) from error
        finally:
            is_known = self in unheard
            unheard.discard(self)
            if not unheard:
                self._server.unheard.pop(key, None)
        self._server.accepted += 1
        # A message with an `id` that we had already is not published again. Its sender, who asks
        # because it lost our answer, is told all the same.
        if words.id is not None and is_known:
            self.send(message)

    async def _join(self, frame: Join) -> None:
        room = frame.room
        self._rate.take(self._server.now())
        if room not in self._rooms:
            self._check_room(room)
            await self._server.sequencer.attach(room, self, frame.since)
            # Now, before others of the same user come along: of several that come at once, the first is told.
            is_first = not self._others(room)
            self._rooms[room] = None
            await self._server.learn_newest(room)
            # All that a join has for a room is said in one go: in a full room each write costs.
            self._server.show(self._server.presence.joined(self.id, room, self._server.now()))
            self._tell_presence(room)
            if is_first:
                self._announce(room, "joined")
            await self.drain()
        else:
            self._server.pubsub.subscribe(room, self)  # twice is the same as once
            self._tell_presence(room)

    def _check_room(self, room: str) -> None:
        if len(room) > self._limits.name:
            reason = f"names have at most {self._limits.name} characters on this server"
            raise BadFrame(ErrorCode.BAD_ROOM, reason)
        if len(self._rooms) >= self._limits.rooms:
            reason = f"you are in {len(self._rooms)} rooms, which is the most; leave one first"
            raise BadFrame(ErrorCode.BAD_REQUEST, reason)

    def _leave(self, frame: Leave) -> None:
        room = frame.room
        self._rate.take(self._server.now())
        if room not in self._rooms:
            raise BadFrame(ErrorCode.NOT_JOINED, f"you are not in the room `{room}`")
        del self._rooms[room]
        self._server.pubsub.unsubscribe(room, self)
        self._server.show(self._server.presence.left(self.id, room, self._server.now()))
        self._gone(room)

    def _gone(self, room: str) -> None:
        """Tell a room that it was left, unless another connection of the user is there."""
        if not self._others(room):
            self._announce(room, "left")
        self._server.forget_if_empty(room)

    def _tell_presence(self, room: str) -> None:
        users = self._server.presence.in_room(room, self._server.now())
        self.send(PresenceFrame(room, users, full=True))

    async def _tell_history(self, frame: AskHistory) -> None:
        page = await self._server.sequencer.history(frame.room, frame.since or 0, frame.limit or 0)
        self.send(protocol.split(page)[0])
        await self.drain()  # who asks for much must also read it

    # Notices.

    def _others(self, room: str) -> bool:
        """Whether another connection of the same user is in the room."""
        members = self._server.pubsub.members(room)
        return any(isinstance(m, Session) and m.user == self.user and m is not self for m in members)

    def _announce(self, room: str, what: str) -> None:
        """Tell the room that this user came or went."""
        notice = Message(
            id=uuid.uuid4().hex,
            room=room,
            user=SYSTEM,
            content=f"{self.user} {what}",
            sequence=self._server.newest.get(room, 0),
            timestamp=int(time.time() * 1000),
        )
        self._server.pubsub.publish(room, notice)


@dataclass
class ChatServer:
    """All sessions and the components they share. `async with ChatServer(config) as server` runs it."""

    config: Config
    components: Components = field(default_factory=Components)

    def __post_init__(self) -> None:
        # Seconds since the epoch that never jump, even if somebody sets the clock.
        self._epoch = time.time() - time.monotonic()
        self.pages = Pages(self.figures)
        make = self.components
        self.store = make.store(self.config.data_dir)
        self.pubsub = make.pubsub()
        self.sequencer = make.sequencer(self.store, _Noting(self.pubsub, self))
        self.presence = make.presence(self.config.heartbeat_interval, self.config.offline_timeout)
        self.frames = FrameCache()
        self.tick = Tick()
        self.unheard: dict[tuple[str, str, str | None], set[Session]] = {}
        """Who waits for its message to be accepted, by room, user and id, and did not hear it yet."""
        self.accepted = 0
        self.newest: dict[str, int] = {}
        """The newest number of each room that somebody is in: what its notices carry."""
        self._swept = time.monotonic()
        self._sessions: dict[str, Session] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._listener: Server | None = None

    def now(self) -> float:
        """Seconds since the Unix epoch, never running backwards."""
        return self._epoch + time.monotonic()

    async def __aenter__(self) -> ChatServer:
        try:
            self._listener = await serve(
                self._welcome,
                self.config.host,
                self.config.port,
                process_request=self._answer_plainly,
                create_connection=self._connection,  # type: ignore[arg-type]  # no class, but it makes one
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
        self._tasks = [
            asyncio.create_task(self._every(self.config.heartbeat_interval, self._beat)),
            asyncio.create_task(
                self._every(self.config.heartbeat_interval / SWEEPS_PER_INTERVAL, self._sweep)
            ),
        ]
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._listener:
            self._listener.close()
            try:
                async with asyncio.timeout(STOP_SECONDS):
                    await self._listener.wait_closed()
            except TimeoutError:
                for session in self._sessions.values():
                    session.stop()
                with contextlib.suppress(TimeoutError):  # a component that hangs even then is left behind
                    async with asyncio.timeout(STOP_SECONDS):
                        await self._listener.wait_closed()
        self.store.close()

    @property
    def port(self) -> int:
        """The port that it listens on."""
        assert self._listener is not None, "the server was not started"
        return int(next(iter(self._listener.sockets)).getsockname()[1])

    def show(self, changes: list[Change]) -> None:
        """Tell each room's members whose presence changed."""
        for change in changes:
            self.pubsub.publish(change.room, PresenceFrame(change.room, [change.presence]))

    def forget_if_empty(self, room: str) -> None:
        """A room that nobody is in costs no memory."""
        if not self.pubsub.members(room):
            self.newest.pop(room, None)

    async def learn_newest(self, room: str) -> None:
        """Ask the store for the newest number of a room, for the first who comes; then it is known."""
        if room in self.newest:
            return
        last = 0
        try:
            last = (await self.sequencer.history(room, protocol.MAX_SEQUENCE, 1)).last
        except Exception as error:
            _log_failure(error, "could not ask for the newest number room=%s", room)
        self.newest[room] = max(last, self.newest.get(room, 0))  # something may have come meanwhile

    # Who is let in.

    def _connection(self, *args: Any, **kwargs: Any) -> Connection:
        """A connection at its very beginning."""
        connection = Connection(*args, **kwargs)
        connection.tick = self.tick
        connection.most = self.config.limits.connections + HALLWAY
        return connection

    def _answer_plainly(self, connection: ServerConnection, request: Request) -> Response | None:
        """The answer to who wants no WebSocket, or cannot have one."""
        page = self.pages.answer(connection, request)
        if page is None and len(self._sessions) >= self.config.limits.connections:
            return connection.respond(
                HTTPStatus.SERVICE_UNAVAILABLE, "The server is full: come again later.\n"
            )
        return page

    def _user(self, path: str) -> str | None:
        """Whom a connection to `path` is for. Raises BadFrame if it cannot be let in."""
        if not protocol.is_key_in(path, self.config.access_key):
            raise BadFrame(ErrorCode.BAD_REQUEST, "this server asks for a key: connect with `?key=`")
        user = protocol.user_in(path)
        if user is not None and len(user) > self.config.limits.name:
            reason = f"names have at most {self.config.limits.name} characters on this server"
            raise BadFrame(ErrorCode.BAD_NAME, reason)
        return user

    async def _welcome(self, connection: ServerConnection) -> None:
        assert isinstance(connection, Connection)
        assert connection.request is not None
        try:
            user = self._user(connection.request.path)
        except BadFrame as bad:
            connection.post(self.frames.wire(Error(bad.code, bad.message)))
            await connection.finish(CloseCode.POLICY_VIOLATION, bad.message)
            return
        session = Session(self, connection, user)
        self._sessions[session.id] = session
        log.info("connected user=%s session=%s", session.user, session.id)
        try:
            await session.run()
        finally:
            del self._sessions[session.id]
            log.info("gone user=%s session=%s code=%s", session.user, session.id, connection.close_code)

    # Heartbeats, and who misses them.

    async def _every(self, seconds: float, do: Callable[[], Awaitable[None]]) -> None:
        """Call `do` at each multiple of `seconds`, whatever it raises: this task must never die."""
        due = time.monotonic()
        while True:
            due = max(due + seconds, time.monotonic())
            await asyncio.sleep(due - time.monotonic())
            try:
                await do()
            except Exception:
                log.exception("a regular duty failed")

    async def _beat(self) -> None:
        for session in list(self._sessions.values()):
            session.send(Heartbeat())

    async def _sweep(self) -> None:
        now = self.now()
        # Two turns of the event loop: what had arrived by `now` is read before we call it silence,
        # however long we were held up. And what we chose not to read yet is no silence either.
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        # Held up for longer than an interval, we sent no heartbeat that anybody could have answered.
        held_up = time.monotonic() - self._swept > self.config.heartbeat_interval
        self._swept = time.monotonic()
        for session in self._sessions.values():
            if session.connection.silence_is_ours() or held_up:
                self.show(self.presence.seen(session.id, now))
        self.show(self.presence.sweep(now))
        silent = [each for each in self._sessions.values() if not self.presence.is_connected(each.id)]
        for session in silent:
            reason = f"no sign of life for {self.config.offline_timeout:g} s"
            session.connection.dismiss(CloseCode.GOING_AWAY, reason)
            session.end()

    def figures(self) -> dict[str, int]:
        """What `/metrics` shows."""
        return {
            "chatlab_connections": len(self._sessions),
            "chatlab_rooms": len(self.pubsub.rooms()),
            "chatlab_messages_accepted_total": self.accepted,
        }


class _Noting:
    """The pubsub as the sequencer sees it: what it publishes is noted, for the notices' numbers."""

    def __init__(self, pubsub: interfaces.PubSub, server: ChatServer) -> None:
        self._server = server
        self.subscribe = pubsub.subscribe
        self.unsubscribe = pubsub.unsubscribe
        self.members = pubsub.members
        self.rooms = pubsub.rooms

    def publish(self, room: str, frame: ServerFrame) -> None:
        if isinstance(frame, Message):
            self._server.newest[room] = frame.sequence
            self._server.unheard.get((room, frame.user, frame.id), set()).clear()
        self._server.pubsub.publish(room, frame)


def _log_failure(error: Exception, what: str, *values: object) -> None:
    """A failure that the store explains is one line; any other may be a mistake in code, and is traced."""
    is_explained = isinstance(error, interfaces.StoreError)
    log.error(f"{what}: %s", *values, error, exc_info=None if is_explained else error)


async def run(server: ChatServer, stop: asyncio.Event) -> None:
    """Serve until `stop` is set. Raises OSError or UnicodeError if the address cannot be had."""
    config = server.config
    async with server:
        print(f"listening on ws://{config.host}:{server.port}/ with data in {config.data_dir}", flush=True)
        with contextlib.suppress(asyncio.CancelledError):
            await stop.wait()
    log.info("stopped after %d messages", server.accepted)
