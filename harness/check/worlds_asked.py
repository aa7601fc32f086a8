"""What `chatlab check` does: play what was asked for, in one world or in both, and report."""

from __future__ import annotations

import asyncio
import io
from functools import partial
from pathlib import Path

from harness.check.files import write_json, write_page
from harness.check.interruption import interruptible
from harness.check.live_runs import Live
from harness.check.one_world import OneWorld
from harness.check.options import Options
from harness.check.progress import Progress, digests, home_of
from harness.check.simulated_runs import Simulated
from harness.reports.ending import interrupted, pool_failed
from harness.reports.summary import Summary
from harness.reports.terminal import Terminal
from harness.running.fork_pool import ForkPoolError
from harness.running.worker import WorkerKilled
from harness.texts import texts
from harness.verdict.outcome import EXIT_CODES, EXIT_DEFECT, Outcome, overall

_WORLDS: dict[str, list[type[OneWorld]]] = {"live": [Live], "sim": [Simulated], "both": [Live, Simulated]}
"""What `--world` can be, and what plays it."""


def check(options: Options) -> int:
    """Play, report, and return the exit code."""
    nowhere = io.StringIO() if options.quiet else None
    terminal = Terminal(texts(options.lang), verbose=options.verbose, out=nowhere)
    judged = digests(options.chosen)
    if options.folder:
        terminal.line(terminal.texts.say("ui.judging", path=options.folder), "dim")
    try:
        summaries = asyncio.run(_all_of(_WORLDS[options.world], options, terminal))
    except (KeyboardInterrupt, asyncio.CancelledError):
        return interrupted(terminal.texts)
    except (ForkPoolError, WorkerKilled) as error:
        return pool_failed(error, terminal.texts)
    if len(summaries) > 1:
        terminal.agreement(summaries)
    write_json(summaries, options, terminal)
    write_page(summaries, options, terminal)
    if options.is_own:
        runs = [run for summary in summaries for run in summary.shown()]
        Progress(home_of(Path(options.folder)), partial(_set_aside, terminal)).note(runs, judged)
    outcome = overall([summary.outcome for summary in summaries])
    defect = any(summary.defect for summary in summaries)
    if outcome is Outcome.PASSED and not defect and options.simulated:
        terminal.line(terminal.texts.say("ui.try_simulated", command=options.simulated))
    return EXIT_DEFECT if defect else EXIT_CODES[outcome]


def _set_aside(terminal: Terminal, path: Path) -> None:
    terminal.line(terminal.texts.say("progress.set_aside", path=path), "yellow")


async def _all_of(kinds: list[type[OneWorld]], options: Options, terminal: Terminal) -> list[Summary]:
    """What came of each world. An interruption shows, and writes as JSON, what is known by then."""
    found: list[Summary] = []
    worlds = [kind(options, terminal) for kind in kinds]

    def tell() -> None:
        now = [world.interrupted() for world in worlds[len(found) : len(found) + 1]]
        write_json([*found, *now], options, terminal)

    with interruptible(tell):
        for world in worlds:
            found += [await world.summary()]
    return found
