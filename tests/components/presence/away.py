"""Shows `away`. What was told is remembered, and each call tells the difference."""

from lab.interfaces import Change
from lab.protocol import Presence, Status

AWAY_AFTER = 1.5


class PresenceManager:
    def __init__(self, heartbeat_interval, offline_timeout):
        self.quiet = AWAY_AFTER * heartbeat_interval
        self.dead = offline_timeout
        self.conns = {}
        self.told = {}

    def _freshest(self):
        best = {}
        for user, at, rooms in self.conns.values():
            for room in rooms:
                best[room, user] = max(at, best.get((room, user), at))
        return best

    def _tell(self, now):
        best = self._freshest()
        out = []
        for key, at in best.items():
            status = Status.AWAY if now - at > self.quiet else Status.ONLINE
            old = self.told.get(key)
            self.told[key] = (status, at)
            if old is None or old[0] is not status:
                out.append(Change(key[0], Presence(key[1], status, int(at * 1000))))
        for key in [k for k in self.told if k not in best]:
            _, at = self.told.pop(key)
            out.append(Change(key[0], Presence(key[1], Status.OFFLINE, int(at * 1000))))
        return out

    def connected(self, connection, user, now):
        self.conns[connection] = [user, now, set()]
        return self._tell(now)

    def seen(self, connection, now):
        if connection in self.conns:
            self.conns[connection][1] = now
        return self._tell(now)

    def joined(self, connection, room, now):
        if connection in self.conns:
            self.conns[connection][2] |= {room}
        return self._tell(now)

    def left(self, connection, room, now):
        if connection in self.conns:
            self.conns[connection][2] -= {room}
        return self._tell(now)

    def lost(self, connection, now):
        self.conns.pop(connection, None)
        return self._tell(now)

    def sweep(self, now):
        self.conns = {c: v for c, v in self.conns.items() if now - v[1] <= self.dead}
        return self._tell(now)

    def in_room(self, room, now):
        best = self._freshest()
        return [Presence(u, s, int(best[r, u] * 1000)) for (r, u), (s, _) in self.told.items() if r == room]

    def is_connected(self, connection):
        return connection in self.conns
