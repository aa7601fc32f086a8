"""Pictures of a load: over time, step by step, and how its delivery times are distributed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from math import ceil, floor, log10

from msgspec import Struct, field

from harness.load.stored import Second, Step, Stored
from harness.reports.svg import ALARM, FAINT, INK, Drawing, Sheet
from harness.texts import Texts

BLUE = "#06c"
PALE = "#ccc"
_LEFT, _RIGHT, _TOP, _WIDTH = 58, 20, 62, 440
_MOST = 400
"""Points of a curve: more cannot be told apart in a picture of this width."""
_LEAST_MS = 0.1
"""Times below are drawn like this one: a logarithmic scale has no 0."""

Points = list[tuple[float, float]]


class Curve(Struct):
    """One line of a picture, in pieces where values are missing."""

    name: str
    pieces: list[Points]
    colour: str = INK
    dashed: bool = False

    @property
    def values(self) -> list[float]:
        """All values that it shows."""
        return [y for piece in self.pieces for _, y in piece]


class Scale(Struct):
    """Where values stand on an axis of so many pixels; `ticks` are values and their labels."""

    low: float
    high: float
    pixels: float
    ticks: list[tuple[float, str]] = field(default_factory=list)
    logarithmic: bool = False

    def at(self, value: float) -> float:
        """Pixels from the beginning of the axis."""
        low, high, value = self.low, self.high, min(max(value, self.low), self.high)
        if self.logarithmic:
            low, high, value = log10(low), log10(high), log10(value)
        return self.pixels * (value - low) / (high - low)


def short(value: float, texts: Texts) -> str:
    """A figure with three digits or so, as the language writes it."""
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    text = f"{value:,.{digits}f}" if digits else f"{value:,.0f}"
    if digits and "." in text:
        text = text.rstrip("0").rstrip(".")
    return texts.number(text.replace(",", "\u202f"))


def linear(most: float, pixels: float, texts: Texts, parts: int = 4) -> Scale:
    """An axis from 0 up, with so many parts at the most."""
    unit = 10.0 ** floor(log10(most)) if most > 0 else 1.0
    step = next(unit * each for each in (0.1, 0.2, 0.5, 1, 2, 5) if most <= parts * unit * each or each == 5)
    count = max(ceil(most / step), 1)
    ticks = [(step * number, short(step * number, texts)) for number in range(count + 1)]
    return Scale(0.0, step * count, pixels, ticks)


def by_tens(values: Sequence[float], pixels: float, texts: Texts) -> Scale:
    """A logarithmic axis, with a tick for each power of ten."""
    low = floor(log10(max(min(values, default=1.0), _LEAST_MS)))
    high = max(ceil(log10(max(max(values, default=1.0), _LEAST_MS))), low + 1)
    ticks = [(10.0**power, short(10.0**power, texts)) for power in range(low, high + 1)]
    return Scale(10.0**low, 10.0**high, pixels, ticks, logarithmic=True)


# --- over time ----------------------------------------------------------------------------------------


def over_time(stored: Stored, texts: Texts) -> list[Drawing]:
    """Latency, rate, users, and how late and how busy the load itself was: what there are figures of."""
    seconds = stored.timeline[:: max(len(stored.timeline) // _MOST, 1)]
    if len(seconds) < 2:
        return []

    def curve(key: str, value: Callable[[Second], float | None], colour: str, dashed: bool = False) -> Curve:
        return Curve(texts.say(f"load_page.{key}"), _pieces(seconds, value, joined=dashed), colour, dashed)

    panels = {
        "latency": [
            curve("p50", lambda each: each.p50_ms, BLUE),
            curve("p99", lambda each: each.p99_ms, INK),
            curve("probe_p99", lambda each: each.probe_p99_ms, ALARM, dashed=True),
        ],
        "rate": [curve("rate", _delivery_rate(seconds), INK)],
        "users": [curve("users", lambda each: each.users, INK)],
        "errors": [curve("errors", lambda each: each.errors, ALARM)],
        "lag": [curve("lag_p99", lambda each: each.lag_p99_ms, INK)],
        "cpu": [curve("cpu", lambda each: None if each.cpu is None else 100 * each.cpu, BLUE)],
    }
    if not any(each.errors for each in seconds):
        del panels["errors"]
    shown = {key: [each for each in curves if each.pieces] for key, curves in panels.items()}
    return [_panel(key, curves, stored, texts) for key, curves in shown.items() if curves]


def _delivery_rate(seconds: Sequence[Second]) -> Callable[[Second], float]:
    """Deliveries a second, whatever time an entry stands for."""
    lengths = [after.at - each.at for each, after in pairwise(seconds)]
    usual = sorted(lengths)[len(lengths) // 2] or 1.0
    return lambda each: each.deliveries / usual


def _pieces(seconds: Iterable[Second], value: Callable[[Second], float | None], joined: bool) -> list[Points]:
    """What there are values of; `joined`, gaps are drawn over: a probe does not see something each second."""
    pieces: list[Points] = [[]]
    for each in seconds:
        y = value(each)
        if y is not None:
            pieces[-1].append((each.at, y))
        elif pieces[-1] and not joined:
            pieces.append([])
    return [piece for piece in pieces if piece]


def _panel(key: str, curves: list[Curve], stored: Stored, texts: Texts) -> Drawing:
    """One picture, times on a logarithmic scale. The steps of a ramp are marked, a failed one is hatched."""
    height = 170 if key == "latency" else 90
    most = max(max(each.at for each in stored.timeline), *(step.end for step in stored.steps), 1.0)
    across = linear(most, _WIDTH, texts, parts=7)
    values = [y for each in curves for y in each.values]
    up = by_tens(values, height, texts) if key in ("latency", "lag") else linear(max(values), height, texts)
    title = texts.say(f"load_page.over.{key}")
    told = "; ".join(
        f"{each.name}: {short(min(each.values), texts)}–{short(max(each.values), texts)}" for each in curves
    )
    sheet = Sheet(_LEFT + _WIDTH + _RIGHT, _TOP + height + 44, title, f"{told}.")
    sheet.text(4, 18, title, bold=True)
    _legend(sheet, curves, 36)
    if stored.is_ramp:
        _bands(sheet, stored.steps, across, height, texts)
    _axes(sheet, across, up, height, texts.say("load_page.seconds"))
    for each in curves:
        for piece in each.pieces:
            places = [(_LEFT + across.at(x), _TOP + height - up.at(y)) for x, y in piece]
            sheet.curve(places, each.colour, dashed=each.dashed)
    return sheet.finish()


def _legend(sheet: Sheet, curves: Sequence[Curve], y: float) -> None:
    if len(curves) < 2:
        return
    x = float(_LEFT)
    for each in curves:
        sheet.curve([(x, y - 4), (x + 22, y - 4)], each.colour, dashed=each.dashed, width=2)
        sheet.text(x + 27, y, each.name, rim=False)
        x += 45 + 6.6 * len(each.name)


def _bands(sheet: Sheet, steps: Sequence[Step], across: Scale, height: float, texts: Texts) -> None:
    """How many users each step has, above the picture."""
    for number, step in enumerate(steps):
        left, right = _LEFT + across.at(step.start), _LEFT + across.at(step.end)
        if step.verdict == "failed" and right > left:
            sheet.box(left, _TOP, right - left, height, "white", hatched=True, edge=ALARM)
        elif number:
            sheet.line(left, _TOP, left, _TOP + height, FAINT, dashed=True)
        mark = {"failed": " ✗", "inconclusive": " ?"}.get(step.verdict, "")
        colour = ALARM if mark == " ✗" else INK
        label = f"{step.users}{mark}"
        if right - left > 7 * len(label):
            sheet.text((left + right) / 2, _TOP - 6, label, colour, anchor="middle", bold=bool(mark))


def _axes(sheet: Sheet, across: Scale, up: Scale, height: float, below: str) -> None:
    for value, label in up.ticks:
        y = _TOP + height - up.at(value)
        sheet.line(_LEFT - 4, y, _LEFT, y)
        sheet.text(_LEFT - 8, y + 4, label, anchor="end")
    sheet.line(_LEFT, _TOP, _LEFT, _TOP + height)
    sheet.line(_LEFT, _TOP + height, _LEFT + across.pixels, _TOP + height)
    for value, label in across.ticks:
        x = _LEFT + across.at(value)
        sheet.line(x, _TOP + height, x, _TOP + height + 5)
        sheet.text(x, _TOP + height + 19, label, anchor="middle")
    sheet.text(_LEFT + across.pixels / 2, _TOP + height + 37, below, anchor="middle")


# --- step by step -------------------------------------------------------------------------------------


def step_by_step(stored: Stored, texts: Texts) -> Drawing | None:
    """The p99 of each step as a bar, and that of the probe as a line across it; None if nothing was timed.

    A step that came to no delivery in time has a mark alone.
    """
    steps = stored.steps[:40]
    if not any(step.delivery.p99 for step in steps):
        return None
    height, bar = 150.0, max(min(300 / len(steps), 60), 22)
    width = bar * len(steps)
    values = [time for step in steps for time in (step.delivery.p99, step.probe_p99) if time]
    up = by_tens([*values, 10.0 ** floor(log10(min(values))) * 0.999], height, texts)
    title = texts.say("load_page.steps_p99")
    told = ", ".join(f"{step.users}: {_time(step.delivery.p99, texts)}" for step in steps)
    sheet = Sheet(max(_LEFT + width + _RIGHT, 330), _TOP + height + 44, title, f"{told}.")
    sheet.text(4, 18, title, bold=True)
    for number, step in enumerate(steps):
        _bar(sheet, step, _LEFT + bar * number, bar, up, texts)
    _axes(sheet, Scale(0, 1, width), up, height, texts.say("load_page.users"))
    return sheet.finish()


def _time(value: float | None, texts: Texts) -> str:
    return f"{short(value, texts)} ms" if value else "–"


def _bar(sheet: Sheet, step: Step, x: float, bar: float, up: Scale, texts: Texts) -> None:
    floor_y, p99 = _TOP + up.pixels, step.delivery.p99 or 0.0
    tall, failed, middle = up.at(p99), step.verdict == "failed", x + bar / 2
    fill, edge = ("white", ALARM) if failed else (PALE, INK)
    if p99:
        sheet.box(x + 4, floor_y - tall, bar - 8, tall, fill, hatched=failed, edge=edge)
    if step.probe_p99:
        y = floor_y - up.at(step.probe_p99)
        sheet.curve([(x + 1, y), (x + bar - 1, y)], ALARM, dashed=True, width=2)
    label = short(p99, texts) if p99 else "–"
    sheet.text(middle, floor_y - tall - 6, label, edge, anchor="middle", bold=failed)
    if failed:
        sheet.text(middle, floor_y - tall - 20, "✗", ALARM, anchor="middle", bold=True)
    sheet.text(middle, floor_y + 19, str(step.users), anchor="middle", bold=failed)


# --- how delivery times are distributed ---------------------------------------------------------------


def percentiles(curves: dict[str, list[tuple[float, float]]], texts: Texts) -> Drawing | None:
    """Times by percentiles, to 99.9: it stretches the slow end of a distribution. Up to two curves."""
    drawn = [
        Curve(name, [_stretched(points)], (INK, BLUE)[place % 2], place % 2 == 1)
        for place, (name, points) in enumerate(curves.items())
        if len(points) > 1
    ]
    values = [y for each in drawn for y in each.values]
    if not values:
        return None
    height, title = 190.0, texts.say("load_page.percentiles")
    nines = [(0.0, "0"), (_nines(50), "50"), (1.0, "90"), (2.0, "99"), (3.0, "99.9")]
    across = Scale(0, 3, 420, [(x, texts.number(label)) for x, label in nines])
    up = by_tens(values, height, texts)
    told = "; ".join(
        f"{each.name}: " + ", ".join(f"{short(y, texts)} ms" for y in _some(each.values)) for each in drawn
    )
    sheet = Sheet(_LEFT + 420 + _RIGHT, _TOP + height + 44, title, f"{told}.")
    sheet.text(4, 18, title, bold=True)
    _legend(sheet, drawn, 36)
    for value, _ in across.ticks[1:]:
        sheet.line(
            _LEFT + across.at(value), _TOP, _LEFT + across.at(value), _TOP + height, FAINT, dashed=True
        )
    _axes(sheet, across, up, height, texts.say("load_page.percent"))
    for each in drawn:
        places = [(_LEFT + across.at(x), _TOP + height - up.at(y)) for x, y in each.pieces[0]]
        sheet.curve(places, each.colour, dashed=each.dashed, width=2)
    return sheet.finish()


def _nines(percent: float) -> float:
    """0 for 0, 1 for 90, 2 for 99, 3 for 99.9 and all above."""
    return min(-log10(max(1 - percent / 100, 1e-3)), 3.0)


def _stretched(points: Iterable[tuple[float, float]]) -> Points:
    return sorted(
        (_nines(min(max(percent, 0.0), 100.0)), time) for percent, time in points if percent < 99.95
    )[:2000]


def _some(values: Sequence[float]) -> list[float]:
    return [values[0], values[len(values) // 2], values[-1]]
