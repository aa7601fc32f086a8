"""A pubsub with one defect: for each member it computes something long, and everybody waits for that."""

from lab.interfaces import Member
from lab.protocol import Message, ServerFrame


class PubSub:
    """The members of each room, each once."""

    def __init__(self) -> None:
        self._rooms: dict[str, dict[Member, None]] = {}

    def subscribe(self, room: str, member: Member) -> None:
        """Add a member, unless it is there."""
        self._rooms.setdefault(room, {})[member] = None

    def unsubscribe(self, room: str, member: Member) -> None:
        """Take a member off."""
        self._rooms.get(room, {}).pop(member, None)

    def publish(self, room: str, frame: ServerFrame) -> None:
        """The defect: some milliseconds of computing, as to encrypt it for each member anew."""
        for member in self.members(room):
            if isinstance(frame, Message):
                sum(range(300_000))
            member.send(frame)

    def members(self, room: str) -> list[Member]:
        """A copy of the list."""
        return list(self._rooms.get(room, {}))

    def rooms(self) -> list[str]:
        """Those with somebody in them."""
        return [room for room, members in self._rooms.items() if members]
