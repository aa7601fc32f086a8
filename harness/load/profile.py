"""What users do, and how often: which rooms they choose, how long they wait, what they say."""

from __future__ import annotations

from bisect import bisect
from itertools import accumulate
from random import Random

TALK_SECONDS = (5.0, 15.0)
"""The range of the mean time between two messages of a user; each user has its own."""
AWAY_SECONDS = 4.0
"""Mean time for which a user that lost the connection is away."""
_WORDS = (
    "yes",
    "no",
    "well",
    "then",
    "look",
    "this",
    "is",
    "fine",
    "who",
    "wants",
    "coffee",
    "the",
    "train",
    "late",
)
_ACTIONS = {"talk": 40, "look_back": 3, "wander": 2, "reconnect": 2}
"""The actions of users, with their relative frequencies."""


class Popularity:
    """Rooms by Zipf's law: the k-th is chosen with a probability proportional to 1/k, as in real chats."""

    def __init__(self, rooms: int) -> None:
        self._sums = list(accumulate(1 / k for k in range(1, rooms + 1)))

    def share(self, room: int) -> float:
        """The probability of a room, counted from 0."""
        below = self._sums[room - 1] if room else 0.0
        return (self._sums[room] - below) / self._sums[-1]

    def choose(self, rng: Random) -> int:
        """A room, counted from 0."""
        return bisect(self._sums, rng.random() * self._sums[-1], hi=len(self._sums) - 1)

    def choose_some(self, rng: Random, count: int) -> list[int]:
        """`count` different rooms, or all that there are."""
        found: dict[int, None] = {}
        while len(found) < min(count, len(self._sums)):
            found[self.choose(rng)] = None
        return list(found)


class UserProfile:
    """A user's profile, drawn from its own random numbers. It acts `pace` times faster."""

    def __init__(self, rng: Random, rooms: int, pace: float) -> None:
        self.rng = rng
        self.popularity = Popularity(rooms)
        self._pace = pace
        self._talks_every = rng.uniform(*TALK_SECONDS)

    def favourites(self) -> list[int]:
        """The one to three rooms that it is in at first."""
        return self.popularity.choose_some(self.rng, self.rng.randint(1, 3))

    def rest(self) -> float:
        """Seconds until its next action."""
        return self.rng.expovariate(1 / self._talks_every) / self._pace

    def away(self) -> float:
        """Seconds for which it is away after it lost its connection."""
        return self.rng.expovariate(1 / AWAY_SECONDS) / self._pace

    def action(self) -> str:
        """Its next action: talk, look_back, wander or reconnect."""
        return self.rng.choices(list(_ACTIONS), weights=list(_ACTIONS.values()))[0]

    def words(self) -> str:
        """The text of a message: three to eighteen words."""
        return " ".join(self.rng.choices(_WORDS, k=self.rng.randint(3, 18)))
