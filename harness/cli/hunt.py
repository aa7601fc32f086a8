"""`chatlab hunt`: find the defect of an unnamed server, by a check of one's own."""

from __future__ import annotations

import asyncio
import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli import options
from harness.cli.usage import wrong_usage
from harness.hunt.levels import LEVELS
from harness.judged import targets
from harness.judged.listeners import can_listen
from harness.judged.targets import ROOT
from harness.texts import Texts, texts
from harness.texts.console import echo
from lab.command import EXIT_INTERRUPTED, EXIT_USAGE

if TYPE_CHECKING:
    from harness.hunt.progress import Progress
    from harness.hunt.show import Show

_OWN = ""
"""What stands for the file that the level has made."""
_PORT = 8080
_MODES = ("--check", "--hint", "--serve")
"""Options of which one is given at the most."""


class _Unfit(click.ClickException):
    """What was named cannot be used; how the command is written is not the matter."""

    exit_code = EXIT_USAGE


@click.command()
@click.argument("number", type=click.IntRange(1, len(LEVELS)), required=False)
@click.option(
    "--check",
    "file",
    is_flag=False,
    flag_value=_OWN,
    default=None,
    metavar="[FILE]",
    help="Judge your check: hunt/levelNUMBER.py, or another FILE.",
)
@click.option("--hint", is_flag=True, help="Show one more hint.")
@click.option("--serve", is_flag=True, help="Run the unnamed server, to look at it yourself, until Ctrl-C.")
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    default=None,
    help=f"The port of --serve.  [default: {_PORT}]",
)
@click.option(
    "--world",
    type=click.Choice(["sim", "live"]),
    default=None,
    help="Where your check is played: simulated (default, where it can be), or live, which takes longer.",
)
@options.seed("With --check: play other interleavings than the usual ones.", default=1)
@options.language
def hunt(
    number: int | None,
    file: str | None,
    hint: bool,
    serve: bool,
    port: int | None,
    world: str | None,
    seed: int,
    lang: str,
) -> int:
    """Find what is broken in an unnamed server: a game of five levels.

    You find it by a check that you write. `chatlab hunt` shows how far you are. `chatlab hunt 1` begins level
    1: it tells what a user complains of, and writes a small check to begin with. A level is solved by a
    check which fails with the unnamed server, and passes with every correct one. Exit codes: 0 solved, 1
    not yet.
    """
    home = targets.home_here()
    if file not in (None, _OWN) and home != Path.cwd():
        file = str(Path(str(file)).absolute())
    # Else a subfolder would have a hunt of its own, among what is handed in.
    click.get_current_context().with_resource(contextlib.chdir(home))
    asked = [name for name, is_given in zip(_MODES, (file is not None, hint, serve), strict=True) if is_given]
    if len(asked) > 1:
        raise wrong_usage("exclusive", options=", ".join(asked))
    if number is None and (asked or port is not None):
        raise click.UsageError(texts(lang).say("hunt.no_level"))
    # Imported late: `chatlab --help` needs none of it.
    from harness.hunt import progress
    from harness.hunt.show import Show
    from harness.reports.terminal import Terminal

    words = texts(lang)
    show = Show(Terminal(words))
    known = progress.load(lambda path: echo(words.say("progress.set_aside", path=path), err=True))
    if number is None:
        show.overview(known)
        return 0
    if serve:
        return _serve(number, port or _PORT, words)
    if file is not None:
        return _check(number, file, known, show, words, seed=seed, world=world)
    of_level = known.of(number)
    of_level.started = of_level.started or progress.now()
    if hint:
        of_level.hints = min(of_level.hints + 1, len(words.list(f"hunt.level_{number}.hints")))
        show.hints(number, of_level.hints)
    else:
        _begin(number, show, words)
    _keep(known, words)
    return 0


def _begin(number: int, show: Show, words: Texts) -> None:
    """Write the check that a level begins with, and say what the level is about."""
    from harness.hunt import starter

    path = starter.path_of(number)
    try:
        is_new = starter.write(number, words)
    except OSError as error:
        raise _Unfit(words.say("hunt.not_written", path=path, why=error.strerror)) from error
    show.level(number, str(path), is_new=is_new, handout=_handout(words))


def _handout(words: Texts) -> str:
    """Where the handout is, as seen from here; empty if it was not installed."""
    name = "README.md" if words.language == "en" else f"README.{words.language}.md"
    place = Path("exercises", "hunt", name)
    return next((str(path) for path in (place, ROOT / place) if path.is_file()), "")


def _keep(known: Progress, words: Texts) -> None:
    from harness.hunt import progress

    try:
        progress.keep(known)
    except OSError as error:
        echo(words.say("hunt.progress_lost", path=progress.FILE, why=error.strerror), err=True)


def _serve(number: int, port: int, words: Texts) -> int:
    """Run the server of a level in this process."""
    from harness.hunt import serve
    from harness.hunt.progress import folder_of

    if not can_listen(port):
        raise _Unfit(words.say("hunt.port_taken", port=port))
    folder = folder_of(number)
    try:
        serve.prepare(folder)
    except OSError as error:
        raise _Unfit(words.say("hunt.not_written", path=folder, why=error.strerror)) from error
    echo(words.say("hunt.serving", number=number, url=f"http://{serve.HOST}:{port}/"))
    echo(words.say("hunt.serving_process", pid=os.getpid(), folder=folder))
    serve.run(LEVELS[number].quarry, port, folder)
    return 0


def _check(
    number: int, file: str, known: Progress, show: Show, words: Texts, *, seed: int, world: str | None
) -> int:
    """Judge a check, and remember what came of it."""
    from harness.hunt import check_file, progress, starter
    from harness.hunt.judging import NeverEnds, judge

    path = file or str(starter.path_of(number))
    try:
        check = check_file.read(path)
    except check_file.BadCheck as error:
        raise _Unfit(error.said_in(words)) from error
    level = LEVELS[number]
    try:
        with show.playing() as tell:
            found = judge(check, level, seed, world or _usual_world(), words.language, tell)
    except NeverEnds as error:
        show.never_ends(check, level.quarry, error)
        return 1
    except (KeyboardInterrupt, asyncio.CancelledError):
        echo(words.say("ui.interrupted"), err=True)
        return EXIT_INTERRUPTED
    show.judgement(number, check, found)
    of_level = known.of(number)
    of_level.started = of_level.started or progress.now()
    of_level.checks += not of_level.solved
    if found.is_solved:
        of_level.solved = of_level.solved or progress.now()
        of_level.kin = [name for name in level.kin if name in {*of_level.kin, *found.caught_kin}]
        show.named(number, found)
        show.next(known)
    _keep(known, words)
    return 0 if found.is_solved else 1


def _usual_world() -> str:
    """Simulated where a play can be: virtual time costs nothing, and a seed is one interleaving."""
    return "sim" if hasattr(os, "fork") else "live"
