"""The files that a command is asked to write, such as `--json FILE`.

Whether a file can be written is known before anything is played (`harness/cli/options.py`); what goes wrong
all the same is told in a sentence, and the verdict stands.
"""

from __future__ import annotations

from pathlib import Path

import click

from harness.texts import Texts


def write_out(file: str | Path, text: str, words: Texts) -> bool:
    """Write what a command was asked for; if that cannot be, say so. Returns whether it is written."""
    try:
        Path(file).write_text(text, encoding="utf-8")
    except OSError as error:
        click.echo(words.say("ui.not_written", path=file, why=error.strerror), err=True)
        return False
    return True
