"""Exercise 1: rooms and their members. Who receives which messages?

Fill in the five methods. README.md in this folder says what they must do, and `chatlab check 1` tests whether
they do it. The model answer has about 20 lines.
"""

from lab.interfaces import Member
from lab.protocol import ServerFrame


class PubSub:
    """The members of each room, and how a frame reaches them."""

    def subscribe(self, room: str, member: Member) -> None:
        """From now on `member` receives what is published in `room`. A second call has no effect."""

    def unsubscribe(self, room: str, member: Member) -> None:
        """From now on it no longer does. If it was not subscribed, or the room has no members, do nothing."""

    def publish(self, room: str, frame: ServerFrame) -> None:
        """Call `member.send(frame)` once for each member of `room`. Members may change meanwhile."""

    def members(self, room: str) -> list[Member]:
        """The members of `room`, each once, as a new list."""
        return []

    def rooms(self) -> list[str]:
        """The rooms that have members, each once, as a new list."""
        return []
