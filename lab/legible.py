"""Text from outside, made fit to be shown: a name, a frame or a program's output may hold anything.

Characters that a terminal obeys, that turn the direction of writing or that nobody sees become escapes such
as `\\x1b` and `\\u202e`. Accented letters, other scripts and emoji stay as they are.
"""

from __future__ import annotations

import re

KEPT = "\t\n\u00a0\u202f"
"""White space that is shown as it is; French has the last two, no-break spaces, before some signs."""
_UNSEEN = "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u2800\u3164\uffa0"
"""Characters without any shape that Python takes for printable ones."""
_BYTES = re.compile("[\udc80-\udcff]+")
"""Bytes that Python could not decode, in the form in which it hands them on: in file names, for instance."""


def text_of(data: bytes) -> str:
    """Bytes as text; those that are not UTF-8 become escapes."""
    return data.decode("utf-8", "backslashreplace")


def one_line(text: str) -> str:
    """A text that is a name or a value: legible, and without line breaks and tabs."""
    return legible(text, kept="\u00a0\u202f")


def legible(text: str, kept: str = KEPT) -> str:
    """A text in which what is not to be seen is an escape, except for the white space in `kept`."""
    text = _BYTES.sub(lambda found: text_of(found[0].encode("utf-8", "surrogateescape")), text)
    return "".join(
        char if char in kept or (char.isprintable() and char not in _UNSEEN) else _escape(char)
        for char in text
    )


def _escape(char: str) -> str:
    return char.encode("unicode_escape").decode()


def both_ends(text: str, most: int = 600) -> str:
    """A text that explains something: all of it, or if it is very long its beginning and its end."""
    return text if len(text) <= most else f"{text[: most // 2]} … {text[-most // 2 :]}"
