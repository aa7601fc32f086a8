"""The files that a command is asked to write, such as `--json FILE`.

Whether a file can be written is checked before anything is played (`harness/cli/options.py`); if writing
fails later, a sentence says so, and the verdict stays.
"""

from __future__ import annotations

from pathlib import Path

import click

from harness.texts import Texts


def write_out(file: str | Path, text: str, words: Texts) -> bool:
    """Write a file that a command was asked for, or say why not. Returns whether it was written."""
    try:
        Path(file).write_text(text, encoding="utf-8")
    except OSError as error:
        click.echo(words.say("ui.not_written", path=file, why=error.strerror), err=True)
        return False
    return True
