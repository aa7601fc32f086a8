"""What a verdict is: each step passed, failed, inconclusive or skipped, and why.

A pass carries its *proof*, which says what was done to the server so that the pass means something. Where
that could not be done, or the machine was too slow to tell, there is a *doubt* instead.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from msgspec import Struct, field

from harness.checkers.catalogue import Anomaly


class Outcome(StrEnum):
    """The outcome of a step, or of all that a command judged."""

    PASSED = "passed"
    FAILED = "failed"
    INCONCLUSIVE = "inconclusive"
    SKIPPED = "skipped"


EXIT_CODES = {
    Outcome.PASSED: 0,
    Outcome.SKIPPED: 0,
    Outcome.FAILED: 1,
    Outcome.INCONCLUSIVE: 2,
}
"""The exit codes of our commands. The codes for wrong usage and Ctrl-C are in `lab/command.py`."""
EXIT_DEFECT = 70
"""The kit itself failed, so that there is no verdict."""


class Text(Struct, frozen=True):
    """A sentence in `harness/texts`, and its parameters."""

    key: str
    params: dict[str, Any] = field(default_factory=dict)


class StepCheck(Struct):
    """What a scenario's checks say of one step: what is wrong, or the proof, or the doubt.

    `doubt` says why a pass would prove nothing; `shaky` that the machine was too slow for anything that
    rests on time, a failure included. A proof counts what was done; where a whole number in it is 0, that was
    not done, and it proves nothing.
    """

    anomalies: list[Anomaly]
    proof: Text
    doubt: Text | None = None
    shaky: Text | None = None
    notes: list[Text] = field(default_factory=list)
    skipped: Text | None = None


class StepResult(Struct):
    """The verdict on one step of one run."""

    step: str
    outcome: Outcome
    points: int
    of: int
    receipt: Text | None
    notes: list[Text] = field(default_factory=list)
    anomalies: list[Anomaly] = field(default_factory=list)
    lag: float = 0.0
    """Seconds by which the harness's own event loop was late at the most, so that times are that much off."""


def overall(outcomes: list[Outcome]) -> Outcome:
    """The verdict on several steps or runs: failed if any failed, else inconclusive if any was."""
    for outcome in (Outcome.FAILED, Outcome.INCONCLUSIVE, Outcome.PASSED):
        if outcome in outcomes:
            return outcome
    return Outcome.SKIPPED
