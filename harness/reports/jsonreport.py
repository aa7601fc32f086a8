"""The verdict as JSON, for scripts: its form must not change."""

from __future__ import annotations

from typing import Any

from harness.checkers.catalogue import Anomaly
from harness.reports.summary import Summary
from harness.reports.words import Words
from harness.texts import Texts
from harness.verdict.outcome import Outcome, StepResult


def report(summary: Summary, texts: Texts) -> dict[str, Any]:
    """The summary as JSON values: see the README for what is in it."""
    return {
        "verdict": summary.outcome.value,
        **({"interrupted": True} if summary.is_interrupted else {}),
        "seed": summary.seed,
        "world": summary.world,
        "target": summary.target,
        "seconds": round(summary.seconds, 3),
        "runs": {
            "n": len(summary.runs),
            "passed": summary.count(Outcome.PASSED),
            "failed": summary.count(Outcome.FAILED),
            "inconclusive": summary.count(Outcome.INCONCLUSIVE),
        },
        "seeds": {each.value: summary.seeds(each) for each in (Outcome.FAILED, Outcome.INCONCLUSIVE)},
        "stall": round(max((run.stall for run in summary.every_run), default=0.0), 3),
        "notes": _notes(summary, texts),
        "causes": _causes(summary, texts),
        "contracts": _contracts(summary),
        "steps": [_step(step, _words(summary, step, texts)) for step in summary.steps],
    }


def _words(summary: Summary, step: StepResult, texts: Texts) -> Words:
    """Words for the run that the step comes from."""
    for runs in [*summary.runs, summary.unfinished]:
        for run in runs:
            if any(each is step for each in run.steps):
                return Words.of(run, texts)
    return Words(texts)


def _notes(summary: Summary, texts: Texts) -> list[str]:
    found = [Words(texts).text("note", note) for run in summary.every_run for note in run.notes]
    return list(dict.fromkeys(found))


def _causes(summary: Summary, texts: Texts) -> list[dict[str, Any]]:
    """What the judged code did by itself, of each exercise in the run that is shown."""
    return [
        {
            "exercise": run.exercise,
            "kind": cause.kind,
            "message": Words.of(run, texts).first_cause(cause),
            "what": cause.what,
            "where": cause.where,
            "source": cause.source,
            "count": cause.count,
            "at": None if cause.at is None else round(cause.at, 4),
        }
        for run in summary.shown()
        for cause in run.causes
    ]


def _contracts(summary: Summary) -> list[dict[str, Any]]:
    """The plays and calls of each component that was called directly."""
    found = {run.exercise: run.contract for run in summary.every_run if run.contract}
    return [
        {
            "component": each.component,
            "plays": each.plays,
            "calls": each.calls,
            "seconds": round(each.seconds, 3),
        }
        for each in found.values()
    ]


def _step(step: StepResult, words: Words) -> dict[str, Any]:
    return {
        "step": step.step,
        "title": words.step(step.step),
        "verdict": step.outcome.value,
        "points": step.points,
        "of": step.of,
        "receipt": receipt(step, words),
        "notes": [words.text("note", note) for note in step.notes],
        "lag": step.lag,
        "anomalies": [
            anomaly_as_json(anomaly, words)
            | {
                "course": words.texts.say(f"section.{anomaly.kind.section}"),
                "evidence": [
                    {"at": round(at, 4), "who": who, "what": what}
                    for at, who, what in map(words.event, anomaly.evidence)
                ],
            }
            for anomaly in step.anomalies
        ],
    }


def anomaly_as_json(anomaly: Anomaly, words: Words) -> dict[str, Any]:
    """What every report says of an anomaly, as JSON values."""
    return {
        "name": anomaly.name,
        "rule": anomaly.rule,
        "title": words.title(anomaly),
        "message": words.message(anomaly),
        "cause": words.cause(anomaly),
    }


def receipt(step: StepResult, words: Words) -> str:
    """What proves a pass, or why there is no verdict."""
    table = {Outcome.PASSED: "proof", Outcome.INCONCLUSIVE: "doubt", Outcome.SKIPPED: "skip"}
    if step.receipt is None or step.outcome not in table:
        return ""
    return words.text(table[step.outcome], step.receipt)
