"""`chatlab bench`: what to measure, for how long, and where the figures go."""

from __future__ import annotations

import signal
import sys

import click

from harness.bench.parts import PARTS, measure
from harness.bench.plan import BenchError, Plan
from harness.bench.result import Part
from harness.cli import options
from harness.reports.outfile import write_out
from harness.texts import texts
from harness.verdict.outcome import EXIT_CODES, Outcome
from lab.system import allow_files

_EXIT_TERMINATED = 128 + signal.SIGTERM
_FILES = 65_536
"""Files that all clients of a measurement need, and some more."""


@click.command()
@click.argument("names", metavar="[PART ...]", nargs=-1, type=click.Choice(list(PARTS)))
@click.option(
    "--rounds", type=click.IntRange(1, 100), default=3, show_default=True, help="Rounds; medians are shown."
)
@click.option(
    "--seconds", type=click.FloatRange(0.1, 600), default=3.0, show_default=True, help="Of each measurement."
)
@click.option(
    "--members", type=click.IntRange(1, 10_000), default=1000, show_default=True, help="Members of a room."
)
@options.seed("Of the order in a round.", default=0)
@options.json_file("Also as JSON.")
@options.html_file("Also as a page with pictures.")
def bench(
    names: tuple[str, ...],
    rounds: int,
    seconds: float,
    members: int,
    seed: int,
    json_file: str | None,
    html_file: str | None,
) -> int:
    """Measure what the server and the harness cost, beside others.

    Without a PART all of them are measured. Figures of a busy machine mean little; ratios stand it better,
    since peers take turns. A peer that is not installed is named and left out.
    """
    from harness.bench.report import as_json, page, tell

    allow_files(_FILES)  # for this process and the servers that it starts
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(_EXIT_TERMINATED))  # so that all is cleaned up
    plan = Plan(rounds, seconds, members, seed)
    parts: list[Part] = []
    for name in names or tuple(PARTS):
        try:
            parts.append(measure(name, plan))
        except BenchError as error:
            plan.hush()
            raise click.ClickException(f"{name} could not be measured: {error}") from error
        plan.hush()
        tell(parts[-1])
        # What was measured is kept, whatever comes of the parts to come.
        if json_file and not write_out(json_file, as_json(parts), texts("en")):
            return EXIT_CODES[Outcome.FAILED]
        if html_file and not write_out(html_file, page(parts), texts("en")):
            return EXIT_CODES[Outcome.FAILED]
    return 0
