"""Text from outside is shown without what a terminal would obey, and nothing else of it is lost."""

from __future__ import annotations

import pytest

from lab.legible import both_ends, legible, one_line, text_of

SHOWN = {
    "an escape sequence": ("\x1b[31mred", "\\x1b[31mred"),
    "C1: the same in one character": ("\x9b31m", "\\x9b31m"),
    "BEL, backspace, NUL, DEL": ("\a\b\0\x7f", "\\x07\\x08\\x00\\x7f"),
    "a return, which overwrites the line": ("passed\rfailed", "passed\\rfailed"),
    "right-to-left override": ("exe.\u202etxt", "exe.\\u202etxt"),
    "isolates": ("\u2066a\u2069", "\\u2066a\\u2069"),
    "zero width": ("a\u200bb\u200dc\ufeff", "a\\u200bb\\u200dc\\ufeff"),
    "line and paragraph separators": ("a\u2028b\u2029c\x85d", "a\\u2028b\\u2029c\\x85d"),
    "tags, which nobody sees": ("\U000e0041", "\\U000e0041"),
    "half of a character": ("\ud83d", "\\ud83d"),
    "a name that is not UTF-8": ("\udce9mile", "\\xe9mile"),
    "UTF-8, read by an ASCII system": ("Zo\udcc3\udca9", "Zoé"),
    "letters of any script": ("Zoé Łukasz 李雷 שלום Zoe\u0308", "Zoé Łukasz 李雷 שלום Zoe\u0308"),
    "emoji": ("👍🏽 ✓", "👍🏽 ✓"),
    "no-break spaces": ("1\u202f000\u00a0: x", "1\u202f000\u00a0: x"),
    "a backslash": ("C:\\x1b", "C:\\x1b"),
}
"""What there is: a text, and what is shown of it."""


@pytest.mark.parametrize("name", SHOWN)
def test_a_text_is_legible(name: str) -> None:
    """Each kind of character is shown, or its escape."""
    text, shown = SHOWN[name]
    assert legible(text) == one_line(text) == shown
    shown.encode()


def test_white_space() -> None:
    """Lines and tabs stay in a text of several lines, and are escapes in one."""
    assert legible("a\n\tb") == "a\n\tb"
    assert one_line("a\n\tb") == "a\\n\\tb"


def test_bytes_are_text() -> None:
    """Output is UTF-8; what is not, is shown byte by byte."""
    assert text_of("Zoé".encode()) == "Zoé"
    assert text_of("Zoé".encode("latin-1")) == "Zo\\xe9"


def test_what_explains_keeps_both_ends() -> None:
    """A short text is shown as it is; of a very long one the middle is left out."""
    assert both_ends("x" * 600) == "x" * 600
    assert both_ends("a" * 500 + "b" * 500) == "a" * 300 + " … " + "b" * 300
    assert both_ends("abcdefgh", 4) == "ab … gh"
