"""The pages of documentation, and the fenced blocks in them."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
PAGES = sorted(
    str(path.relative_to(ROOT))
    for pattern in ("*.md", "*/*.md", "*/*/*.md")
    for path in ROOT.glob(pattern)
    if not any(part.startswith(".") or part == "node_modules" for part in path.relative_to(ROOT).parts)
)
"""All of them, from the kit's folder."""
INPUT = {"sh", "bat", "json", "python", "ts", "toml"}
"""Kinds of blocks that show what a reader writes, and no output."""
MEASURED = {"console"}
"""Kinds of blocks that show what an experiment found which no test repeats: it needs Redis, say."""

_FENCE = re.compile(r"^```([^\n`]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def translated(page: str, language: str) -> str:
    """The name of a page in a language: `README.md` is in English, `README.fr.md` in French."""
    return page if language == "en" else page.removesuffix(".md") + f".{language}.md"


def read(page: str) -> str:
    """The text of a page."""
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(text: str) -> list[re.Match[str]]:
    """The fenced blocks of a page: the first group is the kind, the second the content."""
    return list(_FENCE.finditer(text))


def outputs(text: str) -> list[re.Match[str]]:
    """The blocks that show output: all except those that a reader types, measurements and drawings."""
    return [
        block
        for block in blocks(text)
        if block[1] not in INPUT | MEASURED and not ("╔" in block[2] and "►" in block[2])
    ]


def put(text: str, number: int, content: str) -> str:
    """Return a page with other content in one of its blocks of output."""
    block = outputs(text)[number]
    return text[: block.start(2)] + content + text[block.end(2) :]
