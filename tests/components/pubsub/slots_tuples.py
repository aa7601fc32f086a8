class PubSub:
    """Copy on write: each room has a tuple, which is never changed."""

    __slots__ = ("table",)

    def __init__(self):
        self.table = {}

    def subscribe(self, room, member):
        old = self.table.get(room, ())
        if not any(m is member for m in old):
            self.table[room] = old + (member,)

    def unsubscribe(self, room, member):
        old = self.table.get(room, ())
        new = tuple(m for m in old if m is not member)
        if new:
            self.table[room] = new
        elif old:
            del self.table[room]

    def publish(self, room, frame):
        for m in self.table.get(room, ()):
            m.send(frame)

    def members(self, room):
        return [*self.table.get(room, ())]

    def rooms(self):
        return [*self.table]
