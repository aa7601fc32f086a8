"""What is played, and what came of it, as data."""

from __future__ import annotations

from msgspec import Struct

from harness.contracts.result import Played
from harness.history.events import History
from harness.scenarios.common import MODEST
from harness.scenarios.script import Script
from harness.verdict.outcome import Outcome, StepResult, Text, overall


class Case(Struct, frozen=True):
    """What is played in the simulated world: with the target, all that a run follows from.

    `size` says how much of the exercise (`harness.scenarios.common`). A `script` is played instead of it.
    """

    exercise: int
    seed: str
    size: int = MODEST
    script: Script | None = None


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
    """A traceback, if the kit itself failed; nothing is then said of the server."""

    nonce: str = ""
    """What names of this run end with."""
    component: str | None = None
    """The component that is judged, if it is one alone."""

    case: Case | None = None
    """What was played, in the simulated world."""
    digest: str = ""
    """A digest of the history, likewise: the same case has the same."""

    contract: Played | None = None
    """What came of calling the component directly, if there is one."""

    @property
    def lag(self) -> float:
        """Seconds by which the harness was late at the most."""
        return max((step.lag for step in self.steps), default=0.0)

    @property
    def outcome(self) -> Outcome:
        """The verdict on the exercise."""
        return overall([step.outcome for step in self.steps])
