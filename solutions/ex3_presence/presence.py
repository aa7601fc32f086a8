"""The model answer to exercise 3: store connections, and compute everything else.

Why it is correct: it stores only the user, the rooms and the last sign of life of each connection. Who is
online in which room is computed from that, before and after each call; the changes are the difference. So the
answers to `presence` and the broadcasts can never disagree, and two connections of one user need no
special case: the user is online as long as any of them is known.

Silence is detected in `sweep`, which forgets the connections that were silent for too long. It compares
with the time of the last sign of life of the *client*. What the server itself sends proves nothing.

The reference (`lab/presence.py`) does the same with less work for each call, and also shows who is away.
"""

from dataclasses import dataclass, field

from lab.interfaces import Change
from lab.protocol import Presence, Status


@dataclass
class Connection:
    """What is known about one connection."""

    user: str
    seen: float
    rooms: set[str] = field(default_factory=set)


class PresenceManager:
    """Records each connection's user and rooms, and when it last showed a sign of life."""

    def __init__(self, heartbeat_interval: float, offline_timeout: float) -> None:
        self._offline_timeout = offline_timeout
        self._connections: dict[str, Connection] = {}

    def connected(self, connection: str, user: str, now: float) -> list[Change]:
        """A new connection is in no room, so nothing changes for anybody."""
        self._connections[connection] = Connection(user, now)
        return []

    def seen(self, connection: str, now: float) -> list[Change]:
        """Only the time of the last sign of life changes."""
        if connection in self._connections:
            self._connections[connection].seen = now
        return []

    def joined(self, connection: str, room: str, now: float) -> list[Change]:
        """The user becomes online in the room, unless another connection is there already."""
        before = self._online()
        if connection in self._connections:
            self._connections[connection].rooms.add(room)
        return self._changes(before)

    def left(self, connection: str, room: str, now: float) -> list[Change]:
        """The user becomes offline in the room, unless another connection is still there."""
        before = self._online()
        if connection in self._connections:
            self._connections[connection].rooms.discard(room)
        return self._changes(before)

    def lost(self, connection: str, now: float) -> list[Change]:
        """The same as `left`, for all rooms of the connection."""
        before = self._online()
        self._connections.pop(connection, None)
        return self._changes(before)

    def sweep(self, now: float) -> list[Change]:
        """Forget the connections that were silent for too long."""
        before = self._online()
        for name, connection in list(self._connections.items()):
            if now - connection.seen >= self._offline_timeout:
                del self._connections[name]
        return self._changes(before)

    def in_room(self, room: str, now: float) -> list[Presence]:
        """The users who are online in the room."""
        return [presence for (where, _), presence in self._online().items() if where == room]

    def is_connected(self, connection: str) -> bool:
        """Whether the connection is still known."""
        return connection in self._connections

    def _online(self) -> dict[tuple[str, str], Presence]:
        """Who is online in which room, by (room, user)."""
        online: dict[tuple[str, str], Presence] = {}
        for connection in sorted(self._connections.values(), key=lambda each: each.seen):
            for room in sorted(connection.rooms):  # of several connections, the one seen last counts
                seen = int(connection.seen * 1000)
                online[room, connection.user] = Presence(connection.user, Status.ONLINE, seen)
        return online

    def _changes(self, before: dict[tuple[str, str], Presence]) -> list[Change]:
        """The differences between before and now."""
        after = self._online()
        came = [Change(room, after[room, user]) for room, user in after if (room, user) not in before]
        went = [
            Change(room, Presence(user, Status.OFFLINE, was.last_seen))
            for (room, user), was in before.items()
            if (room, user) not in after
        ]
        return came + went
