"""`chatlab zoo`: which servers that are broken on purpose to play, and where."""

from __future__ import annotations

import difflib
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from harness.cli import options
from harness.cli.usage import told
from harness.cluster.nats_node import nats_server
from harness.cluster.problems import ClusterProblem
from harness.judged.targets import BadTarget, check_simulated, reference
from harness.judged.typescript import check_ready
from harness.texts.console import echo

if TYPE_CHECKING:
    from harness.zoo.animal import Animal

_SEED = 7
"""The plans are the same each time, unless another seed is asked for."""
_LIVE_JOBS = 3
"""Plays side by side in the live world: most of their time they wait."""


@click.command()
@click.argument("names", metavar="[NAME]...", nargs=-1)
@click.option(
    "--world",
    type=click.Choice(["live", "sim", "both"]),
    default="sim",
    show_default=True,
    help="The world to play in. Live, each animal plays only the exercise that it belongs to.",
)
@click.option("--all", "everything", is_flag=True, help="Live: play all exercises with each animal.")
@click.option(
    "--cluster",
    type=click.IntRange(2, 16),
    metavar="NODES",
    help="Live: play clusters of so many servers on NATS, with the animals whose defect can be in one.",
)
@options.jobs("How many to play at once.")
@options.seed("Which plans to play.", default=_SEED)
@click.option("--list", "only_list", is_flag=True, help="Play nothing; describe the defect of each animal.")
@click.option(
    "--source",
    is_flag=True,
    help="Play nothing; print the source code of the named animals, of those in TypeScript the difference.",
)
def zoo(
    names: tuple[str, ...],
    world: str,
    everything: bool,
    cluster: int | None,
    jobs: int | None,
    seed: int,
    only_list: bool,
    source: bool,
) -> int:
    """Play servers that are broken on purpose: is each one caught?

    By its own anomaly, that is. Without a NAME all of them are played, and also the correct servers, which
    must pass everything. Those in TypeScript are played live only, and left out where Node or its
    packages are not installed. Exit codes: 0 all results are as expected, 1 some are not, 2 a step was
    left open.
    """
    chosen = _chosen(names)
    if source and not names:
        raise click.UsageError("--source needs the NAME of an animal; --list names them all")
    if source or only_list:
        from harness.zoo.describe import described, source_of

        for animal in chosen:
            echo(source_of(animal) if source else described(animal))
        return 0
    worlds = ["live"] if cluster else ["live", "sim"] if world == "both" else [world]
    if cluster:
        _check_cluster(chosen if names else [])
    _check_worlds(chosen if names else [], worlds)
    # Imported late: `chatlab --help` and wrong usage need none of it.
    from harness.zoo.matrix import plan, plan_of_cluster
    from harness.zoo.show import play_and_show

    if cluster:
        plays = plan_of_cluster(chosen, cluster, everything=everything, right=not names)
        return play_and_show(plays, jobs or 1, seed)
    possible = _possible(chosen, worlds, are_named=bool(names))
    plays = plan(possible, worlds, everything=everything, right=not names)
    default = _LIVE_JOBS if "live" in worlds else os.cpu_count() or 1
    return play_and_show(plays, jobs or default, seed)


def _chosen(names: Sequence[str]) -> list[Animal]:
    """The animals of these names, all of them if there is none. Raises click.UsageError."""
    from harness.zoo.animals import ANIMALS

    for name in names:
        if name not in ANIMALS:
            near = difflib.get_close_matches(name, ANIMALS, 3, 0.4)
            hint = f"did you mean {', '.join(near)}?" if near else "--list names them all"
            raise click.UsageError(f"there is no animal {name!r}; {hint}")
    return [ANIMALS[name] for name in names] or list(ANIMALS.values())


def _possible(animals: list[Animal], worlds: list[str], *, are_named: bool) -> list[Animal]:
    """Those that can be played here: without Node, those in TypeScript are left out.

    Raises click.UsageError if they were named.
    """
    in_typescript = [each for each in animals if each.file and "live" in worlds]
    try:
        if in_typescript:
            check_ready()
    except BadTarget as error:
        if are_named:
            raise told(error) from error
        echo(f"Left out are {len(in_typescript)} animals in TypeScript. {error}", err=True)
        return [each for each in animals if not each.file]
    return animals


def _check_cluster(named: Sequence[Animal]) -> None:
    """Raise click.UsageError if there is no NATS, or an animal that was named lives in no cluster."""
    try:
        nats_server()
    except ClusterProblem as error:
        raise told(error) from error
    for animal in named:
        if not animal.lives_in_cluster:
            raise click.UsageError(
                f"{animal.name} lives in no cluster: its defect is in what a single server has alone, "
                "such as its store; leave out --cluster"
            )


def _check_worlds(named: Sequence[Animal], worlds: Sequence[str]) -> None:
    """Raise click.UsageError if an animal that was named is played in none of these worlds."""
    if "sim" in worlds:
        try:
            check_simulated(reference())
        except BadTarget as error:
            raise told(error) from error
    for animal in named:
        if not set(worlds) & set(animal.worlds):
            raise click.UsageError(
                f"{animal.name} is played in the {animal.worlds[0]} world only, since {animal.why}; "
                f"use --world {animal.worlds[0]}"
            )
