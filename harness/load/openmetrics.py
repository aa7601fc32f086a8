"""A result as OpenMetrics text, for programs that collect figures of many runs.

Only types that the older text format of Prometheus has as well are used (gauges, counters and summaries), so
that its textfile collector reads the file, too. Times are in seconds, as OpenMetrics asks for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from harness.load.stored import PERCENTILES, Stored, Times
from lab.legible import legible

Labels = Mapping[str, str | int]
_VERDICTS = ("passed", "failed", "inconclusive")


def openmetrics(stored: Stored) -> str:
    """The text of the file."""
    lines = [*_result(stored), *_latency(stored), *_steps(stored), *_objectives(stored)]
    return "\n".join([*lines, "# EOF"]) + "\n"


def _result(stored: Stored) -> Iterator[str]:
    described: Labels = {
        "target": stored.target,
        "shape": stored.shape,
        "seed": stored.seed,
        "version": stored.version,
    }
    yield from _head("chatlab_load", "gauge", "Always 1: what was loaded, and how.")
    yield _sample("chatlab_load", described, 1)
    yield from _head("chatlab_load_verdict", "gauge", "1 for the verdict on the load, 0 for the others.")
    for verdict in _VERDICTS:
        yield _sample("chatlab_load_verdict", {"verdict": verdict}, stored.verdict == verdict)
    gauges = {
        "users": (stored.users, "Users that connected."),
        "processes": (stored.processes, "Processes that made the load."),
        "findings": (len(stored.anomalies), "What the checkers found wrong."),
        "duration_seconds": (stored.seconds, "How long the load took."),
        "breaks_at_users": (
            stored.broken.users if stored.broken and stored.is_ramp else None,
            "Users in the first step that failed.",
        ),
    }
    for name, (value, help) in gauges.items():
        if value is not None:
            yield from _head(f"chatlab_load_{name}", "gauge", help)
            yield _sample(f"chatlab_load_{name}", {}, value)
    counters = {
        "messages": (stored.messages, "Messages that users said."),
        "deliveries": (stored.deliveries, "Messages that receivers read."),
        "resets": (stored.cuts, "Connections that users reset."),
    }
    if stored.errors is not None:
        counters["errors"] = (
            stored.errors,
            "Requests that were refused or not answered, and connections cut off.",
        )
    for name, (value, help) in counters.items():
        yield from _head(f"chatlab_load_{name}", "counter", help)
        yield _sample(f"chatlab_load_{name}_total", {}, value)


def _latency(stored: Stored) -> Iterator[str]:
    name = "chatlab_load_latency_seconds"
    yield from _head(name, "summary", "How long each kind of action took, by the crowd and by the probe.")
    for by, rows in (("crowd", stored.times_ms), ("probe", stored.probe_ms)):
        for row, times in rows.items():
            yield from _summary(name, {"row": row, "by": by}, times)
    if stored.lag_p99_ms is not None:
        name = "chatlab_load_lag_seconds"
        yield from _head(name, "summary", "How much too late the load's own processes woke up.")
        yield _sample(name, {"quantile": "0.99"}, stored.lag_p99_ms / 1000)


def _steps(stored: Stored) -> Iterator[str]:
    """By users; of several steps with as many, the last one counts, since samples must not repeat."""
    steps = {step.users: step for step in stored.steps}
    if not stored.is_ramp:
        return
    name = "chatlab_load_step_latency_seconds"
    yield from _head(name, "summary", "How long deliveries took in a step of a ramp, by its users.")
    for users, step in steps.items():
        yield from _summary(name, {"users": users}, step.delivery)
    name = "chatlab_load_step_kept"
    yield from _head(name, "gauge", "1 if a step of a ramp did not fail, by its users.")
    for users, step in steps.items():
        yield _sample(name, {"users": users}, step.verdict != "failed")


def _objectives(stored: Stored) -> Iterator[str]:
    outcomes = {each.text: each.outcome for each in stored.objectives if each.outcome != "inconclusive"}
    if outcomes:
        name = "chatlab_load_objective_kept"
        yield from _head(name, "gauge", "1 if an objective was kept, 0 if it was missed.")
        for text, outcome in outcomes.items():
            yield _sample(name, {"objective": text}, outcome == "passed")


# --- the format ---------------------------------------------------------------------------------------


def _head(name: str, kind: str, help: str) -> Iterator[str]:
    yield f"# HELP {name} {help}"
    yield f"# TYPE {name} {kind}"
    if name.endswith("_seconds"):
        yield f"# UNIT {name} seconds"


def _summary(name: str, labels: Labels, times: Times) -> Iterator[str]:
    for part, percent in PERCENTILES.items():
        value = getattr(times, part)
        if value is not None:
            yield _sample(name, {**labels, "quantile": f"{percent / 100:g}"}, value / 1000)
    if times.count is not None:
        yield _sample(f"{name}_count", labels, times.count)


def _sample(name: str, labels: Labels, value: float) -> str:
    told = ",".join(f'{key}="{_escaped(str(each))}"' for key, each in labels.items())
    return f"{name}{{{told}}} {value:.12g}" if told else f"{name} {value:.12g}"


def _escaped(text: str) -> str:
    return legible(text).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
