"""What users do, and how often: which rooms they choose, how long they wait, what they say."""

from __future__ import annotations

from bisect import bisect
from collections.abc import Callable
from itertools import accumulate
from random import Random

from msgspec import Struct

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
        self.count = rooms
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


class Habits(Struct, frozen=True):
    """What all users of a load have in common. `rate` and `churn` are of one user, in times a second."""

    rooms: int = 10
    pace: float = 1.0
    """They live so many times faster."""
    rate: float = 0.0
    """How often a user talks, whatever the answers are; 0: as people do, one action after the other."""
    churn: float = 0.0
    """How often it loses its connection, likewise; 0: now and then."""
    size: int = 0
    """Bytes of a message's content; 0: a few words."""


class UserProfile:
    """A user's profile, drawn from its own random numbers."""

    def __init__(self, rng: Random, habits: Habits) -> None:
        self.rng = rng
        self.popularity = Popularity(habits.rooms)
        self.size = habits.size
        self.pace = habits.pace
        self._talks_every = rng.uniform(*TALK_SECONDS)
        rates = {"talk": habits.rate, "reconnect": habits.churn}
        self._every = {action: rate for action, rate in rates.items() if rate > 0}
        self._due: dict[str, float] = {}
        self._next: tuple[str, float] | None = None

    def upcoming(self, now: float, rest: Callable[[], float] | None = None) -> tuple[str, float]:
        """Its next action, and when it is due: the same until it is taken; `act` is any without a rate.

        What a scenario's user does has the rate itself, once `act_at_rate` was called.

        What has a rate is due by its own clock, whatever came of the last time; all else `rest` seconds from
        now, by default as people rest.
        """
        if self._next is None:
            for action, rate in self._every.items():
                self._due.setdefault(action, now + self.rng.expovariate(rate))
            if not {"talk", "act"} & self._every.keys():
                self._due["act"] = now + (rest or self.rest)()
            self._next = min(self._due.items(), key=lambda each: each[1])
        return self._next

    def act_at_rate(self) -> None:
        """From now on `act` has the rate that `talk` has, if there is one."""
        if "talk" in self._every:
            self._every["act"] = self._every.pop("talk")

    def take(self) -> tuple[str, float]:
        """The upcoming action, which is done now, and when it was due."""
        assert self._next is not None, "something was upcoming"
        (action, due), self._next = self._next, None
        if action in self._every:
            self._due[action] = due + self.rng.expovariate(self._every[action])
        return action, due

    def stay_away(self, seconds: float) -> None:
        """It is away for so long, by its own will: what would be due meanwhile is due so much later."""
        self._due = {action: due + seconds for action, due in self._due.items()}
        self._next = None

    def favourites(self) -> list[int]:
        """The one to three rooms that it is in at first."""
        return self.popularity.choose_some(self.rng, self.rng.randint(1, 3))

    def rest(self) -> float:
        """Seconds until its next action."""
        return self.rng.expovariate(1 / self._talks_every) / self.pace

    def away(self) -> float:
        """Seconds for which it is away after it lost its connection; with a churn, less than one."""
        if "reconnect" in self._every:
            return self.rng.random()
        return self.rng.expovariate(1 / AWAY_SECONDS) / self.pace

    def action(self) -> str:
        """Its next action: talk, look_back, wander or reconnect."""
        usual = {each: weight for each, weight in _ACTIONS.items() if each not in self._every}
        return self.rng.choices(list(usual), weights=list(usual.values()))[0]

    def words(self) -> str:
        """The text of a message: three to eighteen words."""
        return " ".join(self.rng.choices(_WORDS, k=self.rng.randint(3, 18)))
