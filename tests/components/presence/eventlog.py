"""Keeps a log of all that happened to living connections and plays it back for each question."""

from lab.interfaces import Change
from lab.protocol import Presence, Status


class PresenceManager:
    def __init__(self, heartbeat_interval: float, offline_timeout: float) -> None:
        self.limit = offline_timeout
        self.log: list[tuple] = []

    def _play(self):
        state = {}
        for what, c, arg, at in self.log:
            if what == "hello":
                state[c] = dict(user=arg, at=at, rooms=[])
            elif c in state:
                if what == "alive":
                    state[c]["at"] = at
                elif what == "enter" and arg not in state[c]["rooms"]:
                    state[c]["rooms"].append(arg)
                elif what == "exit" and arg in state[c]["rooms"]:
                    state[c]["rooms"].remove(arg)
                elif what == "bye":
                    del state[c]
        return state

    def _view(self):
        view = {}
        for each in self._play().values():
            for room in each["rooms"]:
                key = (room, each["user"])
                view[key] = max(view.get(key, 0), round(each["at"] * 1000))
        return view

    def _add(self, *entries):
        before = self._view()
        self.log.extend(entries)
        gone = self._play().keys()
        self.log = [e for e in self.log if e[1] in gone]  # what the dead did is of no interest
        after = self._view()
        changes = []
        for room, user in sorted(before.keys() ^ after.keys()):
            here = (room, user) in after
            stamp = (after if here else before)[room, user]
            changes.append(Change(room, Presence(user, Status.ONLINE if here else Status.OFFLINE, stamp)))
        return changes

    def connected(self, connection, user, now):
        return self._add(("hello", connection, user, now))

    def seen(self, connection, now):
        self.log = [e for e in self.log if not (e[0] == "alive" and e[1] == connection)]
        return self._add(("alive", connection, None, now))

    def joined(self, connection, room, now):
        return self._add(("enter", connection, room, now))

    def left(self, connection, room, now):
        return self._add(("exit", connection, room, now))

    def lost(self, connection, now):
        return self._add(("bye", connection, None, now))

    def sweep(self, now):
        late = [c for c, s in self._play().items() if now - s["at"] > self.limit]
        return self._add(*(("bye", c, None, now) for c in late)) if late else []

    def in_room(self, room, now):
        return [Presence(u, Status.ONLINE, at) for (r, u), at in self._view().items() if r == room]

    def is_connected(self, connection):
        return connection in self._play()
