"""`chatlab replay FILE`: a failure of the simulated world, played again."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli import options
from harness.cli.usage import told
from harness.texts import texts
from harness.verdict.outcome import EXIT_CODES, EXIT_DEFECT

if TYPE_CHECKING:
    from harness.minimize.replay_file import Replay
    from harness.reports.terminal import Terminal


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@options.language
@options.verbose
def replay(file: Path, lang: str, verbose: bool) -> int:
    """Play a failure of the simulated world again.

    FILE is what `check --world sim` has written. The same code gives the same history, byte for byte. If it
    does not, this says what has changed.
    """
    # Imported late: `chatlab --help` needs none of it.
    from harness.minimize import replay_file
    from harness.reports.terminal import Terminal

    try:
        kept = replay_file.read(file)
    except replay_file.BadReplay as error:
        raise told(error) from error
    return _play_again(kept, Terminal(texts(lang), verbose=verbose))


def _play_again(kept: Replay, terminal: Terminal) -> int:
    """Play a case again, and say whether the same happened."""
    from harness.reports.ending import interrupted, pool_failed
    from harness.running.fork_pool import ForkPool, ForkPoolError
    from harness.running.run import Run

    async def one() -> Run:
        async with ForkPool(1) as pool:
            return await pool.recall(kept.target, kept.case, kept.digest)

    try:
        run = asyncio.run(one())
    except KeyboardInterrupt:
        return interrupted(terminal.texts)
    except ForkPoolError as error:
        return pool_failed(error, terminal.texts)
    terminal.replayed(kept, run)
    return EXIT_DEFECT if run.defect else EXIT_CODES[run.outcome]
