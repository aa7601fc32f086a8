"""Several runs of several exercises, summed up: the data that every report is made from."""

from __future__ import annotations

from msgspec import Struct

from harness.play import Run
from harness.steps import steps_of
from harness.verdict import Outcome, StepResult, overall

BOUND_CONFIDENCE = 0.05
"""The share of cases in which a defect of the stated frequency would stay unseen."""


class Summary(Struct):
    """What was asked for, and what came out. `runs[k]` has the exercises of run number k."""

    seed: int
    world: str
    target: str
    seconds: float
    runs: list[list[Run]]

    @property
    def outcomes(self) -> list[Outcome]:
        """The verdict on each run."""
        return [overall([run.outcome for run in exercises]) for exercises in self.runs]

    @property
    def outcome(self) -> Outcome:
        """The verdict on everything."""
        return overall(self.outcomes)

    @property
    def defect(self) -> str:
        """The first traceback of the kit's own, if there is one."""
        return next((run.defect for runs in self.runs for run in runs if run.defect), "")

    @property
    def steps(self) -> list[StepResult]:
        """Each step over all runs: the worst of them, since a pass must hold every time."""
        found = []
        for exercise in dict.fromkeys(run.exercise for runs in self.runs for run in runs):
            for step in steps_of(exercise):
                results = [s for runs in self.runs for run in runs for s in run.steps if s.step == step]
                if results:
                    worst = overall([result.outcome for result in results])
                    found.append(next(result for result in results if result.outcome is worst))
        return found

    def count(self, outcome: Outcome) -> int:
        """How many runs came out like this."""
        return sum(each is outcome for each in self.outcomes)

    @property
    def points(self) -> tuple[int, int]:
        """Points reached, and points that could be."""
        return sum(step.points for step in self.steps), sum(step.of for step in self.steps)


def excluded_frequency(runs: int) -> float:
    """The share of runs from which on a defect would have shown in `runs` passes, with 95 % certainty.

    With a frequency f, all n runs pass with a probability of (1 - f)^n; solved for f at 5 %. For large n
    that is the "rule of three", 3/n (Hanley and Lippman-Hand, 1983).
    """
    return float(1 - BOUND_CONFIDENCE ** (1 / runs)) if runs else 1.0
