"""Objects for users, a heap of deadlines, and one last_seen for each user, whichever window it was."""

import heapq

from lab.interfaces import Change
from lab.protocol import Presence, Status


class User:
    def __init__(self, name):
        self.name = name
        self.last_seen = 0.0
        self.windows = {}  # connection -> set of rooms

    def rooms(self):
        return set().union(*self.windows.values()) if self.windows else set()

    def presence(self, status):
        return Presence(self.name, status, int(self.last_seen * 1000))


class PresenceManager:
    def __init__(self, heartbeat_interval, offline_timeout):
        self.timeout = offline_timeout
        self.users = {}
        self.owner = {}
        self.heard = {}
        self.heap = []

    def connected(self, connection, user, now):
        if connection in self.owner:
            self.lost(connection, now)
        who = self.users.setdefault(user, User(user))
        who.windows[connection] = set()
        who.last_seen = now
        self.owner[connection] = who
        self.heard[connection] = now
        heapq.heappush(self.heap, (now + self.timeout, connection))
        return []

    def seen(self, connection, now):
        who = self.owner.get(connection)
        if who:
            who.last_seen = now
            self.heard[connection] = now
        return []

    def joined(self, connection, room, now):
        who = self.owner.get(connection)
        if not who:
            return []
        fresh = room not in who.rooms()
        who.windows[connection].add(room)
        return [Change(room, who.presence(Status.ONLINE))] if fresh else []

    def left(self, connection, room, now):
        who = self.owner.get(connection)
        if not who or room not in who.windows[connection]:
            return []
        who.windows[connection].discard(room)
        return [] if room in who.rooms() else [Change(room, who.presence(Status.OFFLINE))]

    def lost(self, connection, now):
        who = self.owner.pop(connection, None)
        if not who:
            return []
        del self.heard[connection]
        rooms = who.windows.pop(connection)
        gone = rooms - who.rooms()
        if not who.windows:
            del self.users[who.name]
        return [Change(room, who.presence(Status.OFFLINE)) for room in gone]

    def sweep(self, now):
        changes = []
        while self.heap and self.heap[0][0] < now:
            _, connection = heapq.heappop(self.heap)
            if connection not in self.heard:
                continue
            if now - self.heard[connection] > self.timeout:
                changes += self.lost(connection, now)
            else:
                again = max(self.heard[connection] + self.timeout, now)
                heapq.heappush(self.heap, (again, connection))
        return changes

    def in_room(self, room, now):
        return [u.presence(Status.ONLINE) for u in self.users.values() if room in u.rooms()]

    def is_connected(self, connection):
        return connection in self.owner
