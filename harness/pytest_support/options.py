"""What the options of the pytest plugin name; `harness/entry_points/chatlab_pytest.py` declares them."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.judged import targets
from harness.judged.targets import BadTarget, Target
from harness.submissions.submission import Submission
from harness.texts import Texts, texts
from lab.legible import legible

TARGETS = ("--lab-submission", "--lab-server", "--lab-url", "--lab-solutions", "--lab-reference")
"""Options that name what is judged; they exclude each other."""


def target_of(config: pytest.Config, exercise: int, *, together: bool = False) -> Target:
    """The server that the options name for an exercise. Raises pytest.UsageError if there is none."""
    folder = config.getoption("--lab-submission")
    if folder == "":
        raise pytest.UsageError(words_of(config).say("usage.folder_unnamed"))
    if folder and config.inipath and config.inipath.resolve().is_relative_to(Path(folder).resolve()):
        raise pytest.UsageError(
            legible(words_of(config).say("usage.settings_handed_in", path=config.inipath))
        )
    try:
        return targets.choose(
            exercise,
            of_reference=config.getoption("--lab-reference"),
            server=config.getoption("--lab-server"),
            url=config.getoption("--lab-url"),
            folder=Path(folder) if folder is not None else None,
            of_solutions=config.getoption("--lab-solutions"),
            together=together or config.getoption("--lab-together"),
            is_partial=together,
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
            found[exercise] = target_of(config, exercise)
        except pytest.UsageError as error:
            if not isinstance(error.__cause__, BadTarget) or not config.getoption("--lab-submission"):
                raise
            found[exercise] = error.__cause__
    problems = [each for each in found.values() if isinstance(each, BadTarget)]
    if len(problems) == len(found) and problems:
        raise pytest.UsageError(legible(problems[0].said_in(words_of(config))))
    return {exercise: given.target(exercise) for exercise in found} if given else found


def words_of(config: pytest.Config) -> Texts:
    """The texts in the language asked for."""
    return texts(config.getoption("--lab-lang"))


def is_asked_for(config: pytest.Config) -> bool:
    """Whether any option names what is to be judged."""
    return any(is_given(config, name) for name in (*TARGETS, "--lab-exercises"))


def is_given(config: pytest.Config, name: str) -> bool:
    """Whether an option was given."""
    return config.getoption(name) not in (None, False)
