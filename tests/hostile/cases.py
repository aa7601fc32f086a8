"""Hostile servers and components as data: `servers.toml` and `components.toml` have them."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

from msgspec import Struct

from harness.verdict.steps import COMPONENTS, EXERCISES
from harness.zoo.single_file import PLAIN
from tests.wrong_code.cases import answer, changed

_HERE = Path(__file__).parent
_RAW = "raw.py"
_OF = {component: number for number, component in COMPONENTS.items()}


class Hostile(Struct, frozen=True):
    """One that means harm: its files by their paths, and whether a pass is a right verdict on it.

    Of a component, `exercise` is the number of its exercise; 0 stands for a server.
    """

    name: str
    files: dict[str, str]
    passes: bool
    exercise: int = 0


def servers() -> list[Hostile]:
    """All servers; each is started by `python3 server.py`."""
    return [_server(row) for row in _rows("servers")]


def components() -> list[Hostile]:
    """All components, each in a submission named `it`."""
    return [_component(row) for row in _rows("components")]


def _rows(kind: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = tomllib.loads((_HERE / f"{kind}.toml").read_text(encoding="utf-8"))[kind]
    return found


def _server(row: dict[str, Any]) -> Hostile:
    name, passes = f"server: {row['what']}", row.get("passes", False)
    if "changes" in row:
        text = changed(PLAIN.read_text(encoding="utf-8"), row["changes"], name)
        return Hostile(name, {"server.py": text}, passes)
    raw = (_HERE / _RAW).read_text(encoding="utf-8")
    return Hostile(name, {"server.py": _IMPORTS + row["text"], _RAW: raw}, passes)


_IMPORTS = "import os, socket, sys, time\nfrom raw import *\nfrom raw import NOW\n"


def _component(row: dict[str, Any]) -> Hostile:
    component = row["component"]
    text = answer(component)
    if "at" in row:
        head = re.search(rf"    (async )?def {row['at']}\([^)]*\).*:\n", text)
        assert head, f"{component} has no method {row['at']} (any more)"
        does = "".join(f"        {line}\n" for line in row["does"].strip().splitlines())
        text = text[: head.end()] + does + text[head.end() :]
    imports = [*re.finditer(r"^(from|import) .*\n", text, re.MULTILINE)][-1].end()
    text = f"{text[:imports]}{row.get('top', '')}\n{text[imports:]}"
    number = _OF[component]
    path = f"it/{EXERCISES[number]}/{component}.py"
    return Hostile(f"{component}: {row['what']}", {path: text}, row.get("passes", False), number)
