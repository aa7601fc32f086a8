"""`chatlab check`: the options of it, and the command that plays the same again."""

from __future__ import annotations

import os
import random
import shlex
import sys
from collections.abc import Sequence
from contextlib import suppress

import click
from msgspec.structs import replace

from harness.cli import options
from harness.cli.target_options import Named, names_server
from harness.cli.usage import asked_words, told, wrong_usage
from harness.cluster.nats_node import nats_server
from harness.cluster.problems import ClusterProblem
from harness.judged.targets import own_folder
from harness.judged.tracks import PYTHON
from harness.texts.seed import read, written
from harness.verdict.steps import CLUSTER, EXERCISES


class PlaySeed(click.ParamType[tuple[int, bool]]):
    """The seed of a play, as reports print it; and whether it is that of a small one."""

    name = "seed"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, bool]:
        """The number and the size, or a usage error."""
        try:
            return read(str(value))
        except ValueError:
            self.fail(asked_words().say("usage.seed", given=repr(value)), param, ctx)


class _Number(click.ParamType[int]):
    """The number of an exercise, or of what is played against a cluster alone."""

    name = "number"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The number, or a usage error."""
        if str(value) == str(CLUSTER):
            return CLUSTER
        return int(options.EXERCISE(value, param, ctx))


@click.command()
@click.argument("numbers", metavar=options.SOME_EXERCISES, nargs=-1, type=_Number())
@names_server("Judge")
@options.together("Use all four of your components at once.")
@click.option(
    "--world",
    type=click.Choice(["live", "sim", "both"]),
    help="Real processes and sockets; or simulated ones, in virtual time and from one seed (Python only).  "
    "[default: live; of a seed with an s, sim]",
)
@click.option(
    "--cluster",
    type=click.IntRange(2, 16),
    metavar="NODES",
    help="Judge a cluster of so many servers on NATS: the reference, or a --server that reads BACKPLANE. "
    "Number 5 is what a cluster outlives beside the exercises; it is played, too, if no number is given.",
)
@click.option(
    "--seed",
    type=PlaySeed(),
    help="Play the plan of this seed again; with an s behind it, as in 13s, the small simulated one.",
)
@click.option("--runs", type=click.IntRange(1, 10_000), default=1, show_default=True, help="Play this often.")
@click.option("--small", is_flag=True, help="Simulated: play little, as all runs but the first do.")
@options.jobs("Play so many at once.  [default: 1 live; simulated, one for each core]")
@options.json_file("Also write the verdict as JSON; - is the output.", dash=True)
@options.html_file(
    "Also write a page with diagrams of what happened.  [after a failure: .chatlab/report.html]"
)
@click.option("--skip-slow", is_flag=True, help="Leave out steps that wait for long timeouts.")
@options.language
@options.verbose
def check(
    numbers: tuple[int, ...],
    named: Named,
    together: bool,
    world: str | None,
    cluster: int | None,
    seed: tuple[int, bool] | None,
    runs: int,
    small: bool,
    jobs: int | None,
    json_file: str | None,
    html_file: str | None,
    skip_slow: bool,
    lang: str,
    verbose: bool,
) -> int:
    """Judge the exercises that are given, or all four.

    What is judged: your files in exercises/, each put into the reference server by itself, unless an
    option names something else.
    """
    if CLUSTER in numbers and not cluster:
        raise wrong_usage("cluster_number", number=CLUSTER)
    exercises = sorted(set(numbers)) or [*sorted(EXERCISES), *([CLUSTER] if cluster else [])]
    number, is_small = seed or (random.SystemRandom().randrange(1_000_000), False)
    world = world or ("sim" if is_small else "live")
    if cluster:
        named = _of_cluster(named, world)
    chosen = named.targets(exercises, together=together, simulated=world != "live")
    chosen = {each: replace(target, nodes=cluster or 0) for each, target in chosen.items()}
    if is_small and world == "live":
        raise wrong_usage("small_seed", seed=written(number, small=True))
    # Imported late: `chatlab --help` and wrong usage need none of it.
    from harness.check.options import Options
    from harness.check.worlds_asked import check as play_and_report

    return play_and_report(
        Options(
            chosen=chosen,
            seed=number,
            world=world,
            runs=runs,
            jobs=jobs or (1 if world == "live" else os.cpu_count() or 1),
            small=small or is_small,
            skip_slow=skip_slow,
            lang=lang,
            verbose=verbose,
            json_file=json_file,
            html_file=html_file,
            command=_again(written(number, small=is_small)),
            simulated=_simulated(named, exercises, together=together)
            if world == "live" and not cluster
            else "",
            folder=str(own_folder(named.track)) if named.is_own else "",
        )
    )


def _of_cluster(named: Named, world: str) -> Named:
    """What is judged as a cluster; raises click.UsageError if it cannot be one, or if there is no NATS."""
    if world != "live":
        raise wrong_usage("cluster_live")
    named = named if named.option else Named("--reference", True, named.track)
    if named.option not in ("--reference", "--server", "--server-module") or named.track != PYTHON:
        raise wrong_usage("cluster_of")
    try:
        nats_server()
    except ClusterProblem as error:
        raise told(error) from error
    return named


_NOT_AGAIN = ("--json", "--html", "--seed")
_FLAGS = ("--skip-slow", "--small")
_OF_LIVE_PLAYS = ("--world", "--runs", "--jobs", *_FLAGS)


def _again(seed: str) -> str:
    """What was typed, without what it wrote where, and with the seed: so that the same is played again."""
    return shlex.join([*_typed(_NOT_AGAIN), "--seed", seed])


def _simulated(named: Named, exercises: list[int], *, together: bool) -> str:
    """What looks for race conditions in what was judged live; "" if it cannot be simulated."""
    with suppress(click.UsageError):
        named.targets(exercises, together=together, simulated=True)
        return shlex.join([*_typed((*_NOT_AGAIN, *_OF_LIVE_PLAYS)), "--world", "sim", "--runs", "300"])
    return ""


def _typed(without: Sequence[str]) -> list[str]:
    """The words of this command, without some options."""
    words = ["chatlab"]
    rest = iter(sys.argv[1:])
    for word in rest:
        if word.split("=")[0] not in without:
            words.append(word)
        elif "=" not in word and word not in _FLAGS:
            next(rest, None)
    return words
