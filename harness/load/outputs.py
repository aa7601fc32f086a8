"""The files that a load is written into: all of them are made from the one result, which is JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from msgspec import Struct, field

from harness.load.openmetrics import openmetrics
from harness.load.page import page
from harness.load.stored import read
from harness.reports.outfile import write_out
from harness.texts import Texts


class Files(Struct):
    """Where the result of a test goes. What is empty was not asked for."""

    json: list[str] = field(default_factory=list)
    html: str = ""
    openmetrics: str = ""


def files_in(options: Any, test: int) -> Files:
    """The files that Locust's options ask for; each test but the first has its own, with a number."""

    def numbered(file: str | None) -> str:
        if not file or test < 2:
            return file or ""
        path = Path(file)
        return str(path.with_name(f"{path.stem}-{test}{path.suffix}"))

    json_file = numbered(options.lab_json)
    return Files(
        [json_file] if json_file else [], numbered(options.lab_html), numbered(options.lab_openmetrics)
    )


def write(result: dict[str, Any], files: Files | None, texts: Texts) -> None:
    """Write a result, or say why that cannot be done."""
    if files is None:
        return
    text = json.dumps(result, indent=2, ensure_ascii=False) + "\n"
    for file in files.json:
        write_out(file, text, texts)
    if files.html:
        write_out(files.html, page(read(text), texts), texts)
    if files.openmetrics:
        write_out(files.openmetrics, openmetrics(read(text)), texts)
