"""A pubsub that loses nothing and is slow: `chatlab load --use pubsub=…` shows what that looks like.

For each message that is published, the whole server waits for 20 ms.
"""

from __future__ import annotations

import time

from lab.interfaces import Member
from lab.protocol import SYSTEM, Message, ServerFrame

DELAY = 0.02


class PubSub:
    """Rooms and their members."""

    def __init__(self) -> None:
        self._rooms: dict[str, dict[Member, None]] = {}

    def subscribe(self, room: str, member: Member) -> None:
        """Add a member."""
        self._rooms.setdefault(room, {})[member] = None

    def unsubscribe(self, room: str, member: Member) -> None:
        """Remove a member."""
        members = self._rooms.get(room, {})
        members.pop(member, None)
        if not members:
            self._rooms.pop(room, None)

    def publish(self, room: str, frame: ServerFrame) -> None:
        """Send a frame to all members, late."""
        if isinstance(frame, Message) and frame.user != SYSTEM:
            time.sleep(DELAY)
        for member in self.members(room):
            member.send(frame)

    def members(self, room: str) -> list[Member]:
        """The members of a room."""
        return list(self._rooms.get(room, {}))

    def rooms(self) -> list[str]:
        """The rooms that have members."""
        return list(self._rooms)
