"""What one client may cost: how fast it may speak, and how much it may have at once.

The contract fixes what every server takes (see Limits in PROTOCOL.md). Who runs a server may ask for less in
some points, and decides how many are let in.
"""

from __future__ import annotations

from dataclasses import dataclass

from lab.protocol import MAX_FRAME, MAX_NAME, BadFrame, ErrorCode


@dataclass(frozen=True)
class Limits:
    """Sizes in bytes, rates in frames a second. Limits of a server; none of them is anybody's fair use."""

    frame: int = MAX_FRAME
    name: int = MAX_NAME
    rate: float = 500.0
    """Frames a second that a connection may have told to others: messages, joins and leaves."""
    rooms: int = 1000
    """Rooms that a connection may be in."""
    connections: int = 10_000

    @property
    def burst(self) -> float:
        """Frames that may come at once after a pause; the contract asks for twice the rate as well."""
        return 2 * self.rate


class RateLimit:
    """A token bucket: it holds `burst` tokens, gains `rate` a second, and each frame takes one.

    There is no clock inside: `now` is an argument, in seconds.
    """

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._rate, self._burst = rate, burst
        self._tokens, self._at = burst, now

    def take(self, now: float, id: str | None = None) -> None:
        """Take a token, or raise BadFrame; `id` is that of the chat message which is refused."""
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate)
        self._at = now
        if self._tokens < 1:
            wait = (1 - self._tokens) / self._rate
            reason = f"more than {self._rate:g} frames a second; send this one again in {wait:.3f} s"
            raise BadFrame(ErrorCode.RATE_LIMITED, reason, id)
        self._tokens -= 1
