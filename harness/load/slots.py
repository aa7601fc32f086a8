"""The time of a load in slots of a second, each of which is warm-up or not, and belongs to one step.

While users arrive, what is measured is their arrival: it is *warm-up*, and told apart. A slot is warm-up if a
user was arriving in it, or has arrived less than AFTER seconds before. Everything that was timed belongs to
the slot in which it was due, so that what was held up by a slow moment counts there.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from itertools import chain
from math import ceil

from msgspec import Struct

AFTER = 1.0
"""Seconds after an arrival that are still warm-up: what it has caused takes a moment."""
STEP_SECONDS = 30.0
"""Seconds of a step of a ramp if the test has no time limit."""
MOST = 600
"""Slots of a test at the most: a longer one has longer ones."""


class Step(Struct, frozen=True):
    """A part of a test with about so many users; times are in seconds since its begin."""

    users: int
    begin: float
    end: float


def steps_of(users: int, seconds: float | None, count: int, passed: float) -> list[Step]:
    """The steps of a ramp that have begun within so many seconds."""
    each = (seconds or STEP_SECONDS * count) / count
    begun = min(int(passed / each) + 1, count)
    return [
        Step(ceil(users * (n + 1) / count), n * each, passed if n == begun - 1 else (n + 1) * each)
        for n in range(begun)
    ]


class Slots:
    """The slots of a test that lasted so many seconds. `arrivals` are pairs: due, and done."""

    def __init__(self, lasted: float, arrivals: Iterable[tuple[float, float]], steps: list[Step]) -> None:
        self.width = max(1, ceil(lasted / MOST))
        """Seconds in one slot."""
        self.count = max(ceil(lasted / self.width), 1)
        self.lasted = lasted
        self.steps = steps
        self.is_warm_up = [False] * self.count
        for due, done in arrivals:
            for slot in range(self.at(due), self.at(done + AFTER) + 1):
                self.is_warm_up[slot] = True

    def at(self, time: float) -> int:
        """The slot of a time; what is before or after the test belongs to the first, or the last."""
        return min(max(int(time / self.width), 0), self.count - 1)

    @property
    def warm_up_seconds(self) -> float:
        """Seconds of warm-up."""
        return float(self.width * sum(self.is_warm_up))

    def seconds(self, slots: Iterable[int]) -> float:
        """How long some slots are in all: the last one of a test may be shorter than the others."""
        return sum(min(float(self.width), max(self.lasted - slot * self.width, 0.0)) for slot in slots)

    def steady(self) -> list[int]:
        """The slots that are no warm-up."""
        return [slot for slot in range(self.count) if not self.is_warm_up[slot]]

    def warm_up(self) -> list[int]:
        """The slots that are."""
        return [slot for slot in range(self.count) if self.is_warm_up[slot]]

    def of(self, step: Step) -> list[int]:
        """The slots that begin in a step."""
        return [slot for slot in range(self.count) if step.begin <= slot * self.width < step.end]


class Times:
    """Seconds that things took, by their name and the slot in which they were due."""

    def __init__(self, slots: Slots) -> None:
        self._slots = slots
        self._of: dict[str, list[array[float]]] = {}

    def row(self, name: str) -> list[array[float]]:
        """The seconds in each slot, and one more for what has none; created when it is looked up."""
        if name not in self._of:
            self._of[name] = [array("d") for _ in range(self._slots.count + 1)]
        return self._of[name]

    @property
    def names(self) -> list[str]:
        """The names of which there are any."""
        return list(self._of)

    def add(self, name: str, due: float, seconds: float) -> None:
        """Note what something took."""
        self.row(name)[self._slots.at(due)].append(seconds)

    def within(self, name: str, slots: Iterable[int]) -> list[float]:
        """All seconds of a name in some slots, in rising order."""
        row = self._of.get(name)
        return sorted(chain.from_iterable(row[slot] for slot in slots)) if row else []

    def all_within(self, slots: Iterable[int]) -> dict[str, list[float]]:
        """The same for all names of which there are any."""
        some = list(slots)
        return {name: found for name in self._of if (found := self.within(name, some))}


_PICKED = 10
"""Values of a user in a slot that are picked for each of the probe's."""


def matched(users: Times, probe: Times, slots: Iterable[int]) -> dict[str, tuple[list[float], list[float]]]:
    """For each name of the probe: values of users, and the probe's, with the same weight for each slot.

    The probe measures all the time, users when they do something: in a storm, or on the last step of a ramp,
    far more. So only slots that have both count, and in each as many values of users, evenly picked, for one
    of the probe's.
    """
    found: dict[str, tuple[list[float], list[float]]] = {}
    some = list(slots)
    for name in probe.names:
        ours, theirs = found.setdefault(name, ([], []))
        for slot in some:
            mine, other = sorted(users.row(name)[slot]), probe.row(name)[slot]
            if not mine or not other:
                continue
            picks = _PICKED * len(other)
            ours += (mine[int((n + 0.5) * len(mine) / picks)] for n in range(picks))
            theirs += other
        ours.sort()
        theirs.sort()
    return found


def pairs(data: bytes, shift: float = 0.0) -> Iterator[tuple[float, float]]:
    """The pairs in the bytes of an array of type d; `shift` is added to the first of each."""
    values = iter(array("d", data))
    return ((first + shift, second) for first, second in zip(values, values, strict=True))
