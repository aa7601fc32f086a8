"""`chatlab export gradescope`: a folder that is uploaded as an autograder."""

from __future__ import annotations

import json
from typing import Any

from msgspec import Struct

from harness.grading.handouts import autograder
from harness.grading.handouts.kit import judging_kit
from harness.grading.handouts.project import project
from harness.history.source_files import source_of
from harness.judged.tracks import PYTHON, TYPESCRIPT
from harness.texts import LANGUAGES, Texts
from harness.verdict.steps import COMPONENTS, points_for, steps_of
from harness.workspace.bundle import Bundle, template

VISIBILITY = {"published": "after_published", "due": "after_due_date", "never": "hidden"}
"""Until when a hidden step stays hidden, and what Gradescope calls it."""
_USER = "chatlab"
"""Who submissions are judged as there, if the autograder may choose: it runs as root."""
_END = 30
"""Seconds of Gradescope's limit that are kept for the end: beyond it, there are no points and no output."""
_WORDS = (
    "waiting",
    "deadline",
    "unusable",
    "broken",
    "open",
    "again",
    "no_points",
    "points",
    "later",
    "cause",
)


class Wishes(Struct, frozen=True):
    """What an instructor has chosen."""

    exercises: tuple[int, ...]
    together: bool = False
    seed: int = 1
    hidden: tuple[str, ...] = ()
    """The numbers of the steps that students are not shown, "2.3", or of whole exercises, "2"."""
    until: str = "published"
    """A key of VISIBILITY."""
    minutes: int = 10
    """Gradescope's limit for this assignment."""
    track: str = PYTHON
    """Whether Node is installed, too, for submissions in TypeScript."""


def gradescope(wishes: Wishes, words: Texts) -> Bundle:
    """All files of the autograder."""
    bundle = Bundle()
    is_typescript = wishes.track == TYPESCRIPT
    node = template(__package__, "gradescope/node.sh") if is_typescript else ""
    editable = "--editable " * is_typescript  # it stays in the folder in which npm installs packages, too
    setup = template(__package__, "gradescope/setup.sh", user=_USER, node=node, editable=editable)
    bundle.add("setup.sh", setup, is_program=True)
    bundle.add("run_autograder", template(__package__, "gradescope/run_autograder"), is_program=True)
    bundle.add("driver.py", source_of(autograder.__file__))
    bundle.add("settings.json", json.dumps(settings(wishes, words), indent=1, ensure_ascii=False) + "\n")
    bundle.add_all(judging_kit(with_reference=False, with_typescript=is_typescript), "kit")
    return bundle


def settings(wishes: Wishes, words: Texts) -> dict[str, Any]:
    """What the driver is told."""
    return {
        "version": project().version,
        "command": [".venv/bin/chatlab"],
        "options": ["--together"] * wishes.together
        + ["--lang", words.language] * (words.language != LANGUAGES[0]),
        "exercises": list(wishes.exercises),
        "seed": wishes.seed,
        "seconds": wishes.minutes * 60 - _END,
        "user": _USER,
        "steps": [
            _step(exercise, step, wishes, words)
            for exercise in wishes.exercises
            for step in steps_of(exercise)
        ],
        "words": {key: words.say(f"handout.driver_{key}", **_LATER) for key in _WORDS},
    }


_LATER = {name: f"{{{name}}}" for name in ("seconds", "why", "points", "of")}
"""What only the driver can fill in."""


def _step(exercise: int, step: str, wishes: Wishes, words: Texts) -> dict[str, Any]:
    is_hidden = step in wishes.hidden or str(exercise) in wishes.hidden
    return {
        "step": step,
        "exercise": exercise,
        "title": words.say(f"step.{step.replace('.', '-')}"),
        "of": points_for(step, None if wishes.together else COMPONENTS[exercise]),
        "visibility": VISIBILITY[wishes.until] if is_hidden else "visible",
    }
