"""Animals of exercise 3: heartbeats, timeouts, and the presence that clients are sent."""

from __future__ import annotations

import asyncio
import contextlib

import msgspec
from websockets.exceptions import ConnectionClosed

import lab.server
from harness.zoo.animal import animal
from lab.fanout import Connection
from lab.hub import Components
from lab.interfaces import Change
from lab.presence import PresenceManager
from lab.protocol import SYSTEM, Heartbeat, Message, Presence, PresenceFrame, ServerFrame, Status
from lab.pubsub import PubSub
from lab.session import Session


def _with_timeout(factor: float) -> type[PresenceManager]:
    class Wrong(PresenceManager):
        def __init__(self, heartbeat_interval: float, offline_timeout: float) -> None:
            super().__init__(heartbeat_interval, offline_timeout * factor)

    return Wrong


@animal("3.4", "zombie_presence")
def frozen_clients_stay_online(parts: Components) -> None:
    """The server does not check how long a client has been silent."""
    parts.presence = _with_timeout(1e6)


@animal("3.4", "premature_offline")
def offline_at_40_percent(parts: Components) -> None:
    """A silent client is shown as offline much too early: slow readers go offline and come back."""
    parts.presence = _with_timeout(0.4)


@animal("3.4", "late_offline")
def offline_at_250_percent(parts: Components) -> None:
    """A silent client is shown as online for much too long."""
    parts.presence = _with_timeout(2.5)


@animal("3.3", "premature_offline")
def one_connection_ends_the_user(parts: Components) -> None:
    """There is one entry per user name: the first connection that ends removes it."""

    class ByName(PresenceManager):
        def lost(self, connection: str, now: float) -> list[Change]:
            known = self._connections.get(connection)
            changes = super().lost(connection, now)
            if known and not changes:
                gone = Presence(known.user, Status.OFFLINE, int(now * 1000))
                changes = [Change(room, gone) for room in known.rooms]
            return changes

    parts.presence = ByName


@animal("3.2", "unannounced_presence", also="3.3 3.4")
def presence_is_not_broadcast(parts: Components) -> None:
    """Presence is sent only to clients that request it: changes are not broadcast."""
    lab.server.ChatServer.publish_presence = lambda self, changes: None  # type: ignore[method-assign]


@animal("3.2", "wrong_time")
def last_seen_is_days_off(parts: Components) -> None:
    """`lastSeen` is computed from a wrong epoch: it lies in the future."""

    class Ahead(PresenceManager):
        def _presence(self, user: str, seen: float, now: float) -> Presence:
            right = super()._presence(user, seen, now)
            return msgspec.structs.replace(right, last_seen=right.last_seen + 20 * 24 * 3600 * 1000)

    parts.presence = Ahead


@animal("3.1", "presence_leak", also="3.2")
def presence_of_all_rooms(parts: Components) -> None:
    """The list of a room contains the users of all rooms."""

    class Everywhere(PresenceManager):
        def in_room(self, room: str, now: float) -> list[Presence]:
            return [p for name in list(self._here) for p in super(Everywhere, self).in_room(name, now)]

    parts.presence = Everywhere


@animal("3.3", "missing_heartbeat")
def no_heartbeats(parts: Components) -> None:
    """The loop that sends heartbeats has ended."""

    async def dead(self: lab.server.ChatServer) -> None:
        return None

    lab.server.ChatServer._send_heartbeats = dead  # type: ignore[method-assign]


@animal("3.4", "premature_offline")
def only_heartbeats_count(parts: Components) -> None:
    """Pings and bad frames do not count as signs of life."""
    obey = Session._obey

    async def strict(self: Session, text: str | bytes) -> None:
        if "heartbeat" in str(text):
            self._hub.publish_presence(self._hub.presence.seen(self.id, self._hub.now()))
        await obey(self, text)

    Session._obey = strict  # type: ignore[method-assign]
    Session._on_sign_of_life = lambda self: None  # type: ignore[method-assign]


@animal("3.3", "missing_heartbeat")
def heartbeats_come_half_as_often(parts: Components) -> None:
    """Every second heartbeat is left out."""
    beat = lab.server.ChatServer._send_heartbeats

    async def lazy(self: lab.server.ChatServer) -> None:
        self._lazy = not getattr(self, "_lazy", False)  # type: ignore[attr-defined]
        if self._lazy:  # type: ignore[attr-defined]
            await beat(self)

    lab.server.ChatServer._send_heartbeats = lazy  # type: ignore[method-assign]


@animal("3.4", "zombie_presence")
def timed_out_stay_connected(parts: Components) -> None:
    """A silent client is shown as offline, but its connection stays open."""
    disconnect = Connection.disconnect

    def lenient(self: Connection, code: int, reason: str) -> None:
        if code != 1001:
            disconnect(self, code, reason)

    Connection.disconnect = lenient  # type: ignore[method-assign]


@animal("3.4", "missing_notice")
def timed_out_are_not_announced(parts: Components) -> None:
    """A client that times out is removed from the list, but the room is sent no notice."""
    announce = Session._announce

    def quiet(self: Session, room: str, what: str) -> None:
        if self.connection._disconnecting is None:
            announce(self, room, what)

    Session._announce = quiet  # type: ignore[method-assign]


@animal("3.3", "missing_notice")
def broken_connections_are_not_announced(parts: Components) -> None:
    """A client whose connection is reset is removed from the list, but the room is sent no notice."""
    announce = Session._announce

    def quiet(self: Session, room: str, what: str) -> None:
        if what == "joined" or self.connection.state.value == 1 or self.connection.close_code != 1006:
            announce(self, room, what)

    Session._announce = quiet  # type: ignore[method-assign]


@animal("3.4", "zombie_presence", also="3.2")
def only_the_first_room_is_left(parts: Components) -> None:
    """A connection that ends is removed from one room only."""

    class First(PresenceManager):
        def lost(self, connection: str, now: float) -> list[Change]:
            known = self._connections.get(connection)
            if known is None or len(known.rooms) < 2:
                return super().lost(connection, now)
            for room in list(known.rooms)[1:]:
                del known.rooms[room]
                # The other rooms keep a connection that never times out: each sweep sees it again.
                ghost = f"ghost {connection} {room}"
                self._connections[ghost] = type(known)(known.user, now)
                del self._here[room][known.user][connection]
                self._here[room][known.user][ghost] = None
            return super().lost(connection, now)

        def sweep(self, now: float) -> list[Change]:
            for connection in list(self._connections):
                if connection.startswith("ghost "):
                    self.seen(connection, now)
            return super().sweep(now)

    parts.presence = First


@animal("3.2", "presence_disagrees")
def leaving_one_room_is_leaving_all(parts: Components) -> None:
    """A client that leaves a room is shown as offline in all of its rooms."""

    class All(PresenceManager):
        def left(self, connection: str, room: str, now: float) -> list[Change]:
            known = self._connections.get(connection)
            changes = super().left(connection, room, now)
            for other in list(known.rooms) if known else []:
                changes += super().left(connection, other, now)
            return changes

    parts.presence = All


@animal("3.3", "premature_offline")
def leaving_on_one_connection_is_leaving(parts: Components) -> None:
    """A user that leaves a room on one of two connections is shown as offline."""

    class ByName(PresenceManager):
        def left(self, connection: str, room: str, now: float) -> list[Change]:
            known = self._connections.get(connection)
            changes = super().left(connection, room, now)
            if known and not changes:
                changes = [Change(room, Presence(known.user, Status.OFFLINE, int(now * 1000)))]
            return changes

    parts.presence = ByName


@animal("3.3", "premature_offline")
def the_second_connection_takes_over(parts: Components) -> None:
    """There is one entry per user, for the newest connection: if that ends, the user is shown as offline."""

    class Newest(PresenceManager):
        def lost(self, connection: str, now: float) -> list[Change]:
            known = self._connections.get(connection)
            rooms = list(known.rooms) if known else []
            newest = {
                room: known is not None and list(self._here[room][known.user])[-1] == connection
                for room in rooms
            }
            changes = super().lost(connection, now)
            if known and not changes:
                gone = Presence(known.user, Status.OFFLINE, int(now * 1000))
                changes = [Change(room, gone) for room in rooms if newest[room]]
            return changes

    parts.presence = Newest


@animal("3.4", "premature_offline", also="3.3")
def changes_say_full(parts: Components) -> None:
    """A `presence` frame with one change says that it is the full list."""

    def show(self: lab.server.ChatServer, changes: list[Change]) -> None:
        for change in changes:
            self.pubsub.publish(change.room, PresenceFrame(change.room, [change.presence], full=True))

    lab.server.ChatServer.publish_presence = show  # type: ignore[method-assign, assignment]


@animal("3.1", "presence_leak")
def presence_goes_to_everybody(parts: Components) -> None:
    """A change of presence is sent to every connection, whatever rooms it is in."""

    def show(self: lab.server.ChatServer, changes: list[Change]) -> None:
        for change in changes:
            for session in self._sessions.values():
                session.send(PresenceFrame(change.room, [change.presence]))

    lab.server.ChatServer.publish_presence = show  # type: ignore[method-assign, assignment]


@animal("3.2", "presence_leak")
def leavers_stay_listed(parts: Components) -> None:
    """A user that leaves is announced, but stays on the list as online."""

    class Sticky(PresenceManager):
        gone: dict[str, set[str]] = {}  # noqa: RUF012

        def left(self, connection: str, room: str, now: float) -> list[Change]:
            known = self._connections.get(connection)
            if known:
                self.gone.setdefault(room, set()).add(known.user)
            return super().left(connection, room, now)

        def in_room(self, room: str, now: float) -> list[Presence]:
            here = super().in_room(room, now)
            names = {p.user for p in here}
            more = self.gone.get(room, set()) - names
            return here + [Presence(user, Status.ONLINE, int(now * 1000)) for user in more]

    parts.presence = Sticky


@animal("3.4", "dropped_connection", also="2.1 3.3")
def time_outs_count_from_the_join(parts: Components) -> None:
    """The last sign of life is recorded when a client joins, and never updated."""

    class Stale(PresenceManager):
        def seen(self, connection: str, now: float) -> list[Change]:
            return []

    parts.presence = Stale


@animal("3.3", "missing_heartbeat")
def heartbeats_only_in_rooms(parts: Components) -> None:
    """A client that is in no room is sent no heartbeats, and times out if it only answers them."""

    async def beat(self: lab.server.ChatServer) -> None:
        for session in list(self._sessions.values()):
            if session._rooms:
                session.send(Heartbeat())

    lab.server.ChatServer._send_heartbeats = beat  # type: ignore[method-assign]


@animal("3.4", "unannounced_presence")
def returning_is_not_shown(parts: Components) -> None:
    """A user that timed out and comes back is on the list, but the change is not announced."""

    class Once(PresenceManager):
        out: set[str] = set()  # noqa: RUF012

        def sweep(self, now: float) -> list[Change]:
            changes = super().sweep(now)
            self.out |= {c.presence.user for c in changes if c.presence.status is Status.OFFLINE}
            return changes

        def joined(self, connection: str, room: str, now: float) -> list[Change]:
            changes = super().joined(connection, room, now)
            return [c for c in changes if c.presence.user not in self.out]

    parts.presence = Once


@animal("3.4", "lost", is_alone=True)  # it looks into the presence manager of a single server
def quiet_members_receive_nothing(parts: Components) -> None:
    """A member that has missed one heartbeat is sent no messages, long before the timeout."""

    class Skipping(PubSub):
        def publish(self, room: str, frame: ServerFrame) -> None:
            for member in self.members(room):
                assert isinstance(member, Session)
                manager, interval = member._hub.presence, member._hub.config.heartbeat_interval
                assert isinstance(manager, PresenceManager)
                known = manager._connections.get(member.id)
                is_quiet = known is not None and member._hub.now() - known.seen > 1.2 * interval
                if not (is_quiet and isinstance(frame, Message) and frame.user != SYSTEM):
                    member.send(frame)

    parts.pubsub = Skipping


@animal("3.4", "dropped_connection", also="3.3")
def only_pongs_are_signs_of_life(parts: Components) -> None:
    """The server pings, and disconnects a client that sends no pong, whatever else it sends."""

    async def ping(session: Session, timeout: float) -> None:
        with contextlib.suppress(ConnectionClosed):
            pong = await session.connection.ping()
            try:
                await asyncio.wait_for(asyncio.shield(pong), timeout)
            except TimeoutError:
                await session.connection.close(1011, "no pong")

    async def beat(self: lab.server.ChatServer) -> None:
        for session in list(self._sessions.values()):
            session.send(Heartbeat())
            task = asyncio.create_task(ping(session, self.config.offline_timeout))
            self.pinging = [*getattr(self, "pinging", []), task]  # type: ignore[attr-defined]

    lab.server.ChatServer._send_heartbeats = beat  # type: ignore[method-assign]
