"""Reads what TypeScript's compiler prints of errors, and tells the student of those that are his."""

from __future__ import annotations

import re
from collections.abc import Callable

from msgspec import Struct

from lab.legible import both_ends

_ERROR = re.compile(
    r"(?:(?P<file>\S.*?)\((?P<line>\d+),(?P<column>\d+)\): )?error (?P<code>TS\d+): (?P<told>.*)"
)
_MORE = 2
"""Lines that the compiler adds to explain an error, which are told."""
_MOST_LINES = 9
"""Lines in which errors are told: of what a server prints, reports show the last ones."""
_ELSEWHERE = re.compile(r'import\("[^"]*"\)\.')
"""How the compiler names a type by the file that it is in: a folder of ours."""
_LONGEST = 300
"""Characters of an explanation."""
_WIDTH = 90
"""Characters of a line of code."""


class Diagnostic(Struct, frozen=True):
    """An error of the compiler's: `file` is a path below `src`, empty if it is about none."""

    file: str
    line: int
    column: int
    code: str
    told: str
    more: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """What the compiler says, in one line."""
        return both_ends(" ".join([self.told, *(each.strip() for each in self.more)]), _LONGEST)


def diagnostics_in(output: str) -> list[Diagnostic]:
    """All errors that it has printed, in its order."""
    found: list[Diagnostic] = []
    for line in _ELSEWHERE.sub("", output).splitlines():
        match = _ERROR.match(line)
        if match:
            file = (match["file"] or "").replace("\\", "/").removeprefix("src/")
            place = int(match["line"] or 0), int(match["column"] or 0)
            found.append(Diagnostic(file, *place, match["code"], match["told"]))
        elif line.startswith(" ") and found and len(found[-1].more) < _MORE:
            last = found[-1]
            found[-1] = Diagnostic(
                last.file, last.line, last.column, last.code, last.told, (*last.more, line.rstrip())
            )
    return found


def told(found: list[Diagnostic], texts: dict[str, str], shown: Callable[[str], str]) -> tuple[str, int]:
    """The first errors in the student's files, with their lines of code, and how many others there are.

    `texts` are all these files.
    """
    order = {file: number for number, file in enumerate(texts)}
    found = sorted(found, key=lambda each: (order[each.file], each.line, each.column))
    lines: list[str] = []
    for number, each in enumerate(found):
        more = _lines(each, texts[each.file], shown(each.file))
        if lines and len(lines) + len(more) > _MOST_LINES:
            return "\n".join(lines), len(found) - number
        lines += more
    return "\n".join(lines), 0


def _lines(error: Diagnostic, text: str, path: str) -> list[str]:
    said = [error.told, *(each.strip() for each in error.more)]
    first = f"{path}, line {error.line}: {both_ends(said[0], _LONGEST)} ({error.code})"
    more = [f"  {both_ends(each, _LONGEST)}" for each in said[1:]]
    return [first, *more, *caret(text, error.line, error.column)]


def caret(text: str, line: int, column: int) -> list[str]:
    """A line of code with a caret below the column, which counts as TypeScript does; none if it is empty."""
    lines = re.split(r"\r\n|[\n\r\u2028\u2029]", text)
    source = lines[line - 1] if 0 < line <= len(lines) else ""
    before = source.encode("utf-16-le")[: 2 * (column - 1)].decode("utf-16-le", "ignore")
    shown = source.strip().replace("\t", " ")
    at = max(len(before) - (len(source) - len(source.lstrip())), 0)
    if not shown:
        return []
    start = max(at - _WIDTH // 2, 0) if len(shown) > _WIDTH else 0
    return [f"    {shown[start : start + _WIDTH]}", f"    {' ' * (at - start)}^"]
