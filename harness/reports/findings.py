"""Functions on findings that all forms of reports share."""

from __future__ import annotations

import re
from collections.abc import Container

from harness.checkers.catalogue import Anomaly
from harness.reports.words import Words
from harness.running.run import Run
from harness.verdict.outcome import Outcome, StepResult

MARKS = {Outcome.PASSED: "✓", Outcome.FAILED: "✗", Outcome.INCONCLUSIVE: "?", Outcome.SKIPPED: "-"}
KINDS = 3
"""Kinds of findings that are explained for each step; the others are named."""

_LIBRARY = re.compile(r"[/\\\\](site-packages|lib[/\\\\]python3[^/]*)[/\\\\]|<frozen ", re.IGNORECASE)
_EXCEPTION = re.compile(r"[\w.]+(Error|Exception|Interrupt|Exit|Group)\b")


def is_not_reached(step: StepResult) -> bool:
    """Whether its only anomaly is that an earlier step stopped the play."""
    return [anomaly.name for anomaly in step.anomalies] == ["not_reached"]


def are_several(steps: list[StepResult]) -> bool:
    """Whether there are findings of several kinds, or at several steps."""
    return sum(len(by_kind(step.anomalies)) for step in steps if not is_not_reached(step)) > 1


def notes_of(run: Run, words: Words, but: Container[str] = ()) -> list[str]:
    """The notes of a run, without repeats, but for those of some kinds."""
    notes = [*run.notes, *(note for step in run.steps for note in step.notes)]
    return list(dict.fromkeys(words.text("note", note) for note in notes if note.key not in but))


def named_in(anomaly: Anomaly) -> list[str]:
    """All names that a finding mentions, among them those of clients."""
    return [value for value in anomaly.params.values() if isinstance(value, str)]


def by_kind(found: list[Anomaly]) -> list[list[Anomaly]]:
    """The findings, grouped by kind."""
    kinds: dict[tuple[str, str], list[Anomaly]] = {}
    for anomaly in found:
        kinds.setdefault((anomaly.name, anomaly.variant), []).append(anomaly)
    return list(kinds.values())


def raised(output: list[str]) -> list[list[str]]:
    """The exceptions in a Python server's output: for each, its place, and the exception itself.

    The place is the last one in the server's own code; if there is none, the last one in a library.
    """
    found: list[list[str]] = []
    place: list[str] = []
    is_taken = False
    for line in output:
        if line.startswith("  File "):
            is_taken = not place or not _LIBRARY.search(line)
            place = [line.strip()] if is_taken else place
        elif line.startswith("    ") and is_taken and len(place) == 1:
            place.append(line)
        elif place and _EXCEPTION.match(line):
            if [*place, line] not in found:
                found.append([*place, line])
            place = []
    return found
