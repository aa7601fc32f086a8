"""Exercise 1: rooms and their members. Who hears what?

Fill in the five methods. README.md beside this file says what they owe, `chatlab check 1` whether they
do. The model answer has about 20 lines.
"""

from lab.interfaces import Member
from lab.protocol import ServerFrame


class PubSub:
    """The members of each room, and how a frame reaches them."""

    def subscribe(self, room: str, member: Member) -> None:
        """From now on `member` hears what is published in `room`. Twice is the same as once."""

    def unsubscribe(self, room: str, member: Member) -> None:
        """From now on it does not. Nothing happens if it did not before, nor in a room that nobody is in."""

    def publish(self, room: str, frame: ServerFrame) -> None:
        """Call `member.send(frame)` once for each member of `room`. Members may come and go meanwhile."""

    def members(self, room: str) -> list[Member]:
        """The members of `room`, each once, as a list of the caller's own."""
        return []

    def rooms(self) -> list[str]:
        """The rooms that have members, likewise."""
        return []
