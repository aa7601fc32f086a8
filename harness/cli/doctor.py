"""`chatlab doctor`: one question of each kind to one server."""

from __future__ import annotations

import asyncio
import shlex
from typing import TYPE_CHECKING

import click

from harness.cli import options
from harness.cli.target_options import Named, names_server
from harness.texts import texts
from harness.verdict.outcome import EXIT_CODES, Outcome

if TYPE_CHECKING:
    from harness.doctor.examine import Examination
    from harness.judged.targets import Target
    from harness.reports.terminal import Terminal


@click.command()
@names_server("Look at", "--reference", "--server", "--server-module", "--url", is_needed=True)
@options.language
def doctor(named: Named, lang: str) -> int:
    """Ask a server one question of each kind, and show the answers.

    It is no verdict. Exit codes: 0 if every question is answered by frames as they should be, else 1; 2 if
    this machine lacks something for it; 64 for wrong usage.
    """
    (target,) = named.targets([1]).values()
    # Imported late: `chatlab --help` and wrong usage need none of it.
    from harness.reports.terminal import Terminal

    words = [named.option] if isinstance(named.value, bool) else [named.option, str(named.value)]
    return _look_at(target, Terminal(texts(lang)), shlex.join(["chatlab", "check", *words]))


def _look_at(target: Target, terminal: Terminal, command: str) -> int:
    """Ask, show, and return the exit code. `command` judges the same server."""
    from harness.doctor.examine import examine
    from harness.doctor.show import show
    from harness.reports.ending import interrupted
    from harness.running.worker import cancel_on_sigterm

    examined: list[Examination] = []

    async def ask() -> None:
        cancel_on_sigterm()
        examined.append(await examine(target))  # no result of a task: asyncio would write it as text

    try:
        with terminal.waiting(terminal.texts.say("doctor.asking", server=target.label)):
            asyncio.run(ask())
    except (KeyboardInterrupt, asyncio.CancelledError):
        return interrupted(terminal.texts)
    (found,) = examined
    show(found, terminal, command)
    if found.limit is not None:
        return EXIT_CODES[Outcome.INCONCLUSIVE]
    return EXIT_CODES[Outcome.PASSED if found.is_right else Outcome.FAILED]
