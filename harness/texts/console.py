"""Prints: all that the harness writes to a console goes through here, or through `reports/terminal.py`.

What a server, a submission or a file's name has brought into a text cannot steer the terminal, and a
character that the console's encoding lacks is no error.
"""

from __future__ import annotations

import codecs
import io
import os
import sys

from lab.legible import legible

_PLAIN = {
    "✓": "ok",
    "✗": "FAILED",
    "→": "->",
    "…": "...",
    "–": "-",
    "·": ".",
    "×": "x",
    "“": '"',
    "”": '"',
    "«": '"',
    "»": '"',
    "’": "'",
    "\u00a0": " ",
    "\u202f": " ",
}
"""Signs in our own texts, and what stands for them where the console lacks them."""
ERRORS_AT_THE_START = getattr(sys.__stdout__, "errors", "strict")
"""What a new process does about a character that its standard output lacks, before `prepare`."""
_HANDLER = "chatlab-console"


def _stand_ins(error: UnicodeError) -> tuple[str, int]:
    """What is printed instead of characters that an encoding lacks."""
    assert isinstance(error, UnicodeEncodeError), "it is used for writing only"
    lacking = error.object[error.start : error.end]
    shown = (_PLAIN.get(char) or char.encode("unicode_escape").decode() for char in lacking)
    return "".join(shown), error.end


codecs.register_error(_HANDLER, _stand_ins)


def prepare() -> None:
    """Let standard output and errors take any text, in whatever encoding the console has, if there is one."""
    sys.stdout = sys.stdout or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - for as long as we run
    sys.stderr = sys.stderr or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_HANDLER)


def echo(text: str, *, err: bool = False) -> None:
    """Print a text of one or several lines, on standard output or (`err`) on standard error."""
    print(legible(text), file=sys.stderr if err else sys.stdout, flush=True)


def flash(text: str = "", *, err: bool = False) -> None:
    """Overwrite the last line of a terminal, which the next text overwrites in turn; without text, clear it.

    Does nothing where there is no terminal.
    """
    stream = sys.stderr if err else sys.stdout
    if stream.isatty():
        print(f"\r\033[K{legible(text)}", end="", file=stream, flush=True)
