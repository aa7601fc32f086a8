"""`chatlab export github` and `gitlab`: pipelines that judge a repository at each push."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

from msgspec import Struct

from harness.judged.tracks import PYTHON, TYPESCRIPT
from harness.texts import Texts
from harness.verdict.steps import COMPONENTS, points_for, steps_of
from harness.workspace.bundle import template

GITHUB_FILE = ".github/workflows/classroom.yml"
GITLAB_FILE = ".gitlab-ci.yml"


class Course(Struct, frozen=True):
    """What is judged, and where the kit comes from."""

    exercises: tuple[int, ...]
    together: bool = False
    kit: str = ""
    """What pip installs as the kit; empty for the kit that the repository itself is."""
    track: str = PYTHON
    """Whether Node is installed, too, for components in TypeScript."""


def github(course: Course, words: Texts) -> str:
    """A workflow of GitHub Actions: a step for each exercise, and the points of all in the end.

    The actions of GitHub Classroom are deprecated, since it has ended; what its reporter wrote (see
    https://github.com/classroom-resources/autograding-grading-reporter) is two notices, which need no action.
    """
    options = " --together" * course.together + f" --lang {words.language}"
    steps = "".join(
        template(
            __package__,
            "github/exercise.yml",
            number=exercise,
            title=json.dumps(
                words.say("ui.exercise", number=exercise, title=words.say(f"exercise.{exercise}")),
                ensure_ascii=False,
            ),
            options=options,
        )
        for exercise in course.exercises
    )
    possible = {exercise: _possible(exercise, course.together) for exercise in course.exercises}
    return template(
        __package__,
        "github/classroom.yml",
        install=_install(course, ""),
        node=template(__package__, "github/node.yml") if course.track == TYPESCRIPT else "",
        steps=steps.rstrip("\n"),
        possible=json.dumps(possible),
        points=json.dumps(words.say("handout.pipeline_points"), ensure_ascii=False),
        open=json.dumps(words.say("handout.pipeline_open"), ensure_ascii=False),
    )


def gitlab(course: Course, words: Texts) -> str:
    """A pipeline of GitLab, which shows the steps as a test report."""
    options = f" --lab-exercises={','.join(map(str, course.exercises))}"
    options += " --lab-together" if course.together else ""
    options += f" --lab-lang={words.language}"
    node = template(__package__, "gitlab/node.yml") if course.track == TYPESCRIPT else ""
    return template(
        __package__, "gitlab/gitlab-ci.yml", install=_install(course, "pytest"), node=node, options=options
    )


def file_for(place: Path, name: str) -> Path:
    """The file that is meant by the name of a file, or of the folder of a repository."""
    return place if place.suffix in (".yml", ".yaml") and not place.is_dir() else place / name


def _install(course: Course, extra: str) -> str:
    """The command that installs the kit."""
    if course.kit:
        return f"python -m pip install {shlex.quote(course.kit)}" + (" 'pytest>=8.3,<9.2'" if extra else "")
    return "python -m pip install --constraint constraints.txt --editable " + (
        f"'.[{extra}]'" if extra else "."
    )


def _possible(exercise: int, together: bool) -> int:
    """The points of an exercise."""
    component = None if together else COMPONENTS[exercise]
    return sum(points_for(step, component) for step in steps_of(exercise))
