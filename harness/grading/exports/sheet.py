"""A portal's CSV file in which single cells are written: every other byte stays as it was."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable

from harness.texts.problem import Problem

_DELIMITERS = ",;\t"
_LINE_END = re.compile("\r\n|[\r\n]|")
_MARKS = {codecs.BOM_UTF8: "utf-8", codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}


class Sheet:
    """The table in `data`. Raises Problem if that is no text.

    Its encoding, byte order mark, delimiter, quotation marks and line ends are found out, and kept.
    """

    def __init__(self, data: bytes) -> None:
        self._mark, self._codec, text = _decoded(data)
        self.delimiter = max(_DELIMITERS, key=lambda each: len(_row(text, 0, each)[0]))
        self._rows: list[tuple[list[str], str]] = []
        place = 0
        while place < len(text):
            cells, end, place = _row(text, place, self.delimiter)
            self._rows.append((cells, end))
        self.rows = [[_value(cell) for cell in cells] for cells, _ in self._rows]
        """The texts of the cells. A row may be shorter than the first one."""

    @property
    def header(self) -> list[str]:
        """The first row, in small letters and without spaces around its texts."""
        return [" ".join(cell.casefold().split()) for cell in self.rows[0]] if self.rows else []

    def column(self, is_it: Callable[[str], bool]) -> int | None:
        """The number of the first column whose header, in small letters, is what is looked for."""
        return next((number for number, text in enumerate(self.header) if is_it(text)), None)

    def cell(self, row: int, column: int | None) -> str:
        """The text of a cell; empty where the row is too short, or there is no such column."""
        there = self.rows[row]
        return there[column].strip() if column is not None and column < len(there) else ""

    def put(self, row: int, column: int, text: str) -> None:
        """Write a cell, in quotation marks if it had some or needs them."""
        cells, _ = self._rows[row]
        cells.extend([""] * (column + 1 - len(cells)))
        is_quoted = cells[column].startswith('"') or re.search(rf'[{self.delimiter}"\s]', text)
        cells[column] = '"' + text.replace('"', '""') + '"' if is_quoted else text
        self.rows[row] = [_value(cell) for cell in cells]

    def to_bytes(self) -> bytes:
        """The file. What its encoding lacks becomes a reference such as `&#8594;`, as in HTML."""
        text = "".join(self.delimiter.join(cells) + end for cells, end in self._rows)
        return self._mark + text.encode(self._codec, "xmlcharrefreplace")


def _decoded(data: bytes) -> tuple[bytes, str, str]:
    """The byte order mark, the encoding and the text; encoding that text gives the same bytes again."""
    for mark, codec in _MARKS.items():
        if data.startswith(mark):
            codecs_to_try: tuple[str, ...] = (codec,)
            break
    else:
        mark = b""
        # Excel saves in the encoding of the computer's language; Latin-1 at least loses no byte.
        codecs_to_try = ("utf-8", "cp1252", "latin-1")
    for codec in codecs_to_try:
        try:
            text = data[len(mark) :].decode(codec)
        except UnicodeDecodeError:
            continue
        if "\0" not in text:
            return mark, codec, text
    raise Problem("usage.export.no_text")


def _row(text: str, place: int, delimiter: str) -> tuple[list[str], str, int]:
    """The cells of the row that begins at a place, as they are written; its line end; and where it ends."""
    # The quantifier gives nothing back: a quotation mark that is never closed costs one look at the rest.
    cell = re.compile(rf'(?:"(?:[^"]|"")*+")?[^{delimiter}\r\n]*')
    cells = []
    while True:
        found = cell.match(text, place)
        assert found, "it matches nothing, too"
        cells.append(found[0])
        place = found.end()
        if text[place : place + 1] != delimiter:
            break
        place += 1
    end = _LINE_END.match(text, place)
    assert end, "it matches nothing, too"
    return cells, end[0], end.end()


def _value(cell: str) -> str:
    if len(cell) >= 2 and cell[0] == cell[-1] == '"':
        return cell[1:-1].replace('""', '"')
    return cell
