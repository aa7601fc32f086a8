"""The options of `chatlab bench`."""

from __future__ import annotations

import contextlib
import signal
import sys
from importlib import import_module
from pathlib import Path

import click

from harness.bench.plan import BenchError, Plan
from harness.bench.result import Part

_EXIT_TERMINATED = 128 + signal.SIGTERM
PARTS = {
    "fan-out": "fanout.fan_out",
    "store": "stores.stores",
    "history": "histories.histories",
    "growth": "growth.growth",
    "slow-reader": "slow.slow_reader",
    "start": "starts.starts",
    "client": "clients.clients",
}
"""What can be measured, in its order, and by what; imported late, since `chatlab --help` needs none of it."""


def _allow_many_files() -> None:
    """Let this process, and the servers that it starts, have as many files as the system allows at all."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):  # macOS allows less than it says
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _measure(name: str, plan: Plan) -> Part:
    module, _, function = PARTS[name].partition(".")
    measured: Part = getattr(import_module(f"harness.bench.{module}"), function)(plan)
    return measured


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
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the order in a round.")
@click.option("--json", "json_file", type=click.Path(dir_okay=False), metavar="FILE", help="Also as JSON.")
@click.option(
    "--html",
    "html_file",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="Also as a page with pictures.",
)
def bench(
    names: tuple[str, ...],
    rounds: int,
    seconds: float,
    members: int,
    seed: int,
    json_file: str | None,
    html_file: str | None,
) -> int:
    """Measure what the reference server and the harness cost, beside others in the same run.

    Without a PART all of them are measured. Figures of a busy machine mean little; ratios stand it better,
    since peers take turns. A peer that is not installed is named and left out.
    """
    for option, file in (("--json", json_file), ("--html", html_file)):
        if file is not None and not Path(file).absolute().parent.is_dir():
            raise click.UsageError(f"{option} {file}: there is no such folder to write into")
    from harness.bench.report import as_json, page, tell

    _allow_many_files()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(_EXIT_TERMINATED))  # so that all is cleaned up
    plan = Plan(rounds, seconds, members, seed)
    parts: list[Part] = []
    for name in names or tuple(PARTS):
        try:
            parts.append(_measure(name, plan))
        except BenchError as error:
            plan.hush()
            raise click.ClickException(f"{name} could not be measured: {error}") from error
        plan.hush()
        tell(parts[-1])
        # What was measured is kept, whatever comes of the parts to come.
        if json_file:
            Path(json_file).write_text(as_json(parts), encoding="utf-8")
        if html_file:
            Path(html_file).write_text(page(parts), encoding="utf-8")
    return 0
