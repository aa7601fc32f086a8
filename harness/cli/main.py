"""The command `chatlab`: the group of its commands, and the entry point."""

from __future__ import annotations

import os
import sys

import click

from harness import version
from harness.cli.bench import bench
from harness.cli.check import check
from harness.cli.doctor import doctor
from harness.cli.grade import grade
from harness.cli.hint import hint
from harness.cli.load import load
from harness.cli.replay import replay
from harness.cli.zoo import zoo
from harness.judged.machine_limits import limit_of
from harness.texts.console import echo, prepare
from harness.verdict.outcome import EXIT_CODES, Outcome
from lab.command import run_command, serve


def _show_version(context: click.Context, option: click.Parameter, is_asked: bool) -> None:
    if is_asked:
        echo(f"chatlab, version {version()}")
        context.exit()


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_show_version,
    help="Show the version and exit.",
)
def cli() -> None:
    """Check your chat server, step by step as the course's exercises number them.

    Start with `chatlab check 1`. Exit codes: 0 passed, 1 failed, 2 inconclusive (the machine was too slow,
    or a fault had no effect), 64 wrong usage, 70 a fault of the kit itself.
    """


for _command in (serve, check, replay, doctor, hint, grade, load, zoo, bench):
    cli.add_command(_command)


def main() -> None:
    """The entry point of the command `chatlab`."""
    prepare()
    try:
        code = run_command(cli, "chatlab")
    except OSError as error:
        if limit_of(error) != "disk":
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # the rest has no room either
        echo("A disk is full, and there is no room for the output or for a file. Make room on it.", err=True)
        code = EXIT_CODES[Outcome.INCONCLUSIVE]
    sys.exit(code)


if __name__ == "__main__":
    main()
