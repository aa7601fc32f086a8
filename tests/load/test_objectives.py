"""Objectives are read, and judged by two figures: the users', and the probe's."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner

from harness.cli.main import cli
from harness.load.doubts import CPU_LIMIT, assess, differences
from harness.load.figures import Figures, bounds
from harness.load.objectives import NoObjective, objective
from harness.load.settings import objectives_in, repair, wrong_in
from harness.texts import texts
from harness.verdict.outcome import Outcome, Text

PASSED, FAILED, OPEN = Outcome.PASSED, Outcome.FAILED, Outcome.INCONCLUSIVE


@pytest.mark.parametrize(
    ("text", "row", "percent", "value"),
    [
        ("delivery.p99=250ms", "delivery", 99, 0.25),
        ("connect.p95 <= 1.5s", "connect", 95, 1.5),
        ("join.p99_9 < 20ms", "join", 99.9, 0.02),
        ("echo.p100=2s", "echo", 100, 2.0),
        ("errors=0", "errors", 0, 0),
        ("rate>=50", "rate", 0, 50),
        ("rate > 50", "rate", 0, 50),
    ],
)
def test_objectives_are_read(text: str, row: str, percent: float, value: float) -> None:
    """A row, a percentile and a time with its unit; or a count."""
    found = objective(text)
    assert (found.row, found.percent, found.value) == (row, percent, value)
    assert not found.in_warm_up
    if found.is_timed:
        assert objective(f"warm_up.{text}").in_warm_up


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "delivery",
            "delivery.p99",
            "delivery.p0=1s",
            "delivery.p99=0",
            "delivery.p99>=1s",
            "sleep.p99=1s",
        ),
        *(
            "errors>=0",
            "rate<=5",
            "delivery.p101=1",
            "delivery.p99=-1",
            "warm_up.errors=0",
            "delivery.p99=1h",
        ),
    ],
)
def test_what_is_no_objective_is_refused(text: str) -> None:
    """Nothing is guessed."""
    with pytest.raises(ValueError):  # noqa: PT011 - the text itself is the message
        objective(text)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("delivery.p99=250", "no_unit"),
        ("warm_up.join.p95<20", "no_unit"),
        ("delivery.p99>=1s", "at_most"),
        ("errors>0", "at_most"),
        ("rate=50", "at_least"),
        ("rate<5", "at_least"),
        ("sleep.p99=1s", "no_objective"),
    ],
)
def test_what_is_wrong_with_an_objective_is_told(text: str, key: str) -> None:
    """On the command line, and of what was typed on Locust's page."""
    with pytest.raises(NoObjective) as caught:
        objective(text)
    assert caught.value.key == key
    assert [each.key for each in wrong_in(options(lab_objective=text))] == [key]
    done = CliRunner().invoke(cli, ["load", "--objective", text])
    assert texts("en").say(f"load.{key}", given=text)[:40] in " ".join(done.output.split())


def test_less_is_not_at_most() -> None:
    """`<` and `>` do not count the value itself; `<=`, `>=` and `=` do."""
    for text in ("errors=5", "errors<=5", "rate>=5"):
        assert objective(text).is_kept_by(5)
    for text in ("errors<5", "rate>5"):
        assert not objective(text).is_kept_by(5)
    assert objective("errors<5").is_kept_by(4)
    assert objective("rate>5").is_kept_by(6)
    assert not objective("connect.p50<1s").is_kept_by(1.0)


def figures(users: float = 0.0, probe: float | None = None, **more: Any) -> Figures:
    """A hundred deliveries that took so long by the users, and as many by the probe."""
    times = {"delivery": [users] * 100}
    by_probe = {"delivery": [probe] * 100} if probe is not None else {}
    both = {"delivery": ([users] * 100, [probe] * 100)} if probe is not None else {}
    plain = {"seconds": 10.0, "messages": 500, "deliveries": 100, "errors": 2, "lag": 0.001, "cpu": 0.1}
    return Figures(times=times, probe=by_probe, compared=both, **plain | more)


@pytest.mark.parametrize(
    ("users", "probe", "more", "outcome", "value"),
    [
        (0.2, 0.2, {}, PASSED, 0.2),
        (0.2, None, {"lag": 0.5}, PASSED, 0.2),  # the load's own slowness only adds to it
        (0.3, 0.3, {}, FAILED, 0.3),
        (0.3, None, {}, FAILED, 0.3),
        (0.3, None, {"lag": 0.5}, OPEN, 0.3),
        (0.3, None, {"cpu": 0.99}, OPEN, 0.3),
        (0.26, 0.24, {}, OPEN, 0.26),  # they agree within the bound, but not on this
        (0.9, 0.02, {}, PASSED, 0.02),  # the probe decides where the users' figure is the load's own
        (0.9, 0.4, {}, FAILED, 0.4),
        (0.3, 0.28, {"cpu": 0.99}, FAILED, 0.28),
        (0.3, 0.28, {"lag": 0.5}, OPEN, 0.3),  # the whole machine is too busy
        (0.9, 0.02, {"lag": 0.5}, OPEN, 0.9),
        (0.3, 0.28, {"cpu": 0.1, "probe_lag": 0.5}, OPEN, 0.3),
        (0.3, 0.1, {"cpu": 0.5, "waited": 0.45}, PASSED, 0.1),
    ],
)
def test_two_figures_decide(
    users: float, probe: float | None, more: dict[str, float], outcome: Outcome, value: float
) -> None:
    """Nothing fails that the probe contradicts, and nothing passes that neither figure keeps."""
    found = assess(objective("delivery.p99=250ms"), figures(users, probe, **more))
    assert (found.outcome, found.value) == (outcome, value)
    assert (found.why is None) == (outcome is not OPEN and value == users)


def test_where_both_figures_miss_it_both_say_so() -> None:
    """That the users' is the load's own would be no reason: it says the same."""
    found = assess(objective("delivery.p99=250ms"), figures(0.3624, 0.3568, cpu=0.99))
    assert found.why == Text("by_both", {"load": "362.4"})


def test_few_values_of_the_probe_leave_it_open() -> None:
    """Where a probe was there, but has measured too little, nothing fails."""
    some = figures(0.3, 0.01)
    some.compared["delivery"] = ([0.3] * 50, [0.01] * 5)
    assert assess(objective("delivery.p99=250ms"), some).outcome is OPEN
    assert differences(some) == []


def test_nothing_timed_is_open() -> None:
    """An objective for what did not happen is neither kept nor missed."""
    found = assess(objective("reconnect.p50=1s"), figures(0.1))
    assert (found.outcome, found.value) == (OPEN, None)


@pytest.mark.parametrize(
    ("text", "cpu", "outcome"),
    [
        ("errors=2", 0.1, PASSED),
        ("errors=1", 0.1, FAILED),
        ("rate>=50", 0.1, PASSED),
        ("rate>=51", 0.1, FAILED),
        ("rate>=51", 1.0, OPEN),
        ("errors=1", 1.0, FAILED),
    ],
)
def test_counts(text: str, cpu: float, outcome: Outcome) -> None:
    """Errors are what they are; a rate that a busy load did not reach is open."""
    assert cpu < CPU_LIMIT or outcome is not PASSED
    assert assess(objective(text), figures(0.1, cpu=cpu)).outcome is outcome


def test_a_difference_is_more_than_a_share_and_some_milliseconds() -> None:
    """The worst percentile is told, with both figures."""
    assert differences(figures(0.0069, 0.002)) == []
    assert differences(figures(0.120, 0.100)) == []
    (found,) = differences(figures(0.2, 0.1))
    assert (found.row, found.load, found.probe) == ("delivery", 0.2, 0.1)
    assert differences(figures(0.2)) == []


def test_a_percentile_of_few_values_is_uncertain() -> None:
    """Of a hundred values, the 99th percentile may be the largest; the median is within some ranks."""
    values = [float(n) for n in range(1, 101)]
    assert bounds(values, 99)[1] == 100.0
    low, high = bounds(values, 50)
    assert 38 < low < 50 < high < 63
    assert bounds([3.0], 50) == (3.0, 3.0)


def options(**more: Any) -> SimpleNamespace:
    """Options as Locust has parsed them."""
    right = {"lab_rooms": 10, "lab_steps": 5, "lab_pace": 1.0, "lab_rate": 0.0, "lab_churn": 0.0}
    return SimpleNamespace(
        num_users=2, **right | {"lab_p99_ms": 0.0, "lab_size": 0, "lab_objective": ""} | more
    )


def test_options_of_locust_are_looked_at() -> None:
    """A wrong one is told with its limits, and the default takes its place in a test that is started."""
    assert wrong_in(options(lab_objective="errors=0, delivery.p99=1s", lab_size=64, lab_rate=100.0)) == []
    assert [each.params["most"] for each in wrong_in(options(lab_rate=101.0))] == ["100"]
    wrong = {"lab_rooms": 0, "lab_pace": 0.0, "lab_rate": float("nan"), "lab_churn": -1.0, "lab_size": 3}
    some = options(**wrong, lab_steps=0, lab_p99_ms=float("inf"), lab_objective="errors=0,sleep=2")
    assert len(wrong_in(some)) == 8
    repair(some)
    assert wrong_in(some) == []
    assert [each.text for each in objectives_in(some)] == ["errors=0"]
    assert [each.value for each in objectives_in(options(lab_p99_ms=0.001))] == [pytest.approx(1e-6)]
