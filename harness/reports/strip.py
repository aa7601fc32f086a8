"""A room's sequence numbers for each client, as strips: gaps, repeats and swaps are seen at a glance.

Each client has a row. Live messages are a full bar from number to number, replayed ones a hatched bar below.
Consecutive numbers are one bar, so that a thousand messages are as quickly read as ten. In a correct chat,
the numbers that a connection receives live in a room rise by one each time (rules N and O).

Numbers may be huge, such as times: nothing here is done for each number between two others.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count, pairwise

from harness.history.events import Event
from harness.history.index import Heard, HistoryIndex
from harness.reports.svg import ALARM, FAINT, Drawing, Sheet, shorten
from harness.texts import Texts

MOST_CLIENTS = 24
"""Rows of a drawing; other clients are only counted."""
_LEFT, _WIDTH, _RIGHT, _TOP, _ROW = 130, 760, 190, 62, 44
_WIDEST = 22
"""Pixels that one number takes at most."""
_LABEL, _DIGIT = 45, 8
"""Pixels for the label of a number: at least, and for each of its digits."""
_LISTED = 40
"""Bars of each kind that are listed in the text."""


@dataclass(frozen=True)
class Span:
    """Consecutive numbers, both ends included."""

    first: int
    last: int

    def __contains__(self, number: int) -> bool:
        return self.first <= number <= self.last

    def __str__(self) -> str:
        return f"{self.first}" if self.first == self.last else f"{self.first}–{self.last}"


@dataclass
class Row:
    """What one client received in a room. `late` came after a higher number, `again` came more than once."""

    client: str
    live: list[Span] = field(default_factory=list)
    replayed: list[Span] = field(default_factory=list)
    holes: list[Span] = field(default_factory=list)
    late: list[int] = field(default_factory=list)
    again: list[int] = field(default_factory=list)

    @property
    def is_odd(self) -> bool:
        """Whether any number in it is missing, late or repeated."""
        return bool(self.holes or self.late or self.again)


def rows(index: HistoryIndex, room: str) -> list[Row]:
    """What each client received in a room, given by its full name; clients with odd numbers first."""
    heard: dict[str, list[Heard]] = defaultdict(list)
    for each in index.in_room(room):
        heard[each.client].append(each)
    found = [_row(client, index, room, all_of_it) for client, all_of_it in sorted(heard.items())]
    return sorted(found, key=lambda row: not row.is_odd)


def _row(client: str, index: HistoryIndex, room: str, heard: list[Heard]) -> Row:
    row = Row(client)
    row.live = _spans({each.message.sequence for each in heard if each.live})
    row.replayed = _spans({each.message.sequence for each in heard if not each.live})
    everything = {each.message.sequence for each in heard}
    for membership in index.memberships:
        if (membership.client, membership.room) == (client, room):
            replay = [
                each.message.sequence
                for each in heard
                if not each.live
                and each.conn == membership.conn
                and membership.asked <= each.at <= membership.start
            ]
            _follow(row, replay, index.live_in(membership), everything)
    return row


def _follow(row: Row, replay: list[int], heard: list[Heard], everything: set[int]) -> None:
    """Note late, repeated and missing numbers after one join; missing ones count from its replay on.

    A number that came in any page is not missing.
    """
    numbers = [each.message.sequence for each in heard if not each.may_answer_retry]
    seen: set[int] = set()
    newest = 0
    for number in numbers:
        if number in seen:
            row.again.append(number)
        elif number < newest:
            row.late.append(number)
        seen.add(number)
        newest = max(newest, number)
    if seen or replay:
        begin, end = min(seen | set(replay)), max(newest, *replay, 0)
        row.holes += between([n for n in sorted(everything | {begin, end}) if begin <= n <= end])


def _spans(numbers: Collection[int]) -> list[Span]:
    """The runs of consecutive numbers."""
    found: list[Span] = []
    for number in sorted(numbers):
        if found and found[-1].last == number - 1:
            found[-1] = Span(found[-1].first, number)
        else:
            found.append(Span(number, number))
    return found


def between(numbers: Sequence[int]) -> list[Span]:
    """What is missing between numbers that rise, each span of it."""
    return [Span(one + 1, other - 1) for one, other in pairwise(numbers) if other > one + 1]


def blamed_numbers(guilty: Sequence[Event], room: str) -> dict[str, set[int]]:
    """For each client, the numbers of a room in the blamed events."""
    found: dict[str, set[int]] = defaultdict(set)
    for heard in HistoryIndex(list(guilty)).in_room(room):
        found[heard.client].add(heard.message.sequence)
    return found


def strips(index: HistoryIndex, room: str, title: str, said: Texts, guilty: Sequence[Event] = ()) -> Drawing:
    """Draw what each client received in a room, given by its full name; `guilty` events are marked."""
    all_rows = rows(index, room)
    shown = all_rows[:MOST_CLIENTS]
    highest = max((span.last for row in all_rows for span in (*row.live, *row.replayed)), default=1)
    lowest = min((span.first for row in all_rows for span in (*row.live, *row.replayed)), default=1)
    scale = min(_WIDEST, _WIDTH / (highest - lowest + 1))
    bottom = _TOP + _ROW * len(shown)
    more = len(all_rows) - len(shown)
    sheet = Sheet(_LEFT + _WIDTH + _RIGHT, bottom + 70, title, _as_text(shown, said))
    sheet.text(12, 22, title, bold=True)
    _axis(sheet, lowest, highest, scale, bottom)
    blamed = blamed_numbers(guilty, room)
    for place, row in enumerate(shown):
        top = _TOP + _ROW * place
        _draw(sheet, row, top, lowest, scale, blamed.get(row.client, set()))
        end = _LEFT + scale * (highest - lowest + 1)
        sheet.text(end + 12, top + 14, _odd(row, said), ALARM, bold=True)
    legend = said.say("page.strip_legend")
    sheet.text(12, bottom + 60, f"{legend} {said.say('page.strip_more', count=more) if more else ''}", FAINT)
    return sheet.finish()


def _odd(row: Row, said: Texts) -> str:
    """How many numbers are missing, late or repeated."""
    missing = sum(hole.last - hole.first + 1 for hole in row.holes)
    counts = {"missing": missing, "late": len(row.late), "again": len(row.again)}
    return ", ".join(f"{count} {said.say(f'page.strip_{kind}')}" for kind, count in counts.items() if count)


def _axis(sheet: Sheet, lowest: int, highest: int, scale: float, bottom: float) -> None:
    wide = _wide(highest)
    least = round(wide / scale)
    step = next(step for step in _nice() if step >= least)
    for number in sorted({lowest, highest, *range(step * (lowest // step + 1), highest, step)}):
        is_end = number in (lowest, highest)
        if not is_end and min(number - lowest, highest - number) * scale < wide * 2 / 3:
            continue
        x = _LEFT + scale * (number - lowest + 0.5)
        sheet.line(x, _TOP - 12, x, bottom, "#ddd")
        sheet.text(x, bottom + 18, str(number), anchor="middle")
    sheet.line(_LEFT, bottom, _LEFT + scale * (highest - lowest + 1), bottom)


def _wide(number: int) -> int:
    """Pixels for the label of a number."""
    return max(_LABEL, _DIGIT * len(str(number)))


def _nice() -> Iterator[int]:
    return (unit * 10**power for power in count() for unit in (1, 2, 5))


def _draw(sheet: Sheet, row: Row, top: float, lowest: int, scale: float, blamed: set[int]) -> None:
    def left(number: int) -> float:
        return _LEFT + scale * (number - lowest)

    def wide(span: Span) -> float:
        return max(scale * (span.last - span.first + 1), 2)

    sheet.text(_LEFT - 12, top + 14, shorten(row.client, 16), anchor="end", bold=row.is_odd)
    for span in row.live:
        sheet.box(left(span.first), top, wide(span), 12, "#555")
    for span in row.replayed:
        sheet.box(left(span.first), top + 13, wide(span), 8, "#eee", hatched=True)
    for hole in row.holes:
        sheet.box(left(hole.first), top - 2, max(wide(hole), 5), 25, "white", edge=ALARM)
        sheet.cross(left(hole.first) + max(wide(hole), 5) / 2, top + 10)
    for number in row.late:
        sheet.triangle(left(number) + scale / 2, top - 1)
    for number in row.again:
        sheet.box(left(number), top - 5, max(scale, 3), 4, ALARM)
    free = 0.0
    for number in sorted(blamed):
        x = left(number) + scale / 2
        if x >= free:  # of several labels that would overlap, only the first is drawn
            sheet.text(x, top + 31, f"↑{number}", ALARM, anchor="middle", bold=True)
            free = x + _wide(number)


def _as_text(shown: Sequence[Row], said: Texts) -> str:
    """The strips as text, for screen readers."""
    parts = []
    for row in shown:
        kinds: dict[str, Sequence[Span | int]] = {
            "live": row.live,
            "replayed": row.replayed,
            "missing": row.holes,
            "late": row.late,
            "again": row.again,
        }
        listed = [
            f"{said.say(f'page.strip_{kind}')} {', '.join(map(str, found[:_LISTED]))}"
            + (", …" if len(found) > _LISTED else "")
            for kind, found in kinds.items()
            if found
        ]
        parts.append(f"{row.client}{said.say('ui.colon')}{said.say('ui.semicolon').join(listed)}.")
    return " ".join(parts) or "–"
