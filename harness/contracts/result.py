"""What comes of a contract, as data: breaches, each with the smallest play that shows it."""

from __future__ import annotations

from typing import Any

from msgspec import Struct, field

from harness.anomalies import Anomaly
from harness.history import Called


class Breach(Struct, frozen=True):
    """Something that the component owes and did not do.

    `duty` names the method in `lab/interfaces.py`. `params` fill the texts of the anomaly `name`.
    `at` is how many events of the history show it.
    """

    step: str
    name: str
    variant: str
    duty: str
    params: dict[str, Any]
    at: int

    @property
    def kind(self) -> tuple[str, str, str]:
        """What two breaches have in common that are the same mistake."""
        return self.step, self.name, self.variant


class Found(Struct):
    """The smallest play that breaks one step of the course, with the calls up to there."""

    breach: Breach
    history: list[Called]

    def anomaly(self) -> Anomaly:
        """The finding that a report shows."""
        breach = self.breach
        params = {**breach.params, "duty": breach.duty}
        return Anomaly(breach.name, params, [*self.history], breach.variant)


class Played(Struct):
    """What came of a contract. With `lacking`, it could not be played to its end; `where` says the place."""

    component: str
    plays: int = 0
    calls: int = 0
    seconds: float = 0.0
    found: list[Found] = field(default_factory=list)
    notes: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    lacking: str = ""
    where: str = ""
    problem: str = ""
    """Why there is no such component; whoever starts the server with it is told the same."""
    defect: str = ""
    """A traceback, if the kit itself failed."""
    output: list[str] = field(default_factory=list)
    """The last lines that the component printed."""
