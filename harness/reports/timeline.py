"""Presence over time: the status of a room's users as shown to one client, as bars."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise

from harness.history.index import HistoryIndex
from harness.reports.svg import ALARM, FAINT, Drawing, Sheet, shorten
from harness.reports.words import Words
from lab.protocol import Status

MOST_USERS = 24
"""Rows of a drawing."""
_LEFT, _WIDTH, _TOP, _ROW = 130, 760, 62, 30


@dataclass
class Row:
    """What was shown of a user: each status with its time; and the times of faults on the user's side."""

    user: str
    shown: list[tuple[float, Status]] = field(default_factory=list)
    breaks: list[float] = field(default_factory=list)


def best_witness(index: HistoryIndex) -> tuple[str, str] | None:
    """The client that was shown the most presence in a room, and that room; None if there is none."""
    counts = Counter(
        (asked.client, presence_frame.room)
        for asked, presence_frame in index.presence_frames
        if len(presence_frame.users) > 1
    )
    return max(counts, key=lambda each: (counts[each], each)) if counts else None


def rows(index: HistoryIndex, witness: str, room: str) -> list[Row]:
    """The presence of each user of a room as shown to a client; a change of status begins a new bar."""
    found: dict[str, Row] = {}
    for asked, presence_frame in index.presence_frames:
        if asked.client != witness or presence_frame.room != room:
            continue
        for user in {**presence_frame.users, **(found if presence_frame.full else {})}:
            row = found.setdefault(user, Row(user))
            status = presence_frame.users[user].status if user in presence_frame.users else Status.OFFLINE
            if not row.shown or row.shown[-1][1] is not status:
                row.shown.append((asked.at, status))
    for conn in index.conns.values():
        if conn.user in found:
            found[conn.user].breaks += [each.at for each in conn.faults if not each.kind.heals]
    return list(found.values())


def timeline(index: HistoryIndex, witness: str, room: str, words: Words) -> Drawing:
    """Draw the presence of a room's users as shown to a client; the room is given by its full name."""
    say = words.texts.say
    title = say("page.presence", who=witness, room=words.clean(room))
    shown = rows(index, witness, room)[:MOST_USERS]
    end = max((event.at for event in index.events), default=1.0)
    begin = min((row.shown[0][0] for row in shown), default=0.0)
    scale, bottom = _WIDTH / max(end - begin, 1e-3), _TOP + _ROW * len(shown)
    told = say("ui.semicolon").join(
        words.clean(row.user)
        + say("ui.colon")
        + ", ".join(f"{status} {words.texts.number(f'{at:.2f}')} s" for at, status in row.shown)
        for row in shown
    )
    sheet = Sheet(_LEFT + _WIDTH + 40, bottom + 66, title, told or "–")
    sheet.text(12, 22, title, bold=True)
    for place, row in enumerate(shown):
        top = _TOP + _ROW * place
        sheet.text(_LEFT - 12, top + 14, shorten(str(words.clean(row.user)), 16), anchor="end")
        for (at, status), (until, _status) in pairwise([*row.shown, (end, Status.OFFLINE)]):
            _bar(sheet, _LEFT + scale * (at - begin), top, scale * (until - at), status)
        for at in row.breaks:
            sheet.triangle(_LEFT + scale * (max(at, begin) - begin), top + 1, ALARM)
    for part in range(5):
        x = _LEFT + _WIDTH * part / 4
        sheet.line(x, bottom, x, bottom + 5)
        sheet.text(
            x,
            bottom + 19,
            words.texts.number(f"{begin + (end - begin) * part / 4:.1f}") + " s",
            anchor="middle",
        )
    sheet.line(_LEFT, bottom, _LEFT + _WIDTH, bottom)
    sheet.text(12, bottom + 50, say("page.presence_legend"), FAINT)
    return sheet.finish()


def _bar(sheet: Sheet, x: float, top: float, width: float, status: Status) -> None:
    fill = {Status.ONLINE: "#555", Status.AWAY: "#eee", Status.OFFLINE: "white"}[status]
    if width > 0:
        sheet.box(x, top + 4, width, 14, fill, hatched=status is Status.AWAY)
