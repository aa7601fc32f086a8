"""Whether figures are the server's, or the load's own; and what that means for objectives.

A load process that is busy times its own queues. The probe does the same operations, few of them, in a
process of its own: where the users' figures are far above its figures, the difference is the load's. Then
nothing is held against the server that the probe does not say, too:

- An objective that the users' figure keeps is kept: a late load makes times longer, never shorter.
- One that it does not keep has failed only if the figure is not in doubt, and the probe does not contradict.
- What never came, or was refused, is later than every limit.
- One in doubt that the probe's figure keeps (or misses) with certainty is decided by the probe, unless the
  whole machine is too busy.
- All others stay open.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import inf, isinf

from msgspec import Struct

from harness.load.figures import Figures, bounds, percentile, rate
from harness.load.objectives import Objective
from harness.verdict.outcome import Outcome, Text

LAG_LIMIT = 0.1
"""Seconds: if one in a hundred wake-ups of a load process is later, it distorts the latencies itself."""
CPU_LIMIT = 0.9
"""The share of the time, running or waiting to, above which a load process has none to spare."""
SHARE, SOME = 0.2, 0.005
"""By which share, and by how many seconds more, a figure may be above the probe's."""
COMPARED = ("connect", "delivery", "join")
"""What is the same for the probe as for users."""
ENOUGH = 20
"""Values of the probe without which nothing is compared."""
PROBE_LAG_LIMIT = 0.05
"""Seconds, as LAG_LIMIT, for the probe, which does little: if it is late, the whole machine is."""
_STARVED = ("lag", "probe_late")
"""Doubts by which the whole machine is too busy, the probe and the server included."""
_PERCENTS = (50.0, 95.0, 99.0)


class Difference(Struct, frozen=True):
    """A figure of the load that is far above the probe's; both in seconds."""

    row: str
    percent: float
    load: float
    probe: float

    @property
    def text(self) -> Text:
        """What to say about it."""
        values = {"load": f"{1000 * self.load:.1f}", "probe": f"{1000 * self.probe:.1f}"}
        return Text("differs", {"row": self.row, "percent": f"{self.percent:g}", **values})


class Assessed(Struct):
    """An objective, the figure that it is about (seconds or a count; None if there is none), and why so."""

    objective: Objective
    value: float | None
    outcome: Outcome
    why: Text | None = None
    users: int | None = None
    """Those of the step of a ramp whose figure it is."""


def badness(assessed: Assessed) -> tuple[int, float]:
    """How far an objective is from being kept: the step of a ramp in which this is the largest is shown.

    A step in which nothing of it was due says least, and one in which it never came most.
    """
    if assessed.value is None:
        return (3, inf) if assessed.outcome is Outcome.FAILED else (0, 0.0)
    worst = {Outcome.PASSED: 1, Outcome.INCONCLUSIVE: 2, Outcome.FAILED: 3}[assessed.outcome]
    return worst, -assessed.value if assessed.objective.row == "rate" else assessed.value


def differences(figures: Figures) -> list[Difference]:
    """For each row that differs, the percentile that does by most."""
    found = (_worst(row, *both) for row, both in figures.compared.items())
    return [each for each in found if each is not None]


def _worst(row: str, load: list[float], probe: list[float]) -> Difference | None:
    if not load or len(probe) < ENOUGH:
        return None
    far = [
        Difference(row, percent, percentile(load, percent), percentile(probe, percent))
        for percent in _PERCENTS
        if percentile(load, percent) > bounds(probe, percent)[1] * (1 + SHARE) + SOME
    ]
    return max(far, key=lambda each: each.load / max(each.probe, 1e-6), default=None)


def own(figures: Figures) -> Iterator[Text]:
    """Why all times may be the load's own, whatever the probe says."""
    if figures.lag > LAG_LIMIT:
        yield Text("lag", {"lag": round(figures.lag * 1000), "limit": round(LAG_LIMIT * 1000)})
    if figures.cpu + figures.waited > CPU_LIMIT:
        shares = {"percent": round(100 * figures.cpu), "waited": round(100 * figures.waited)}
        yield Text("cpu", shares)
    if any(figures.probe.values()) and figures.probe_lag > PROBE_LAG_LIMIT:
        yield Text("probe_late", {"lag": round(1000 * figures.probe_lag)})


def assess(objective: Objective, figures: Figures) -> Assessed:
    """Whether an objective is kept in a part of a test."""
    if not objective.is_timed:
        return _assess_count(objective, figures)
    times, never = figures.times.get(objective.row, []), figures.never_of(objective.row)
    if not times and not never:
        return Assessed(objective, None, Outcome.INCONCLUSIVE, Text("nothing_timed"))
    value = objective.of([*times, *[inf] * never] if never else times)
    if isinf(value):
        slow = next(own(figures), None)
        why = slow or Text("never", {"count": never, "of": len(times) + never})
        return Assessed(objective, None, Outcome.INCONCLUSIVE if slow else Outcome.FAILED, why)
    if objective.is_kept_by(value):
        return Assessed(objective, value, Outcome.PASSED)
    differ = {each.row: each for each in differences(figures)}
    doubt = next(own(figures), None)
    if differ:  # rows that the probe does not measure are held up by the same process
        doubt = differ.get(objective.row, next(iter(differ.values()))).text
    probe = figures.compared.get(objective.row, ([], []))[1]
    if objective.row not in COMPARED or not any(figures.probe.values()):
        return Assessed(objective, value, Outcome.INCONCLUSIVE if doubt else Outcome.FAILED, doubt)
    if len(probe) < ENOUGH:
        few = Text("few_probed", {"count": len(probe), "least": ENOUGH})
        return Assessed(objective, value, Outcome.INCONCLUSIVE, doubt or few)
    if any(each.key in _STARVED for each in own(figures)):
        return Assessed(objective, value, Outcome.INCONCLUSIVE, doubt)
    return _by_both(objective, value, probe, doubt)


def _by_both(objective: Objective, value: float, probe: list[float], doubt: Text | None) -> Assessed:
    """Whether an objective is kept that the users' figure does not keep, by what the probe says."""
    low, high = bounds(probe, objective.percent)
    by_probe = objective.of(probe)
    if doubt and objective.is_kept_by(high):
        why = Text("by_probe", {"load": f"{1000 * value:.1f}"})
        return Assessed(objective, by_probe, Outcome.PASSED, why)
    if doubt and not objective.is_kept_by(low):
        return Assessed(objective, by_probe, Outcome.FAILED, Text("by_both", {"load": f"{1000 * value:.1f}"}))
    if not doubt and not objective.is_kept_by(high):
        return Assessed(objective, value, Outcome.FAILED)
    said = Text("contradicted", {"probe": f"{1000 * by_probe:.1f}", "worst": f"{1000 * high:.1f}"})
    return Assessed(objective, value, Outcome.INCONCLUSIVE, doubt or said)


def _assess_count(objective: Objective, figures: Figures) -> Assessed:
    is_rate = objective.row == "rate"
    value = rate(figures.messages, figures.seconds) if is_rate else float(figures.errors)
    if objective.is_kept_by(value):
        return Assessed(objective, value, Outcome.PASSED)
    doubt = next(own(figures), None) if is_rate else None
    return Assessed(objective, value, Outcome.INCONCLUSIVE if doubt else Outcome.FAILED, doubt)
