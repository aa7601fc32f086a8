"""Turns the drawings of a stored notebook into PNG.

A program that shows a notebook without trusting it shows no SVG, and what is stored was run by somebody else.
The same drawing has the same name, so a picture that is stored already is used again: only drawings that have
changed need a browser, and no picture differs because another machine has other fonts.
"""

from __future__ import annotations

import base64
import re
import shutil
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

_SVG = re.compile(r'<img class="(\w+)" src="data:image/svg\+xml;base64,([^"]*)"')
_PNG = re.compile(r'<img class="(\w+)" src="data:image/png;base64,([^"]*)"')
_WRITTEN = re.compile(r'(<img class=\\"\w+\\" src=\\")data:[^"\\]*')
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
SCALE = 1.5
"""Pixels of a picture for one of its drawing."""
_COLOURS = 16
_INDEXED = """async ([svg, scale, most]) => {
  const image = new Image();
  image.src = "data:image/svg+xml;base64," + svg;
  await image.decode();
  const canvas = new OffscreenCanvas(Math.round(image.width * scale), Math.round(image.height * scale));
  const context = canvas.getContext("2d");
  context.drawImage(image, 0, 0, canvas.width, canvas.height);
  const data = context.getImageData(0, 0, canvas.width, canvas.height).data;
  const colours = new Uint32Array(canvas.width * canvas.height);
  const counts = new Map();
  for (let n = 0; n < colours.length; n++) {
    const [red, green, blue] = [0, 1, 2].map((part) => Math.round(data[4 * n + part] / 17) * 17);
    colours[n] = (red << 16) | (green << 8) | blue;
    counts.set(colours[n], (counts.get(colours[n]) ?? 0) + 1);
  }
  const palette = [...counts].sort((a, b) => b[1] - a[1]).slice(0, most).map(([colour]) => colour);
  const part = (colour, by) => (colour >> by) & 255;
  const apart = (a, b) => [16, 8, 0].reduce((sum, by) => sum + (part(a, by) - part(b, by)) ** 2, 0);
  const nearest = new Map();
  for (const colour of counts.keys()) {
    const nearer = (best, each, n) => apart(each, colour) < apart(palette[best], colour) ? n : best;
    nearest.set(colour, palette.reduce(nearer, 0));
  }
  const indices = Array.from(colours, (each) => String.fromCharCode(nearest.get(each)));
  return [canvas.width, canvas.height, palette, btoa(indices.join(""))];
}"""


class NoBrowser(Exception):  # noqa: N818 - named for what it says
    """A drawing is new, and there is no browser to draw it."""


Draw = Callable[[str], str]
"""From an SVG to a PNG, both as base64."""


def without_pictures(text: str) -> str:
    """The text of a notebook's file without the bytes of its pictures, whose names say what they are."""
    return _WRITTEN.sub(r"\1", text)


def pictures_in(notebook: Any) -> dict[str, str]:
    """The pictures of a notebook as base64, by the names of their drawings."""
    return {name: data for html in _html_of(notebook) for name, data in _PNG.findall(html["text/html"])}


def store_pictures(notebook: Any, known: dict[str, str], draw: Draw) -> None:
    """Replace each drawing of a notebook's outputs by its picture, known or drawn."""

    def picture(found: re.Match[str]) -> str:
        name, svg = found.groups()
        if name not in known:
            known[name] = draw(svg)
        return f'<img class="{name}" src="data:image/png;base64,{known[name]}"'

    for html in _html_of(notebook):
        html["text/html"] = _SVG.sub(picture, html["text/html"])


def _html_of(notebook: Any) -> Iterator[dict[str, str]]:
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            if "text/html" in output.get("data", {}):
                yield output["data"]


@contextmanager
def drawing() -> Iterator[Draw]:
    """A browser that draws, started with the first drawing. Drawing raises NoBrowser if there is none."""
    ends: list[Callable[[], None]] = []
    pages: list[Any] = []

    def draw(svg: str) -> str:
        if not pages:
            pages.append(_page(ends))
        width, height, palette, indices = pages[0].evaluate(_INDEXED, [svg, SCALE, _COLOURS])
        return base64.b64encode(png(width, height, palette, base64.b64decode(indices))).decode()

    try:
        yield draw
    finally:
        for end in reversed(ends):
            end()


def _page(ends: list[Callable[[], None]]) -> Any:
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        program = None
    if program is None:
        raise NoBrowser(
            "a drawing has changed, and to store it needs Chromium and pip install 'chat-lab[browser]'"
        )
    playwright = sync_playwright().start()
    ends.append(playwright.stop)
    browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
    ends.append(browser.close)
    return browser.new_page()


def png(width: int, height: int, palette: list[int], indices: bytes) -> bytes:
    """A PNG of at most 16 colours (0xRRGGBB), from the place of each pixel's colour in the palette."""
    rows = bytearray()
    for y in range(height):
        row = indices[y * width : (y + 1) * width] + b"\0" * (width % 2)
        rows += b"\0" + bytes(16 * one + other for one, other in zip(row[::2], row[1::2], strict=True))
    colours = b"".join(struct.pack(">I", each)[1:] for each in palette)
    header = struct.pack(">IIBBBBB", width, height, 4, 3, 0, 0, 0)
    parts = ((b"IHDR", header), (b"PLTE", colours), (b"IDAT", zlib.compress(bytes(rows), 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, data) for name, data in parts)


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
