"""What a load should keep: `delivery.p99=250ms`, `warm_up.connect.p95=1s`, `errors=0`, `rate>=50`.

Times and errors must be at most what is said (`=` or `<=`), or less (`<`); the rate of messages at least that
(`>=`), or more (`>`). Times have a unit, ms or s.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from msgspec import Struct

from harness.load.figures import percentile

TIMED = ("delivery", "echo", "connect", "join", "history", "reconnect", "late")
"""What may have an objective for one of its percentiles."""
COUNTED = ("errors", "rate")
_WARM_UP = "warm_up."
_TIME = re.compile(
    r"(?P<row>[a-z]+)\.p(?P<percent>\d{1,2}(?:[._]\d{1,3})?|100)(?P<sign>[<>]?=|[<>])"
    r"(?P<value>\d+(?:\.\d+)?)(?P<unit>ms|s)?"
)
_COUNT = re.compile(r"(?P<row>errors|rate)(?P<sign>[<>]?=|[<>])(?P<value>\d+(?:\.\d+)?)")


class NoObjective(ValueError):  # noqa: N818 - named for what it says
    """A text that is no objective; `key` is that of what is wrong with it, below `load`."""

    def __init__(self, text: str, key: str = "no_objective") -> None:
        super().__init__(text)
        self.key = key


class Objective(Struct, frozen=True):
    """One objective. Times are in seconds."""

    text: str
    """As it was given."""
    row: str
    percent: float
    """Which percentile of the row; 0 for a count."""
    value: float
    in_warm_up: bool = False
    """Whether it is about the time in which users arrive, instead of the time after that."""
    is_strict: bool = False
    """Whether the value itself is not enough: `<` or `>`."""

    @property
    def is_timed(self) -> bool:
        """Whether it is about seconds."""
        return self.percent > 0

    def is_kept_by(self, value: float) -> bool:
        """Whether a value is as good as it should be."""
        if value == self.value:
            return not self.is_strict
        return value > self.value if self.row == "rate" else value < self.value

    def of(self, times: Sequence[float]) -> float:
        """The percentile that it is about."""
        return percentile(times, self.percent)


def p99_of_delivery(milliseconds: float) -> str:
    """The objective that --lab-p99-ms is short for."""
    return f"delivery.p99={f'{milliseconds:f}'.rstrip('0').rstrip('.')}ms"


def objective(text: str) -> Objective:
    """The objective that a text says. Raises NoObjective, with the text, if it says none."""
    plain = "".join(text.split()).lower()
    in_warm_up = plain.startswith(_WARM_UP)
    found = _TIME.fullmatch(plain.removeprefix(_WARM_UP))
    if found and found["row"] in TIMED:
        percent = float(found["percent"].replace("_", "."))
        seconds = float(found["value"]) / (1 if found["unit"] == "s" else 1000)
        if percent > 0 and seconds > 0:
            is_strict = _sign(text, found["sign"], "at_most") == "<"
            if found["unit"] is None:
                raise NoObjective(text, "no_unit")
            return Objective(text.strip(), found["row"], percent, seconds, in_warm_up, is_strict)
    counted = _COUNT.fullmatch(plain)
    if counted:
        sign = _sign(text, counted["sign"], "at_least" if counted["row"] == "rate" else "at_most")
        return Objective(text.strip(), counted["row"], 0, float(counted["value"]), is_strict=len(sign) == 1)
    raise NoObjective(text)


def _sign(text: str, sign: str, side: str) -> str:
    """The sign as `<`, `<=`, `>` or `>=`. Raises NoObjective for one of the other side; `=` is `<=` alone."""
    sign = "<=" if sign == "=" and side == "at_most" else sign
    if sign[0] != ("<" if side == "at_most" else ">"):
        raise NoObjective(text, side)
    return sign
