"""Turns a history into a verdict on each step: the scenario's checks, and what holds for every scenario."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from typing import Any

from harness.checkers import lifecycle
from harness.checkers.catalogue import Anomaly
from harness.history.events import Event, Server
from harness.history.index import HistoryIndex
from harness.verdict.any_history import flaws_in
from harness.verdict.outcome import Outcome, StepCheck, StepResult, Text
from harness.verdict.steps import points_for, steps_of

STALL_LIMIT = 1.0
"""Seconds for which the harness may be held up. After that, what did not come in time proves nothing."""


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
    return results


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
        doubt = doubt or Text("nothing_done")  # a receipt for nothing proves nothing
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


def _not_reported_yet(reported: list[Anomaly], more: list[Anomaly]) -> list[Anomaly]:
    """The anomalies in `more` that do not just repeat what a checker of the scenario has found."""
    names = {anomaly.name for anomaly in reported}
    if names & {"server_died", "server_hung", "no_start", "flooding", "outlived"}:
        return []
    return [anomaly for anomaly in more if anomaly.name not in names]


def _explain_by_flaws(results: list[StepResult], flaws: dict[str, Anomaly]) -> None:
    """Malformed frames of another exercise's step may be why one of these failed: add them to the first.

    They come first, since checks do not see what is in malformed frames; an `error` comes last, since it is
    read all the same.
    """
    mine = {result.step for result in results}
    elsewhere = [anomaly for step, anomaly in flaws.items() if step not in mine]
    failed = [result for result in results if result.outcome is Outcome.FAILED]
    if elsewhere and failed:
        first = failed[0]
        for anomaly in elsewhere:
            place = len(first.anomalies) if anomaly.params["kind"] == "error" else 0
            first.anomalies.insert(place, anomaly)
