"""One flat set of (room, member) pairs for the whole server."""


class PubSub:
    def __init__(self):
        self.pairs = set()

    def subscribe(self, room, member):
        self.pairs.add((room, member))

    def unsubscribe(self, room, member):
        self.pairs.discard((room, member))

    def publish(self, room, frame):
        for r, m in frozenset(self.pairs):
            if r == room:
                m.send(frame)

    def members(self, room):
        return [m for r, m in self.pairs if r == room]

    def rooms(self):
        return list({r for r, _ in self.pairs})
