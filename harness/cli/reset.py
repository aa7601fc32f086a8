"""`chatlab reset NUMBER`: an exercise as it was handed out."""

from __future__ import annotations

import time
from pathlib import Path

import click

from harness.check.files import OURS, make_ours
from harness.check.progress import home_of
from harness.cli import options
from harness.cli.target_options import TRACK_IS
from harness.cli.usage import told
from harness.judged.handed_out import pristine
from harness.judged.problems import BadTarget
from harness.judged.submissions import shown
from harness.judged.targets import own_file, own_folder
from harness.texts import texts
from harness.texts.console import echo


@click.command()
@click.argument("number", type=options.EXERCISE)
@click.option("--track", help="The language of your file.", **TRACK_IS)
@options.language
def reset(number: int, track: str, lang: str) -> int:
    """Put an exercise back as it was handed out; yours is kept.

    What you had written is moved to .chatlab/reset, beside the folder exercises.
    """
    say = texts(lang).say
    try:
        file, home = own_file(number, track), home_of(own_folder(track))
    except BadTarget as error:
        raise told(error) from error
    (text,) = pristine(number, track).values()
    try:
        before = file.read_bytes() if file.exists() else None
        if before == text.encode():
            echo(say("reset.as_handed_out", path=shown(file)))
            return 0
        if before is not None:
            echo(say("reset.kept", path=shown(_kept(before, file, home))))
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text.encode())
    except OSError as error:
        echo(say("ui.not_written", path=error.filename or file, why=error.strerror), err=True)
        return 1
    echo(say("reset.done", path=shown(file)))
    return 0


def _kept(text: bytes, file: Path, home: Path) -> Path:
    """Keep what a student has written under a name that is new. Raises OSError."""
    make_ours(home)
    aside = home / OURS / "reset"
    aside.mkdir(exist_ok=True)
    kept = aside / f"{file.stem}-{time.strftime('%Y%m%d-%H%M%S')}{file.suffix}"
    with kept.open("xb") as written:
        written.write(text)
    return kept
