"""The README is correct."""

from __future__ import annotations

import re
import shlex

import click
import pytest

from harness.cli.main import cli
from lab.command import EXIT_USAGE
from tests.kit.pages import PAGES, ROOT, read


def commands(name: str) -> list[str]:
    """Every command in the pages' blocks, and every `chatlab …` in their sentences."""
    found: set[str] = set()
    for page in PAGES:
        text = read(page)
        found |= set(re.findall(rf"^{name} [^\n#&]+", text, re.MULTILINE))
        found |= set(re.findall(rf"`({name} [^` ]+ [^`]+)`", text)) if name == "chatlab" else set()
    complete = {command.strip() for command in found if "…" not in command and "[" not in command}
    return sorted(complete - {name})  # alone, it needs no words


@pytest.mark.parametrize("command", commands("chatlab"))
def test_commands_are_understood(command: str) -> None:
    """Each command that a page shows parses, with all of its options."""
    name, *arguments = shlex.split(command)[1:]
    subcommand = cli.commands[name]
    with subcommand.make_context(name, list(arguments), resilient_parsing=False) as context:
        assert isinstance(context, click.Context)


@pytest.mark.parametrize("command", commands("pytest"))
def test_pytest_options_exist(command: str, pytestconfig: pytest.Config) -> None:
    """Each `--lab-` option that a page shows is one of the plugin's."""
    for word in shlex.split(command):
        if word.startswith("--lab-"):
            pytestconfig.getoption(word.partition("=")[0])  # raises for an unknown option


@pytest.mark.parametrize("page", PAGES)
def test_link_targets_exist(page: str) -> None:
    """Each relative link names a file or folder that exists."""
    for target in re.findall(r"\]\(([^)#:]+)\)", read(page)):
        assert ((ROOT / page).parent / target).exists(), (page, target)


def test_exit_codes_are_those_of_the_command() -> None:
    """The table of exit codes agrees with the command."""
    from harness.verdict.outcome import EXIT_CODES, EXIT_DEFECT

    text = read("README.md")
    for code in {*EXIT_CODES.values(), EXIT_DEFECT, EXIT_USAGE}:
        assert f"\n| {code} |" in text
