"""A presence manager with one defect: that the server could send a heartbeat counts as a sign of life."""

from lab.interfaces import Change
from lab.protocol import Presence, Status


class PresenceManager:
    """Remembers each connection's user, rooms and last sign of life."""

    def __init__(self, heartbeat_interval: float, offline_timeout: float) -> None:
        self._offline_timeout = offline_timeout
        self._users: dict[str, str] = {}
        self._rooms: dict[str, set[str]] = {}
        self._seen: dict[str, float] = {}

    def connected(self, connection: str, user: str, now: float) -> list[Change]:
        """A connection begins."""
        self._users[connection], self._rooms[connection], self._seen[connection] = user, set(), now
        return []

    def seen(self, connection: str, now: float) -> list[Change]:
        """A sign of life."""
        if connection in self._seen:
            self._seen[connection] = now
        return []

    def sweep(self, now: float) -> list[Change]:
        """The defect: "we have just sent everybody a heartbeat, and nothing went wrong, so they are here"."""
        for connection in self._users:
            self.seen(connection, now)
        gone = [each for each, seen in self._seen.items() if now - seen >= self._offline_timeout]
        return [change for each in gone for change in self.lost(each, now)]

    def joined(self, connection: str, room: str, now: float) -> list[Change]:
        """A connection enters a room."""
        was_here = self._is_here(connection, room)
        self._rooms[connection].add(room)
        return [] if was_here else [self._change(connection, room, Status.ONLINE)]

    def left(self, connection: str, room: str, now: float) -> list[Change]:
        """A connection leaves a room."""
        if room not in self._rooms.get(connection, set()):
            return []
        self._rooms[connection].remove(room)
        still_here = self._is_here(connection, room)
        return [] if still_here else [self._change(connection, room, Status.OFFLINE)]

    def lost(self, connection: str, now: float) -> list[Change]:
        """A connection ends."""
        rooms = sorted(self._rooms.get(connection, ()))
        changes = [change for room in rooms for change in self.left(connection, room, now)]
        for known in (self._users, self._rooms, self._seen):
            known.pop(connection, None)
        return changes

    def in_room(self, room: str, now: float) -> list[Presence]:
        """Everybody who is in the room."""
        here = {self._users[each]: each for each, rooms in self._rooms.items() if room in rooms}
        return [self._change(each, room, Status.ONLINE).presence for each in here.values()]

    def is_connected(self, connection: str) -> bool:
        """Whether it is known."""
        return connection in self._users

    def _is_here(self, connection: str, room: str) -> bool:
        user = self._users[connection]
        return any(room in rooms for each, rooms in self._rooms.items() if self._users[each] == user)

    def _change(self, connection: str, room: str, status: Status) -> Change:
        return Change(room, Presence(self._users[connection], status, int(self._seen[connection] * 1000)))
