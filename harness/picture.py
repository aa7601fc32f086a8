"""Draws a report as it looks in a terminal, as SVG: `tests/kit/excerpts.py` makes the pages' pictures so."""

from __future__ import annotations

import re
from collections.abc import Callable
from io import StringIO

from rich.console import Console

from harness.reports.terminal import Terminal
from harness.texts import texts

_FONTS_FROM_ELSEWHERE = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)


def picture(write: Callable[[Terminal], None], command: str, name: str) -> str:
    """What `write` writes, under the command that gives it; `name` tells it from other pictures of a page."""
    console = Console(record=True, width=110, file=StringIO(), highlight=False, force_terminal=True)
    write(Terminal(texts("en"), console=console))
    svg = console.export_svg(title=command, unique_id=name)
    # The picture must not ask the network for its letters.
    return _FONTS_FROM_ELSEWHERE.sub("", svg).replace("Fira Code", "monospace")
