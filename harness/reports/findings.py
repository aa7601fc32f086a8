"""Functions on findings that all forms of reports share."""

from __future__ import annotations

from collections.abc import Container

from harness.checkers.catalogue import Anomaly
from harness.reports.words import Words
from harness.running.run import Run
from harness.verdict.causes import Cause
from harness.verdict.outcome import Outcome, StepResult

MARKS = {Outcome.PASSED: "✓", Outcome.FAILED: "✗", Outcome.INCONCLUSIVE: "?", Outcome.SKIPPED: "-"}
KINDS = 3
"""Kinds of findings that are explained for each step; the others are named."""

CAUSES = 3
"""First causes that are shown; the others are counted."""


def is_not_reached(step: StepResult) -> bool:
    """Whether its only anomaly is that an earlier step stopped the play."""
    return [anomaly.name for anomaly in step.anomalies] == ["not_reached"]


def are_several(steps: list[StepResult]) -> bool:
    """Whether there are findings of several kinds, or at several steps."""
    return sum(len(by_kind(step.anomalies)) for step in steps if not is_not_reached(step)) > 1


def notes_of(run: Run, words: Words, but: Container[str] = ()) -> list[str]:
    """The notes of a run, without repeats, but for those of some kinds.

    If it passed, exceptions are among them that may not come from clients that go away.
    """
    notes = [*run.notes, *(note for step in run.steps for note in step.notes)]
    told = [words.text("note", note) for note in notes if note.key not in but]
    if run.outcome is Outcome.PASSED:
        causes = [cause for cause in run.causes if not cause.is_usual and cause.kind != "elsewhere"]
        told = [f"{words.first_cause(each)} {words.clean(each.source)}" for each in causes[:CAUSES]] + told
    return list(dict.fromkeys(told))


def named_in(anomaly: Anomaly) -> list[str]:
    """All names that a finding mentions, among them those of clients."""
    return [value for value in anomaly.params.values() if isinstance(value, str)]


def by_kind(found: list[Anomaly]) -> list[list[Anomaly]]:
    """The findings, grouped by kind."""
    kinds: dict[tuple[str, str], list[Anomaly]] = {}
    for anomaly in found:
        kinds.setdefault((anomaly.name, anomaly.variant), []).append(anomaly)
    return list(kinds.values())


def first_causes(run: Run, steps: list[StepResult]) -> list[Cause]:
    """What stands above the findings of these steps: what the judged code did by itself.

    Not what the first finding says itself; of a run that passed, the notes say it.
    """
    if run.outcome is Outcome.PASSED:
        return []
    shown = [step.anomalies[0] for step in steps if step.anomalies and not is_not_reached(step)]
    return [cause for cause in run.causes if not (shown and cause.is_told_by(shown[0]))]
