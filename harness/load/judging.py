"""The verdict on a load, by the same checkers as for every other history.

They judge which messages arrived (delivery), in which order (ordering), the answers to joins and retries
(replay), whether correct messages were refused (errors), and clients that were disconnected or could not
connect (lifecycle). Presence and notices are left to `chatlab check`.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from math import inf
from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace

from harness.checkers import delivery, lifecycle, ordering, replay
from harness.checkers.catalogue import Anomaly
from harness.history.events import Fault, GaveUp, Opened, Stalled
from harness.history.index import HistoryIndex
from harness.load.doubts import LAG_LIMIT, Assessed, Difference, assess, badness, differences, own
from harness.load.figures import Figures
from harness.load.measured import ARRIVING, Measurements, Moment
from harness.load.merge import Merged
from harness.load.objectives import TIMED, Objective
from harness.load.proof import unproven
from harness.load.reached import Reached, reached
from harness.load.record import Recording, seconds
from harness.load.showing import shown_at
from harness.load.slots import Step
from harness.verdict.any_history import flaws_in
from harness.verdict.judge import STALL_LIMIT
from harness.verdict.outcome import Outcome, Text

MOST = 1000
"""Broken connections that are findings of their own; more of them say nothing new."""


_FOR_SILENCE = (1001, 1013)
"""Codes by which a server closes the connections of those who do not answer, or do not read."""


class Findings(Struct):
    """What the checkers found, and what they checked."""

    anomalies: list[Anomaly] = field(default_factory=list)
    rooms: int = 0
    connections: int = 0
    cuts: int = 0


class Load(Struct):
    """The parameters of a load, and how it went. Times are in seconds."""

    target: str
    shape: str
    seed: int
    processes: int
    seconds: float
    missing: int = 0
    """Processes whose record did not arrive."""
    flooded: int = 0
    """Bytes of different frames that came to processes which stopped reading, since they were too many."""
    objectives: list[Objective] = field(default_factory=list)
    date: str = ""
    """When the test began, as an ISO time (UTC)."""
    began: float | None = None
    """When the test began, on the clock of the process that judges; None: with the first event."""
    steps: list[Step] = field(default_factory=list)
    """The steps of a ramp; none for other shapes."""
    settings: dict[str, Any] = field(default_factory=dict)
    """What else was asked for, by the names of the options."""
    ended: str = "time"
    """What ended it: time, interrupted, server_ended, worker_lost, flooded or no_start."""


class StepVerdict(Struct):
    """The verdict on one step of a ramp, and its figures."""

    step: Step
    figures: Figures
    outcome: Outcome
    why: list[Text]
    """Why it has failed or is open: each objective that it misses is named."""
    objectives: list[Assessed] = field(default_factory=list)


class Result(Struct):
    """The verdict on a load: the outcome with all its reasons, and the figures."""

    load: Load
    outcome: Outcome
    findings: Findings
    reasons: list[Text]
    """Why it failed or is inconclusive, apart from the anomalies."""
    users: int
    """Users that connected."""
    messages: int
    deliveries: int
    talked: float
    """Seconds from the first message to the last."""
    times: dict[str, list[float]]
    """Sorted seconds of everything that was timed: delivery, echo, join, history, connect, reconnect, late.

    What was due while users arrived is not among them, but among `warm_up`.
    """
    lag: float
    """The 99th percentile of the seconds by which a load process woke up too late; of the worst process."""
    lags: list[float]
    """The same seconds, sorted, over all processes."""
    hosts: int
    warm_up_seconds: float = 0.0
    warm_up: Figures | None = None
    """What was measured while users arrived."""
    steady: Figures | None = None
    """What was measured after that."""
    steps: list[StepVerdict] = field(default_factory=list)
    timeline: list[Moment] = field(default_factory=list)
    slot: float = 1.0
    """Seconds of one entry of the timeline."""
    objectives: list[Assessed] = field(default_factory=list)
    checks: dict[str, tuple[int, int]] = field(default_factory=dict)
    """By the names of a scenario's checks: how many there were, and how many of them failed."""
    doubts: list[Text] = field(default_factory=list)
    """Those of the reasons that hold nothing against the server."""
    differing: list[Difference] = field(default_factory=list)
    """Figures that are the load's own."""
    reached: list[Reached] = field(default_factory=list)
    """What was asked for each second, and what was made; of a ramp, on its last step."""

    @property
    def breaks_at(self) -> Step | None:
        """The first step of a ramp that has failed."""
        failed = (each.step for each in self.steps if each.outcome is Outcome.FAILED)
        return next(failed, None) if self.load.steps else None


def judge(load: Load, recordings: list[Recording], offsets: dict[str, float] | None = None) -> Result:
    """Judge what all processes recorded. A million deliveries of a correct chat take about a second."""
    result: Result | None = None
    for step in judging(load, recordings, offsets):
        result = step if isinstance(step, Result) else None
    assert result is not None, "the last step is the result"
    return result


def judging(
    load: Load, recordings: list[Recording], offsets: dict[str, float] | None = None
) -> Iterator[str | Result]:
    """The same as a generator, so that the caller can do other work: yields each room, then the result."""
    merged = Merged(recordings, offsets, load.began)
    findings = Findings()
    complete = not load.missing and all(recording.complete for recording in recordings)
    load.flooded = sum(recording.different for recording in recordings if recording.flooded)
    if load.flooded and load.ended == "time":
        load.ended = "flooded"
    if complete and not load.flooded:
        yield from _find(merged, findings)
    yield _result(load, recordings, merged, findings, complete)


def _find(merged: Merged, findings: Findings) -> Iterator[str]:
    whole = HistoryIndex(merged.whole())
    rooms = [room for room in merged.joined if not merged.conns(room) <= merged.probes]
    findings.rooms = len(rooms)
    findings.connections = sum(
        each.opened < inf for number, each in whole.conns.items() if number not in merged.probes
    )
    findings.cuts = sum(isinstance(e, Fault) and e.fault == "reset" for e in merged.events)
    found = [
        *flaws_in(whole).values(),
        *lifecycle.server(whole, 0.0, inf),
        *lifecycle.connections(whole, 0.0, inf, MOST),
    ]
    for room in rooms:
        found += delivery.altered(whole, room)
        found += delivery.numbered_twice(whole, room)
        found += delivery.refused(whole, room)
        found += ordering.numbering(whole, room)
        found += ordering.by_senders(whole, room)
        found += replay.retries(whole, room)
    for room in rooms:
        yield room
        for some in merged.slices(room, set(unproven(merged, whole, room)) - merged.probes):
            index = HistoryIndex(some)
            found += delivery.lost(index, room)
            found += delivery.duplicates(index, room)
            found += delivery.leaks(index)
            found += ordering.by_receivers(index, room)
            found += replay.seams(index, room)
            yield room
    found = [anomaly for anomaly in _without_repeats(found) if not _is_of_probe(anomaly, merged)]
    findings.anomalies = found


def _is_of_probe(anomaly: Anomaly, merged: Merged) -> bool:
    """Whether it is about what the probe waited for in vain: it has less patience than users."""
    if not anomaly.kind.timed:
        return False
    last = anomaly.evidence[-1:]
    return any(isinstance(event, GaveUp) and event.conn in merged.probes for event in last)


def _without_repeats(found: list[Anomaly]) -> Iterator[Anomaly]:
    """Without repeats of anomalies that concern a message, not its receiver: each slice finds them again."""
    told: set[tuple[str, str, str]] = set()
    for anomaly in found:
        key = (anomaly.name, anomaly.variant, str(anomaly.params.get("room")))
        if anomaly.variant in ("nobody", "stuck", "sender"):
            if key in told:
                continue
            told.add(key)
        yield anomaly


def _result(
    load: Load, recordings: list[Recording], merged: Merged, findings: Findings, complete: bool
) -> Result:
    measured = Measurements(merged, recordings, load.seconds, load.steps)
    for each in findings.anomalies:
        if each.name == "lost" and each.variant in delivery.BY_ONE and each.evidence:
            measured.note_lost(each.evidence[0].at, int(each.params.get("count", 1)))
    steady, warm_up = (measured.figures(each) for each in (measured.slots.steady(), measured.slots.warm_up()))
    people = [recording for recording in recordings if not recording.busy_room]
    said = sorted(sent.at for each in merged.said.values() for sent in each if sent.conn not in merged.probes)
    timeline = measured.timeline()
    result = Result(
        load,
        Outcome.PASSED,
        findings,
        [],
        len({e.client for e in merged.events if isinstance(e, Opened) and e.conn not in merged.probes}),
        sum(moment.messages for moment in timeline),
        merged.deliveries,
        said[-1] - said[0] if said else 0.0,
        {name: steady.times.get(name, []) for name in TIMED},
        steady.lag,
        sorted(chain.from_iterable(seconds(recording.lags) for recording in people)),
        len({recording.host for recording in recordings}),
        measured.slots.warm_up_seconds,
        warm_up,
        steady,
        timeline=timeline,
        slot=float(measured.slots.width),
        differing=differences(steady),
        checks=_checks(recordings),
    )
    _assess(result, measured)
    last = result.steps[-1]
    share = last.step.users / load.settings.get("users", last.step.users) if load.steps else 1.0
    result.reached = list(reached(load.settings, last.figures, share))
    failures = list(_failures(result))
    open_figures = list(_doubts_of_figures(result))
    doubts = list(_doubts(result, _longest_stall(merged), complete))
    if any(isinstance(e, GaveUp) and e.wanted.endswith(lifecycle.OWN_LIMIT) for e in merged.events):
        doubts.append(Text("own_limit"))
    result.outcome = _outcome(result, failures, doubts, open_figures)
    result.doubts = doubts + open_figures
    result.reasons = failures + result.doubts
    return result


def _checks(recordings: list[Recording]) -> dict[str, tuple[int, int]]:
    """Those of all processes together."""
    found: dict[str, tuple[int, int]] = {}
    for recording in recordings:
        for name, (count, failed) in recording.checks.items():
            others = found.get(name, (0, 0))
            found[name] = others[0] + count, others[1] + failed
    return found


def _outcome(result: Result, failures: list[Text], doubts: list[Text], open_figures: list[Text]) -> Outcome:
    """Failed for what is certain, open for what is not, passed for the rest."""
    found = result.findings.anomalies
    if failures or any(_is_certain(anomaly, result) for anomaly in found):
        return Outcome.FAILED
    if doubts or (open_figures and found):
        return Outcome.INCONCLUSIVE
    if found:
        return Outcome.FAILED
    rests_on_them = any(each.outcome is Outcome.INCONCLUSIVE for each in result.objectives)
    if open_figures and (rests_on_them or not result.objectives):
        return Outcome.INCONCLUSIVE
    return Outcome.INCONCLUSIVE if rests_on_them else Outcome.PASSED


def _is_certain(anomaly: Anomaly, result: Result) -> bool:
    """Whether a finding does not rest on time: neither by itself, nor as a slow load was cut off."""
    if anomaly.kind.timed:
        return False
    parts = [each for each in (result.steady, result.warm_up) if each is not None]
    is_slow = any(True for part in parts for _ in own(part))
    return not (
        is_slow and anomaly.name == "dropped_connection" and anomaly.params.get("code") in _FOR_SILENCE
    )


def _assess(result: Result, measured: Measurements) -> None:
    """Judge the objectives, of all and of each step. Those of a ramp are kept if every step keeps them."""
    steps = result.load.steps or [Step(result.users, 0.0, measured.slots.count * result.slot)]
    assert result.steady is not None, "it was measured"
    assert result.warm_up is not None, "likewise"
    for step in steps:
        figures = measured.of(step)
        found = [
            each for each in result.findings.anomalies if _is_within(each, step, is_last=step is steps[-1])
        ]
        result.steps.append(_verdict_on(step, figures, found, result.load.objectives))
    for objective in result.load.objectives:
        result.objectives.append(_assessed(objective, result))
    if not result.load.steps:
        only = result.steps[0]
        worst = [each for each in result.objectives if each.outcome is not Outcome.PASSED]
        worst.sort(key=lambda each: each.outcome is not Outcome.FAILED)
        if only.outcome is not Outcome.FAILED and worst:
            only.outcome = worst[0].outcome
            only.why = [_said_of(each) for each in worst if each.outcome is only.outcome]


def _assessed(objective: Objective, result: Result) -> Assessed:
    """An objective in the part of the test that it is about; in a ramp, in the step that is worst for it."""
    assert result.steady is not None, "it was measured"
    assert result.warm_up is not None, "likewise"
    if result.load.missing:
        return Assessed(objective, None, Outcome.INCONCLUSIVE)
    if objective.in_warm_up:
        return assess(objective, result.warm_up)
    if result.load.steps:
        found = [each for step in result.steps for each in step.objectives if each.objective is objective]
        return max(found, key=badness)
    steady = result.steady
    is_due = bool(steady.times.get(objective.row)) or steady.never_of(objective.row) > 0
    if objective.row in ARRIVING and steady.seconds and not is_due:
        arrivals = assess(objective, result.warm_up)
        arrivals.why = arrivals.why or Text("of_arrivals")
        return arrivals
    return assess(objective, result.steady)


def _is_within(anomaly: Anomaly, step: Step, *, is_last: bool) -> bool:
    """Whether a fault showed in a step; what has no events, or is later, is the last one's."""
    at = shown_at(anomaly)
    return step.begin <= at and (at < step.end or is_last)


def _verdict_on(
    step: Step, figures: Figures, found: list[Anomaly], objectives: list[Objective]
) -> StepVerdict:
    """The verdict on one step."""
    assessed = [
        replace(assess(each, figures), users=step.users) for each in objectives if not each.in_warm_up
    ]
    verdict = StepVerdict(step, figures, Outcome.PASSED, [], assessed)
    missed = [_said_of(each) for each in assessed if each.outcome is Outcome.FAILED]
    undecided = [_said_of(each) for each in assessed if each.outcome is Outcome.INCONCLUSIVE]
    if found or missed:
        findings = [Text("found", {"anomalies": len(found)})] if found else []
        verdict.outcome, verdict.why = Outcome.FAILED, findings + missed
    elif undecided:
        verdict.outcome, verdict.why = Outcome.INCONCLUSIVE, undecided
    elif not objectives:
        doubts = [*own(figures), *(each.text for each in differences(figures))][:1]
        verdict.outcome, verdict.why = Outcome.INCONCLUSIVE if doubts else Outcome.PASSED, doubts
    return verdict


def _said_of(assessed: Assessed) -> Text:
    """What to say, in its step, about an objective that is not kept, or open."""
    key = "not_kept" if assessed.outcome is Outcome.FAILED else "open"
    return Text(key, {"objective": assessed.objective.text, "value": shown(assessed)})


def _said_of_all(assessed: Assessed) -> Text:
    """The same for the whole test, which names the step of a ramp."""
    said = _said_of(assessed)
    if assessed.users is None:
        return said
    return Text(f"{said.key}_at", {**said.params, "users": assessed.users})


def shown(assessed: Assessed) -> str:
    """The figure of an objective, with its unit."""
    if assessed.value is None:
        return "–"
    return f"{1000 * assessed.value:.1f} ms" if assessed.objective.is_timed else f"{assessed.value:g}"


def _longest_stall(merged: Merged) -> float:
    return max((event.seconds for event in merged.events if isinstance(event, Stalled)), default=0.0)


def _failures(result: Result) -> Iterator[Text]:
    """A flood, a scenario's checks, and objectives that are certainly not kept."""
    if result.load.flooded:
        yield Text("flooding", {"mebibytes": result.load.flooded >> 20, "messages": result.messages})
    for name, (count, failed) in result.checks.items():
        if failed:
            yield Text("check", {"name": name, "failed": failed, "count": count})
    if result.breaks_at is not None:
        yield Text("breaks_at", {"users": result.breaks_at.users})
    yield from (_said_of_all(each) for each in result.objectives if each.outcome is Outcome.FAILED)


def _doubts(result: Result, stall: float, complete: bool) -> Iterator[Text]:
    """Why a pass would prove nothing."""
    if result.load.missing:
        yield Text("missing", {"count": result.load.missing, "of": result.load.processes})
    elif not complete:
        yield Text("too_long")
    if stall > STALL_LIMIT and result.lag <= LAG_LIMIT:
        yield Text("stalled", {"seconds": round(stall, 1)})
    if not result.messages and not result.findings.anomalies:  # else these are why
        yield Text("nothing_said")
    if not result.findings.anomalies:
        yield from (each.text for each in result.reached if each.is_missed)


def _doubts_of_figures(result: Result) -> Iterator[Text]:
    """Why times may be the load's own."""
    assert result.steady is not None, "it was measured"
    if not result.steady.seconds and result.warm_up is not None:
        yield Text("all_warm_up")
        yield from own(result.warm_up)
    yield from own(result.steady)
    yield from (each.text for each in result.differing)
    yield from (_said_of_all(each) for each in result.objectives if each.outcome is Outcome.INCONCLUSIVE)
