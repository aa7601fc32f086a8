"""Exercise 3: who is online in a room?

Fill in the methods. README.md in this folder says what they must do, and `chatlab check 3` tests whether they
do it. Do not read a clock here: `now` is an argument, in seconds. Each call returns exactly what it has
changed. The model answer has about 60 lines.
"""

from lab.interfaces import Change
from lab.protocol import Presence, Status


class PresenceManager:
    """Records each connection's user and rooms, and when it last showed a sign of life."""

    def __init__(self, heartbeat_interval: float, offline_timeout: float) -> None:
        self._offline_timeout = offline_timeout

    def connected(self, connection: str, user: str, now: float) -> list[Change]:
        """A new connection of `user`, which counts as a sign of life; it is in no room yet."""
        return []

    def seen(self, connection: str, now: float) -> list[Change]:
        """The connection showed a sign of life."""
        return []

    def joined(self, connection: str, room: str, now: float) -> list[Change]:
        """The connection entered a room. `seen` was called before, with the same `now`."""
        return []

    def left(self, connection: str, room: str, now: float) -> list[Change]:
        """The connection left a room. `seen` was called before, with the same `now`."""
        return []

    def lost(self, connection: str, now: float) -> list[Change]:
        """The connection ended: forget it, and no other."""
        return []

    def sweep(self, now: float) -> list[Change]:
        """Forget every connection that was silent for longer than `offline_timeout`, and no other."""
        return []

    def in_room(self, room: str, now: float) -> list[Presence]:
        """All users who are in `room` and not offline, each once."""
        return []

    def is_connected(self, connection: str) -> bool:
        """False once the connection was lost or timed out: the server then closes it."""
        return True
