"""The files that a command is asked to write, such as `--json FILE`.

Whether a file can be written is checked before anything is played (`harness/cli/options.py`); if writing
fails later, a sentence says so, and the verdict stays.
"""

from __future__ import annotations

from pathlib import Path

from harness.texts import Texts
from harness.texts.console import echo


def write_out(file: str | Path, text: str, words: Texts) -> bool:
    """Write a file that a command was asked for, or say why not. Returns whether it was written."""
    try:
        # A lone surrogate, as in a name that is not UTF-8, is written as its escape, which JSON has, too.
        Path(file).write_text(text, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        echo(words.say("ui.not_written", path=file, why=error.strerror), err=True)
        return False
    return True
