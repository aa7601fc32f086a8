"""The files that a command is asked to write, such as `--json FILE`.

Whether a file can be written is checked before anything is played; if writing fails later, a sentence says
so, and the verdict stays.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from harness.texts import Texts


class OutFile(click.Path):
    """The type of an option that names a file to write: in a folder that exists, and not itself a folder.

    `-` is standard output, if the option allows it.
    """

    def __init__(self, *, dash: bool = False) -> None:
        super().__init__(dir_okay=False, writable=True, allow_dash=dash)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The name as it was given; raises click.BadParameter."""
        if value == "-" and not self.allow_dash:
            self.fail("this goes into a file; name one, such as report.html or report.json", param, ctx)
        if value != "-" and not Path(value).absolute().parent.is_dir():
            self.fail(f"{value}: there is no such folder to write into", param, ctx)
        return super().convert(value, param, ctx)


def write_out(file: str | Path, text: str, words: Texts) -> bool:
    """Write a file that a command was asked for, or say why not. Returns whether it was written."""
    try:
        Path(file).write_text(text, encoding="utf-8")
    except OSError as error:
        click.echo(words.say("ui.not_written", path=file, why=error.strerror), err=True)
        return False
    return True
