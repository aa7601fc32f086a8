"""Checks whose plays are made up, so that what a check makes of them is tested in no time."""

from __future__ import annotations

import io
from collections.abc import Callable
from types import TracebackType

from harness.check.options import Options
from harness.checkers.catalogue import Anomaly
from harness.judged import targets
from harness.reports.terminal import Terminal
from harness.running.fork_pool import SimJob
from harness.running.run import Case, Run
from harness.texts import texts
from harness.verdict.outcome import Outcome, StepResult, Text
from harness.verdict.steps import steps_of

Verdict = Callable[[Case], str]
"""Which outcome a case has, or by which anomaly it fails."""


def options(exercises: tuple[int, ...] = (2,), **more: object) -> Options:
    """Options of a check of the reference server, with these differences."""
    usual: dict[str, object] = {
        "chosen": dict.fromkeys(exercises, targets.reference()),
        "seed": 12,
        "world": "sim",
        "runs": 1,
        "jobs": 1,
        "small": False,
        "skip_slow": False,
        "lang": "en",
        "verbose": False,
        "json_file": None,
        "html_file": None,
        "command": "chatlab check 2 --seed 12",
    }
    return Options(**usual | more)


def terminal(language: str = "en") -> tuple[Terminal, io.StringIO]:
    """A terminal, and what it has printed."""
    out = io.StringIO()
    return Terminal(texts(language), out=out), out


def made_up(exercise: int, seed: str, verdict: str, case: Case | None = None) -> Run:
    """A run in which the second step has a verdict: an outcome, or the anomaly by which it failed."""
    steps = [StepResult(step, Outcome.PASSED, 2, 2, None) for step in steps_of(exercise)]
    if verdict in tuple(Outcome):
        outcome, anomalies = Outcome(verdict), []
    else:
        outcome, anomalies = Outcome.FAILED, [Anomaly(verdict, {}, [])]
    receipt = Text("nothing_missed") if outcome is Outcome.INCONCLUSIVE else None
    steps[1] = StepResult(steps[1].step, outcome, 0, 2, receipt, [], anomalies)
    world = "live" if case is None else "sim"
    return Run(exercise, seed, world, "python -m lab", 1.0, steps, [], [], 0.0, [], case=case)


class MadeUpPool:
    """Stands for a ForkPool: each case has the verdict that a function says."""

    def __init__(self, verdict: Verdict) -> None:
        self._verdict = verdict
        self.cases: list[Case] = []
        self.costs = 0.0
        """What `spent` grows by for each case that is played."""
        self.spent = 0.0

    def __call__(self, at_once: int) -> MadeUpPool:
        """Made like a ForkPool."""
        return self

    async def __aenter__(self) -> MadeUpPool:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    async def play(self, job: SimJob) -> list[Run]:
        """The runs of a job."""
        self.cases += job.cases
        self.spent += self.costs * len(job.cases)
        return [made_up(case.exercise, case.seed, self._verdict(case), case) for case in job.cases]

    async def recall(self, target: object, case: Case, digest: str) -> Run:
        """The run of a case."""
        return made_up(case.exercise, case.seed, self._verdict(case), case)
