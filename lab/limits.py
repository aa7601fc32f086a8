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

    @property
    def budget(self) -> float:
        """What a connection may cost in a second, everything counted: a frame of whatever kind costs 1, and
        long ones and the answers to questions more. Beyond that it is read from more slowly (`lab.intake`).
        """
        return 4 * max(self.rate, Limits.rate)


class TokenBucket:
    """It holds `burst` tokens, gains `rate` a second, and what is done costs some: a budget.

    There is no clock inside: `now` is an argument, in seconds. The number of tokens may fall below zero,
    since what something costs is known only when it has been done: that is a debt.
    """

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self.rate, self.burst = rate, burst
        self.tokens = burst
        self._at = now

    def spend(self, cost: float, now: float) -> None:
        """Add what was gained since the last call, and take `cost` tokens."""
        self.tokens = min(self.burst, self.tokens + (now - self._at) * self.rate) - cost
        self._at = now

    def take(self, now: float) -> float:
        """Take one token and return 0.0; without one, return the seconds until it is there."""
        self.spend(1, now)
        wait = self.seconds_to_zero
        if wait > 0:
            self.tokens += 1
        return wait

    @property
    def seconds_to_zero(self) -> float:
        """How long it takes until a debt is paid."""
        return max(-self.tokens / self.rate, 0.0)


class RateLimit(TokenBucket):
    """How often a client may do something: each time takes a token, and without one it is refused."""

    def take_or_refuse(self, now: float, id: str | None = None) -> None:
        """Take a token, or raise BadFrame; `id` is that of the chat message which is refused."""
        if wait := self.take(now):
            reason = f"more than {self.rate:g} frames a second; send this one again in {wait:.3f} s"
            raise BadFrame(ErrorCode.RATE_LIMITED, reason, id)
