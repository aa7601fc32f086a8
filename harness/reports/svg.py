"""A small SVG writer: lines, boxes, texts and arrows on a sheet, the same bytes for the same drawing.

Drawings must be readable in black and white, so colour only repeats what a shape already says. Screen readers
read their title and description.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Sequence
from itertools import pairwise
from xml.sax.saxutils import escape

from lab.legible import legible

INK, FAINT, ALARM = "#222", "#767676", "#b00020"
"""Colours: of what is drawn, of guides, and of what is wrong."""
FONT = 12
"""Pixels."""
READABLE = 0.8
"""The smallest size at which its texts can be read; what is wider than its column then is scrolled."""


class Drawing:
    """A finished picture. Notebooks show it; `str(drawing)` is the SVG file.

    `name` is made from all that is in it, so that two drawings with one name are the same. `description` is
    the picture as text.
    """

    def __init__(self, svg: str, title: str, description: str, name: str, width: str) -> None:
        self._svg = svg
        self._width = width
        self.title = title
        self.description = description
        self.name = name

    def __str__(self) -> str:
        return self._svg

    def __repr__(self) -> str:
        return f"<drawing: {self.title}>"

    @property
    def fitted(self) -> str:
        """The style with which it fits its column, and can be read in a narrow one."""
        return f"max-width:max(100%,{_px(READABLE * float(self._width))}px);height:auto"

    def _repr_html_(self) -> str:
        """An image that fits its column: notebooks that are not trusted show no SVG of their own."""
        data = base64.b64encode(self._svg.encode(errors="replace")).decode()
        told = escape(legible(f"{self.title}. {self.description}"), {'"': "&quot;"})
        return (
            f'<img class="{self.name}" src="data:image/svg+xml;base64,{data}" alt="{told}"'
            f' width="{self._width}" style="{self.fitted}">'
        )


class Sheet:
    """A white sheet that shapes are put on, in pixels from its upper left corner."""

    def __init__(self, width: float, height: float, title: str, description: str) -> None:
        self._size = (width, height)
        self._title = title
        self._description = description
        self._shapes: list[str] = []

    def line(
        self, x1: float, y1: float, x2: float, y2: float, colour: str = INK, *, dashed: bool = False
    ) -> None:
        """A straight line."""
        dashes = ' stroke-dasharray="5 4"' if dashed else ""
        self._shapes.append(
            f'<line x1="{_px(x1)}" y1="{_px(y1)}" x2="{_px(x2)}" y2="{_px(y2)}" stroke="{colour}"{dashes}/>'
        )

    def path(self, points: Sequence[tuple[float, float]], colour: str = INK, *, dashed: bool = False) -> None:
        """A line through several points; nothing if there are fewer than two."""
        for (x1, y1), (x2, y2) in pairwise(points):
            self.line(x1, y1, x2, y2, colour, dashed=dashed)

    def curve(
        self,
        points: Sequence[tuple[float, float]],
        colour: str = INK,
        *,
        dashed: bool = False,
        width: float = 1.5,
    ) -> None:
        """A line through many points, as one shape; a dot if there is only one."""
        if len(points) == 1:
            self.dot(*points[0], colour, radius=2)
        elif points:
            places = " ".join(f"{_px(x)},{_px(y)}" for x, y in points)
            dashes = ' stroke-dasharray="5 3"' if dashed else ""
            self._shapes.append(
                f'<polyline points="{places}" fill="none" stroke="{colour}"'
                f' stroke-width="{_px(width)}"{dashes}/>'
            )

    def arrow(
        self, x1: float, y1: float, x2: float, y2: float, colour: str = INK, *, dashed: bool = False
    ) -> None:
        """A line with a head at its second end."""
        self.line(x1, y1, x2, y2, colour, dashed=dashed)
        length = max(((x2 - x1) ** 2 + (y2 - y1) ** 2) ** 0.5, 1e-9)
        ux, uy = (x2 - x1) / length, (y2 - y1) / length
        left = (x2 - 9 * ux - 3.5 * uy, y2 - 9 * uy + 3.5 * ux)
        right = (x2 - 9 * ux + 3.5 * uy, y2 - 9 * uy - 3.5 * ux)
        corners = " ".join(f"{_px(x)},{_px(y)}" for x, y in ((x2, y2), left, right))
        self._shapes.append(f'<polygon points="{corners}" fill="{colour}"/>')

    def dot(self, x: float, y: float, colour: str = INK, *, hollow: bool = False, radius: float = 3) -> None:
        """A small disc or ring."""
        fill = "white" if hollow else colour
        self._shapes.append(
            f'<circle cx="{_px(x)}" cy="{_px(y)}" r="{_px(radius)}" fill="{fill}" stroke="{colour}"/>'
        )

    def ring(self, x: float, y: float, colour: str = ALARM) -> None:
        """A circle around what to look at."""
        self._shapes.append(
            f'<circle cx="{_px(x)}" cy="{_px(y)}" r="7" fill="none" stroke="{colour}" stroke-width="2"/>'
        )

    def triangle(self, x: float, y: float, colour: str = ALARM) -> None:
        """A mark that points down, to what is below (x, y)."""
        corners = f"{_px(x)},{_px(y)} {_px(x - 4)},{_px(y - 8)} {_px(x + 4)},{_px(y - 8)}"
        self._shapes.append(f'<polygon points="{corners}" fill="{colour}"/>')

    def box(
        self,
        x: float,
        y: float,
        width: float,
        height: float,
        fill: str = "white",
        *,
        hatched: bool = False,
        edge: str = INK,
    ) -> None:
        """A rectangle with an outline; a hatched one differs from the others without colour."""
        shape = f'x="{_px(x)}" y="{_px(y)}" width="{_px(width)}" height="{_px(height)}"'
        self._shapes.append(f'<rect {shape} fill="{fill}" stroke="{edge}"/>')
        if hatched:
            for start in range(6, int(width + height), 6):  # strokes that rise to the right
                x1, y1 = x + max(start - height, 0), y + min(start, height)
                x2, y2 = x + min(start, width), y + max(start - width, 0)
                self.line(x1, y1, x2, y2, FAINT)

    def cross(self, x: float, y: float, colour: str = ALARM) -> None:
        """A cross, where something ends."""
        self.line(x - 5, y - 5, x + 5, y + 5, colour)
        self.line(x - 5, y + 5, x + 5, y - 5, colour)

    def text(
        self,
        x: float,
        y: float,
        text: str,
        colour: str = INK,
        *,
        anchor: str = "start",
        bold: bool = False,
        upright: bool = False,
        rim: bool = True,
        aside: str = "",
    ) -> None:
        """Text, with a white rim, so that it can be read over lines; `anchor` is start, middle or end.

        With `upright`, it runs upwards. The text `aside` follows in small and grey.
        """
        more = ' font-weight="bold"' if bold else ""
        if rim:
            more += ' stroke="white" stroke-width="3" paint-order="stroke"'
        if upright:
            more += f' transform="rotate(-90 {_px(x)} {_px(y)})"'
        small = (
            f'<tspan fill="{FAINT}" font-size="10" font-weight="normal"> {_xml(aside)}</tspan>'
            if aside
            else ""
        )
        self._shapes.append(
            f'<text x="{_px(x)}" y="{_px(y)}" fill="{colour}" text-anchor="{anchor}"{more}>'
            f"{_xml(text)}{small}</text>"
        )

    def finish(self) -> Drawing:
        """The drawing."""
        width, height = map(_px, self._size)
        body = "\n".join(self._shapes)
        # One page may hold many drawings, and the ids of their titles must be unique.
        name = f"d{zlib.crc32(f'{self._title}{self._description}{body}'.encode(errors='replace')):08x}"
        svg = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}"'
            f' height="{height}" role="img" aria-labelledby="{name}-t {name}-d" font-family="sans-serif"'
            f' font-size="{FONT}">\n'
            f'<title id="{name}-t">{_xml(self._title)}</title>\n'
            f'<desc id="{name}-d">{_xml(self._description)}</desc>\n'
            f'<rect width="{width}" height="{height}" fill="white"/>\n{body}\n</svg>\n'
        )
        return Drawing(svg, self._title, self._description, name, width)


def shorten(text: str, width: int = 18) -> str:
    """A text in one line of at most `width` characters."""
    line = " ".join(text.split())
    return line if len(line) <= width else f"{line[: width - 1]}…"


def _px(value: float) -> str:
    """A length with at most one decimal, written the same way everywhere."""
    return f"{value:.1f}".removesuffix(".0")


def _xml(text: str) -> str:
    """Text, escaped for XML."""
    return escape(legible(text))
