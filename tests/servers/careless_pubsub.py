"""A pubsub that omits a member now and then; `chatlab serve --use pubsub=…` takes it.

One delivery in DROP_ONE_IN (an environment variable, 300 unless set) is dropped, which few notice.
"""

from __future__ import annotations

import os

from lab.interfaces import Member
from lab.protocol import SYSTEM, Message, ServerFrame

EVERY = int(os.environ.get("DROP_ONE_IN", "300"))


class PubSub:
    """Rooms and their members."""

    def __init__(self) -> None:
        self._rooms: dict[str, dict[Member, None]] = {}
        self._deliveries = 0

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
        """Send a frame to all members, except those that are skipped."""
        for member in self.members(room):
            if isinstance(frame, Message) and frame.user != SYSTEM:
                self._deliveries += 1
                if self._deliveries % EVERY == 0:
                    continue
            member.send(frame)

    def members(self, room: str) -> list[Member]:
        """The members of a room."""
        return list(self._rooms.get(room, {}))

    def rooms(self) -> list[str]:
        """The rooms of a member."""
        return list(self._rooms)
