"""Incremental: each (room, user) has the set of connections that make it online. Sweeps with `>`."""

from lab.interfaces import Change
from lab.protocol import Presence, Status


class PresenceManager:
    def __init__(self, heartbeat_interval, offline_timeout):
        self.timeout = offline_timeout
        self.user = {}  # connection -> user
        self.heard = {}  # connection -> seconds
        self.where = {}  # (room, user) -> set of connections

    def connected(self, connection, user, now):
        self.user[connection] = user
        self.heard[connection] = now
        return []

    def seen(self, connection, now):
        if connection in self.user:
            self.heard[connection] = now
        return []

    def joined(self, connection, room, now):
        user = self.user.get(connection)
        if user is None:
            return []
        there = self.where.setdefault((room, user), set())
        first = not there
        there.add(connection)
        if first:
            return [Change(room, Presence(user, Status.ONLINE, self.ms(there)))]
        return []

    def ms(self, connections):
        return int(max(self.heard[c] for c in connections) * 1000)

    def left(self, connection, room, now):
        user = self.user.get(connection)
        there = self.where.get((room, user))
        if user is None or not there or connection not in there:
            return []
        stamp = self.ms(there)
        there.remove(connection)
        if there:
            return []
        del self.where[room, user]
        return [Change(room, Presence(user, Status.OFFLINE, stamp))]

    def lost(self, connection, now):
        changes = []
        for room, user in list(self.where):
            if user == self.user.get(connection):
                changes.extend(self.left(connection, room, now))
        self.user.pop(connection, None)
        self.heard.pop(connection, None)
        return changes

    def sweep(self, now):
        gone = [c for c, at in self.heard.items() if now - at > self.timeout]
        gone.sort(key=lambda c: self.heard[c])
        changes = []
        for c in gone:
            changes += self.lost(c, now)
        return changes

    def in_room(self, room, now):
        return [Presence(u, Status.ONLINE, self.ms(cs)) for (r, u), cs in self.where.items() if r == room]

    def is_connected(self, connection):
        return connection in self.user
