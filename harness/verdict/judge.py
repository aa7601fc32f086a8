"""Turns a history into a verdict on each step: the scenario's checks, and what holds for every scenario."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from typing import Any

from msgspec.structs import replace

from harness.checkers import lifecycle
from harness.checkers.catalogue import Anomaly
from harness.history.events import Event, Server
from harness.history.index import HistoryIndex
from harness.verdict.any_history import flaws_in
from harness.verdict.outcome import Outcome, StepCheck, StepResult, Text
from harness.verdict.steps import points_for, steps_of

STALL_LIMIT = 1.0
"""Seconds for which the harness may be held up. After that, what did not come in time proves nothing."""


_NOTHING_DONE = ("nothing_done", "nothing_said_after", "nothing_missed", "history_short")
"""Doubts because the server did too little: if it failed before, that is the cause, and not the machine."""


def judge(
    exercise: int, findings: Mapping[str, StepCheck], index: HistoryIndex, component: str | None
) -> list[StepResult]:
    """The verdict on each step of an exercise, in which the scenario's checks have found these `findings`.

    `component` is the one that is judged alone, if one is: only the steps that it can break carry points.
    """
    steps = steps_of(exercise)
    flaws = flaws_in(index)
    results: list[StepResult] = []
    blocked: str | None = None
    lacking, limit = _not_simulated(index), limit_of_machine(index)
    for step in steps:
        finding = findings[step]
        start, stop = index.steps.get(step, (inf, inf))
        anomalies = [*finding.anomalies, *([flaws[step]] if step in flaws else [])]
        if start < inf:
            end = stop if stop < inf else inf
            ended = [each for world in index.worlds for each in lifecycle.server(world, start, end)]
            anomalies = [*ended, *anomalies]
            # A client that was disconnected missed much else: that comes first.
            cut_off = _not_reported_yet(anomalies, _cut_off(index, start, end))
            anomalies = [*cut_off, *anomalies]
        finished = stop < inf
        if limit is not None and (anomalies or not finished) and finding.skipped is None:
            finding, anomalies = StepCheck([], finding.proof, doubt=limit), []
        elif not finished and lacking is not None and finding.skipped is None:
            # Whatever went wrong meanwhile, it may have come from that.
            finding, anomalies = StepCheck([], finding.proof, doubt=lacking), []
        elif not finished and not anomalies and finding.skipped is None:
            anomalies = [_not_reached(index, step, blocked)]
        if not finished and blocked is None and finding.skipped is None:
            blocked = step
        results.append(_result(step, finding, anomalies, index, component))
    _explain_by_flaws(results, flaws)
    explain_by_first(results)
    return results


def without_verdict(exercise: int, component: str | None) -> list[StepResult]:
    """The steps of an exercise that could not be judged, since the kit itself failed."""
    doubt = Text("kit_failed")
    return [
        StepResult(step, Outcome.INCONCLUSIVE, 0, points_for(step, component), doubt)
        for step in steps_of(exercise)
    ]


def _result(
    step: str, finding: StepCheck, anomalies: list[Anomaly], index: HistoryIndex, component: str | None
) -> StepResult:
    of = points_for(step, component)
    shaky, notes = finding.shaky, finding.notes
    stall = _stall_in(index, step)
    if stall > STALL_LIMIT:
        shaky = Text("stalled", {"seconds": round(stall, 1)})
    if shaky is not None and index.began.world == "sim":
        shaky = Text("slow_server", shaky.params)  # no machine is slow there, and none can be made faster
    if finding.skipped is not None:
        return StepResult(step, Outcome.SKIPPED, 0, 0, finding.skipped, notes)
    if anomalies and (shaky is None or not all(anomaly.kind.timed for anomaly in anomalies)):
        return StepResult(step, Outcome.FAILED, 0, of, None, notes, anomalies)
    if anomalies or finding.shaky is not None:
        return StepResult(step, Outcome.INCONCLUSIVE, 0, of, shaky, notes, anomalies)
    doubt = finding.doubt
    if any(type(count) is int and count == 0 for count in finding.proof.params.values()):
        doubt = doubt if doubt and doubt.key not in _NOTHING_DONE else Text("nothing_done")
    if doubt is not None:
        return StepResult(step, Outcome.INCONCLUSIVE, 0, of, doubt, notes)
    return StepResult(step, Outcome.PASSED, of, of, finding.proof, notes)


def _cut_off(index: HistoryIndex, start: float, stop: float) -> list[Anomaly]:
    return [each for world in index.worlds for each in lifecycle.connections(world, start, stop)]


def _stall_in(index: HistoryIndex, step: str) -> float:
    """Seconds of the longest stall during a step, and a little before and after it."""
    start, stop = index.steps.get(step, (0.0, inf))
    return max(
        (stall.seconds for stall in index.stalls if start <= stall.at and stall.at - stall.seconds <= stop),
        default=0.0,
    )


def _not_simulated(index: HistoryIndex) -> Text | None:
    """Why the run was stopped, if the server used what the simulated world does not have."""
    found = _first(index, "not_simulated")
    if found is None:
        return None
    return Text(f"lacking_{found['lacking']}", {"where": found["where"], "name": found["name"]})


def limit_of_machine(index: HistoryIndex) -> Text | None:
    """Why the run was stopped, or failed, if the machine lacked something that any server needs."""
    found = _first(index, "limit")
    return Text(f"limit_{found['limit']}", {"where": found["where"]}) if found else None


def _first(index: HistoryIndex, what: str) -> dict[str, Any] | None:
    """The details of the server's first event of a kind."""
    events = (event for world in index.worlds for event in world.server)
    return next((event.detail for event in events if event.what == what), None)


def _not_reached(index: HistoryIndex, step: str, blocked: str | None) -> Anomaly:
    end = lifecycle.stopped_by(index)
    evidence: list[Event] = [end] if isinstance(end, Server) else []
    return Anomaly("not_reached", {"step": step, "blocked": blocked or step}, evidence)


def explain_by_first(results: list[StepResult]) -> None:
    """Name the step to fix first, where the failure in it kept another one from being tested.

    What the judged code has brought about itself is no doubt: so the same code gets the same verdict again.
    """
    failures = [each for each in results if each.outcome is Outcome.FAILED]
    certain = [each.step for each in failures if any(a.name != "not_reached" for a in each.anomalies)]
    if not certain:
        return
    first: str | None = None
    for number, result in enumerate(results):
        key = result.receipt.key if result.receipt else ""
        is_doubt = result.outcome is Outcome.INCONCLUSIVE and not result.anomalies and key in _NOTHING_DONE
        if first is not None and is_doubt:
            untested = Anomaly("not_reached", {"step": result.step, "blocked": first}, [], "untested")
            results[number] = replace(result, outcome=Outcome.FAILED, receipt=None, anomalies=[untested])
        elif result.step in certain:
            first = first or result.step
        else:
            ended = Anomaly("not_reached", {"step": result.step, "blocked": certain[0]}, [], "ended")
            result.anomalies[:] = [ended if _is_its_own(a) else a for a in result.anomalies]


def _is_its_own(anomaly: Anomaly) -> bool:
    """Whether it says that a step was not reached, and knows no other step that is the cause."""
    return anomaly.name == "not_reached" and anomaly.params["blocked"] == anomaly.params["step"]


def _not_reported_yet(reported: list[Anomaly], more: list[Anomaly]) -> list[Anomaly]:
    """The anomalies in `more` that do not just repeat what a checker of the scenario has found."""
    names = {anomaly.name for anomaly in reported}
    if names & set(lifecycle.ENDINGS.values()):
        return []
    return [anomaly for anomaly in more if anomaly.name not in names]


def _explain_by_flaws(results: list[StepResult], flaws: dict[str, Anomaly]) -> None:
    """Malformed frames of another step may be why the first one failed: add them to it.

    They come first, since checks do not see what is in malformed frames, in the order of time; an `error`
    comes last, since it is read all the same. What belongs to a step before it did not make it fail.
    """
    failed = [result for result in results if result.outcome is Outcome.FAILED]
    if not failed:
        return
    first = failed[0]
    before = {result.step for result in results[: results.index(first)]}
    more = [anomaly for step, anomaly in flaws.items() if step not in (*before, first.step)]
    mine = [each for each in first.anomalies if each.name == "malformed_frame"]
    rest = [each for each in first.anomalies if each.name != "malformed_frame"]
    last = [each for each in more if each.params["kind"] == "error"]
    early = sorted(
        [*mine, *(each for each in more if each not in last)], key=lambda each: each.evidence[0].at
    )
    first.anomalies[:] = [*early, *rest, *last] if more else first.anomalies
