"""What is said when a command ends before it has a verdict, and the exit code of that."""

from __future__ import annotations

from harness.running.fork_pool import CrashError, ForkPoolError
from harness.running.worker import WorkerKilled
from harness.texts import Texts
from harness.texts.console import echo
from harness.texts.defect import told
from harness.verdict.outcome import EXIT_CODES, EXIT_DEFECT, Outcome
from lab.command import EXIT_INTERRUPTED


def interrupted(words: Texts) -> int:
    """Ctrl-C or SIGTERM."""
    echo(words.say("ui.interrupted"), err=True)
    return EXIT_INTERRUPTED


def pool_failed(error: ForkPoolError | WorkerKilled, words: Texts) -> int:
    """A process that plays has died: if no signal has ended it, that says nothing of the server."""
    if isinstance(error, CrashError | WorkerKilled):
        echo(error.said_in(words), err=True)
        return EXIT_CODES[Outcome.INCONCLUSIVE]
    echo(told(str(error), words), err=True)
    return EXIT_DEFECT
