"""Plays animals, and prints what came of each as soon as it is there."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from harness.running.fork_pool import ForkPoolError
from harness.running.worker import cancel_on_sigterm
from harness.texts import texts
from harness.texts.console import echo
from harness.texts.defect import told
from harness.verdict.outcome import EXIT_CODES, EXIT_DEFECT, overall
from harness.zoo.matrix import Play, Row, play_all
from harness.zoo.table import Table
from lab.command import EXIT_INTERRUPTED


def play_and_show(plays: Sequence[Play], jobs: int, seed: int) -> int:
    """Play, print a line for each server as soon as all before it are there, sum it up; the exit code."""
    began = time.monotonic()
    table = Table(plays)
    table.head()

    async def rows_of_all() -> list[Row]:
        cancel_on_sigterm()
        return await play_all(plays, jobs, seed, table.add)

    try:
        rows = asyncio.run(rows_of_all())
    except (KeyboardInterrupt, asyncio.CancelledError):
        echo("interrupted", err=True)
        return EXIT_INTERRUPTED
    except (RuntimeError, ForkPoolError) as error:
        echo(told(str(error), texts()), err=True)
        return EXIT_DEFECT
    finally:
        table.end()
    table.sum_up(rows, time.monotonic() - began)
    return EXIT_CODES[overall([row.outcome for row in rows])]
