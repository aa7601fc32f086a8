"""Two results beside each other: what differs by more than two runs of one server differ anyway.

A single run has no spread of its own, and its values are not independent: a message to a room of a hundred
gives a hundred times that are nearly the same, and one pause of the machine makes a whole second slow. So no
test of significance is computed from their number. A difference of times is marked only if

1. at least BEYOND values lie beyond that percentile in both runs: fewer are single events;
2. it is larger than a SHARE of the smaller value, and than LEAST_MS;
3. the same run is the slower one in at least AGREE of the seconds, compared in the order of time: one pause
   moves a p99, and not most of the seconds. That is known of deliveries alone;
4. neither load was too slow itself, as a whole or in this row: then its times are not the server's;
5. and, if there are more runs of what A is, the same is so beside each of them. They show what no single run
   can: how much equal runs differ by what else the machine does. So less is asked for then, and rows are
   judged that are not known second by second.

`harness/load/README.md` has figures of how often that marks equal runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from math import sqrt

from msgspec import Struct

from harness.load.stored import PERCENTILES, Second, Step, Stored, Times

BEYOND = 10
SHARE_ALONE, SHARE, SHARE_UNSEEN = 0.5, 0.25, 1.0
"""With one run of each; with more runs of A; and then for what is not known second by second."""
LEAST_MS = 1.0
AGREE = 0.75
_LEAST_SECONDS = 8
"""Seconds that there must be in both, to be compared in the order of time."""
_RATE_SHARE = 0.1
_ERRORS = 3.0
"""Standard deviations by which counts must differ."""
ROWS = ("delivery", "echo", "join", "history", "connect", "reconnect")
"""What is timed, in the order of the report; other rows follow."""
_BY_SECONDS = ("delivery", "echo")
"""Those of which the seconds are known: an echo is the delivery to the sender."""
_OF_THE_LOAD = ("late",)
"""Rows that say nothing of the server."""


class Mark(Enum):
    """What a difference means; the values are keys of texts."""

    WORSE = "worse"
    BETTER = "better"
    SAME = "same"
    ONCE = "once"
    FEW = "few"
    UNSURE = "unsure"
    DIFFERS = "differs"
    NONE = "none"


class Row(Struct):
    """A figure of both runs. `name` and `part` say which, such as delivery and p99; `share` is the change."""

    name: str
    part: str
    a: float | None
    b: float | None
    mark: Mark
    share: float | None = None

    @property
    def key(self) -> tuple[str, str]:
        """What it is the figure of."""
        return self.name, self.part


class Kept(Struct):
    """Something that a run keeps or not: its verdict, an objective, where it breaks. Verdicts, or users."""

    name: str
    a: str | int | None
    b: str | int | None
    mark: Mark

    @property
    def key(self) -> tuple[str, str]:
        """What it is."""
        return self.name, ""


class Comparison(Struct):
    """All of it; `differs` names the settings in which the runs differ."""

    rows: list[Row]
    kept: list[Kept]
    differs: list[str]
    is_unsure: bool

    @property
    def everything(self) -> list[Row | Kept]:
        """All that has a mark."""
        return [*self.rows, *self.kept]


def settings_of(stored: Stored) -> dict[str, str]:
    """What the load was asked for, by the names of the options; and which kit did it."""
    known: dict[str, object] = {
        "target": stored.target,
        "version": stored.version,
        "shape": stored.shape,
        "users": stored.users,
        "processes": stored.processes,
        "seed": stored.seed,
    }
    asked = ", ".join(each.text for each in stored.objectives)
    given = {**known, **stored.settings, "objectives": asked}
    return {name: str(value) for name, value in given.items() if value not in (None, "")}


def compare(a: Stored, b: Stored, also: Sequence[Stored] = ()) -> Comparison:
    """Compare what B did with what A did; `also` are more runs of what A is."""
    sound = [each for each in also if each.verdict != "inconclusive" and not each.differs]
    found = _compare(a, b, bool(sound))
    for each in sound:
        marks = {one.key: one.mark for one in _compare(each, b, True).everything}
        for one in found.everything:
            if one.mark in (Mark.WORSE, Mark.BETTER) and marks.get(one.key) is not one.mark:
                one.mark = Mark.SAME
    return found


def _compare(a: Stored, b: Stored, has_more: bool) -> Comparison:
    one, other = settings_of(a), settings_of(b)
    differs = [name for name in {**one, **other} if one.get(name) != other.get(name)]
    is_unsure = "inconclusive" in (a.verdict, b.verdict)
    rows = []
    own = {each.row for each in (*a.differs, *b.differs)}
    others = (name for name in {**a.times_ms, **b.times_ms} if name not in (*ROWS, *_OF_THE_LOAD))
    for name in (*ROWS, *others):
        times = a.times_ms.get(name, Times()), b.times_ms.get(name, Times())
        slower = _seconds(a.timeline, b.timeline) if name in _BY_SECONDS else {}
        rows += _times(name, *times, _Case(slower, has_more, is_unsure or name in own))
    for step, same in _same_steps(a, b):
        slower = _seconds(*(_within(each, one.timeline) for each, one in ((step, a), (same, b))))
        case = _Case(slower, has_more, is_unsure or "delivery" in own)
        rows += _times(str(step.users), step.delivery, same.delivery, case, ("p50", "p99"))
    asked_for_other = bool({*differs} - {"target", "version", "objectives"})
    rows += _rates(a, b, asked_for_other)
    return Comparison(rows, list(_kept(a, b)), differs, is_unsure or bool(own))


# --- times --------------------------------------------------------------------------------------------


class _Case(Struct):
    """What is known besides two values: in what share of the seconds B is slower, by percentile."""

    slower: dict[str, float]
    has_more: bool
    is_unsure: bool

    def mark(self, part: str, one: float, other: float) -> Mark:
        """What a difference of a percentile means."""
        slower = self.slower.get(part)
        if self.is_unsure:
            return Mark.UNSURE
        if slower is None and not self.has_more:
            return Mark.ONCE
        share = SHARE_UNSEEN if slower is None else SHARE if self.has_more else SHARE_ALONE
        if abs(other - one) <= max(share * min(one, other), LEAST_MS):
            return Mark.SAME
        if slower is not None and (slower if other > one else 1 - slower) < AGREE:
            return Mark.SAME
        return Mark.WORSE if other > one else Mark.BETTER


def _times(
    name: str, a: Times, b: Times, case: _Case, parts: tuple[str, ...] = ("p50", "p95", "p99", "p99_9")
) -> list[Row]:
    rows = []
    for part in parts:
        one, other = getattr(a, part), getattr(b, part)
        if one is None and other is None:
            continue
        mark, share = Mark.NONE, None
        if one is not None and other is not None:
            share = (other - one) / one if one else None
            few = any(_is_few(each.count, part) for each in (a, b))
            mark = Mark.FEW if few and not case.is_unsure else case.mark(part, one, other)
        rows.append(Row(name, part, one, other, mark, share))
    return rows


def _is_few(count: int | None, part: str) -> bool:
    return count is not None and count * (1 - PERCENTILES[part] / 100) < BEYOND - 1e-6


def _seconds(a: list[Second], b: list[Second]) -> dict[str, float]:
    """By percentile: in what share of the seconds B is slower than A at the same time; equal is a half."""
    found: dict[str, float] = {}
    for parts, key in ((("p50",), "p50_ms"), (("p95", "p99", "p99_9"), "p99_ms")):
        pairs = [(getattr(one, key), getattr(other, key)) for one, other in zip(a, b, strict=False)]
        known = [(one, other) for one, other in pairs if one is not None and other is not None]
        if len(known) >= _LEAST_SECONDS:
            share = sum((other > one) + (other == one) / 2 for one, other in known) / len(known)
            found |= dict.fromkeys(parts, share)
    return found


def _within(step: Step, timeline: list[Second]) -> list[Second]:
    return [each for each in timeline if step.start <= each.at < step.end]


def _same_steps(a: Stored, b: Stored) -> list[tuple[Step, Step]]:
    """Steps of ramps with as many users."""
    if not (a.is_ramp and b.is_ramp):
        return []
    theirs = {step.users: step for step in b.steps}
    return [(step, theirs[step.users]) for step in a.steps if step.users in theirs]


# --- rates, and what is kept --------------------------------------------------------------------------


def _rates(a: Stored, b: Stored, asked_for_other: bool) -> list[Row]:
    """Who asks for another load, or another seed, gets other rates: these are told, and not judged."""
    rows = []
    noise = _ERRORS * sqrt(1 / max(a.messages, 1) + 1 / max(b.messages, 1))
    for name in ("messages_per_second", "deliveries_per_second"):
        one, other = getattr(a, name), getattr(b, name)
        share = (other - one) / one if one else None
        mark = Mark.SAME
        if asked_for_other:
            mark = Mark.DIFFERS
        elif share is not None and abs(share) > max(_RATE_SHARE, noise):
            mark = Mark.WORSE if share < 0 else Mark.BETTER
        rows.append(Row(name, "", one, other, mark, share))
    one, other = (each.errors or 0 for each in (a, b))
    if one or other:
        is_beyond = abs(other - one) > _ERRORS * sqrt(one + other)
        mark = (Mark.WORSE if other > one else Mark.BETTER) if is_beyond else Mark.SAME
        rows.append(Row("errors", "", one, other, mark, (other - one) / one if one else None))
    return rows


def _kept(a: Stored, b: Stored) -> list[Kept]:
    verdict = _verdicts(a.verdict, b.verdict)
    if _fails_by_others(a, b) or _fails_by_others(b, a):
        verdict = Mark.DIFFERS
    kept = [Kept("verdict", a.verdict, b.verdict, verdict)]
    counts = len(a.anomalies), len(b.anomalies)
    if any(counts):
        kept.append(Kept("findings", *counts, _more_is_worse(bool(counts[0]), bool(counts[1]))))
    if a.is_ramp and b.is_ramp:
        one, other = (each.broken.users if each.broken else None for each in (a, b))
        mark = _more_is_worse(-one if one else float("-inf"), -other if other else float("-inf"))
        if mark is not Mark.SAME and _texts(a) != _texts(b):
            mark = Mark.DIFFERS
        kept.append(Kept("breaks", one, other, mark))
    theirs = {each.text: each.outcome for each in b.objectives}
    for each in a.objectives:
        if each.text in theirs:
            outcome = theirs[each.text]
            kept.append(Kept(each.text, each.outcome, outcome, _verdicts(each.outcome, outcome)))
    return kept


def _texts(stored: Stored) -> set[str]:
    return {each.text for each in stored.objectives}


def _fails_by_others(one: Stored, other: Stored) -> bool:
    """Whether it fails by nothing but objectives that the other run did not have."""
    missed = {each.text for each in one.objectives if each.outcome == "failed"}
    is_wrong = one.anomalies or one.ended in ("server_ended", "flooded") or any(c.failed for c in one.checks)
    return one.verdict == "failed" and bool(missed) and not is_wrong and not missed & _texts(other)


def _verdicts(one: str, other: str) -> Mark:
    if one == other:
        return Mark.SAME
    if "inconclusive" in (one, other):
        return Mark.UNSURE
    return Mark.WORSE if other == "failed" else Mark.BETTER


def _more_is_worse(one: float, other: float) -> Mark:
    return Mark.SAME if one == other else Mark.WORSE if other > one else Mark.BETTER
