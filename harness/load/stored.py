"""A result of `chatlab load --json`, read back: what its page, a comparison and OpenMetrics are made from.

Times are in milliseconds if their names say so, else in seconds. An older version wrote less.
"""

from __future__ import annotations

import json
from itertools import pairwise
from math import isfinite
from typing import Literal

import msgspec
from msgspec import Struct, field

Verdict = Literal["passed", "failed", "inconclusive"]
PERCENTILES = {"p50": 50.0, "p95": 95.0, "p99": 99.0, "p99_9": 99.9, "p100": 100.0}
"""The names of percentiles, and what share of the values, in per cent, does not exceed each."""
_SLOWED_TIMES = 4
"""How many times the least p99 of the steps before makes a step that slows down, ..."""
_SLOWED_MS = 50
"""... if it is so many milliseconds longer, too."""


class Times(Struct):
    """Percentiles of what was timed, in milliseconds."""

    count: int | None = None
    p50: float | None = None
    p95: float | None = None
    p99: float | None = None
    p99_9: float | None = None
    p100: float | None = None

    def __post_init__(self) -> None:
        """Where nothing was timed, there is no percentile, and not 0."""
        if not (self.p50 or self.p99):
            self.p50 = self.p95 = self.p99 = self.p99_9 = self.p100 = None


class Second(Struct):
    """What happened in one second of a load, or in some of a long one; `at` is its beginning."""

    at: float
    users: int = 0
    messages: int = 0
    deliveries: int = 0
    errors: int = 0
    p50_ms: float | None = None
    p99_ms: float | None = None
    probe_p99_ms: float | None = None
    lag_p99_ms: float | None = None
    cpu: float | None = None

    def __post_init__(self) -> None:
        """Where nothing was timed, there is no percentile, and not 0."""
        if not self.deliveries:
            self.p50_ms = self.p99_ms = None
        self.probe_p99_ms = self.probe_p99_ms or None


class Step(Struct, rename={"start": "from", "end": "to"}):
    """A time with one number of users, as in a ramp."""

    users: int
    start: float
    end: float
    messages_per_second: float = 0.0
    deliveries_per_second: float = 0.0
    errors: int = 0
    delivery: Times = field(default_factory=Times)
    connect: Times = field(default_factory=Times)
    probe: dict[str, Times] = field(default_factory=dict)
    verdict: Verdict = "passed"
    why: str | None = None

    @property
    def probe_p99(self) -> float | None:
        """The p99 of delivery by the probe; None if it saw none."""
        return self.probe.get("delivery", Times()).p99


class Objective(Struct):
    """An objective such as `delivery.p99=250ms`, and whether it was kept."""

    text: str
    value: float | None = None
    outcome: Verdict = "inconclusive"
    users: int | None = None
    """Those of the step of a ramp whose value it is."""
    why: str | None = None

    @property
    def is_timed(self) -> bool:
        """Whether its value is in milliseconds."""
        return ".p" in self.text


class Differing(Struct):
    """A percentile by which the load's own figures differ from those of the probe."""

    row: str
    percent: float
    load_ms: float
    probe_ms: float


class Finding(Struct):
    """An anomaly, in the language of the report."""

    name: str
    rule: str = ""
    title: str = ""
    message: str = ""
    cause: str = ""


class Check(Struct):
    """A check of a scenario: how many there were, and how many of them failed."""

    name: str
    count: int = 0
    failed: int = 0


class Stored(Struct):
    """The result as it was written."""

    verdict: Verdict
    target: str
    shape: str
    seed: int
    users: int
    processes: int
    seconds: float
    messages: int
    deliveries: int
    times_ms: dict[str, Times]
    version: str = ""
    began: str = ""
    """ISO time in UTC; empty if an older version wrote it."""
    ended: str = "time"
    rooms: int = 0
    connections: int = 0
    cuts: int = 0
    warm_up_seconds: float = 0.0
    messages_per_second: float = 0.0
    deliveries_per_second: float = 0.0
    lag_p99_ms: float | None = None
    errors: int | None = None
    warm_up_times_ms: dict[str, Times] = field(default_factory=dict)
    differs: list[Differing] = field(default_factory=list)
    settings: dict[str, str | float | int | bool | None] = field(default_factory=dict)
    probe_ms: dict[str, Times] = field(default_factory=dict)
    timeline: list[Second] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    histogram: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    objectives: list[Objective] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)
    """Those of the reasons that hold nothing against the server."""
    anomalies: list[Finding] = field(default_factory=list)

    @property
    def date(self) -> str:
        """When it began, to be read: 2026-11-30 20:15 UTC."""
        return f"{self.began[:16].replace('T', ' ')} UTC" if self.began else ""

    @property
    def broken(self) -> Step | None:
        """The first step that failed: the load breaks the server there."""
        return next((step for step in self.steps if step.verdict == "failed"), None)

    @property
    def slowed(self) -> tuple[Step, Step] | None:
        """The first step that is far slower than the best before it, and that one; None if there is none."""
        for place, step in enumerate(self.steps):
            before = [each for each in self.steps[:place] if each.delivery.p99]
            if not before or not step.delivery.p99 or step.verdict == "inconclusive":
                continue
            best = min(before, key=lambda each: each.delivery.p99 or 0.0)
            least = best.delivery.p99 or 0.0
            if step.delivery.p99 > max(_SLOWED_TIMES * least, least + _SLOWED_MS):
                return step, best
        return None

    @property
    def is_ramp(self) -> bool:
        """Whether it has steps of different sizes."""
        return any(one.users != other.users for one, other in pairwise(self.steps))


def read(text: str | bytes) -> Stored:
    """The result in the text of a file. Raises ValueError, which says what is wrong with it."""
    try:
        values = json.loads(text, parse_float=_finite, parse_constant=_finite)
        return msgspec.convert(values, Stored)
    except (ValueError, OverflowError, RecursionError, msgspec.ValidationError) as error:
        raise ValueError(str(error)) from error


def _finite(text: str) -> float:
    value = float(text)
    if not isfinite(value):
        raise ValueError(f"{text} is no finite number")
    return value
