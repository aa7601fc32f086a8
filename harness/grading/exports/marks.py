"""The marks of a submission in their order, and what is said of them that may leave this machine."""

from __future__ import annotations

import re
from collections.abc import Iterator

from msgspec import Struct

from harness.grading.result import Grade, Mark
from harness.texts import Texts
from harness.verdict.outcome import Outcome
from lab.legible import both_ends

_PATH = re.compile(r"(?<![\w.:/\\])(?:[A-Za-z]:)?(?:[/\\][^\s/\\:,;`'\"]+)+[/\\](?=[^\s/\\])")
"""The folders of an absolute path, with the last slash."""


class Entry(Struct, frozen=True):
    """A mark, and what it belongs to."""

    exercise: int
    """0 for a test of the rubric's own."""
    mark: Mark
    seconds: float
    """An exercise is played once: what that took belongs to its first step."""


def entries(grade: Grade) -> Iterator[Entry]:
    """All marks of a submission, in the course's order."""
    for number, part in sorted(grade.parts.items()):
        for place, mark in enumerate(part.steps):
            yield Entry(number, mark, 0.0 if place else part.seconds)
    for mark in grade.checks:
        yield Entry(0, mark, 0.0)


def title_of(mark: Mark, said: Texts) -> str:
    """What a step is called, also if it was not played; empty if it has no title."""
    key = f"step.{mark.step.replace('.', '-')}"
    return mark.title or (said.say(key) if said.has(key) else "")


def reasons(grade: Grade, entry: Entry, said: Texts) -> list[str]:
    """What is said of a mark, without the names of this machine's folders."""
    part = grade.parts.get(entry.exercise)
    if part and part.kit_failed and entry.mark.verdict is Outcome.INCONCLUSIVE:
        return [said.say("export.kit_failed")]  # what was said names a file of this machine
    return [without_places(each, grade.name) for each in entry.mark.said]


def without_places(sentence: str, name: str) -> str:
    """A sentence in which paths begin with the folder of the submission, or are a file's name alone."""
    own = re.compile(rf"(?<![\w.:/\\])(?:[A-Za-z]:)?[/\\](?:[^\n,:;`'\"]*?[/\\])?(?={re.escape(name)}(?!\w))")
    shorter = own.sub("", sentence) if name else sentence
    return both_ends(_PATH.sub("", shorter))
