"""Text from outside, made fit to be shown: a name, a frame or a program's output may hold anything.

Characters that a terminal obeys, that turn the direction of writing or that nobody sees become escapes such
as `\\x1b` and `\\u202e`. Accented letters, other scripts and emoji stay as they are.
"""

from __future__ import annotations

import re

KEPT = "\t\n\u00a0\u202f"
"""White space that is shown as it is; French has the last two, no-break spaces, before some signs."""
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
    return "".join(c if c.isprintable() or c in kept else c.encode("unicode_escape").decode() for c in text)


def both_ends(text: str, most: int = 600) -> str:
    """A text that explains something: all of it, or if it is very long its beginning and its end."""
    return text if len(text) <= most else f"{text[: most // 2]} … {text[-most // 2 :]}"
