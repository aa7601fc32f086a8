"""What the README says is so."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from harness.cli import cli
from lab.command import EXIT_USAGE

ROOT = Path(__file__).parent.parent.parent
PAGES = ("README.md", "CONTRIBUTING.md", "harness/README.md", "lab/PROTOCOL.md")


def commands() -> list[str]:
    """Every `chatlab …` command in the README's blocks and tables."""
    text = (ROOT / "README.md").read_text()
    found = re.findall(r"^chatlab [^\n#]+", text, re.MULTILINE)
    found += re.findall(r"`(chatlab [^`]+)`", text)
    return sorted({command.strip() for command in found})


@pytest.mark.parametrize("command", commands())
def test_commands_are_understood(command: str) -> None:
    """Each command that the README shows parses, with all of its options."""
    name, *arguments = shlex.split(command)[1:]
    subcommand = cli.commands[name]
    with subcommand.make_context(name, list(arguments), resilient_parsing=False) as context:
        assert isinstance(context, click.Context)


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    """Each relative link names a file or folder that exists."""
    path = ROOT / page
    for target in re.findall(r"\]\(([^)#:]+)\)", path.read_text()):
        assert (path.parent / target).exists(), (page, target)


def test_exit_codes_are_those_of_the_command() -> None:
    """The table of exit codes is what the command does."""
    from harness.cli import EXIT_CODES, EXIT_DEFECT

    text = (ROOT / "README.md").read_text()
    for code in {*EXIT_CODES.values(), EXIT_DEFECT, EXIT_USAGE}:
        assert f"\n| {code} |" in text
