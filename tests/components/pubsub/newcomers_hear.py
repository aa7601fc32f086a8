"""A plain list of [room, member]. Who comes while a frame goes out hears it too."""


class PubSub:
    def __init__(self):
        self.entries = []

    def _index(self, room, member):
        for number, (r, m) in enumerate(self.entries):
            if r == room and m is member:
                return number
        return -1

    def subscribe(self, room, member):
        if self._index(room, member) < 0:
            self.entries.insert(0, [room, member])

    def unsubscribe(self, room, member):
        number = self._index(room, member)
        if number >= 0:
            del self.entries[number]

    def publish(self, room, frame):
        done = []
        while True:
            todo = [m for m in self.members(room) if not any(m is d for d in done)]
            if not todo:
                return
            done.append(todo[0])
            todo[0].send(frame)

    def members(self, room):
        return [m for r, m in self.entries if r == room]

    def rooms(self):
        seen = []
        for r, _ in self.entries:
            if r not in seen:
                seen.append(r)
        return seen
