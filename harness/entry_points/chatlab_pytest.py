"""The pytest plugin: its options and fixtures. Inactive until one of them is used.

Every run of pytest in an environment with the kit imports this, also in a project that has a `harness` or a
`lab` of its own. So it imports the kit at the first use only, and then looks whose packages these are.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from chatlab_entry import hidden

OPTIONS: dict[str, dict[str, Any]] = {
    "--lab-submission": {"metavar": "DIR", "help": "Judge a folder like exercises/, in either language."},
    "--lab-server": {"metavar": "COMMAND", "help": 'Judge any server, such as "node server.js".'},
    "--lab-url": {
        "metavar": "URL",
        "help": "Judge a server that runs already, such as ws://127.0.0.1:8080/.",
    },
    "--lab-solutions": {"action": "store_true", "help": "Judge the model answers."},
    "--lab-reference": {"action": "store_true", "help": "Judge the reference server."},
    "--lab-track": {
        "choices": ("python", "typescript"),
        "help": "The language of your files, the model answers and the reference ($CHATLAB_TRACK).",
    },
    "--lab-together": {"action": "store_true", "help": "Use all four components of a submission at once."},
    "--lab-isolation": {
        "choices": ("auto", "required", "none"),
        "default": "auto",
        "help": "Keep the code of a submission from the rest of the machine.",
    },
    "--lab-exercises": {"metavar": "1,3", "help": "Only these exercises; alone, it judges your exercises/."},
    "--lab-seed": {"type": int, "metavar": "N", "help": "Play the plan of this seed again."},
    "--lab-runs": {"type": int, "default": 1, "metavar": "N", "help": "Play each N times; the worst counts."},
    "--lab-skip-slow": {"action": "store_true", "help": "Leave out steps that wait for long timeouts."},
    "--lab-lang": {"choices": ("en", "fr"), "default": "en", "help": "Language of the explanations."},
}
"""All begin with `--lab-`, so that they do not clash with those of other plugins."""


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    """Add the options, unless this project has packages of its own where the kit's should be."""
    said = hidden()
    if said:
        pluginmanager.register(_Hidden(said), "chatlab-hidden")
        return
    pluginmanager.register(_Found(), "chatlab-found")
    group = parser.getgroup("chat-lab", "chat-lab: judge a chat server, step by step")
    for name, how in OPTIONS.items():
        group.addoption(name, **how)


class _Hidden:
    """There are no options and no fixtures."""

    def __init__(self, said: str) -> None:
        self._said = said

    @pytest.hookimpl(wrapper=True)
    def pytest_load_initial_conftests(self, parser: pytest.Parser, args: list[str]) -> Iterator[None]:
        """Say why one of the options is not there, unless a conftest.py has one of that name."""
        yield
        _, unknown = parser.parse_known_and_unknown_args(args)
        if any(word.partition("=")[0] in OPTIONS for word in unknown):
            raise pytest.UsageError(self._said)


class _Found:
    """There are options and fixtures, which may still be hidden by what comes onto the path later."""

    def pytest_configure(self, config: pytest.Config) -> None:
        """Add the fixtures; begin, if an option is given. Raises pytest.UsageError."""
        import chatlab_fixtures

        config.pluginmanager.register(chatlab_fixtures, "chatlab-fixtures")
        if any(_is_given(config, name) for name in OPTIONS):
            said = hidden()
            if said:
                raise pytest.UsageError(said)
            from harness.pytest_support import plugin

            plugin.begin(config)


def _is_given(config: pytest.Config, name: str) -> bool:
    value = config.getoption(name)
    return value is not None and value is not False and value != OPTIONS[name].get("default")
