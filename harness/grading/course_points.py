"""What a rubric has made of the points of a grade, for its author: the report has those of the kit."""

from __future__ import annotations

from harness.grading.result import Grade, Mark, number
from harness.texts import Texts
from harness.verdict.outcome import Outcome


def course_points(mark: Grade, said: Texts) -> list[str]:
    """A text with the points of each step, and what was taken off; none if all is as in the kit."""
    counted = [part for _, part in sorted(mark.parts.items()) if part.is_counted]
    steps = [step for part in counted for step in part.steps]
    is_usual = all(step.of == step.kit_of and not _is_withheld(step) for step in steps)
    if is_usual and not mark.checks and not mark.penalty:
        return []
    lines = [said.say("grade.course_points"), *(_line(each, said) for each in (*steps, *mark.checks))]
    if mark.penalty:
        points = number(mark.penalty)
        lines.append(said.say("grade.course_late", days=mark.late_days, points=points))
    return ["\n".join(lines)]


def _is_withheld(step: Mark) -> bool:
    return step.verdict is Outcome.PASSED and step.points < step.of


def _line(step: Mark, said: Texts) -> str:
    is_told = not step.is_hidden and (_is_withheld(step) or not step.title)
    why = f": {step.said[0]}" if is_told and step.said else ""
    return said.say(
        "grade.course_step",
        step=step.step,
        verdict=said.say(f"outcome.{step.verdict}"),
        points=number(step.points),
        of=number(step.of),
        why=why,
    )
