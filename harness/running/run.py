"""What is played (a case), and its result (a run), as data."""

from __future__ import annotations

from msgspec import Struct, field

from harness.contracts.result import Played
from harness.history.events import History
from harness.judged.targets import Target
from harness.judged.tracks import PYTHON
from harness.scenarios.common import MODEST, SMALL
from harness.scenarios.script import Script
from harness.texts.seed import written
from harness.verdict.causes import Cause
from harness.verdict.judge import without_verdict
from harness.verdict.outcome import Outcome, StepResult, Text, overall
from harness.worlds.sim.watchdog import Stuck


class Case(Struct, frozen=True):
    """What is played in the simulated world: together with the target, it determines the run.

    `size` says how much of the exercise (`harness.scenarios.common`). A `script` is played instead of it.
    With `until`, it ends where the server's code was stuck when it was played before.
    """

    exercise: int
    seed: str
    size: int = MODEST
    script: Script | None = None
    until: Stuck | None = None

    @property
    def named_seed(self) -> str:
        """What plays it again as `--seed`."""
        return written(self.seed, small=self.size == SMALL and self.script is None)


class Run(Struct):
    """One play of one exercise, judged."""

    exercise: int
    seed: str
    world: str
    target: str
    seconds: float
    steps: list[StepResult]
    notes: list[Text]
    output: list[str]
    stall: float
    history: History
    defect: str = ""
    """A traceback, if the kit itself failed; the server is not judged then."""

    nonce: str = ""
    """The suffix of all names in this run."""
    component: str | None = None
    """The component that is judged, if it is not a whole server."""
    track: str = PYTHON
    """The language that it is in, or that the whole server's components are in."""

    case: Case | None = None
    """What was played, in the simulated world."""
    digest: str = ""
    """A digest of the history, in the simulated world: the same for the same case and target."""

    contract: Played | None = None
    """The result of calling the component directly, if there is one."""

    causes: list[Cause] = field(default_factory=list)
    """What the judged code did or forgot by itself, the first one first."""

    @property
    def named_seed(self) -> str:
        """What plays it again as `--seed`."""
        return self.seed if self.case is None else self.case.named_seed

    @property
    def lag(self) -> float:
        """The most seconds by which the harness itself was late."""
        return max((step.lag for step in self.steps), default=0.0)

    @property
    def outcome(self) -> Outcome:
        """The verdict on the exercise."""
        return overall([step.outcome for step in self.steps])

    def gives_up(self, defect: str) -> None:
        """Let it judge nothing, since the kit itself failed; `defect` has the details."""
        self.defect = self.defect or defect
        self.steps = without_verdict(self.exercise, self.component)


def nothing_known(exercise: int, target: Target, seed: str, world: str, case: Case | None = None) -> Run:
    """A run in which nothing was judged, nor played, as far as is known."""
    component, label = target.component, target.label
    run = Run(exercise, seed, world, label, 0.0, [], [], [], 0.0, [], component=component, case=case)
    run.track = target.track
    return run


def kit_failed(
    exercise: int, target: Target, seed: str, world: str, defect: str, case: Case | None = None
) -> Run:
    """The run of an exercise in which the kit itself failed: the results of the others are worth the same."""
    run = nothing_known(exercise, target, seed, world, case)
    run.gives_up(defect)
    return run
