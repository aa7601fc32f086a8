"""Escapes text for HTML."""

from __future__ import annotations

import re
from collections.abc import Iterable
from html import escape

from lab.legible import legible

_CODE = re.compile(r"`([^`]+)`")


def safe(text: str) -> str:
    """Any text, escaped for use between tags or in an attribute."""
    return escape(legible(text))


def marked_up(text: str) -> str:
    """A sentence as HTML, with text between backticks as code."""
    return _CODE.sub(r"<code>\1</code>", safe(text))


def paragraphs(lines: Iterable[str]) -> list[str]:
    """A paragraph for each line that is not empty."""
    return [f"<p>{marked_up(line)}</p>" for line in lines if line]
