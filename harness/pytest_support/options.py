"""What the options of the pytest plugin name; `harness/entry_points/chatlab_pytest.py` declares them."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.judged import targets
from harness.judged.targets import Target
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
        )
    except targets.BadTarget as error:
        raise pytest.UsageError(legible(error.said_in(words_of(config)))) from error


def words_of(config: pytest.Config) -> Texts:
    """The texts in the language asked for."""
    return texts(config.getoption("--lab-lang"))


def is_asked_for(config: pytest.Config) -> bool:
    """Whether any option names what is to be judged."""
    return any(is_given(config, name) for name in (*TARGETS, "--lab-exercises"))


def is_given(config: pytest.Config, name: str) -> bool:
    """Whether an option was given."""
    return config.getoption(name) not in (None, False)
