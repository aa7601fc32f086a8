"""The figures on a terminal, as a page, and as JSON."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import resources
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table as RichTable

from harness import reports
from harness.bench.result import Cell, Part, Table, shown
from harness.posix import cores
from harness.reports.markup import marked_up, safe


def machine() -> str:
    """A description of the machine that the figures were measured on."""
    n = len(cores())
    day = datetime.now(UTC).date()
    return f"{platform.system()} {platform.machine()}, {n} cores, Python {platform.python_version()}, {day}"


def tell(part: Part) -> None:
    """Print a part's tables and sentences."""
    console = Console(highlight=False, markup=False, soft_wrap=not os.isatty(1))
    console.print(f"\n{part.name}: {part.question}", style="bold")
    for table in part.tables:
        drawn = RichTable(title=table.title, title_justify="left", title_style="", box=box.SIMPLE_HEAD)
        for place, column in enumerate(table.columns):
            drawn.add_column(column, justify="left" if place == 0 else "right")
        for row in table.rows:
            drawn.add_row(*map(shown, row))
        console.print(drawn)
    for note in part.notes:
        console.print(f"  {note}", style="dim")
    for sentence in part.sentences:
        console.print(f"  {sentence}")


def as_json(parts: Sequence[Part]) -> str:
    """All figures as JSON."""
    values: dict[str, Any] = {"machine": machine(), "parts": [_values(part) for part in parts]}
    return json.dumps(values, indent=2, ensure_ascii=False) + "\n"


def _values(part: Part) -> dict[str, Any]:
    return {
        "name": part.name,
        "question": part.question,
        "tables": [
            {
                "title": table.title,
                "rows": [dict(zip(table.columns, row, strict=True)) for row in table.rows],
            }
            for table in part.tables
        ],
        "sentences": part.sentences,
        "notes": part.notes,
    }


def page(parts: Sequence[Part]) -> str:
    """All figures as one HTML page with pictures, which needs no network and runs no script."""
    css = resources.files(reports).joinpath("page.css").read_text(encoding="utf-8")
    body = "\n".join(_section(part) for part in parts)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>chatlab bench</title>\n<style>\n{css}</style>\n</head>\n<body>\n"
        f'<main id="main">\n<h1>What it costs</h1>\n<p class="soft">{safe(machine())}</p>\n{body}\n'
        "</main>\n</body>\n</html>\n"
    )


def _section(part: Part) -> str:
    parts = [f"<h2>{safe(part.name)}</h2>\n<p>{marked_up(part.question)}</p>"]
    parts += [f"<p><strong>{marked_up(sentence)}</strong></p>" for sentence in part.sentences]
    parts += [f'<figure class="wide">{picture}</figure>' for picture in part.pictures]
    parts += [_table(table) for table in part.tables]
    parts += [f'<p class="soft">{marked_up(note)}</p>' for note in part.notes]
    return "\n".join(parts)


def _cell(cell: Cell, is_figure: bool) -> str:
    kind = ' class="number"' if is_figure else ""
    return f"<td{kind}>{safe(shown(cell))}</td>"


def _table(table: Table) -> str:
    head = "".join(f'<th scope="col">{safe(column)}</th>' for column in table.columns)
    rows = "\n".join(
        f"<tr>{''.join(_cell(cell, place > 0) for place, cell in enumerate(row))}</tr>" for row in table.rows
    )
    return f"<table>\n<caption>{safe(table.title)}</caption>\n<tr>{head}</tr>\n{rows}\n</table>"
