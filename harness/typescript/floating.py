"""Looks for promises that nobody waits for, in the files of a student's that were built.

That is no mistake in itself, but where a run has failed it is often the reason: what follows does not wait,
and errors are lost, or end the server.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.typescript import bounded
from harness.typescript.build import Build
from harness.typescript.tools import Tools
from harness.verdict.causes import Floating

_SECONDS = 10.0
"""For the linter: it takes less than one."""
_CONFIG = {
    "plugins": ["typescript"],
    "categories": {"correctness": "off"},
    "rules": {"typescript/no-floating-promises": "error", "typescript/no-misused-promises": "error"},
}
_LEFT_OUT = ("boolean conditional", "spread")
"""Findings about a promise that is used as if it was its value: the compiler refuses these."""


def floating_in(built: Build, tools: Tools, seconds: float = _SECONDS) -> list[Floating]:
    """The promises that nobody waits for, in the order of the files; none if the linter cannot tell."""
    if built.refused is not None or not built.own:
        return []
    config = built.folder / "floating.json"
    try:
        config.write_text(json.dumps(_CONFIG), encoding="utf-8")
        options = ["--type-aware", "--no-ignore", "--config", config.name, "--format", "json"]
        words = [*tools.linter, *options, *(f"src/{place}" for place in built.own)]
        done = bounded.run(words, built.folder, seconds)
        found = list(_read(json.loads(done.output), built)) if done.code is not None else []
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return []
    order = {str(path): number for number, path in enumerate(built.own.values())}
    return sorted(found, key=lambda each: (order[each.file], each.line, each.column))


def _read(report: Any, built: Build) -> Iterator[Floating]:
    for each in report["diagnostics"]:
        if any(words in each["message"] for words in _LEFT_OUT):
            continue
        place = Path(each["filename"]).as_posix().removeprefix("src/")
        offset = each["labels"][0]["span"]["offset"]
        yield _at(str(built.own[place]), (built.folder / "src" / place).read_bytes(), offset)


def _at(file: str, text: bytes, offset: int) -> Floating:
    """The place of a byte in a file; the linter counts columns in bytes, and people do not."""
    before = text[:offset]
    begin = before.rfind(b"\n") + 1
    line = text[begin:].partition(b"\n")[0].decode("utf-8", "replace").strip()
    column = len(before[begin:].decode("utf-8", "replace")) + 1
    return Floating(file, before.count(b"\n") + 1, column, line)
