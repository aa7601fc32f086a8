"""Runs that are alike: one of them is shown in full, and the others are counted, with their seeds."""

from __future__ import annotations

from collections.abc import Iterator

from harness.reports.counts import seeds_in_words
from harness.running.run import Run
from harness.texts import Texts
from harness.verdict.outcome import Outcome

SHOWN = 4
"""Runs of an exercise that are shown in full, if there are many that differ."""


class Alike:
    """Decides which runs are shown, and remembers the others."""

    def __init__(self) -> None:
        self._told: set[tuple[object, ...]] = set()
        self._shown: dict[int, int] = {}
        self._folded: dict[tuple[int, str, Outcome], list[str]] = {}

    def is_new(self, run: Run) -> bool:
        """Whether a run is to be shown, since it tells what no shown one has told: if not, it is counted."""
        tells = set(_told_by(run))
        is_known = tells <= self._told
        if is_known or self._shown.get(run.exercise, 0) == SHOWN:
            key = run.exercise, "ui.alike" if is_known else "ui.otherwise", run.outcome
            self._folded.setdefault(key, []).append(run.named_seed)
            return False
        self._told |= tells
        self._shown[run.exercise] = self._shown.get(run.exercise, 0) + 1
        return True

    def folded(self, texts: Texts) -> list[str]:
        """A sentence for each kind of runs that were not shown; exercises with the same share it."""
        kinds: dict[tuple[str, Outcome, tuple[str, ...]], list[int]] = {}
        for (exercise, key, outcome), seeds in sorted(self._folded.items()):
            kinds.setdefault((key, outcome, tuple(seeds)), []).append(exercise)
        return [
            texts.say(
                key,
                exercise=", ".join(map(str, exercises)),
                count=len(seeds),
                outcome=texts.say(f"outcome.{outcome}"),
                seeds=seeds_in_words(list(seeds), texts),
            )
            for (key, outcome, seeds), exercises in kinds.items()
        ]


def _told_by(run: Run) -> Iterator[tuple[object, ...]]:
    """The verdict on each step; what was found in it, and what left it open."""
    if run.defect:
        yield run.exercise, run.defect
    for step in run.steps:
        yield step.step, step.outcome
        for each in step.anomalies:
            yield step.step, each.name, each.variant
        if step.receipt is not None and step.outcome is Outcome.INCONCLUSIVE:
            yield step.step, step.receipt.key
