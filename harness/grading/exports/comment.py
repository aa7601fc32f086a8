"""What an author reads beside a mark in a portal, as HTML on one line."""

from __future__ import annotations

import html

from harness.grading.exports.marks import Entry, entries, reasons, title_of, without_places
from harness.grading.result import Grade, number
from harness.grading.table import cell
from harness.texts import Texts
from harness.verdict.outcome import Outcome


def comment(grade: Grade, said: Texts) -> str:
    """The points, which steps failed with what was found first, and what is to be told besides."""
    lines = [said.say("export.points", points=_points(grade.points, said), of=_points(grade.of, said))]
    if grade.penalty:
        taken = _points(grade.penalty, said)
        lines.append(said.say("export.penalty", points=taken, days=grade.late_days))
    lines += _failures(grade, said)
    lines += [without_places(remark, grade.name) for remark in grade.remarks]
    # A backslash before a quotation mark is read in two ways by PHP; and Moodle takes a comment for HTML.
    safe = (html.escape(line).replace("\\", "&#92;") for line in lines)
    return cell("<br>".join(safe))


def _failures(grade: Grade, said: Texts) -> list[str]:
    """A line for each reason, with all steps that failed for it; of hidden ones, what they were about."""
    steps: dict[str, list[str]] = {}
    hidden: dict[str, None] = {}
    for entry in entries(grade):
        if entry.mark.verdict is not Outcome.FAILED:
            continue
        if entry.mark.is_hidden:
            hidden[category(entry, said)] = None
        else:
            why = (reasons(grade, entry, said) or [title_of(entry.mark, said)])[0]
            steps.setdefault(why, []).append(entry.mark.step)
    lines = [said.say("export.failed", steps=", ".join(names), why=why) for why, names in steps.items()]
    return lines + [said.say("export.failed_hidden", what=what) for what in hidden]


def category(entry: Entry, said: Texts) -> str:
    """All that an author is told of a hidden test: the exercise, or that the course has tests of its own."""
    if entry.exercise:
        title = said.say(f"exercise.{entry.exercise}")
        return said.say("ui.exercise", number=entry.exercise, title=title)
    return said.say("export.own_tests")


def _points(points: float, said: Texts) -> str:
    return said.number(str(number(points)))
