"""The options of the pytest plugin, all of them `--lab-…`, and the targets that they name.

Every run of pytest in an environment with the kit imports this, so it imports the rest of the kit late.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lab.legible import legible

if TYPE_CHECKING:
    from harness.texts import Texts
    from harness.worlds.targets import Target

TARGETS = ("--lab-submission", "--lab-server", "--lab-url", "--lab-solutions", "--lab-reference")
"""Options that name what is judged; they exclude each other."""


def add(parser: pytest.Parser) -> None:
    """Add the options; all begin with `--lab-`, so that they do not clash with those of other plugins."""
    group = parser.getgroup("chat-lab", "chat-lab: judge a chat server, step by step")
    option = group.addoption
    option("--lab-submission", metavar="DIR", help="Judge a folder that is laid out like exercises/.")
    option("--lab-server", metavar="COMMAND", help='Judge any server, such as "node server.js".')
    option("--lab-url", metavar="URL", help="Judge a server that runs already, such as ws://127.0.0.1:8080/.")
    option("--lab-solutions", action="store_true", help="Judge the model answers.")
    option("--lab-reference", action="store_true", help="Judge the reference server.")
    option("--lab-together", action="store_true", help="Use all four components of a submission at once.")
    option("--lab-exercises", metavar="1,3", help="Only these exercises; alone, it judges your exercises/.")
    option("--lab-seed", type=int, metavar="N", help="Play the plan of this seed again.")
    option("--lab-runs", type=int, default=1, metavar="N", help="Play each N times; the worst counts.")
    option("--lab-skip-slow", action="store_true", help="Leave out steps that wait for long timeouts.")
    option("--lab-lang", choices=("en", "fr"), default="en", help="Language of the explanations.")


def target_of(config: pytest.Config, exercise: int, *, together: bool = False) -> Target:
    """The server that the options name for an exercise. Raises pytest.UsageError if there is none."""
    from harness.worlds import targets

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
    from harness.texts import texts

    return texts(config.getoption("--lab-lang"))


def is_asked_for(config: pytest.Config) -> bool:
    """Whether any option names what is to be judged."""
    return any(is_given(config, name) for name in (*TARGETS, "--lab-exercises"))


def is_given(config: pytest.Config, name: str) -> bool:
    """Whether an option was given."""
    return config.getoption(name) not in (None, False)
