"""What a cluster outlives: a right one passes, and a fault that had no effect proves nothing."""

from __future__ import annotations

from random import Random

import pytest

from harness.history.events import Fault, Noted, Server
from harness.history.index import HistoryIndex
from harness.running.play import play_in, prepared_exercise
from harness.running.run import Run
from harness.scenarios import cluster
from harness.scenarios.common import SMALL
from harness.verdict.outcome import Outcome
from harness.verdict.steps import CLUSTER, POINTS, steps_of
from tests.harness.cluster.double import TARGET, OfOneEngine, WithoutEffect

pytestmark = [pytest.mark.live, pytest.mark.xdist_group("live2")]


async def played(kind: type[OfOneEngine]) -> Run:
    """A small play of all faults, against the double."""
    world = kind(TARGET, CLUSTER, "seed", has_ways=True)
    return await play_in(world, prepared_exercise(CLUSTER, "seed", SMALL, None))


async def test_a_right_cluster_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each receipt says what was done to it; there are no points in it."""
    monkeypatch.setattr(cluster, "CUT_SECONDS", 0.5)
    monkeypatch.setattr(cluster, "MOST_CUT", 0.5)
    run = await played(OfOneEngine)
    assert {step.step: (step.outcome, step.anomalies) for step in run.steps} == {
        step: (Outcome.PASSED, []) for step in steps_of(CLUSTER)
    }
    assert not set(steps_of(CLUSTER)) & set(POINTS)
    counts = {step.step: step.receipt.params for step in run.steps if step.receipt}
    assert counts["5.1"]["nodes"] == counts["5.6"]["nodes"] == 2
    assert counts["5.2"]["clients"] == 2
    assert counts["5.5"]["clients"] == 2
    assert counts["5.5"]["messages"] > 0


async def test_a_fault_without_effect_proves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody lost a node, the killed leader leads on, and a node that was cut off heard everything."""
    monkeypatch.setattr(cluster, "CUT_SECONDS", 0.2)
    monkeypatch.setattr(cluster, "MOST_CUT", 0.2)
    run = await played(WithoutEffect)
    outcomes = {step.step: step.outcome for step in run.steps}
    assert outcomes["5.1"] is outcomes["5.6"] is Outcome.PASSED
    assert outcomes["5.2"] is outcomes["5.4"] is outcomes["5.5"] is Outcome.INCONCLUSIVE


async def test_what_is_missing_after_a_fault_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that is never sent what it missed while its node was cut off fails the step of the cut."""
    monkeypatch.setattr(cluster, "CUT_SECONDS", 0.2)
    monkeypatch.setattr(cluster, "MOST_CUT", 0.2)
    run = await played(OfOneEngine)
    (healed,) = [e.at for e in run.history if isinstance(e, Server) and e.what == "node_healed"]
    lonely = {event.conn for event in run.history if isinstance(event, Fault) and event.fault == "node_cut"}
    room = f"{cluster.CUT}-{run.nonce}"
    live = {"type": "message", "data": {"room": room}}
    forgotten = [
        event
        for event in run.history
        if not (
            getattr(event, "conn", 0) in lonely
            and event.at > healed
            and _is_like(getattr(event, "frame", None), live)
            and "sequence" in event.frame["data"]  # type: ignore[union-attr]
        )
    ]
    assert len(forgotten) < len(run.history)
    assert all(not isinstance(event, Noted) or event in forgotten for event in run.history)
    found = cluster.check(cluster.plan(Random(1), SMALL), HistoryIndex(forgotten))
    names = {step: [each.name for each in check.anomalies] for step, check in found.items()}
    assert names.pop("5.5")[0] == "lost"
    assert not any(names.values())


def _is_like(frame: object, other: dict[str, object]) -> bool:
    """Whether a frame has all that another one has."""
    return isinstance(frame, dict) and all(
        _is_like(frame.get(key), value) if isinstance(value, dict) else frame.get(key) == value
        for key, value in other.items()
    )
