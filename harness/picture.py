"""Draws a report as it looks in a terminal, as SVG: `tests/kit/excerpts.py` makes the README's picture so."""

from __future__ import annotations

import re
from io import StringIO

from rich.console import Console

from harness.reports.terminal import Terminal
from harness.running.run import Run
from harness.texts import texts

_FONTS_FROM_ELSEWHERE = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)


def picture(run: Run, command: str) -> str:
    """The report on a run, under the command that gives it."""
    console = Console(record=True, width=110, file=StringIO(), highlight=False, force_terminal=True)
    Terminal(texts("en"), console=console).run(run)
    svg = console.export_svg(title=command, unique_id="check")
    # The picture must not ask the network for its letters.
    return _FONTS_FROM_ELSEWHERE.sub("", svg).replace("Fira Code", "monospace")
