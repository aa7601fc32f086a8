"""A rubric: what steps are worth in one's own course, and what being late costs.

Verdicts do not depend on it. So when it changes, nothing is judged anew: the points are.
"""

from __future__ import annotations

import math
import re
from datetime import datetime
from pathlib import Path

import msgspec
from msgspec import Struct, field

from harness.grading.result import Grade, Part
from harness.texts import Texts
from harness.texts.problem import Problem
from harness.verdict.outcome import Outcome
from harness.verdict.steps import EXERCISES, steps_of

_DAY = 86_400


class BadRubric(Problem):
    """A rubric cannot be used; the text says where, and what to do."""


class Late(Struct, frozen=True, forbid_unknown_fields=True):
    """What being late costs, for each day that has begun."""

    due: datetime | None = None
    """In the time zone of this machine, if it names none."""
    points: float = 0
    percent: float = 0
    """Of the points that can be had."""
    days: dict[str, int] = {}
    """How late somebody was, where no portal tells it; or what counts instead of that."""


class Check(Struct, frozen=True, forbid_unknown_fields=True):
    """A file of tests of one's own, with the kit's fixtures: all of them must pass."""

    file: str
    points: float
    name: str = ""
    hidden: bool = False


class Rubric(Struct, frozen=True, forbid_unknown_fields=True):
    """What counts. Steps are named by their numbers, such as "2.3"."""

    exercises: tuple[int, ...] = tuple(EXERCISES)
    points: dict[str, float] = {}
    """What a step is worth, where that is something else than in the kit."""
    required: tuple[str, ...] = ()
    """Who fails one of these has no points for the rest of its exercise, either."""
    hidden: tuple[str, ...] = ()
    """Steps of which authors are told nothing but whether they passed."""
    late: Late = field(default_factory=Late)
    checks: tuple[Check, ...] = ()

    def apply(self, mark: Grade, said: Texts) -> None:
        """Give a grade its points, from its verdicts."""
        for exercise, part in mark.parts.items():
            part.is_counted = exercise in self.exercises
            self._weigh(part, said)
        mark.late_days = self._days(mark)
        mark.sum_up()
        per_day = self.late.points + self.late.percent / 100 * mark.of
        mark.penalty = round(mark.late_days * per_day, 2)
        mark.sum_up()

    def _weigh(self, part: Part, said: Texts) -> None:
        failed = set(part.steps_with(Outcome.FAILED))
        lacking = sorted(failed & set(self.required))
        for step in part.steps:
            step.of = self.points.get(step.step, step.kit_of)
            is_earned = step.verdict is Outcome.PASSED and not lacking
            step.points = step.of if is_earned else 0
            step.is_hidden = step.step in self.hidden
            if step.verdict is Outcome.PASSED:
                step.said = [said.say("grade.required", steps=", ".join(lacking))] if lacking else []
        part.points = sum(step.points for step in part.steps)
        part.of = sum(step.of for step in part.steps)

    def _days(self, mark: Grade) -> int:
        """The days that have begun since it was due."""
        if mark.name in self.late.days:
            return self.late.days[mark.name]
        handed_in = _time(mark.author.handed_in)
        if self.late.due is None or handed_in is None:
            return 0
        due = self.late.due if self.late.due.tzinfo else self.late.due.astimezone()
        return max(math.ceil((handed_in - due).total_seconds() / _DAY), 0)

    def is_lateness_unknown(self, mark: Grade, *, is_late: bool) -> bool:
        """Whether a portal says that it was late, and nobody how late."""
        costs = self.late.points or self.late.percent
        return bool(is_late and costs and mark.name not in self.late.days and not mark.author.handed_in)


def read(path: Path) -> Rubric:
    """The rubric in a file. Raises BadRubric."""
    try:
        rubric = msgspec.toml.decode(path.read_bytes(), type=Rubric)
    except OSError as error:
        raise BadRubric("rubric.unreadable", path=path, why=error.strerror) from error
    except (msgspec.DecodeError, ValueError) as error:
        raise BadRubric("rubric.wrong", path=path, why=str(error)) from error
    steps = {step for exercise in EXERCISES for step in steps_of(exercise)}
    for step in (*rubric.points, *rubric.required, *rubric.hidden):
        if step not in steps:
            raise BadRubric("rubric.no_step", path=path, step=step)
    if not set(rubric.exercises) <= set(EXERCISES) or not rubric.exercises:
        raise BadRubric("rubric.no_exercise", path=path, numbers=", ".join(map(str, EXERCISES)))
    checks = [check.points for check in rubric.checks]
    late = (rubric.late.points, rubric.late.percent, *rubric.late.days.values())
    if not all(0 <= points < math.inf for points in (*rubric.points.values(), *checks, *late)):
        raise BadRubric("rubric.negative", path=path)
    if rubric.late.points and rubric.late.percent:
        raise BadRubric("rubric.both", path=path)
    for check in rubric.checks:
        if not (path.parent / check.file).is_file():
            raise BadRubric("rubric.no_file", path=path, file=check.file)
    return rubric


def _time(text: str) -> datetime | None:
    """A time as portals write it: ISO 8601, or nearly so."""
    near = re.sub(r"(\.\d{1,6})\d*", r"\1", text.strip().replace(" Z", "+00:00").replace(" UTC", "+00:00"))
    try:
        found = datetime.fromisoformat(near)
    except ValueError:
        return None
    return found if found.tzinfo else found.astimezone()
