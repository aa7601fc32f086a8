"""Which questions were answered, and how the last time: in `.chatlab/quiz.json`, in the current folder."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from msgspec import Struct, field

from harness.check import kept
from harness.check.files import OURS

PATH = OURS / "quiz.json"


class Answer(Struct):
    """The last answer to a question, and when it was given (ISO 8601)."""

    right: bool
    at: str


class Answers(Struct):
    """The content of the file, by the keys of the questions."""

    answers: dict[str, Answer] = field(default_factory=dict)


def known(told: Callable[[Path], None]) -> dict[str, bool]:
    """Whether the last answer to each question was right, by its key; for `told`, see `kept.read`."""
    return {key: each.right for key, each in kept.read(PATH, Answers, told).answers.items()}


def note(key: str, *, right: bool) -> None:
    """Remember an answer. Raises OSError if that cannot be written."""
    found = kept.read(PATH, Answers, lambda path: None)
    found.answers[key] = Answer(right, datetime.now(UTC).isoformat(timespec="seconds"))
    kept.write(PATH, found)
