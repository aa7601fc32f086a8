"""The little Markdown that questions are written in: paragraphs, lists and blocks of code.

Anything else stays as it is written. Text from outside is made legible, and cannot become HTML.
"""

from __future__ import annotations

import re
import textwrap

from msgspec import Struct

from harness.reports.markup import safe

_FENCE = re.compile(r"^(```+|~~~+)")
_SPACE = re.compile(r"[ \t\n]+")
"""What counts as one space: no-break spaces, which French has before some signs, stay."""
_ITEM = re.compile(r"^\s*(?:[-*+]|\d+[.)])\s+")
_INLINE = re.compile(
    r"`([^`]{1,500})`|\*\*(.{1,500}?)\*\*|\*([^*\s](?:[^*]{0,500}[^*\s])?)\*"
    r"|\[([^\]]{1,500})\]\((https?://[^)\s]{1,500})\)"
)
"""Bounded, since what is opened and never closed is looked for at each place."""


class Block(Struct, frozen=True):
    """A part of a text: a paragraph, an item of a list, or code, whose lines stay as they are."""

    text: str
    is_code: bool = False
    mark: str = ""
    """What stands before an item of a list."""


def blocks(text: str) -> list[Block]:
    """The parts of a text; a paragraph or an item is one line."""
    found: list[Block] = []
    lines: list[str] = []
    fence = mark = ""

    def end() -> None:
        nonlocal mark
        if fence:
            found.append(Block(textwrap.dedent("\n".join(lines)), is_code=True))
        elif lines:
            found.append(Block(_SPACE.sub(" ", " ".join(lines)).strip(), mark=mark))
        lines.clear()
        mark = ""

    for line in text.strip().splitlines():
        opened = _FENCE.match(line.strip())
        if fence and line.strip() == fence:
            end()
            fence = ""
        elif fence:
            lines.append(line)
        elif line.startswith("#"):
            end()
            lines.append(line.lstrip("#"))
            end()
        elif opened:
            end()
            fence = opened[1]
        elif item := _ITEM.match(line):
            end()
            mark = item[0].strip()
            lines.append(line[item.end() :])
        elif line.strip():
            lines.append(line)
        else:
            end()
    end()
    return found


def lines(text: str, width: int, first: str = "", indent: str = "") -> list[str]:
    """A text as lines for a terminal: the first begins with `first`, the others with `indent`.

    Code stands between empty lines, and is never wrapped.
    """
    found: list[str] = []
    for block in blocks(text):
        lead = indent if found else first or indent
        if block.is_code:
            code = block.text.expandtabs(4).splitlines()
            found += [*([""] if found else [lead.rstrip()]), *(f"{indent}  {each}" for each in code), ""]
            continue
        mark = f"{block.mark} " if block.mark else ""
        found += textwrap.wrap(
            mark + _plain(block.text),
            max(width, 30),
            initial_indent=lead,
            subsequent_indent=indent + " " * len(mark),
            break_long_words=False,
            break_on_hyphens=False,
        )
    return [*found[:-1], *(found[-1:] if found[-1:] != [""] else [])] or [first]


def html(text: str) -> str:
    """A text as HTML: blocks, in which code, emphasis and links are marked up."""
    found: list[str] = []
    for block in blocks(text):
        if block.is_code:
            found.append(f"<pre><code>{safe(block.text)}</code></pre>")
        elif block.mark:
            found.append(f"<ul><li>{inline(block.text)}</li></ul>")
        else:
            found.append(f"<p>{inline(block.text)}</p>")
    return "".join(found).replace("</ul><ul>", "")


def inline(text: str) -> str:
    """A line as HTML."""
    return "".join(safe(part) if n % 2 == 0 else part for n, part in enumerate(_split(_SPACE.sub(" ", text))))


def _split(text: str) -> list[str]:
    """The plain parts of a line, and between them what is marked up already."""
    parts, position = [], 0
    for found in _INLINE.finditer(text):
        code, strong, emphasis, label, link = found.groups()
        marked = (
            f"<code>{safe(code)}</code>"
            if code
            else f"<strong>{inline(strong)}</strong>"
            if strong
            else f"<em>{inline(emphasis)}</em>"
            if emphasis
            else f'<a href="{safe(link)}">{inline(label)}</a>'
        )
        parts += [text[position : found.start()], marked]
        position = found.end()
    return [*parts, text[position:]]


def _plain(text: str) -> str:
    """Without what is meant for eyes in HTML only: the marks of emphasis, outside of code."""

    def shown(found: re.Match[str]) -> str:
        code, strong, emphasis, label, link = found.groups()
        return found[0] if code else strong or emphasis or f"{label} ({link})"

    return _INLINE.sub(shown, text)
