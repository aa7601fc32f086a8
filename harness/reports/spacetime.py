"""The space-time diagram of a history: a lane for each client and the server, an arrow for each message.

Time runs down, and is logical (see `causality.py`): a moment is below everything that may have caused it, and
its height means nothing else.
"""

from __future__ import annotations

from collections.abc import Collection

from harness.history.events import History
from harness.reports.causality import SERVER, SHOWN, Band, Causality, Moment, causality
from harness.reports.excerpt import Excerpt
from harness.reports.svg import ALARM, FAINT, INK, Drawing, Sheet, shorten
from harness.texts import Texts, texts

LANE = 195
"""Pixels from one lane to the next."""
MARGIN = 185
"""Pixels left and right of the outer lanes, for labels."""
TIMED = 40
"""Extra pixels for each lane and margin, if moments are labelled with their times."""
ROW = 25
"""Pixels from one moment to the next."""
TOP = 78
"""Pixels above the first moment: the title, and the names of the lanes."""


def spacetime(
    events: History | Excerpt, title: str, show: Collection[str] = SHOWN, language: Texts | None = None
) -> Drawing:
    """Draw a history. `show` names what is drawn: any of `EVERYTHING` in `causality.py`.

    An excerpt also shows when each moment was seen, since the time between them may matter.
    """
    said = language or texts()
    return draw(causality(events, show, said), title, said, is_timed=isinstance(events, Excerpt))


def draw(found: Causality, title: str, said: Texts, *, is_timed: bool) -> Drawing:
    """Draw the moments of a history, or of an excerpt, which are those with times."""
    extra = TIMED if is_timed else 0
    places = places_of(found.lanes, is_timed=is_timed)
    rows = 1 + max((moment.rank for moment in found.moments), default=0)
    width = 2 * (MARGIN + extra) + (LANE + extra) * len(found.lanes)
    bottom = TOP + ROW * rows
    more = said.say("diagram.more", count=found.left_out) if found.left_out else ""
    sheet = Sheet(
        width,
        bottom + (40 if more else 20),
        title,
        _as_text(found, more, said, odd="blamed" if is_timed else "odd"),
    )
    sheet.text(12, 22, title, bold=True)
    for lane, x in places.items():
        sheet.line(x, 58, x, bottom, FAINT)
        sheet.box(x - 45, 36, 90, 22)
        sheet.text(x, 51, shorten(lane or said.say("event.server"), 13), anchor="middle", bold=lane == SERVER)
    for band in found.bands:
        _band(sheet, band, places, bottom)
    for arrow in found.arrows:
        start, end = arrow.start, arrow.end
        colour = ALARM if end.odd else INK
        ends = (places[start.lane], height_of(start), places[end.lane], height_of(end))
        sheet.arrow(*ends, colour, dashed=arrow.replay)
    for moment in found.moments:
        if moment.fold:
            _fold(sheet, moment, width)
        else:
            _moment(sheet, moment, places, said, is_timed=is_timed)
    if more:
        sheet.text(width / 2, bottom + 24, more, anchor="middle")
    return sheet.finish()


def places_of(lanes: list[str], *, is_timed: bool) -> dict[str, float]:
    """Pixels from the left to each lane: the server in the middle, the clients in their order around it."""
    extra = TIMED if is_timed else 0
    left = (len(lanes) + 1) // 2
    order = [*lanes[:left], SERVER, *lanes[left:]]
    return {lane: MARGIN + extra + (LANE + extra) * number for number, lane in enumerate(order)}


def height_of(moment: Moment) -> float:
    """Where a moment is, in pixels from the top."""
    return TOP + ROW * moment.rank


def _band(sheet: Sheet, band: Band, places: dict[str, float], bottom: float) -> None:
    x, top = places[band.start.lane], height_of(band.start)
    end = bottom if band.end is None else height_of(band.end)
    sheet.box(x - 8, top, 16, end - top, "#eee", hatched=True)


def _fold(sheet: Sheet, moment: Moment, width: float) -> None:
    """A line across all lanes, where events are left out."""
    y = height_of(moment)
    sheet.line(8, y, width - 8, y, FAINT, dashed=True)
    sheet.text(12, y - 4, moment.label, FAINT)


def _moment(sheet: Sheet, moment: Moment, places: dict[str, float], said: Texts, *, is_timed: bool) -> None:
    """A dot, with its label on the side away from the server. What is odd has a ring."""
    x, y = places[moment.lane], height_of(moment)
    colour = ALARM if moment.odd else INK
    sheet.dot(x, y, colour)
    if moment.label == "":
        return
    if moment.odd and moment.lane == SERVER:
        sheet.cross(x, y)
    elif moment.odd and is_timed:
        sheet.ring(x, y, colour)
    is_left = x < places[SERVER]
    aside = said.number(f"{moment.at:.3f} s") if is_timed and moment.at is not None else ""
    sheet.text(
        x - 13 if is_left else x + 13,
        y + 4,
        moment.label,
        colour,
        anchor="end" if is_left else "start",
        bold=moment.odd,
        aside=aside,
    )


def _as_text(found: Causality, more: str, said: Texts, odd: str) -> str:
    """The diagram as text, for screen readers; `odd` is how what is marked is told."""
    server = said.say("event.server")
    told = [
        moment.label
        if moment.fold
        else said.say(
            f"diagram.told_{'heard' if moment.heard else 'done'}{f'_{odd}' if moment.odd else ''}",
            who=moment.lane or server,
            what=moment.label,
        )
        for moment in sorted(found.moments, key=lambda moment: moment.rank)
        if moment.label
    ]
    lanes = ", ".join([*found.lanes, server])
    return said.say(
        "diagram.told", lanes=lanes, what=said.say("ui.semicolon").join(told) or "–", more=more
    ).strip()
