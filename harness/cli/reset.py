"""`chatlab reset NUMBER`: an exercise as it was handed out."""

from __future__ import annotations

import time

import click

from harness.check.files import OURS, make_ours
from harness.cli import options
from harness.cli.target_options import TRACK_IS
from harness.cli.usage import told
from harness.judged.handed_out import pristine
from harness.judged.problems import BadTarget
from harness.judged.targets import find_folder
from harness.texts import texts
from harness.texts.console import echo


@click.command()
@click.argument("number", type=options.EXERCISE)
@click.option("--track", help="The language of your file.", **TRACK_IS)
@options.language
def reset(number: int, track: str, lang: str) -> int:
    """Put the file of exercise NUMBER back as it was handed out; yours is kept.

    What you had written is moved to .chatlab/reset, beside the folder exercises.
    """
    say = texts(lang).say
    try:
        folder = find_folder("exercises")
    except BadTarget as error:
        raise told(error) from error
    for place, text in pristine(number, track).items():
        file = folder / place
        try:
            before = file.read_bytes() if file.exists() else None
            if before == text.encode():
                echo(say("reset.as_handed_out", path=file))
                continue
            if before is not None:
                make_ours(folder.parent)
                aside = folder.parent / OURS / "reset"
                aside.mkdir(exist_ok=True)
                kept = aside / f"{file.stem}-{time.strftime('%Y%m%d-%H%M%S')}{file.suffix}"
                kept.write_bytes(before)
                echo(say("reset.kept", path=kept))
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(text.encode())
        except OSError as error:
            echo(say("ui.not_written", path=file, why=error.strerror), err=True)
            return 1
        echo(say("reset.done", path=file))
    return 0
