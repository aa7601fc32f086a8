"""What the options of the pytest plugin name; `harness/entry_points/chatlab_pytest.py` declares them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness.judged import targets
from harness.judged.found import handed_in
from harness.judged.targets import BadTarget, Target
from harness.judged.tracks import PYTHON, TRACKS, VARIABLE
from harness.submissions.submission import Submission
from harness.texts import Texts, texts
from harness.texts.problem import Problem
from lab.legible import legible

TARGETS = ("--lab-submission", "--lab-server", "--lab-url", "--lab-solutions", "--lab-reference")
"""Options that name what is judged; they exclude each other."""


def target_of(config: pytest.Config, exercise: int, *, together: bool = False) -> Target:
    """The server that the options name for an exercise. Raises pytest.UsageError if there is none."""
    folder = _folder_of(config)
    try:
        return targets.choose(
            exercise,
            of_reference=config.getoption("--lab-reference"),
            server=config.getoption("--lab-server"),
            url=config.getoption("--lab-url"),
            folder=folder,
            of_solutions=config.getoption("--lab-solutions"),
            together=together or config.getoption("--lab-together"),
            is_partial=together,
            track=_track_of(config),
        )
    except targets.BadTarget as error:
        raise pytest.UsageError(legible(error.said_in(words_of(config)))) from error


def targets_of(
    config: pytest.Config, exercises: list[int], given: Submission | None
) -> dict[int, Target | BadTarget]:
    """The same for some exercises of what was handed in; where something is missing, why it cannot be judged.

    Raises pytest.UsageError if that is so in all of them.
    """
    found: dict[int, Target | BadTarget] = {}
    for exercise in exercises:
        try:
            if given is None:
                found[exercise] = target_of(config, exercise)
            else:
                _check_handed_in(config, exercise)
                found[exercise] = given.target(exercise)
        except pytest.UsageError as error:
            if not isinstance(error.__cause__, BadTarget) or not config.getoption("--lab-submission"):
                raise
            found[exercise] = error.__cause__
    problems = [each for each in found.values() if isinstance(each, BadTarget)]
    if len(problems) == len(found) and problems:
        raise pytest.UsageError(legible(problems[0].said_in(words_of(config))))
    return {exercise: given.target(exercise) for exercise in found} if given else found


def _check_handed_in(config: pytest.Config, exercise: int) -> None:
    """Raise pytest.UsageError if it is not clear what was handed in for an exercise. Nothing is built."""
    folder = _folder_of(config)
    assert folder is not None, "something was handed in"
    try:
        handed_in(folder, exercise, config.getoption("--lab-together"))
    except BadTarget as error:
        raise pytest.UsageError(legible(error.said_in(words_of(config)))) from error


def _folder_of(config: pytest.Config) -> Path | None:
    """The folder that was handed in. Raises pytest.UsageError if that is a strange one."""
    folder = config.getoption("--lab-submission")
    if folder == "":
        raise pytest.UsageError(words_of(config).say("usage.folder_unnamed"))
    if folder and config.inipath and config.inipath.resolve().is_relative_to(Path(folder).resolve()):
        raise pytest.UsageError(
            legible(words_of(config).say("usage.settings_handed_in", path=config.inipath))
        )
    return Path(folder) if folder is not None else None


def _track_of(config: pytest.Config) -> str:
    """The track of what is the course's own: by the option, else by the environment.

    Raises pytest.UsageError if that names none.
    """
    given: str = config.getoption("--lab-track") or os.environ.get(VARIABLE) or PYTHON
    if given not in TRACKS:
        tracks = ", ".join(TRACKS)
        problem = Problem("usage.track", variable=VARIABLE, given=repr(given), tracks=tracks)
        raise pytest.UsageError(legible(problem.said_in(words_of(config))))
    return given


def words_of(config: pytest.Config) -> Texts:
    """The texts in the language asked for."""
    return texts(config.getoption("--lab-lang"))


def is_asked_for(config: pytest.Config) -> bool:
    """Whether any option names what is to be judged."""
    return any(is_given(config, name) for name in (*TARGETS, "--lab-exercises"))


def is_given(config: pytest.Config, name: str) -> bool:
    """Whether an option was given."""
    return config.getoption(name) not in (None, False)
