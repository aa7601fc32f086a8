from __future__ import annotations

import base64
import json
import struct
import zlib
from types import SimpleNamespace
from typing import Any

import pytest

from harness.notebooks.pictures import pictures_in, png, store_pictures, without_pictures
from harness.reports.svg import Sheet


def notebook(*html: str) -> Any:
    """A notebook whose cells show these."""
    cells = [{"outputs": [{"data": {"text/html": each}}, {"text": "printed"}]} for each in html]
    return SimpleNamespace(cells=[*cells, {"source": "text"}])


def test_only_drawings_that_are_new_are_drawn() -> None:
    """A drawing of the same name keeps its picture; no SVG is left."""
    known, new = (Sheet(10, 10, title, "nothing").finish() for title in ("known", "new"))
    found = notebook(f"<div>{known._repr_html_()}</div>", new._repr_html_())
    drawn: list[str] = []

    def draw(svg: str) -> str:
        drawn.append(base64.b64decode(svg).decode())
        return "TkVX"

    store_pictures(found, {known.name: "T0xE"}, draw)
    assert drawn == [str(new)]
    assert pictures_in(found) == {known.name: "T0xE", new.name: "TkVX"}
    assert "svg+xml" not in str(found)


def test_pictures_do_not_count_when_notebooks_are_compared() -> None:
    """Neither whether it is an SVG or a PNG, nor its bytes; but which drawing it is does."""
    one, other = (Sheet(10, 10, title, "nothing").finish()._repr_html_() for title in ("one", "other"))
    stored = notebook(one)
    store_pictures(stored, {}, lambda svg: "TkVX")
    texts = [json.dumps(each.cells) for each in (notebook(one), stored, notebook(other))]
    as_live, as_stored, another = map(without_pictures, texts)
    assert as_live == as_stored != another
    assert "base64" not in as_live


@pytest.mark.parametrize("width", [3, 4])
def test_png_has_the_pixels(width: int) -> None:
    """Four bits each, row by row, with the colours of the palette; also if a row ends within a byte."""
    pixels = bytes((x + y) % 3 for y in range(2) for x in range(width))
    data = png(width, 2, [0x000000, 0xFF0000, 0xFFFFFF], pixels)
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    at, chunks = 8, {}
    while at < len(data):
        (size,) = struct.unpack(">I", data[at : at + 4])
        name, body = data[at + 4 : at + 8], data[at + 8 : at + 8 + size]
        assert struct.unpack(">I", data[at + 8 + size : at + 12 + size]) == (zlib.crc32(name + body),)
        chunks[name], at = body, at + 12 + size
    assert chunks[b"PLTE"] == b"\0\0\0\xff\0\0\xff\xff\xff"
    rows = zlib.decompress(chunks[b"IDAT"])
    size = 1 + (width + 1) // 2
    read = [
        [half for byte in rows[y * size + 1 : (y + 1) * size] for half in (byte >> 4, byte & 15)][:width]
        for y in range(2)
    ]
    assert bytes(each for row in read for each in row) == pixels
