"""The result of playing a contract, as data: breaches, each with the smallest play that shows it."""

from __future__ import annotations

from typing import Any

from msgspec import Struct, field

from harness.checkers.catalogue import Anomaly
from harness.history.events import Called


class Breach(Struct, frozen=True):
    """Something that the component must do and did not, with the calls that show it.

    `duty` names the method in `lab/interfaces.py`. `params` fill the texts of the anomaly `name`.
    """

    step: str
    name: str
    variant: str
    duty: str
    params: dict[str, Any]
    events: list[Called]

    @property
    def kind(self) -> tuple[str, str, str]:
        """Two breaches of the same kind are the same mistake."""
        return self.step, self.name, self.variant

    def is_no_more_than(self, other: Breach) -> bool:
        """Whether it is the same mistake, or the same without a circumstance that the other's variant names.

        `missing_left` says that somebody had left: where all else fails without that, it is `missing`.
        """
        is_general = bool(self.variant) and other.variant.startswith(f"{self.variant}_")
        return self.kind == other.kind or (is_general and self.kind[:2] == other.kind[:2])

    @property
    def is_wrong_time(self) -> bool:
        """Whether a time is wrong."""
        return self.name == "wrong_last_seen" or self.variant.startswith("timestamp")

    def anomaly(self) -> Anomaly:
        """The finding that a report shows."""
        return Anomaly(self.name, {**self.params, "duty": self.duty}, [*self.events], self.variant)


ENDED = "ended"
"""What is lacking where the process that calls a component was ended, in which none of its code runs."""


class Played(Struct):
    """The result of a contract. If it could not be played to its end, `lacking` says why, `where` where."""

    component: str
    plays: int = 0
    calls: int = 0
    seconds: float = 0.0
    found: list[Breach] = field(default_factory=list)
    """For each step of the course that is broken, the smallest breach."""
    notes: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    threads: int = 0
    """Threads of one executor with work at the same time; in simulation, each finishes without a switch."""
    lacking: str = ""
    where: str = ""
    problem: str = ""
    """Why there is no such component: the same text as when the server is started with it."""
    defect: str = ""
    """A traceback, if the kit itself failed."""
    output: list[str] = field(default_factory=list)
    """The last lines that the component printed."""
