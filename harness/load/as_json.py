"""The result of a load as JSON values; `README.md` in this folder says what each of them is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from harness import version
from harness.load.doubts import Assessed
from harness.load.figures import Figures, percentile, rate
from harness.load.judging import Result, StepVerdict
from harness.load.measured import Moment
from harness.load.sentences import reason
from harness.load.stored import PERCENTILES
from harness.reports.jsonreport import anomaly_as_json
from harness.reports.words import Words
from harness.verdict.outcome import Text

_OF_PROBE = ("connect", "join", "delivery", "echo")
_HISTOGRAM = (0, *range(10, 100, 10), *(100 - 10 / 10 ** (n / 10) for n in range(1, 21)), 100)
"""Percentiles, ever closer as they come near 100: ten for each nine."""


def as_json(result: Result, words: Words) -> dict[str, Any]:
    """The result; times in milliseconds."""
    load = result.load
    steady, warm_up = result.steady or _nothing(), result.warm_up or _nothing()
    delivery = result.times.get("delivery", [])
    return {
        "version": version(),
        "verdict": result.outcome.value,
        "began": load.date,
        "ended": load.ended,
        "target": load.target,
        "seed": load.seed,
        "shape": load.shape,
        "settings": load.settings,
        "users": result.users,
        "processes": load.processes,
        "seconds": round(load.seconds, 3),
        "warm_up_seconds": round(result.warm_up_seconds, 3),
        "messages": result.messages,
        "deliveries": result.deliveries,
        "messages_per_second": round(rate(result.messages, result.talked), 3),
        "deliveries_per_second": round(rate(result.deliveries, result.talked), 3),
        "errors": sum(moment.errors for moment in result.timeline),
        "rooms": result.findings.rooms,
        "connections": result.findings.connections,
        "cuts": result.findings.cuts,
        "lag_p99_ms": milliseconds(result.lag),
        "cpu": round(steady.cpu, 3),
        "cpu_wait": round(steady.waited, 3),
        "probe_lag_p99_ms": milliseconds(steady.probe_lag),
        "probe_cpu": round(steady.probe_cpu, 3),
        "times_ms": {name: counted(times) for name, times in result.times.items()},
        "warm_up_times_ms": {name: counted(times) for name, times in warm_up.times.items()},
        "never": steady.never,
        "warm_up_never": warm_up.never,
        "probe_ms": _of_probe(steady),
        "warm_up_probe_ms": _of_probe(warm_up),
        "differs": [
            {
                "row": each.row,
                "percent": each.percent,
                "load_ms": milliseconds(each.load),
                "probe_ms": milliseconds(each.probe),
            }
            for each in result.differing
        ],
        "timeline": [_moment(moment) for moment in result.timeline],
        "steps": [_step(each, words) for each in result.steps],
        "breaks_at_users": result.breaks_at.users if result.breaks_at else None,
        "histogram": {
            "delivery": [[round(p, 4), milliseconds(percentile(delivery, p))] for p in _HISTOGRAM if delivery]
        },
        "checks": [
            {"name": name, "count": count, "failed": failed}
            for name, (count, failed) in result.checks.items()
        ],
        "objectives": [_objective(each, words) for each in result.objectives],
        "reasons": [reason(each, words) for each in result.reasons],
        "doubts": [reason(each, words) for each in result.doubts],
        "anomalies": [anomaly_as_json(anomaly, words) for anomaly in result.findings.anomalies],
    }


def _nothing() -> Figures:
    return Figures({}, {}, {}, 0.0, 0, 0, 0, 0.0, 0.0)


def milliseconds(seconds: float) -> float:
    """Seconds as milliseconds, to the microsecond."""
    return round(1000 * seconds, 3)


def _percentiles(times: Sequence[float], names: Iterable[str] = PERCENTILES) -> dict[str, float]:
    return {name: milliseconds(percentile(times, PERCENTILES[name])) for name in names}


def counted(times: Sequence[float]) -> dict[str, float]:
    """How many there are, and their percentiles in milliseconds; `times` are in rising order."""
    return {"count": len(times), **_percentiles(times)}


def _of_probe(figures: Figures) -> dict[str, dict[str, float]]:
    return {name: counted(times) for name in _OF_PROBE if (times := figures.probe.get(name))}


def _moment(moment: Moment) -> dict[str, float]:
    return {
        "at": moment.at,
        "users": moment.users,
        "messages": moment.messages,
        "deliveries": moment.deliveries,
        "errors": moment.errors,
        "p50_ms": milliseconds(moment.p50),
        "p99_ms": milliseconds(moment.p99),
        "probe_p99_ms": milliseconds(moment.probe_p99),
        "lag_p99_ms": milliseconds(moment.lag),
        "cpu": round(moment.cpu, 3),
    }


def _step(verdict: StepVerdict, words: Words) -> dict[str, Any]:
    step, figures = verdict.step, verdict.figures
    three = ("p50", "p95", "p99")
    return {
        "users": step.users,
        "from": round(step.begin, 3),
        "to": round(step.end, 3),
        "messages_per_second": round(rate(figures.messages, figures.seconds), 3),
        "deliveries_per_second": round(rate(figures.deliveries, figures.seconds), 3),
        "errors": figures.errors,
        "delivery": _percentiles(figures.times.get("delivery", []), three),
        "connect": _percentiles(figures.times.get("connect", []), three),
        "join": _percentiles(figures.times.get("join", []), three),
        "probe": {
            name: _percentiles(times, three) for name in _OF_PROBE if (times := figures.probe.get(name))
        },
        "lag_p99_ms": milliseconds(figures.lag),
        "cpu": round(figures.cpu, 3),
        "verdict": verdict.outcome.value,
        "why": " ".join(reason(each, words) for each in verdict.why) or None,
    }


def _objective(assessed: Assessed, words: Words) -> dict[str, Any]:
    value = assessed.value
    is_time = assessed.objective.is_timed
    return {
        "text": assessed.objective.text,
        "value": None if value is None else milliseconds(value) if is_time else round(value, 3),
        "outcome": assessed.outcome.value,
        "users": assessed.users,
        "why": _why(assessed.why, words),
    }


def _why(text: Text | None, words: Words) -> str | None:
    return None if text is None else reason(text, words)
