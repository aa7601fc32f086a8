"""A session: one connection of one user, from the greeting to the goodbye.

It is two things at once:

- the reader of what its client sends. Frames are handled one after the other, and each is answered before the
  next is read. So the answers keep the order of the questions; and a client that sends faster than we answer
  is slowed down by its own socket, which is *back-pressure* in the other direction. What takes time is
  awaited, and meanwhile the other sessions go on;
- a member of rooms (`interfaces.Member`): something that frames can be sent to.

A session decides nothing that is a component's: who hears a message, which number it gets, who counts as
present, and what is stored.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import uuid

from websockets.exceptions import ConnectionClosed

from lab import protocol
from lab.fanout import Connection, to_wire
from lab.hub import Hub, log_failure
from lab.intake import BYTES_PER_UNIT
from lab.interfaces import Draft, StoreError
from lab.limits import RateLimit
from lab.protocol import BadFrame, Connected, Error, ErrorCode, History, ServerFrame
from lab.send_queue import Replay

log = logging.getLogger("lab.session")

LEAST_PATIENCE = 4.0
"""Seconds for which a replay waits at least for a reader that takes nothing: networks stutter."""


USERS_PER_UNIT = 32
"""Users whose presence costs as much to tell as a frame."""
LONG = 16 * 1024
"""Bytes of a frame that takes so much time to decode that it waits for its turn."""


class Session:
    """One connection of one user. `run` is its whole life, which `end` and `abort` may shorten."""

    def __init__(self, hub: Hub, connection: Connection, user: str | None) -> None:
        self.id = uuid.uuid4().hex
        self.user = user or f"user_{self.id[:8]}"
        self.connection = connection
        self._hub = hub
        self._rooms: dict[str, None] = {}  # an ordered set
        self._limits = hub.config.limits
        self._rate = RateLimit(self._limits.rate, self._limits.burst, hub.now())
        self._running: asyncio.Task[None] | None = None
        self._is_attaching = False
        self._cache, self._post = hub.frames, connection.post  # looked up once: `send` runs very often

    # A member of rooms.

    def send(self, frame: ServerFrame) -> None:
        """Queue a frame for the client. Returns at once; see `interfaces.Member`."""
        if frame is not self._cache.frame:  # in a broadcast, only the first member has to encode
            if isinstance(frame, History):
                for page in protocol.split(frame):
                    self._post(Replay(to_wire(page)))
                return
            self._cache.encode(frame)
        self._post(self._cache.wire)

    async def drain(self) -> None:
        """Wait until the client has taken what was queued, or the connection is gone."""
        await self.connection.drained()

    # From the greeting to the goodbye.

    async def run(self) -> None:
        """Greet the client, handle its frames until the connection ends, and clean up after it."""
        hub, config = self._hub, self._hub.config
        self._running = asyncio.current_task()
        self.connection.on_sign_of_life = self._on_sign_of_life
        self.connection.on_lost = self._on_lost
        self.connection.patience = max(config.offline_timeout, LEAST_PATIENCE)
        hub.publish_presence(hub.presence.connected(self.id, self.user, hub.now()))
        self.send(Connected(self.id, self.user, config.heartbeat_interval, config.offline_timeout))
        try:
            async for text in self.connection:
                if len(text) > LONG:
                    await self.connection.intake.turn()
                await self._obey(text)
                if self.connection.has_unread:  # however much comes from here, others have their turns
                    await self.connection.intake.turn()
        except ConnectionClosed:
            pass  # without a closing handshake: half-open connections, lost networks, closed laptops
        finally:
            self.end()

    def end(self) -> None:
        """Leave every room and be forgotten. A second call changes nothing.

        What is announced are the rooms in which no other connection of the user stays.
        The order matters: the session is taken out of all rooms before it is announced in any, so that it is
        told nothing of its own departure.
        """
        rooms, self._rooms = self._rooms, {}
        left = [room for room in rooms if self._hub.leave(room, self.user)]
        for room in rooms:
            self._hub.pubsub.unsubscribe(room, self)
        self._hub.publish_presence(self._hub.presence.lost(self.id, self._hub.now()))
        for room in left:
            self._announce(room, "left")

    def abort(self) -> None:
        """Cut the connection and cancel `run`, in case that the client or a component does not answer."""
        self.connection.transport.abort()
        if self._running:
            self._running.cancel()

    def _on_sign_of_life(self) -> None:
        try:
            self._hub.publish_presence(self._hub.presence.seen(self.id, self._hub.now()))
        except Exception:  # this runs while bytes are read, where an exception would end the connection
            log.exception("could not note a sign of life user=%s", self.user)

    # Frames.

    async def _obey(self, text: str | bytes) -> None:
        """Do what one frame asks for. A frame that cannot be obeyed is answered, and changes nothing."""
        try:
            if isinstance(text, bytes):
                raise BadFrame(ErrorCode.BAD_JSON, "send text frames, not binary ones")
            match protocol.parse(text):
                case protocol.Say() as frame:
                    await self._say(frame)
                case protocol.Join() as frame:
                    await self._join(frame)
                case protocol.Leave() as frame:
                    await self._leave(frame)
                case protocol.AskPresence(room=room):
                    await self._hub.backplane.synced(room)
                    await self._send_presence(room)
                case protocol.AskHistory() as frame:
                    await self._send_history(frame)
                case protocol.Heartbeat():
                    pass  # it was noticed as a sign of life when its bytes came
        except BadFrame as bad:
            self._hub.errors[bad.code] += 1
            self.send(Error(bad.code, bad.message, bad.id))
        except ConnectionClosed:
            raise
        except Exception as error:
            log_failure(error, "could not obey user=%s frame=%.200r", self.user, text)
            reason = "that went wrong on our side (the server's log says why); try again later"
            self._hub.errors[ErrorCode.UNAVAILABLE] += 1
            self.send(Error(ErrorCode.UNAVAILABLE, reason))

    async def _say(self, frame: protocol.Say) -> None:
        """Have a message accepted. Its sender hears it like every member: that copy is the *echo*.

        A message with an `id` may be sent again (an idempotent retry). If it was accepted before, it is not
        published again, and no echo comes. Then its sender, who asks since it lost the echo, is told alone.
        """
        words = frame.data
        self._rate.take_or_refuse(self._hub.now(), words.id)
        if words.room not in self._rooms:
            reason = f"join the room `{words.room}` before you speak in it"
            raise BadFrame(ErrorCode.NOT_JOINED, reason, words.id)
        key = (words.room, self.user, words.id)
        self._hub.observer.await_echo(key, self)
        try:
            draft = Draft(words.room, self.user, words.content, words.id)
            message = await self._hub.sequencer.accept(draft)
        except Exception as error:
            log_failure(error, "could not accept user=%s room=%s", self.user, words.room)
            reason = "the message could not be accepted (the server's log says why); send it again later"
            raise BadFrame(ErrorCode.UNAVAILABLE, reason, words.id) from error
        finally:
            has_echo = self._hub.observer.stop_awaiting(key, self)
        self._hub.accepted += 1
        if words.id is not None and not has_echo:
            self.send(message)

    async def _join(self, frame: protocol.Join) -> None:
        """Become a member. What the steps of a join do, and why they stand in this order:

        1. Check the limits, while nothing has been changed yet.
        2. `attach`: the sequencer replays the past and subscribes us. Live messages come from here on.
        3. Note that we are in the room. From now on `end` leaves it, and the client may speak in it.
        4. Have the room's members told that the user is online, if that is news.
        5. Have it announced, if this is the user's first connection in the room: of several that join at
           once just one is, since nothing is awaited between step 3 and this.
        6. Answer with the list of everybody, which has this user in it after step 4; other nodes, if there
           are any, know of it before. In a crowd that waits for the next wave (`lab.announcer`), which tells
           all of it.
        7. Wait until the client has taken its replay, before its next frame is read.
        """
        room = frame.room
        self._rate.take_or_refuse(self._hub.now())
        if room in self._rooms:  # it is answered again, and nothing changes
            self._hub.pubsub.subscribe(room, self)  # nor does this: twice is the same as once
            await self._send_presence(room)
            return
        self._check_room(room)  # 1
        await self._attach(room, frame.since)  # 2
        self._rooms[room] = None  # 3
        is_first = self._hub.enter(room, self.user)
        self._hub.publish_presence(self._hub.presence.joined(self.id, room, self._hub.now()))  # 4
        if is_first:
            self._announce(room, "joined")  # 5
        with contextlib.suppress(StoreError):  # 6; out of reach of other nodes, we tell what we know
            await self._hub.backplane.synced(room)
        await self._send_presence(room)
        await self.drain()  # 7

    async def _attach(self, room: str, since: int | None) -> None:
        """Have the sequencer replay the past and subscribe us, and learn what the announcement carries.

        If the connection ends meanwhile, this is cancelled: nobody reads on for a client that is gone.
        """
        self._is_attaching = True
        try:
            if self.connection.turns.are_wanted:  # before newcomers are let in, those who are have joined
                await self.connection.intake.turn()
            await self._hub.sequencer.attach(room, self, since)
            await self._hub.learn_newest(room)
        except BaseException:
            self._hub.pubsub.unsubscribe(room, self)
            raise
        finally:
            self._is_attaching = False

    def _on_lost(self) -> None:
        if self._is_attaching and self._running:
            self._running.cancel()

    def _check_room(self, room: str) -> None:
        """Raise BadFrame if this server's own limits forbid to join."""
        if len(room) > self._limits.name:
            reason = f"names have at most {self._limits.name} characters on this server"
            raise BadFrame(ErrorCode.BAD_ROOM, reason)
        if len(self._rooms) >= self._limits.rooms:
            reason = f"you are in {len(self._rooms)} rooms, which is the most; leave one first"
            raise BadFrame(ErrorCode.BAD_REQUEST, reason)

    async def _leave(self, frame: protocol.Leave) -> None:
        room = frame.room
        self._rate.take_or_refuse(self._hub.now())
        if room not in self._rooms:
            raise BadFrame(ErrorCode.NOT_JOINED, f"you are not in the room `{room}`")
        del self._rooms[room]
        is_last = self._hub.leave(room, self.user)
        self._hub.pubsub.unsubscribe(room, self)
        self._hub.publish_presence(self._hub.presence.left(self.id, room, self._hub.now()))
        if is_last:
            self._announce(room, "left")
        await self._hub.announcer.told(room)  # the answer to the next frame says that it is done

    def _announce(self, room: str, what: str) -> None:
        self._hub.announcer.announce(room, self.user, what)

    async def _send_presence(self, room: str) -> None:
        users = await self._hub.announcer.send_list(room, self)
        self.connection.intake.spend(users / USERS_PER_UNIT)

    async def _send_history(self, frame: protocol.AskHistory) -> None:
        page = await self._hub.sequencer.history(frame.room, frame.since or 0, frame.limit or 0)
        wire = to_wire(next(protocol.split(page)))  # a page may be cut to fit into a frame; `more` says so
        self.connection.intake.spend(len(wire) / BYTES_PER_UNIT)
        self._post(Replay(wire))
        await self.drain()  # who asks for much must also read it
