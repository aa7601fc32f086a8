"""`chatlab check`: the options of it, and the command that plays the same again."""

from __future__ import annotations

import os
import random
import shlex
import sys

import click

from harness.cli import options
from harness.cli.target_options import Named, names_server
from harness.cli.usage import asked_words, wrong_usage
from harness.texts.seed import read, written
from harness.verdict.steps import EXERCISES


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


@click.command()
@click.argument("numbers", metavar=options.SOME_EXERCISES, nargs=-1, type=options.EXERCISE)
@names_server("Judge")
@options.together("Use all four of your components at once.")
@click.option(
    "--world",
    type=click.Choice(["live", "sim", "both"]),
    default="live",
    show_default=True,
    help="Real processes and sockets; or simulated ones, in virtual time and from one seed (Python only).",
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
    world: str,
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
    """Judge a chat server against the exercises given (all four, if none is).

    What is judged: your files in exercises/, each put into the reference server by itself, unless an
    option names something else.
    """
    exercises = sorted(set(numbers)) or sorted(EXERCISES)
    chosen = named.targets(exercises, together=together, simulated=world != "live")
    number, is_small = seed or (random.SystemRandom().randrange(1_000_000), False)
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
            hints=named.option in ("", "--exercises"),
        )
    )


_NOT_AGAIN = ("--json", "--html", "--seed")


def _again(seed: str) -> str:
    """What was typed, without what it wrote where, and with the seed: so that the same is played again."""
    words: list[str] = []
    rest = iter(sys.argv[1:])
    for word in rest:
        if word in _NOT_AGAIN:
            next(rest, None)
        elif word.split("=")[0] not in _NOT_AGAIN:
            words.append(word)
    return shlex.join(["chatlab", *words, "--seed", seed])
