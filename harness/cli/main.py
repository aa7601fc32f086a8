"""The command `chatlab`: the group of its commands, and the entry point."""

from __future__ import annotations

import os
import sys
import traceback

import click

from harness import version
from harness.cli.bench import bench
from harness.cli.check import check
from harness.cli.cluster import cluster
from harness.cli.doctor import doctor
from harness.cli.export import export
from harness.cli.grade import grade
from harness.cli.hint import hint
from harness.cli.hunt import hunt
from harness.cli.load import load
from harness.cli.replay import replay
from harness.cli.zoo import zoo
from harness.judged.machine_limits import limit_of
from harness.texts import texts
from harness.texts.console import echo, prepare
from harness.texts.defect import told
from harness.verdict.outcome import EXIT_CODES, EXIT_DEFECT, Outcome
from lab.backup import backup
from lab.command import EXIT_USAGE, run_command, serve


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


for _command in (serve, cluster, backup, check, replay, doctor, hint, hunt, grade, export, load, zoo, bench):
    cli.add_command(_command)


def main() -> None:
    """The entry point of the command `chatlab`."""
    prepare()
    sys.exit(_run() if _is_somewhere() else EXIT_USAGE)


def _run() -> int:
    try:
        return run_command(cli, "chatlab")
    except Exception as error:
        if limit_of(error) == "disk":
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # the rest has no room either
            echo("A disk is full, and there is no room for the output or a file. Make room on it.", err=True)
            return EXIT_CODES[Outcome.INCONCLUSIVE]
        echo(told(traceback.format_exc(), texts()), err=True)
        return EXIT_DEFECT


def _is_somewhere() -> bool:
    """Whether the current folder exists: somebody may have removed it."""
    try:
        os.getcwd()
    except OSError:
        echo("The current folder does not exist any more. Change to another one.", err=True)
        return False
    return True


if __name__ == "__main__":
    main()
