"""The space-time diagram of a history: a lane for each client and the server, an arrow for each message.

Time runs down, and is logical (see `causality.py`): a moment stands below everything that can have caused it,
and nothing else is said by its height.
"""

from __future__ import annotations

from collections.abc import Collection

from harness.history import History
from harness.reports.causality import SERVER, SHOWN, Band, Causality, Moment, causality
from harness.reports.svg import ALARM, FAINT, INK, Drawing, Sheet, shorten

LANE = 195
"""Pixels from one lane to the next."""
MARGIN = 185
"""Pixels left and right of the outer lanes, for what is written there."""
ROW = 25
"""Pixels from one moment to the next."""
TOP = 78
"""Pixels above the first moment: the title, and the names of the lanes."""


def spacetime(events: History, title: str, show: Collection[str] = SHOWN) -> Drawing:
    """Draw a history. `show` names what is drawn: any of join, message, notice, replay and presence."""
    found = causality(events, show)
    places = _places(found.lanes)
    rows = 1 + max((moment.rank for moment in found.moments), default=0)
    width = 2 * MARGIN + LANE * len(found.lanes)
    bottom = TOP + ROW * rows
    more = f"And {found.left_out} moments more, which are left out." if found.left_out else ""
    sheet = Sheet(width, bottom + (40 if more else 20), title, _told(found, more))
    sheet.text(12, 22, title, bold=True)
    for lane, x in places.items():
        sheet.line(x, 58, x, bottom, FAINT)
        sheet.box(x - 45, 36, 90, 22)
        sheet.text(x, 51, shorten(lane or "server", 13), anchor="middle", bold=lane == SERVER)
    for band in found.bands:
        _band(sheet, band, places, bottom)
    for arrow in found.arrows:
        start, end = arrow.start, arrow.end
        colour = ALARM if end.odd else INK
        ends = (places[start.lane], _height(start), places[end.lane], _height(end))
        sheet.arrow(*ends, colour, dashed=arrow.replay)
    for moment in found.moments:
        _moment(sheet, moment, places)
    if more:
        sheet.text(width / 2, bottom + 24, more, anchor="middle")
    return sheet.finish()


def _places(lanes: list[str]) -> dict[str, float]:
    """Where each lane stands: the server in the middle, the clients in their order around it."""
    left = (len(lanes) + 1) // 2
    order = [*lanes[:left], SERVER, *lanes[left:]]
    return {lane: MARGIN + LANE * number for number, lane in enumerate(order)}


def _height(moment: Moment) -> float:
    return TOP + ROW * moment.rank


def _band(sheet: Sheet, band: Band, places: dict[str, float], bottom: float) -> None:
    x, top = places[band.start.lane], _height(band.start)
    end = bottom if band.end is None else _height(band.end)
    sheet.box(x - 8, top, 16, end - top, "#eee", hatched=True)


def _moment(sheet: Sheet, moment: Moment, places: dict[str, float]) -> None:
    """A dot, and beside it, away from the server, what happens."""
    x, y = places[moment.lane], _height(moment)
    colour = ALARM if moment.odd else INK
    sheet.dot(x, y, colour)
    if moment.label == "":
        return
    if moment.lane == SERVER and moment.odd:
        sheet.cross(x, y)
    is_left = x < places[SERVER]
    sheet.text(
        x - 13 if is_left else x + 13,
        y + 4,
        moment.label,
        colour,
        anchor="end" if is_left else "start",
        bold=moment.odd,
    )


def _told(found: Causality, more: str) -> str:
    """The diagram in words, for those who do not see it."""
    clients = ", ".join(found.lanes) or "nobody"
    told = [
        f"{moment.lane or 'the server'} {_verb(moment)}{moment.label}"
        for moment in sorted(found.moments, key=lambda moment: moment.rank)
        if moment.label
    ]
    return (
        f"Lanes: {clients}, and the server. In logical order: {'; '.join(told) or 'nothing happens'}. {more}"
    )


def _verb(moment: Moment) -> str:
    return "hears " if moment.label.startswith(("#", "replay", "error")) else ""
