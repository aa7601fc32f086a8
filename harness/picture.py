"""Draws a check as it looks in a terminal: `python -m harness.picture FILE` plays one, and writes an SVG.

This makes the README's picture, from exercise 2 as it is handed out.
"""

from __future__ import annotations

import asyncio
import re
import sys
from io import StringIO
from pathlib import Path

from rich.console import Console

from harness.reports.terminal import Terminal
from harness.running.play import play
from harness.texts import texts
from harness.worlds.targets import choose

EXERCISE = 2
_FONTS_FROM_ELSEWHERE = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)


def draw(file: Path) -> None:
    """Play the exercise against its stub, and write the report as a picture."""
    run = asyncio.run(play(EXERCISE, choose(EXERCISE), "1"))
    console = Console(record=True, width=110, file=StringIO(), highlight=False, force_terminal=True)
    Terminal(texts("en"), console=console).run(run)
    svg = console.export_svg(title=f"chatlab check {EXERCISE}", unique_id="check")
    # The picture must not load fonts from the network.
    svg = _FONTS_FROM_ELSEWHERE.sub("", svg).replace("Fira Code", "monospace")
    file.write_text(svg, encoding="utf-8")


if __name__ == "__main__":
    draw(Path(sys.argv[1]))
