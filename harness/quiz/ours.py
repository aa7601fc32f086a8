"""Our own questions: for each exercise a file in each language, which mdbook-quiz reads as well.

The id of a question begins with the step that it belongs to, as in `2.3-since-zero`.
"""

from __future__ import annotations

import re
from pathlib import Path

from harness.quiz.reader import Quiz, read
from harness.verdict.steps import EXERCISES, POINTS

QUESTIONS = Path(__file__).parent / "questions"
_STEP = re.compile(r"(\d\.\d)-")


def file_of(exercise: int, language: str) -> Path:
    """The file with the questions on an exercise."""
    return QUESTIONS / f"{EXERCISES[exercise]}.{language}.toml"


def quiz(exercise: int, language: str) -> Quiz:
    """The questions on an exercise."""
    return read(file_of(exercise, language))


def step_of(id: str) -> str:
    """The step that one of our questions belongs to; "" for any other question."""
    found = _STEP.match(id)
    return found[1] if found and found[1] in POINTS else ""


def handout_of(step: str, language: str) -> str:
    """The path of the handout on the exercise of a step, from the folder that `exercises` is in."""
    name = "README.md" if language == "en" else f"README.{language}.md"
    return f"exercises/{EXERCISES[int(step[0])]}/{name}"
