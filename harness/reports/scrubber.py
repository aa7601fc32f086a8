"""The time-travel scrubber: a space-time diagram, and what each client had seen at each of its moments.

It is the diagram alone until its script runs, which adds a slider. A step of the slider is a row of the
diagram, so steps are in logical time as the diagram is (see `causality.py`): before each step stands all that
may have caused it, and what is in one row happened independently.

What comes from servers stands in the page as JSON, and the script makes nothing but text of it.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterable
from functools import cache
from importlib import resources
from typing import Any

from harness.history.events import Began, Event, History
from harness.reports.causality import SERVER, SHOWN, Arrow, Causality, Moment, causality, without_tag
from harness.reports.excerpt import Excerpt, Fold
from harness.reports.markup import safe
from harness.reports.seen import Line, Record, View
from harness.reports.spacetime import ROW, TOP, draw, places_of
from harness.reports.svg import Drawing, shorten
from harness.reports.words import Words
from harness.texts import texts
from lab.legible import one_line

DIAGRAM = '<div class="chatlab-scrubber">'
"""What each begins with."""
STEPS = 160
"""Rows of a diagram that can be stepped through; it is said how many more there are."""
LINES = 6
"""Messages of a room that are shown of each client, the newest ones."""
ROOMS = 3
"""Rooms that are shown, the busiest ones."""
_GAPS = 4
"""Gaps between numbers that are listed, the newest ones."""
_USERS = 8
"""Users whose presence is listed, those who are drawn before others."""
_TOLD = 6
"""Things in one row that are told; the others are in the picture."""
_WIDTH = 26
"""Characters of a message, with its user, that are shown."""
_SAID = ("moment", "previous", "next", "seen", "earlier", "nothing", "missing", "present", "not_connected")
"""Texts that the script shows."""
_UNSAFE = {ord(sign): f"\\u{ord(sign):04x}" for sign in "<>&"}


class Scrubber:
    """A diagram that can be stepped through. Notebooks show it; `str(scrubber)` is all of its HTML."""

    def __init__(self, drawing: Drawing, data: str) -> None:
        self.drawing = drawing
        """The picture alone."""
        self.title = drawing.title
        self._data = data

    @property
    def fragment(self) -> str:
        """Its HTML for a page that has `style()` and `script()` itself, once for all scrubbers."""
        label = safe(self.title)
        return (
            f'{DIAGRAM}\n<figure class="wide" role="group" tabindex="0" aria-label="{label}">\n'
            f"{self.drawing}</figure>\n"
            f'<script type="application/json">{self._data}</script>\n</div>'
        )

    def __str__(self) -> str:
        return f"<style>\n{style()}</style>\n{self.fragment}\n<script>\n{script()}</script>\n"

    def __repr__(self) -> str:
        return f"<scrubber: {self.title}>"

    def _repr_html_(self) -> str:
        """All of its HTML, as notebooks ask for it."""
        return str(self)


def scrubber(
    events: History | Excerpt,
    title: str,
    show: Collection[str] = SHOWN,
    words: Words | None = None,
    record: Record | None = None,
) -> Scrubber:
    """A scrubber over a history, or over an excerpt, whose `record` is that of its whole history.

    The diagram is that of `spacetime`, which explains `show`; the default of `words` is English.
    """
    if words is None:
        words = Words(texts("en"), _nonce_of(events))
    is_excerpt = isinstance(events, Excerpt)
    found = causality(events, show, words.texts)
    shown: list[Event | Fold] = list(events.events if isinstance(events, Excerpt) else events)
    if record is None:
        record = Record([event for event in shown if not isinstance(event, Fold)])
    steps = _Steps(found, shown, record, words, is_timed=is_excerpt)
    drawing = draw(found, title, words.texts, is_timed=is_excerpt)
    written = json.dumps(steps.as_json(), ensure_ascii=False, separators=(",", ":"))
    return Scrubber(drawing, written.translate(_UNSAFE))


@cache
def style() -> str:
    """The style of all scrubbers."""
    return resources.files(__package__).joinpath("scrubber.css").read_text(encoding="utf-8")


@cache
def script() -> str:
    """The script that makes scrubbers of what stands before it in the page."""
    return resources.files(__package__).joinpath("scrubber.js").read_text(encoding="utf-8")


def _nonce_of(events: History | Excerpt) -> str:
    first = (events.events if isinstance(events, Excerpt) else events)[:1]
    return first[0].nonce if first and isinstance(first[0], Began) else ""


class _Steps:
    """The rows of a diagram as steps: what is told of each, and what it changes for whom."""

    def __init__(
        self,
        found: Causality,
        shown: list[Event | Fold],
        record: Record,
        words: Words,
        *,
        is_timed: bool,
    ) -> None:
        self._found = found
        self._lanes = {lane: number for number, lane in enumerate(found.lanes)}
        self._places = places_of(found.lanes, is_timed=is_timed)
        self._record = record
        self._words = words
        self._is_timed = is_timed
        events = [event for event in shown if not isinstance(event, Fold)]
        rooms = record.rooms(events)
        self._rooms, self._more_rooms = rooms[:ROOMS], len(rooms[ROOMS:])
        places = [place for event in events if (place := record.place_of(event)) is not None]
        self._begin = min((place for place in places if place > 0), default=0)
        self._reached = dict.fromkeys(found.lanes, 0)  # places up to which each client's view is told
        self._fold_ends = _fold_ends(shown, record)
        self._rows: dict[int, list[Moment]] = defaultdict(list)
        for moment in found.moments:
            self._rows[moment.rank].append(moment)
        self._frames: dict[int, list[Arrow]] = defaultdict(list)  # that arrive in a moment, or leave in it
        for arrow in found.arrows:
            self._frames[id(arrow.start)].append(arrow)
            self._frames[id(arrow.end)].append(arrow)

    def as_json(self) -> dict[str, Any]:
        """All that the script needs."""
        say = self._words.texts.say
        ranks = sorted(rank for rank in self._rows if rank >= 0)
        more = len(ranks[STEPS:])
        notes = [say("scrubber.order")]
        if more:
            notes.append(say("scrubber.more", count=more))
        if self._more_rooms:
            notes.append(say("scrubber.more_rooms", count=self._more_rooms))
        first = {"told": [say("scrubber.begin")], "seen": self._changes(self._found.lanes, self._begin)}
        steps = [first, *(self._step(rank) for rank in ranks[:STEPS])]
        if not (self._is_timed or more or self._found.left_out):  # what is not drawn has been seen by the end
            steps[-1]["seen"] += self._changes(self._found.lanes, self._record.size)
        odd = [number for number, step in enumerate(steps) if step.get("odd")]
        return {
            "texts": {key: say(f"scrubber.{key}") for key in _SAID},
            "notes": notes,
            "lanes": [self._name(lane) for lane in self._found.lanes],
            "heads": [
                [shorten(lane or say("event.server"), 13), place] for lane, place in self._places.items()
            ],
            "rooms": [self._name(room) for room in self._rooms],
            "lines": LINES,
            "top": TOP,
            "row": ROW,
            "start": odd[-1] if odd and self._is_timed else len(steps) - 1,
            "steps": steps,
        }

    def _step(self, rank: int) -> dict[str, Any]:
        """A row: its height, what is told of it, and what changes."""
        row = self._rows[rank]
        row.sort(key=lambda moment: (not moment.odd, self._lanes.get(moment.lane, -1)))
        told = [(self._told(moment), moment.odd) for moment in row]
        step: dict[str, Any] = {
            "rank": rank,
            "x": self._places.get(row[0].lane, 0),
            "told": [said for said, _ in told[:_TOLD]],
            "seen": [],
        }
        if len(told) > _TOLD:
            step["told"].append(self._words.texts.say("scrubber.more_told", count=len(told) - _TOLD))
        if odd := sum(is_odd for _, is_odd in told[:_TOLD]):
            step["odd"] = odd  # so many of what is told come first
        for moment in row:
            if moment.fold:
                step["seen"] += self._changes(self._found.lanes, self._fold_ends.get(id(moment.event), 0))
            elif moment.lane in self._lanes and (place := self._record.place_of(moment.event)) is not None:
                step["seen"] += self._changes([moment.lane], place + 1)
        return step

    def _told(self, moment: Moment) -> str:
        """A moment in words; those of the server are inferred from what its clients saw."""
        say, texts = self._words.texts.say, self._words.texts
        if moment.fold:
            return moment.label
        server = say("event.server")
        frames = self._frames[id(moment)] if moment.lane == SERVER else []
        odd = "" if not moment.odd else "_blamed" if self._is_timed else "_odd"
        if frames and frames[0].end is moment:
            start = frames[0].start
            told = say("scrubber.arrives", who=start.lane, what=start.label)
            return f"{told} ({moment.label})" if moment.label else told
        if frames:
            who = ", ".join(dict.fromkeys(each.end.lane for each in frames))
            return say("scrubber.sends", what=frames[0].end.unmarked, who=who)
        kind = f"diagram.told_{'heard' if moment.heard else 'done'}{odd}"
        what = moment.label or say("diagram.disconnected")  # without a label, since the server's end says it
        told = say(kind, who=moment.lane or server, what=what)
        if self._is_timed and moment.at is not None:
            return say("scrubber.timed", what=told, seconds=texts.number(f"{moment.at:.3f}"))
        return told

    def _changes(self, lanes: Iterable[str], upto: int) -> list[dict[str, Any]]:
        """What the clients of these lanes saw since it was told last, up to a place in the history."""
        found = []
        for lane in lanes:
            change = self._record.between(lane, self._reached[lane], upto)
            self._reached[lane] = max(self._reached[lane], upto)
            rooms = [
                {"room": number, **self._view(change.rooms[room])}
                for number, room in enumerate(self._rooms)
                if room in change.rooms
            ]
            told: dict[str, Any] = {"lane": self._lanes[lane]}
            if rooms:
                told["rooms"] = rooms
            if change.connection is not None:
                told["is"] = self._words.texts.say(change.connection)
            if len(told) > 1:
                found.append(told)
        return found

    def _view(self, view: View) -> dict[str, Any]:
        told: dict[str, Any] = {}
        if view.lines:
            told["lines"] = [self._line(line) for line in view.lines[-LINES:]]
        if len(view.lines) > LINES:
            told["left"] = len(view.lines) - LINES
        if view.missing is not None:
            listed = ", ".join(f"#{span}" for span in view.missing[-_GAPS:])
            told["missing"] = f"… {listed}" if len(view.missing) > _GAPS else listed
        if view.presence is not None:
            ranked = sorted(view.presence, key=lambda user: self._words.clean(user) not in self._lanes)
            users = [f"{self._name(user)} {view.presence[user]}" for user in ranked[:_USERS]]
            told["present"] = ", ".join(users or "–") + (", …" if len(view.presence) > _USERS else "")
        return told

    def _line(self, line: Line) -> list[str]:
        """Its number, its text, and what is odd about it, if anything."""
        said = f"{self._words.clean(line.user)}: {self._words.clean(without_tag(line.content))}"
        told = [f"#{line.number}", one_line(shorten(said, _WIDTH))]
        return [*told, self._words.texts.say(line.mark)] if line.mark else told

    def _name(self, name: str) -> str:
        return one_line(shorten(str(self._words.clean(name)), _WIDTH))


def _fold_ends(shown: list[Event | Fold], record: Record) -> dict[int, int]:
    """For each fold, the place of the event after it."""
    found: dict[int, int] = {}
    waiting: list[Fold] = []
    for event in shown:
        if isinstance(event, Fold):
            waiting.append(event)
        elif (place := record.place_of(event)) is not None:
            found |= {id(fold): place for fold in waiting}
            waiting = []
    return found
