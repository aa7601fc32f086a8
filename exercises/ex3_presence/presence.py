"""Exercise 3: who is here, and who only seems to be?

Fill in the methods. README.md beside this file says what they owe, `chatlab check 3` whether they do. There
is no clock here: `now` is an argument, in seconds. Each call returns exactly what it has changed. The
model answer has about 60 lines.
"""

from lab.interfaces import Change
from lab.protocol import Presence, Status


class PresenceManager:
    """Knows each connection's user and rooms, and when it last showed a sign of life."""

    def __init__(self, heartbeat_interval: float, offline_timeout: float) -> None:
        self._offline_timeout = offline_timeout

    def connected(self, connection: str, user: str, now: float) -> list[Change]:
        """A connection of `user` begins, which is a sign of life; it is in no room yet."""
        return []

    def seen(self, connection: str, now: float) -> list[Change]:
        """The connection showed a sign of life."""
        return []

    def joined(self, connection: str, room: str, now: float) -> list[Change]:
        """The connection entered a room. `seen` was called before, with the same `now`."""
        return []

    def left(self, connection: str, room: str, now: float) -> list[Change]:
        """The connection left a room, likewise."""
        return []

    def lost(self, connection: str, now: float) -> list[Change]:
        """The connection ended: forget it, and no other one."""
        return []

    def sweep(self, now: float) -> list[Change]:
        """Forget every connection that was silent for longer than `offline_timeout`, and no other one."""
        return []

    def in_room(self, room: str, now: float) -> list[Presence]:
        """Everybody who is in `room` and not offline, each user once."""
        return []

    def is_connected(self, connection: str) -> bool:
        """False once the connection was lost or timed out: the server then closes it."""
        return True
