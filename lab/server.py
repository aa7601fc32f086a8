"""The WebSocket server: it accepts connections, runs a session for each, and looks for silent clients.

The way of a chat message, from one client to all members of its room:

    received     its Connection reads the frame, and its Session checks it
    accepted     the Sequencer numbers it, and the MessageStore saves it
    published    the Sequencer gives it to the PubSub, and the PublishObserver between them takes note
    sent         the PubSub calls `send` of each member's Session, and the member's Connection writes it

`ChatServer` has two regular duties: to send heartbeats, and to look for silent clients. It is also the `Hub`
of its sessions: what they share, the four components above all. All of it runs in one event loop, in one
thread; only the store has a thread of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from asyncio.trsock import TransportSocket
from collections import Counter
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from operator import add
from typing import Any

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.frames import CloseCode
from websockets.http11 import Request, Response
from websockets.typing import Origin

from lab import protocol
from lab.fanout import Connection, Tick, to_wire
from lab.hub import Components, Config, Hub
from lab.intake import Turns
from lab.limits import TokenBucket
from lab.metrics import REASONS, LoopLag
from lab.pages import Pages, open_health_door
from lab.protocol import BadFrame, Error, ErrorCode, Heartbeat
from lab.send_queue import TRANSPORT_BUFFER, ReplayMemory
from lab.session import Session

log = logging.getLogger("lab.server")

SWEEPS_PER_INTERVAL = 4
"""How often in a heartbeat interval we look for silent connections."""
STOP_SECONDS = 1.5
"""How long a stop waits for the closing handshakes of clients, and then once more for its own tasks."""
ACCEPTED_AT_ONCE = 4
"""Connections that a turn of the event loop accepts. It lets one in (`lab.intake`); the others wait."""
OPEN_SECONDS = 60.0
"""How long a connection may take until it is open. When thousands come at once, most of it is our time."""
BACKLOG = 4096
"""Connections that wait in the system to be accepted; systems may have a lower limit of their own."""
REJECTION_HEADROOM = 100
"""Connections beyond the limit that are let in just to be told that the server is full (HTTP status 503)."""


class ChatServer(Hub):
    """All sessions, and the hub that they share. `async with ChatServer(config) as server` runs it.

    Raises StoreError if the data folder cannot be used; to enter it raises OSError or UnicodeError if the
    address cannot be had.
    """

    def __init__(self, config: Config, components: Components | None = None) -> None:
        super().__init__(config, components or Components())
        self.pages = Pages(self.figures, config.rooms)
        self.tick = Tick()
        self.announcer.write = self.tick.flush
        self.turns = Turns()
        self.replays: ReplayMemory[Connection] = ReplayMemory()
        self._arriving: dict[Connection, None] = {}  # those that have not sent their request, oldest first
        self._opened = self._refused = 0  # connections since the start
        self._disconnects: Counter[int] = Counter()
        self._past_traffic = [0, 0, 0, 0]  # that of connections which have ended
        self._lag = LoopLag()
        self._last_sweep = time.monotonic()
        self._sessions: dict[str, Session] = {}
        self._duties: list[asyncio.Task[None]] = []
        self._listener: Server | None = None
        self._health_door: Server | None = None

    # Start and stop.

    async def __aenter__(self) -> ChatServer:
        try:
            await self.backplane.start(self)
            self._listener = await serve(
                self._run_session,
                self.config.host,
                self.config.port,
                backlog=ACCEPTED_AT_ONCE,
                process_request=self._answer_http,
                create_connection=self._make_connection,  # type: ignore[arg-type]  # no class, but it makes one
                origins=[*map(Origin, self.config.origins), None] if self.config.origins else None,
                compression=None,
                open_timeout=OPEN_SECONDS,
                max_size=self.config.limits.frame,
                max_queue=0,  # as soon as one frame is unread, `lab.intake` waits
                ping_interval=None,  # silence is the presence manager's business
                close_timeout=1.0,
                write_limit=TRANSPORT_BUFFER,
            )
            _let_more_wait(self._listener)
            if self.config.health_port:
                where = self.config.host, self.config.health_port
                self._health_door = await open_health_door(*where, self.pages)
        except BaseException:
            if self._listener:
                self._listener.close()
            await self.backplane.close()
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
        self._lag.end()
        for duty in self._duties:
            duty.cancel()
        await asyncio.gather(*self._duties, return_exceptions=True)
        if self._health_door:
            self._health_door.close()
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
        await self.backplane.close()
        self.store.close()

    @property
    def port(self) -> int:
        """The port that it listens on."""
        assert self._listener is not None, "the server was not started"
        return int(next(iter(self._listener.sockets)).getsockname()[1])

    def figures(self) -> dict[str, float | dict[str, float]]:
        """What `/metrics` shows, as `lab.metrics` lists it."""
        every = [self._past_traffic, *(each.connection.traffic() for each in self._sessions.values())]
        sent_frames, sent_bytes, received_frames, received_bytes = map(sum, zip(*every, strict=True))
        return {
            "chatlab_connections": len(self._sessions),
            "chatlab_rooms": len(self.pubsub.rooms()),
            "chatlab_messages_accepted_total": self.accepted,
            "chatlab_sent_frames_total": sent_frames,
            "chatlab_sent_bytes_total": sent_bytes,
            "chatlab_received_frames_total": received_frames,
            "chatlab_received_bytes_total": received_bytes,
            "chatlab_connections_opened_total": self._opened,
            "chatlab_connections_refused_total": self._refused,
            "chatlab_disconnects_total": {why: self._disconnects[code] for code, why in REASONS.items()},
            "chatlab_errors_total": {code: self.errors[code] for code in ErrorCode},
            "chatlab_event_loop_lag_seconds": self._lag.most(),
            "process_cpu_seconds_total": time.process_time(),
        }

    # Who is let in. The websockets library calls the next three methods, in this order, for each connection.

    def _make_connection(self, *args: Any, **kwargs: Any) -> Connection:
        """The object for a TCP connection that was just accepted."""
        connection = Connection(*args, **kwargs)
        connection.tick, connection.turns, connection.replays = self.tick, self.turns, self.replays
        budget = self.config.limits.budget
        connection.disconnects = self._disconnects
        connection.budget = TokenBucket(budget, 2 * budget, connection.loop.time())
        connection.on_made = lambda: self._make_room_for(connection)
        connection.on_lost = lambda: self._arriving.pop(connection, None)
        return connection

    def _make_room_for(self, connection: Connection) -> None:
        """If there are too many connections, cut the one that has gone longest without sending its request.

        So connections that say nothing keep out nobody who does.
        """
        self._arriving[connection] = None
        if len(connection.server.handler_tasks) > self.config.limits.connections + REJECTION_HEADROOM:
            oldest = next(iter(self._arriving))
            del self._arriving[oldest]
            oldest.transport.abort()

    async def _answer_http(self, connection: ServerConnection, request: Request) -> Response | None:
        """The answer to its HTTP request; None if it asks for a WebSocket and can have one."""
        assert isinstance(connection, Connection)
        self._arriving.pop(connection, None)
        if connection.protocol.eof_sent:  # what came right behind the request was no WebSocket
            connection.transport.abort()
            await connection.wait_closed()
            return None
        page = self.pages.answer(connection, request)
        if page is None and len(self._sessions) >= self.config.limits.connections:
            self._refused += 1
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
            self.errors[bad.code] += 1
            connection.post(to_wire(Error(bad.code, bad.message)))
            await connection.flush_and_close(CloseCode.POLICY_VIOLATION, bad.message)
            return
        session = Session(self, connection, user)
        self._sessions[session.id] = session
        self._opened += 1
        log.info("connected user=%s session=%s", session.user, session.id)
        try:
            await session.run()
        finally:
            del self._sessions[session.id]
            self._past_traffic = list(map(add, self._past_traffic, connection.traffic()))
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
        """Close the connections of clients that have been silent for longer than the offline timeout.

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
            if was_held_up or session.connection.is_left_unread():
                self.publish_presence(self.presence.seen(session.id, now))
            session.connection.mark_progress()
        self.publish_presence(self.presence.sweep(now))
        silent = [each for each in self._sessions.values() if not self.presence.is_connected(each.id)]
        for session in silent:
            reason = f"no sign of life for {self.config.offline_timeout:g} s"
            session.connection.disconnect(CloseCode.GOING_AWAY, reason)
            session.end()


def _let_more_wait(listener: Server) -> None:
    """Have the system keep BACKLOG connections that were not accepted yet.

    Those that it does not keep try again after a second, or longer; and when a server is back, thousands come
    at once. For asyncio `backlog` is also how many it accepts in one turn, so the system is told here.
    """
    for each in listener.sockets:
        if isinstance(each, TransportSocket):
            with each.dup() as same:
                same.listen(BACKLOG)


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
    if not await _start(server, stop):
        return
    try:
        print(f"listening on ws://{config.host}:{server.port}/ with data in {config.data_dir}", flush=True)
        with contextlib.suppress(asyncio.CancelledError):
            await stop.wait()
    finally:
        await server.__aexit__()
    log.info("stopped after %d messages", server.accepted)


async def _start(server: ChatServer, stop: asyncio.Event) -> bool:
    """Start, unless `stop` is set first: a node of a cluster may wait for the others. Returns whether."""
    starting = asyncio.create_task(server.__aenter__())
    asked = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait([starting, asked], return_when=asyncio.FIRST_COMPLETED)
        return starting.done() and await starting is server
    finally:
        starting.cancel()
        asked.cancel()
        await asyncio.gather(starting, asked, return_exceptions=True)
