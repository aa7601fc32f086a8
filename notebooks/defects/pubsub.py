"""A pubsub with one defect: who joins twice is on the list twice.

That is half of it. Who then leaves is taken off the list once.
"""

from collections import defaultdict

from lab.interfaces import Member
from lab.protocol import ServerFrame


class PubSub:
    """The members of each room, in a list."""

    def __init__(self) -> None:
        self._rooms: defaultdict[str, list[Member]] = defaultdict(list)

    def subscribe(self, room: str, member: Member) -> None:
        """The defect: nobody asks whether the member is on the list already."""
        self._rooms[room].append(member)

    def unsubscribe(self, room: str, member: Member) -> None:
        """`list.remove` takes off the first of two."""
        if member in self._rooms[room]:
            self._rooms[room].remove(member)

    def publish(self, room: str, frame: ServerFrame) -> None:
        """Send to everybody on the list."""
        for member in self.members(room):
            member.send(frame)

    def members(self, room: str) -> list[Member]:
        """A copy of the list."""
        return list(self._rooms[room])

    def rooms(self) -> list[str]:
        """Those with somebody in them."""
        return [room for room, members in self._rooms.items() if members]
