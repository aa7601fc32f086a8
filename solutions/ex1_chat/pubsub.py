"""The model answer to exercise 1: a dictionary from each room to its members.

Why it is correct: a member is in a room's list at most once, so it gets each frame once. `publish` iterates
over a copy, because a member may leave while frames are being sent, and a loop over a list that shrinks skips
a member. `send` only puts the frame into a queue, so all members are sent one frame before any member is sent
the next: two frames reach all members in the same order.
"""

from lab.interfaces import Member
from lab.protocol import ServerFrame


class PubSub:
    """The members of each room, in the order in which they subscribed."""

    def __init__(self) -> None:
        self._rooms: dict[str, list[Member]] = {}

    def subscribe(self, room: str, member: Member) -> None:
        """Add a member, unless it is already there."""
        members = self._rooms.setdefault(room, [])
        if member not in members:
            members.append(member)

    def unsubscribe(self, room: str, member: Member) -> None:
        """Remove a member from the list, and an empty room from the dictionary."""
        if member in self.members(room):
            self._rooms[room].remove(member)
        if not self.members(room):
            self._rooms.pop(room, None)

    def publish(self, room: str, frame: ServerFrame) -> None:
        """Iterate over a copy of the list: the list itself may change meanwhile."""
        for member in self.members(room):
            member.send(frame)

    def members(self, room: str) -> list[Member]:
        """A copy, which the caller may keep."""
        return list(self._rooms.get(room, []))

    def rooms(self) -> list[str]:
        """Only rooms with members are in the dictionary."""
        return list(self._rooms)
