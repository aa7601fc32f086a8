"""Who is online, away or offline in which room (exercise 3).

Two signals tell whether somebody is there. One is active: any frame from a connection is a sign of life.
The other is passive, because a machine that lost its network sends nothing, not even a farewell: after
`offline_timeout` seconds of silence it counts as gone. In between, a user may be shown as away:

    silence of the user's most lively connection      status
    less than 1.5 heartbeat intervals                 online
    more, but less than the offline timeout           away
    the offline timeout or more, or no connection     offline

Everything here follows from that table: an event changes what is known of a connection, and then the
status of its user is worked out anew in the rooms concerned. If it differs from what was last shown,
that is a change. There is no clock inside (`now` is always an argument), so a test can live through an
hour in a microsecond.
"""

from collections.abc import Iterable

from lab.interfaces import Change
from lab.protocol import Presence, Status

_AWAY_AFTER = 1.5
"""Heartbeat intervals of silence after which a user is shown as away."""


class _Connection:
    def __init__(self, user: str, now: float) -> None:
        self.user = user
        self.seen = now
        self.rooms: dict[str, None] = {}  # an ordered set


class PresenceManager:
    """The presence of every user in every room; pure, with time as an argument."""

    def __init__(self, heartbeat_interval: float, offline_timeout: float) -> None:
        self._away_after = min(_AWAY_AFTER * heartbeat_interval, offline_timeout)
        self._offline_after = offline_timeout
        self._connections: dict[str, _Connection] = {}
        self._here: dict[str, dict[str, dict[str, None]]] = {}  # room -> user -> connections
        self._shown: dict[tuple[str, str], Status] = {}  # (room, user) -> what was last shown

    def connected(self, connection: str, user: str, now: float) -> list[Change]:
        """See `interfaces.PresenceManager`."""
        self._connections[connection] = _Connection(user, now)
        return []

    def seen(self, connection: str, now: float) -> list[Change]:
        """See `interfaces.PresenceManager`."""
        known = self._connections.get(connection)
        return self._changes(known, self._woken(known, now), now) if known else []

    def joined(self, connection: str, room: str, now: float) -> list[Change]:
        """See `interfaces.PresenceManager`."""
        known = self._connections.get(connection)
        if known is None:
            return []
        woken = self._woken(known, now)
        known.rooms[room] = None
        self._here.setdefault(room, {}).setdefault(known.user, {})[connection] = None
        return self._changes(known, {**woken, room: None}, now)

    def left(self, connection: str, room: str, now: float) -> list[Change]:
        """See `interfaces.PresenceManager`."""
        known = self._connections.get(connection)
        if known is None or room not in known.rooms:
            return []
        woken = self._woken(known, now)
        del known.rooms[room]
        del self._here[room][known.user][connection]
        return self._changes(known, {**woken, room: None}, now)

    def _woken(self, known: _Connection, now: float) -> dict[str, None]:
        """Note a sign of life; the rooms in which that may change what is shown: those of who was away."""
        was_quiet = now - known.seen >= self._away_after
        known.seen = now
        return dict(known.rooms) if was_quiet else {}

    def lost(self, connection: str, now: float) -> list[Change]:
        """See `interfaces.PresenceManager`."""
        known = self._connections.pop(connection, None)
        if known is None:
            return []
        for room in known.rooms:
            del self._here[room][known.user][connection]
        return self._changes(known, known.rooms, now)

    def sweep(self, now: float) -> list[Change]:
        """See `interfaces.PresenceManager`."""
        changes: list[Change] = []
        # In the order of their last signs of life: the last one of a user tells when that was.
        for name, connection in sorted(self._connections.items(), key=lambda each: each[1].seen):
            silence = now - connection.seen
            if silence >= self._offline_after:
                changes += self.lost(name, now)
            elif silence >= self._away_after:
                changes += self._changes(connection, connection.rooms, now)
        return changes

    def in_room(self, room: str, now: float) -> list[Presence]:
        """See `interfaces.PresenceManager`."""
        everybody = []
        for user, connections in self._here.get(room, {}).items():
            seen = max(self._connections[each].seen for each in connections)
            everybody.append(self._presence(user, seen, now))
        return [presence for presence in everybody if presence.status is not Status.OFFLINE]

    def is_connected(self, connection: str) -> bool:
        """See `interfaces.PresenceManager`."""
        return connection in self._connections

    def _presence(self, user: str, seen: float, now: float) -> Presence:
        """The table at the top of this module."""
        silence = now - seen
        if silence < self._away_after:
            status = Status.ONLINE
        elif silence < self._offline_after:
            status = Status.AWAY
        else:
            status = Status.OFFLINE
        return Presence(user, status, int(seen * 1000))

    def _changes(self, connection: _Connection, rooms: Iterable[str], now: float) -> list[Change]:
        """What is now to be shown of the connection's user, where it differs from what was shown."""
        changes = []
        for room in list(rooms):
            others = self._here.get(room, {}).get(connection.user, {})
            if others:
                seen = max(self._connections[each].seen for each in others)
                presence = self._presence(connection.user, seen, now)
            else:
                presence = Presence(connection.user, Status.OFFLINE, int(connection.seen * 1000))
                self._forget(room, connection.user)
            if presence.status is not self._shown.get((room, connection.user), Status.OFFLINE):
                changes.append(Change(room, presence))
            if presence.status is Status.OFFLINE:
                self._shown.pop((room, connection.user), None)
            else:
                self._shown[room, connection.user] = presence.status
        return changes

    def _forget(self, room: str, user: str) -> None:
        """Who has no connection in a room, and a room that nobody is in, cost no memory."""
        users = self._here.get(room, {})
        users.pop(user, None)
        if not users:
            self._here.pop(room, None)
