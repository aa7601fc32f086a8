"""A summary of several runs of several exercises: the data that every report is made from."""

from __future__ import annotations

from msgspec import Struct, field

from harness.running.run import Run
from harness.verdict.outcome import Outcome, StepResult, overall
from harness.verdict.steps import steps_of

BOUND_CONFIDENCE = 0.05
"""The probability that a defect of the stated frequency stays unseen."""


class Scene(Struct):
    """The smallest play that was found to fail as an exercise did, by the anomaly `name`.

    `path` is its replay file; empty if that could not be written.
    """

    exercise: int
    name: str
    run: Run
    path: str


class Summary(Struct):
    """What was asked for, and the results. `runs[k]` has the exercises of run number k.

    `seed` is that of the first run, as `--seed` takes it. `large` has runs that were played on top of those
    asked for: of the size of the first, where that failed and few small ones did. They decide nothing.
    `unfinished` has what is known of a run that was interrupted, and so was all of it: then nothing passes.
    """

    seed: int | str
    world: str
    target: str
    seconds: float
    runs: list[list[Run]]
    scenes: list[Scene] = field(default_factory=list)
    large: list[Run] = field(default_factory=list)
    unfinished: list[Run] = field(default_factory=list)
    is_interrupted: bool = False

    @property
    def every_run(self) -> list[Run]:
        """All exercises of all runs, in order."""
        return [run for exercises in self.runs for run in exercises]

    @property
    def outcomes(self) -> list[Outcome]:
        """The verdict on each run."""
        return [overall([run.outcome for run in exercises]) for exercises in self.runs]

    @property
    def outcome(self) -> Outcome:
        """The verdict on everything."""
        if self.is_interrupted:
            has_failed = Outcome.FAILED in [step.outcome for step in self.steps]
            return Outcome.FAILED if has_failed else Outcome.INCONCLUSIVE
        return overall(self.outcomes)

    @property
    def defect(self) -> str:
        """The first traceback of a failure of the kit itself, if there is one."""
        return next((run.defect for run in self.every_run if run.defect), "")

    @property
    def not_judged(self) -> list[int]:
        """The exercises in a play of which the kit itself failed."""
        return sorted({run.exercise for run in self.every_run if run.defect})

    @property
    def steps(self) -> list[StepResult]:
        """For each step its worst result over all runs, since it must pass every time."""
        found = []
        played = [*self.every_run, *self.unfinished]
        for exercise in sorted({run.exercise for run in played}):
            for step in steps_of(exercise):
                results = [s for run in played for s in run.steps if s.step == step]
                if results:
                    worst = overall([result.outcome for result in results])
                    found.append(next(result for result in results if result.outcome is worst))
        return found

    def shown(self) -> list[Run]:
        """For each exercise the run to show: the first of those with the worst outcome."""
        found: dict[int, list[Run]] = {}
        for run in self.every_run:
            found.setdefault(run.exercise, []).append(run)
        return [worst_of(runs) for runs in found.values()]

    def scene(self, exercise: int) -> Scene | None:
        """The small scene that shows how an exercise failed, if one was found."""
        return next((scene for scene in self.scenes if scene.exercise == exercise), None)

    def count(self, outcome: Outcome) -> int:
        """How many runs have this outcome."""
        return sum(each is outcome for each in self.outcomes)

    def seeds(self, outcome: Outcome) -> list[str]:
        """The seeds of the runs that have this outcome, as `--seed` takes them."""
        return [
            exercises[0].named_seed
            for exercises, each in zip(self.runs, self.outcomes, strict=True)
            if each is outcome and exercises
        ]

    @property
    def points(self) -> tuple[int, int]:
        """Points reached, and possible points."""
        return sum(step.points for step in self.steps), sum(step.of for step in self.steps)


def worst_of(runs: list[Run]) -> Run:
    """The first of the runs with the worst outcome."""
    worst = overall([run.outcome for run in runs])
    return next((run for run in runs if run.outcome is worst), runs[0])


def excluded_frequency(runs: int) -> float:
    """The least frequency of a defect that `runs` passes exclude, with 95 % certainty.

    With a frequency f, all n runs pass with a probability of (1 - f)^n; solved for f at 5 %. For large n
    that is the "rule of three", 3/n (Hanley and Lippman-Hand, 1983).
    """
    return float(1 - BOUND_CONFIDENCE ** (1 / runs)) if runs else 1.0
