"""The verdict on a load, by the same checkers as for every other history.

They judge which messages arrived (delivery), in which order (ordering), the answers to joins and retries
(replay), whether correct messages were refused (errors), and clients that were disconnected or could not
connect (lifecycle). Presence and notices are left to `chatlab check`.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from msgspec import Struct, field

from harness.checkers import delivery, lifecycle, ordering, replay
from harness.checkers.catalogue import Anomaly
from harness.history.events import Fault, GaveUp, Opened, Stalled
from harness.history.index import HistoryIndex
from harness.load.figures import percentile
from harness.load.latencies import latencies
from harness.load.merge import Merged
from harness.load.proof import unproven
from harness.load.record import Recording, seconds
from harness.verdict.any_history import flaws_in
from harness.verdict.judge import STALL_LIMIT
from harness.verdict.outcome import Outcome, Text

LAG_LIMIT = 0.1
"""Seconds: if one in a hundred wake-ups of a load process is later, it distorts the latencies itself."""


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
    objective: float | None = None
    """The objective for the 99th percentile of delivery times: it must not exceed this."""


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
    """Sorted seconds of everything that was timed: delivery, echo, join, history, connect, reconnect."""
    lag: float
    """The 99th percentile of the seconds by which a load process woke up too late; of the worst process."""
    lags: list[float]
    """The same seconds, sorted, over all processes."""
    hosts: int


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
    merged = Merged(recordings, offsets)
    findings = Findings()
    complete = not load.missing and all(recording.complete for recording in recordings)
    load.flooded = sum(recording.different for recording in recordings if recording.flooded)
    if complete and not load.flooded:
        yield from _find(merged, findings)
    yield _result(load, recordings, merged, findings, complete)


def _find(merged: Merged, findings: Findings) -> Iterator[str]:
    whole = HistoryIndex(merged.whole())
    findings.rooms = len(merged.joined)
    findings.connections = sum(conn.opened < float("inf") for conn in whole.conns.values())
    findings.cuts = sum(isinstance(e, Fault) and e.fault == "reset" for e in merged.events)
    found = [*flaws_in(whole).values(), *lifecycle.connections(whole, 0.0, float("inf"))]
    for room in merged.joined:
        found += delivery.altered(whole, room)
        found += delivery.numbered_twice(whole, room)
        found += delivery.refused(whole, room)
        found += ordering.numbering(whole, room)
        found += ordering.by_senders(whole, room)
        found += replay.retries(whole, room)
    for room in merged.joined:
        yield room
        for some in merged.slices(room, unproven(merged, whole, room)):
            index = HistoryIndex(some)
            found += delivery.lost(index, room)
            found += delivery.duplicates(index, room)
            found += delivery.leaks(index)
            found += ordering.by_receivers(index, room)
            found += replay.seams(index, room)
            yield room
    findings.anomalies = list(_without_repeats(found))


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
    every, own = latencies(merged)
    times = {"delivery": every, "echo": own}
    for name in ("join", "history", "connect", "reconnect"):
        times[name] = sorted(chain.from_iterable(seconds(r.timings.get(name, b"")) for r in recordings))
    said = sorted(sent.at for each in merged.said.values() for sent in each)
    result = Result(
        load,
        Outcome.PASSED,
        findings,
        [],
        len({event.client for event in merged.events if isinstance(event, Opened)}),
        len({sent.frame["data"]["content"] for each in merged.said.values() for sent in each}),
        merged.deliveries,
        said[-1] - said[0] if said else 0.0,
        times,
        max((percentile(sorted(seconds(r.lags)), 99) for r in recordings), default=0.0),
        sorted(chain.from_iterable(seconds(recording.lags) for recording in recordings)),
        len({recording.host for recording in recordings}),
    )
    failures = list(_failures(result))
    doubts = list(_doubts(result, _longest_stall(merged), complete))
    if any(isinstance(e, GaveUp) and e.wanted.endswith(lifecycle.OWN_LIMIT) for e in merged.events):
        doubts.append(Text("own_limit"))
    if failures or any(not anomaly.kind.timed for anomaly in findings.anomalies):
        result.outcome = Outcome.FAILED
    elif doubts:
        result.outcome = Outcome.INCONCLUSIVE
    elif findings.anomalies:
        result.outcome = Outcome.FAILED
    result.reasons = failures + doubts
    return result


def _longest_stall(merged: Merged) -> float:
    return max((event.seconds for event in merged.events if isinstance(event, Stalled)), default=0.0)


def _failures(result: Result) -> Iterator[Text]:
    """A flood, or a missed objective, if the load processes themselves were fast enough for a verdict."""
    if result.load.flooded:
        yield Text("flooding", {"mebibytes": result.load.flooded >> 20, "messages": result.messages})
    objective, worst = result.load.objective, percentile(result.times["delivery"], 99)
    if objective is not None and worst > objective and result.lag <= LAG_LIMIT:
        yield Text("slow", {"p99": f"{worst * 1000:.1f}", "objective": f"{objective * 1000:g}"})


def _doubts(result: Result, stall: float, complete: bool) -> Iterator[Text]:
    """Why a pass would prove nothing."""
    if result.load.missing:
        yield Text("missing", {"count": result.load.missing, "of": result.load.processes})
    elif not complete:
        yield Text("too_long")
    if result.lag > LAG_LIMIT:
        yield Text("lag", {"lag": round(result.lag * 1000), "limit": round(LAG_LIMIT * 1000)})
    elif stall > STALL_LIMIT:
        yield Text("stalled", {"seconds": round(stall, 1)})
    if not result.messages and not result.findings.anomalies:  # else these are why
        yield Text("nothing_said")
