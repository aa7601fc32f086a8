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
from harness.cli.init import init
from harness.cli.load import load
from harness.cli.quiz import quiz
from harness.cli.replay import replay
from harness.cli.reset import reset
from harness.cli.solution import solution
from harness.cli.status import status
from harness.cli.watch import watch
from harness.cli.zoo import zoo
from harness.judged import targets
from harness.judged.machine_limits import limit_of
from harness.texts import texts
from harness.texts.console import echo, prepare
from harness.texts.defect import told
from harness.verdict.outcome import EXIT_CODES, EXIT_DEFECT, Outcome
from lab.backup import backup
from lab.command import EXIT_USAGE, run_command, serve

_SECTIONS = {
    "Do the exercises": (init, watch, check, hint, quiz, hunt, status, reset, solution, replay),
    "Run the server": (serve, cluster, backup),
    "Give the course": (grade, export),
    "Look closer": (doctor, load, bench, zoo),
}
"""All commands, by what somebody is about to do."""


class _Sections(click.Group):
    """A group whose help lists its commands in sections."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write a list for each section."""
        width = max(map(len, self.commands))
        limit = formatter.width - width - 6  # what click leaves: two for the margin, and the gap
        for title, commands in _SECTIONS.items():
            with formatter.section(title):
                rows = [(f"{each.name or '':<{width}}", each.get_short_help_str(limit)) for each in commands]
                formatter.write_dl(rows)


def _show_version(context: click.Context, option: click.Parameter, is_asked: bool) -> None:
    if is_asked:
        echo(f"chatlab, version {version()}")
        context.exit()


@click.group(
    cls=_Sections, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]}
)
@click.option(
    "--version",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_show_version,
    help="Show the version and exit.",
)
@click.pass_context
def cli(context: click.Context) -> None:
    """Check your chat server, step by step as the course's exercises number them.

    Start with `chatlab watch 1`, which judges exercise 1 each time you save it; `chatlab` alone goes on where
    you were. Exit codes: 0 passed, 1 failed, 2 inconclusive (the machine was too slow, or a fault had no
    effect), 64 wrong usage, 70 a fault of the kit itself.
    """
    if context.invoked_subcommand is not None:
        return
    if sys.stdin.isatty() and sys.stdout.isatty() and targets.are_exercises_here():
        context.exit(context.invoke(watch))
    echo(context.get_help())


for _command in (each for commands in _SECTIONS.values() for each in commands):
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
