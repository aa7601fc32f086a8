"""The command `chatlab`."""

from __future__ import annotations

import errno
import os
import random
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import click

from harness.cli.bench import bench
from harness.cli.grade import grade_class
from harness.cli.load import load
from harness.cli.zoo import zoo
from harness.reports.outfile import OutFile
from harness.texts import LANGUAGES, texts
from harness.verdict.outcome import EXIT_CODES, EXIT_DEFECT
from harness.verdict.steps import EXERCISES
from harness.worlds import targets
from harness.worlds.targets import BadTarget
from lab.command import run_command, serve

F = TypeVar("F", bound=Callable[..., object])

__all__ = ["EXIT_CODES", "EXIT_DEFECT", "cli", "main"]


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="chat-lab", prog_name="chatlab")
def cli() -> None:
    """Check your chat server, step by step as the course's exercises number them.

    Start with `chatlab check 1`. Exit codes: 0 passed, 1 failed, 2 inconclusive (the machine was too slow,
    or a fault had no effect), 64 wrong usage, 70 a fault of the kit itself.
    """


cli.add_command(serve)
cli.add_command(grade_class)
cli.add_command(load)
cli.add_command(zoo)
cli.add_command(bench)


def _language(default: str = "en") -> Callable[[F], F]:
    return click.option(
        "--lang",
        type=click.Choice(LANGUAGES),
        default=default,
        envvar="CHATLAB_LANG",
        show_default=True,
        show_envvar=True,
        help="Language of the report.",
    )


@cli.command()
@click.argument("numbers", metavar="[1 2 3 4]", nargs=-1, type=click.IntRange(1, len(EXERCISES)))
@click.option("--exercises", "of_exercises", is_flag=True, help="Judge your files in exercises/ (default).")
@click.option("--solutions", "of_solutions", is_flag=True, help="Judge the model answers in solutions/.")
@click.option("--reference", "of_reference", is_flag=True, help="Judge the reference server.")
@click.option("--server", metavar="COMMAND", help='Judge any server, such as "node server.js".')
@click.option("--server-module", metavar="FILE.py", help="Judge a whole server in a Python file.")
@click.option("--url", help="Judge a server that runs already, such as ws://127.0.0.1:8080/.")
@click.option(
    "--submission", type=click.Path(path_type=Path), help="Judge a folder that is laid out like exercises/."
)
@click.option("--together", is_flag=True, help="Use all four of your components at once.")
@click.option(
    "--world",
    type=click.Choice(["live", "sim", "both"]),
    default="live",
    show_default=True,
    help="Real processes and sockets; or simulated ones, in virtual time and from one seed (Python only).",
)
@click.option("--seed", type=click.IntRange(0), help="Play the plan of this seed again.")
@click.option("--runs", type=click.IntRange(1, 10_000), default=1, show_default=True, help="Play this often.")
@click.option("--small", is_flag=True, help="Simulated: play as little as all runs but the first do.")
@click.option(
    "--jobs",
    type=click.IntRange(1, 64),
    help="Play so many at once.  [default: 1 live; simulated, one for each core]",
)
@click.option(
    "--json",
    "json_file",
    type=OutFile(dash=True),
    metavar="FILE",
    help="Also write the verdict as JSON; - is the output.",
)
@click.option(
    "--html",
    "html_file",
    type=OutFile(),
    metavar="FILE",
    help="Also write a page with diagrams of what happened.  [after a failure: chatlab-report.html]",
)
@click.option("--skip-slow", is_flag=True, help="Leave out steps that wait for long time-outs.")
@_language()
@click.option("--verbose", is_flag=True, help="Tell more.")
def check(
    numbers: tuple[int, ...],
    of_exercises: bool,
    of_solutions: bool,
    of_reference: bool,
    server: str | None,
    server_module: str | None,
    url: str | None,
    submission: Path | None,
    together: bool,
    world: str,
    seed: int | None,
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
    named = {
        "--exercises": of_exercises,
        "--solutions": of_solutions,
        "--reference": of_reference,
        "--server": server is not None,
        "--server-module": server_module is not None,
        "--url": url is not None,
        "--submission": submission is not None,
    }
    given = [name for name, is_given in named.items() if is_given]
    if len(given) > 1:
        raise click.UsageError(f"{' and '.join(given)} exclude each other; give one of them")
    if together and given and given[0] in ("--reference", "--server", "--server-module", "--url"):
        raise click.UsageError(f"--together has no meaning with {given[0]}, which is a whole server")
    exercises = sorted(set(numbers)) or sorted(EXERCISES)
    try:
        chosen = {
            number: targets.choose(
                number,
                of_reference=of_reference,
                server=server,
                server_module=server_module,
                url=url,
                folder=submission,
                of_solutions=of_solutions,
                together=together,
            )
            for number in exercises
        }
        if world != "live":
            for target in chosen.values():
                targets.check_simulated(target)
    except BadTarget as error:
        raise click.UsageError(str(error)) from error
    seed = random.SystemRandom().randrange(1_000_000) if seed is None else seed
    # Imported late: `chatlab --help` and wrong usage need none of it.
    from harness.check.check import Options
    from harness.check.check import check as play_and_report

    return play_and_report(
        Options(
            chosen=chosen,
            seed=seed,
            world=world,
            runs=runs,
            jobs=jobs or (1 if world == "live" else os.cpu_count() or 1),
            small=small,
            skip_slow=skip_slow,
            lang=lang,
            verbose=verbose,
            json_file=json_file,
            html_file=html_file,
            command=_command(seed),
            hints=not given or of_exercises,
        )
    )


def _command(seed: int) -> str:
    """What was typed, without what it wrote where, and with the seed: so that the same is played again."""
    words: list[str] = []
    rest = iter(sys.argv[1:])
    for word in rest:
        if word in _NOT_AGAIN:
            next(rest, None)
        elif word.split("=")[0] not in _NOT_AGAIN:
            words.append(word)
    return shlex.join(["chatlab", *words, "--seed", str(seed)])


_NOT_AGAIN = ("--json", "--html", "--seed")


@cli.command()
@click.option("--reference", "of_reference", is_flag=True, help="Look at the reference server.")
@click.option("--server", metavar="COMMAND", help='Look at any server, such as "node server.js".')
@click.option("--server-module", metavar="FILE.py", help="Look at a whole server in a Python file.")
@click.option("--url", help="Look at a server that runs already, such as ws://127.0.0.1:8080/.")
@_language()
def doctor(
    of_reference: bool, server: str | None, server_module: str | None, url: str | None, lang: str
) -> int:
    """Ask a server one question of each kind, and show what it answers. It is no verdict.

    Exit codes: 0 if every question is answered by frames as they should be, else 1; 64 for wrong usage.
    """
    given = {"--reference": of_reference, "--server": server, "--server-module": server_module, "--url": url}
    if sum(bool(value) for value in given.values()) != 1:
        raise click.UsageError(f"name one server to look at: {', '.join(given)}")
    try:
        target = targets.choose(
            1, of_reference=of_reference, server=server, server_module=server_module, url=url
        )
    except BadTarget as error:
        raise click.UsageError(str(error)) from error
    from harness.check.check import look_at
    from harness.reports.terminal import Terminal

    name, value = next((name, value) for name, value in given.items() if value)
    words = [name] if isinstance(value, bool) else [name, str(value)]
    return look_at(target, Terminal(texts(lang)), shlex.join(["chatlab", "check", *words]))


@cli.command("replay")
@click.argument("file", type=click.Path(path_type=Path))
@_language()
@click.option("--verbose", is_flag=True, help="Tell more.")
def replay_file(file: Path, lang: str, verbose: bool) -> int:
    """Play a failure of the simulated world again, from the FILE that `check --world sim` wrote.

    The same code gives the same history, byte for byte. If it does not, this says what has changed.
    """
    from harness.check.check import play_again
    from harness.minimize import replay_file as replay
    from harness.reports.terminal import Terminal

    try:
        kept = replay.read(file)
    except replay.BadReplay as error:
        raise click.UsageError(str(error)) from error
    return play_again(kept, Terminal(texts(lang), verbose=verbose))


@cli.command()
@click.argument("number", type=click.IntRange(1, len(EXERCISES)))
@click.option("--more", type=click.IntRange(1, 3), default=1, show_default=True, help="How many hints.")
@_language()
def hint(number: int, more: int, lang: str) -> None:
    """Show a hint for an exercise; there are three, and each says more."""
    say = texts(lang).say
    click.echo(say("ui.hints", number=number, title=say(f"exercise.{number}")))
    hints = texts(lang).list(f"hints.{number}")
    for count, each in enumerate(hints[:more], start=1):
        click.echo(f"  {count}. {each}")
    if more < len(hints):
        click.echo(say("ui.hint_more", exercise=number, next=more + 1))


def main() -> None:
    """The entry point of the command `chatlab`."""
    try:
        code = run_command(cli, "chatlab")
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # the rest has no room either
        click.echo(
            "A disk is full, and there is no room for the output or for a file. Make room on it.", err=True
        )
        code = EXIT_DEFECT
    sys.exit(code)


if __name__ == "__main__":
    main()
