"""`chatlab solution NUMBER`: the model answer, for those who have passed."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from harness.check.progress import Progress, home_of
from harness.cli import options
from harness.cli.target_options import TRACK_IS
from harness.cli.usage import told
from harness.judged.handed_out import place_of
from harness.judged.problems import BadTarget
from harness.judged.targets import find_folder, own_folder
from harness.judged.tracks import TYPESCRIPT
from harness.texts import texts
from harness.texts.console import echo


@click.command()
@click.argument("number", type=options.EXERCISE)
@click.option("--peek", is_flag=True, help="Show it although yours has not passed.")
@click.option("--track", help="The language of the answer.", **TRACK_IS)
@options.language
def solution(number: int, peek: bool, track: str, lang: str) -> int:
    """Show the model answer to an exercise, once yours has passed.

    That is, all its steps in `chatlab watch` or `chatlab check`, live.
    """
    say = texts(lang).say
    try:
        reached = Progress(home_of(own_folder(track))).read().of(number, track)
        folder = find_folder("solutions")
    except BadTarget as error:
        raise told(error) from error
    if not peek and (reached is None or not reached.has_passed):
        echo(say("solution.not_yet", exercise=number), err=True)
        return 1
    place = place_of(number, track)
    file = folder / "typescript" / place.name if track == TYPESCRIPT else folder / place
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        echo(say("solution.none", path=file, why=error.strerror), err=True)
        return 1
    echo(say("solution.is_in", path=file))
    echo("")
    _show(text, file)
    return 0


def _show(text: str, file: Path) -> None:
    """Print it, with colours on a terminal."""
    if not sys.stdout.isatty():
        echo(text.rstrip("\n"))
        return
    from rich.console import Console  # late: a pipe does not need it
    from rich.syntax import Syntax

    language = "typescript" if file.suffix == ".ts" else "python"
    Console().print(Syntax(text.rstrip("\n"), language, background_color="default", line_numbers=True))
