"""Charts of a history: sequence numbers by arrival, shown presence, and delivery times."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from harness.history.events import History
from harness.history.index import Heard, HistoryIndex
from harness.reports.svg import ALARM, FAINT, INK, Drawing, Sheet, shorten
from harness.texts import Texts, texts
from lab.protocol import Status

Series = Sequence[tuple[float, float]]
"""Points (x, y)."""

_STEP = 24
"""Pixels between two numbers that are drawn one by one."""
_MOST = 40
"""Arrivals of each client that are drawn."""


def numbers_by_arrival(events: History, room: str, title: str, language: Texts | None = None) -> Drawing:
    """For each client, the sequence numbers of a room in order of arrival; in a correct chat they rise by 1.

    A full dot is a live message, a ring one from a replay. `room` is a name without the run's nonce.
    """
    said = language or texts()
    found: dict[str, list[Heard]] = defaultdict(list)
    index = HistoryIndex(events)
    for each in index.in_room(full_name(index, room)):
        found[each.client].append(each)
    shown = {client: heard[:_MOST] for client, heard in sorted(found.items())}
    longest = max(map(len, shown.values()), default=1)
    highest = max((each.message.sequence for heard in shown.values() for each in heard), default=1)
    scale = _STEP * min(1, 12 / max(highest, 1))
    panel, height = 60 + _STEP * longest, scale * highest
    told = said.say("ui.semicolon").join(
        f"{client}{said.say('ui.colon')}{', '.join(str(each.message.sequence) for each in heard)}"
        for client, heard in shown.items()
    )
    width = max(20 + panel * max(len(shown), 1), 420)
    sheet = Sheet(width, height + 110, title, said.say("chart.numbers_told", what=told))
    sheet.text(12, 22, title, bold=True)
    for place, (client, heard) in enumerate(shown.items()):
        _panel(sheet, 46 + panel * place, 60 + height, client, heard, scale)
    sheet.text(12, height + 100, said.say("chart.numbers_legend"))
    return sheet.finish()


def full_name(index: HistoryIndex, name: str) -> str:
    """A room's or user's name as the server knows it: with the run's nonce, if it has one."""
    return f"{name}-{index.began.nonce}" if index.began.nonce else name


def _panel(sheet: Sheet, left: float, floor: float, client: str, heard: list[Heard], scale: float) -> None:
    """The numbers that one client saw."""
    numbers = [each.message.sequence for each in heard]
    sheet.line(left, floor, left + _STEP * len(numbers) + 8, floor)
    sheet.line(left, floor, left, floor - scale * max(*numbers, 1) - 8)
    sheet.text(left + 6, floor + 18, shorten(client), bold=True)
    points = [(left + _STEP * (n + 0.5), floor - scale * number) for n, number in enumerate(numbers)]
    sheet.path(points, FAINT)
    before = numbers[0] - 1
    for (x, y), each, number in zip(points, heard, numbers, strict=True):
        odd = number != before + 1 and not each.may_answer_retry
        colour, mark = (ALARM, "!") if odd else (INK, "")
        sheet.dot(x, y, colour, hollow=not each.live)
        sheet.text(x, y - 7, f"{number}{mark}", colour, anchor="middle", bold=odd)
        before = number


# --- presence -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Shown:
    """A status of a user that a watcher was shown, from so many whole heartbeats after the fault on."""

    heartbeats: int
    status: Status


def shown_after_fault(index: HistoryIndex, watcher: str, room: str, user: str) -> list[Shown]:
    """A user's presence as shown to a client, in whole heartbeats since that user's first fault.

    Rounded down like this, it is the same in each run, although no two take the same time. A status shown
    before the fault counts as 0 heartbeats; for a user without a fault, the time is counted from `connected`.
    `room` and `user` are names without the run's nonce.
    """
    room, user = full_name(index, room), full_name(index, user)
    theirs = [conn for conn in index.conns.values() if conn.user == user]
    faults = [fault.at for conn in theirs for fault in conn.faults]
    start = min(faults, default=min((conn.opened for conn in theirs), default=0.0))
    interval = next((conn.heartbeat for conn in theirs), 0.0) or 1.0
    found: list[Shown] = []
    for asked, presence_frame in index.presence_frames:
        if (
            asked.client != watcher
            or presence_frame.room != room
            or (user not in presence_frame.users and not presence_frame.full)
        ):
            continue
        status = presence_frame.users[user].status if user in presence_frame.users else Status.OFFLINE
        heartbeats = max(math.floor((asked.at - start) / interval), 0)
        if asked.at < start:
            found = [Shown(0, status)]
        elif not found or found[-1].status is not status:
            found.append(Shown(heartbeats, status))
    return found


def presence_timeline(
    events: History,
    watcher: str,
    room: str,
    users: Sequence[str],
    heartbeats: int,
    title: str,
    language: Texts | None = None,
) -> Drawing:
    """The presence of each user as shown to `watcher`, for so many `heartbeats` after that user's fault.

    A full bar is online, a hatched one away, an empty one offline. Names are given without the run's nonce.
    """
    said = language or texts()
    index = HistoryIndex(events)
    left, unit, height = 130, 70, 34
    rows = {user: shown_after_fault(index, watcher, room, user) for user in users}
    told = [
        said.say("chart.presence_of", user=name, shown=", ".join(_told(each, said) for each in shown) or "–")
        for name, shown in rows.items()
    ]
    bottom = 44 + height * len(users)
    right = left + unit * heartbeats
    sheet = Sheet(right + 70, bottom + 50, title, _as_seen_by(watcher, told, said))
    sheet.text(12, 22, title, bold=True)
    for place, (name, shown) in enumerate(rows.items()):
        y = 40 + height * place
        sheet.text(left - 12, y + 18, shorten(name, 16), anchor="end", bold=True)
        for each, after in pairwise([*shown, Shown(heartbeats, Status.OFFLINE)]):
            end = min(after.heartbeats, heartbeats)
            _bar(sheet, left + unit * each.heartbeats, y, unit * (end - each.heartbeats), each.status)
    for number in range(heartbeats + 1):
        sheet.line(left + unit * number, bottom, left + unit * number, bottom + 5)
        sheet.text(left + unit * number, bottom + 20, str(number), anchor="middle")
    sheet.line(left, bottom, right, bottom)
    sheet.text(left, bottom + 40, said.say("chart.presence_legend"))
    return sheet.finish()


def _told(shown: Shown, said: Texts) -> str:
    return said.say("chart.presence_from", status=shown.status, beat=shown.heartbeats)


def _as_seen_by(watcher: str, told: Sequence[str], said: Texts) -> str:
    return said.say("chart.presence_told", watcher=watcher, what=said.say("ui.semicolon").join(told))


def _bar(sheet: Sheet, x: float, y: float, width: float, status: Status) -> None:
    fill = {Status.ONLINE: "#ccc", Status.AWAY: "#eee", Status.OFFLINE: "white"}[status]
    if width > 0:
        sheet.box(x, y, width, 26, fill, hatched=status is Status.AWAY)
    sheet.text(x + 6, y + 17, str(status), bold=True, rim=status is Status.AWAY)


# --- latency --------------------------------------------------------------------------------------


def delivery_times(events: History) -> dict[int, list[float]]:
    """For each sequence number, the seconds from sending the message to each live delivery of it."""
    times: dict[int, list[float]] = defaultdict(list)
    for heard in HistoryIndex(events).heard:
        if heard.live and heard.said is not None:
            times[heard.message.sequence].append(heard.at - heard.said.at)
    return dict(sorted(times.items()))


def delivery_seconds(index: HistoryIndex) -> list[float]:
    """For each live delivery the seconds since the message was first said."""
    return [heard.at - heard.said.at for heard in index.heard if heard.live and heard.said is not None]


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest of `values` that `share` of them (0 to 1) do not exceed; 0.0 of none."""
    ordered = sorted(values)
    return ordered[min(max(math.ceil(share * len(ordered)) - 1, 0), len(ordered) - 1)] if ordered else 0.0


def histogram(seconds: Sequence[float], title: str, across: str, up: str) -> Drawing:
    """A histogram of times, in milliseconds; the classes are bounded by 1, 2 and 5 times powers of ten."""
    edges = [unit * 10.0**power for power in range(-5, 4) for unit in (1, 2, 5)]
    counts = [sum(low < each <= high for each in seconds) for low, high in pairwise(edges)]
    counts[0] += sum(each <= edges[0] for each in seconds)
    first = next((place for place, count in enumerate(counts) if count), 0)
    last = max((place for place, count in enumerate(counts) if count), default=first)
    shown = [(edges[place + 1], counts[place]) for place in range(first, last + 1)]
    left, top, height, bar = 70, 44, 150, 56
    floor, most = top + height, max(*counts, 1)
    told = ", ".join(f"{count} (≤ {1000 * high:g} ms)" for high, count in shown)
    sheet = Sheet(max(left + bar * len(shown) + 40, 420), floor + 56, title, f"{up}. {told}.")
    sheet.text(12, 22, title, bold=True)
    for place, (high, count) in enumerate(shown):
        x, tall = left + bar * place, height * count / most
        if count:
            sheet.box(x + 4, floor - tall, bar - 8, tall, "#ccc")
        sheet.text(x + bar / 2, floor - tall - 6, str(count), anchor="middle")
        sheet.text(x + bar / 2, floor + 18, f"≤ {1000 * high:g}", anchor="middle")
    sheet.line(left, floor, left + bar * len(shown), floor)
    sheet.text(left + bar * len(shown) / 2, floor + 42, across, anchor="middle")
    sheet.text(30, top + height / 2, up, anchor="middle", upright=True)
    return sheet.finish()


def chart(series: dict[str, Series], title: str, across: str, up: str) -> Drawing:
    """A line chart of up to four series; both axes begin at 0. Infinite points are left out."""
    series = {name: [each for each in one if all(map(math.isfinite, each))] for name, one in series.items()}
    points = [point for each in series.values() for point in each]
    most_x = _round_up(max((x for x, _ in points), default=1))
    most_y = _round_up(max((y for _, y in points), default=1))
    left, top, width, height = 70, 44, 460, 220
    told = "; ".join(
        f"{name}: " + ", ".join(f"{x:g} → {y:.3g}" for x, y in each) for name, each in series.items()
    )
    sheet = Sheet(left + width + 170, top + height + 60, title, f"{up} against {across}. {told}.")
    sheet.text(12, 22, title, bold=True)
    for part in range(5):
        y = top + height * (1 - part / 4)
        sheet.line(left, y, left + width, y, INK if part == 0 else "#ddd")
        sheet.text(left - 8, y + 4, f"{most_y * part / 4:g}", anchor="end")
        x = left + width * part / 4
        sheet.line(x, top + height, x, top + height + 5)
        sheet.text(x, top + height + 19, f"{most_x * part / 4:g}", anchor="middle")
    sheet.text(left + width / 2, top + height + 42, across, anchor="middle")
    sheet.text(18, top + height / 2, up, anchor="middle", upright=True)
    for number, (name, each) in enumerate(series.items()):
        colour = (INK, ALARM, "#06c", "#484")[number % 4]
        drawn = [(left + width * x / most_x, top + height * (1 - y / most_y)) for x, y in each]
        sheet.path(drawn, colour, dashed=number % 2 == 1)
        for place in drawn:
            sheet.dot(*place, colour, hollow=number % 2 == 1)
        if drawn:
            sheet.text(drawn[-1][0] + 9, drawn[-1][1] + 4, name, colour)
    return sheet.finish()


def _round_up(value: float) -> float:
    """The next larger 1, 2, 4 or 8 times a power of ten, for the end of an axis."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return float(next(step * power for step in (1, 2, 4, 8, 10, 20) if step * power >= value))
