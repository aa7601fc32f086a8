"""Two levels of dictionaries: room -> id(member) -> member."""

from collections import defaultdict


class PubSub:
    def __init__(self):
        self._who = defaultdict(dict)

    def subscribe(self, room, member):
        self._who[room][id(member)] = member

    def unsubscribe(self, room, member):
        inside = self._who[room]
        inside.pop(id(member), None)
        self._tidy()

    def _tidy(self):
        for r in [r for r, inside in self._who.items() if not inside]:
            del self._who[r]

    def publish(self, room, frame):
        targets = list(self._who[room].values())
        for t in targets:
            t.send(frame)
        self._tidy()

    def members(self, room):
        out = list(self._who[room].values())
        self._tidy()
        return out

    def rooms(self):
        return sorted(self._who)
