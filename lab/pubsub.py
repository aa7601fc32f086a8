"""Rooms and their members: who hears what (exercise 1)."""

from lab.interfaces import Member
from lab.protocol import ServerFrame


class PubSub:
    """Each room's members, in the order in which they came.

    A dict serves as an ordered set. A room exists as long as somebody is in it, so that rooms which
    nobody visits any more cost nothing.
    """

    def __init__(self) -> None:
        self._rooms: dict[str, dict[Member, None]] = {}

    def subscribe(self, room: str, member: Member) -> None:
        """See `interfaces.PubSub`."""
        self._rooms.setdefault(room, {})[member] = None

    def unsubscribe(self, room: str, member: Member) -> None:
        """See `interfaces.PubSub`."""
        members = self._rooms.get(room, {})
        members.pop(member, None)
        if not members:
            self._rooms.pop(room, None)

    def publish(self, room: str, frame: ServerFrame) -> None:
        """See `interfaces.PubSub`."""
        members = self._rooms.get(room, {})
        # A copy, because a member may leave while we are sending. Whoever left is not sent the frame.
        for member in list(members):
            if member in members:
                member.send(frame)

    def members(self, room: str) -> list[Member]:
        """See `interfaces.PubSub`."""
        return list(self._rooms.get(room, {}))

    def rooms(self) -> list[str]:
        """See `interfaces.PubSub`."""
        return list(self._rooms)
