"""The result of a load as one HTML file, which needs no network and runs no script.

From top to bottom: the verdict and why, where a ramp breaks the server, what was found, the objectives, the
steps, all figures over time, and how long everything took.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from importlib import resources

from harness import reports
from harness.load.compare import ROWS, settings_of
from harness.load.plots import over_time, percentiles, short, step_by_step
from harness.load.stored import PERCENTILES, Finding, Objective, Step, Stored, Times
from harness.reports.findings import MARKS
from harness.reports.markup import marked_up, paragraphs, safe
from harness.reports.svg import Drawing
from harness.texts import Texts
from harness.verdict.outcome import Outcome

_FINDINGS = 50
"""Kinds of findings that are shown."""
_OF_A_KIND = 3
"""Findings of a kind that are shown."""
_STEPS = 200


def page(stored: Stored, texts: Texts) -> str:
    """The whole page."""
    pieces = [
        _verdict(stored, texts),
        *_findings(stored.anomalies, texts),
        _objectives(stored.objectives, texts),
        _steps(stored, texts),
        *_section("load_page.over_time", [_pictures(over_time(stored, texts))], texts),
        *_section("load_page.how_long", [_all_times(stored, texts), _distribution(stored, texts)], texts),
        *_section("load_page.settings", [settings_table([stored], texts)], texts),
    ]
    title = texts.say("load_page.title", target=stored.target)
    return document(f"{headline(stored, texts)} · {title}", pieces, texts)


def document(title: str, pieces: Iterable[str], texts: Texts) -> str:
    """A page of these pieces, in the style of all reports."""
    house = resources.files(reports).joinpath("page.css").read_text(encoding="utf-8")
    css = house + resources.files(__package__).joinpath("page.css").read_text(encoding="utf-8")
    body = "\n".join(piece for piece in pieces if piece)
    return (
        f'<!doctype html>\n<html lang="{texts.language}">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>chatlab · {safe(title)}</title>\n<style>\n{css}</style>\n</head>\n<body>\n"
        f'<a class="skip" href="#main">{safe(texts.say("page.skip"))}</a>\n'
        f'<main id="main">\n{body}\n</main>\n</body>\n</html>\n'
    )


def headline(stored: Stored, texts: Texts) -> str:
    """The verdict in a few words, and where the load breaks the server."""
    outcome = texts.say(f"outcome.{stored.verdict}").capitalize()
    if stored.is_ramp and stored.broken:
        return texts.say("load_page.breaks", outcome=outcome, users=stored.broken.users)
    return outcome


def table(
    label: str,
    heads: Sequence[str],
    rows: Iterable[tuple[str, Sequence[str]]],
    words: Sequence[int] = (0,),
    why: int | None = None,
) -> str:
    """A table that scrolls by itself. Each row has a class (or "") and its cells as HTML, of which the first
    is a head; the columns `words` are no figures, and `why` has sentences.
    """
    kinds = ["" if place in words else ' class="number"' for place in range(len(heads))]
    if why is not None:
        kinds[why] = ' class="why"'
    head = "".join(
        f'<th scope="col"{kind}>{safe(each)}' if each else "<td>"
        for kind, each in zip(kinds, heads, strict=True)
    )
    lines = []
    for kind, (first, *others) in rows:
        cells = "".join(f"<td{own}>{each}" for own, each in zip(kinds[1:], others, strict=True))
        lines.append(f'<tr class="{kind}">' if kind else "<tr>")
        lines[-1] += f'<th scope="row">{first}{cells}'
    name = safe(label)
    return (
        f'<div class="wide" role="region" tabindex="0" aria-label="{name}">\n'
        f'<table><caption class="unseen">{name}</caption>'
        f"<thead><tr>{head}<tbody>\n" + "\n".join(lines) + "\n</table>\n</div>"
    )


def row_name(row: str, texts: Texts) -> str:
    """What was timed, in words; rows that a newer version has keep their own names."""
    key = f"load.row.{row}"
    return texts.say(key) if texts.has(key) else row


def figure(drawing: Drawing) -> str:
    """A picture that scrolls by itself."""
    label = safe(drawing.title)
    return f'<figure class="wide" role="group" tabindex="0" aria-label="{label}">\n{drawing}</figure>'


# --- in words -----------------------------------------------------------------------------------------


def _verdict(stored: Stored, texts: Texts) -> str:
    say = texts.say
    facts = [
        say("load_page.title", target=stored.target),
        stored.shape,
        say("load_page.counted", users=stored.users, processes=stored.processes),
        say("ui.seconds_in_all", seconds=f"{stored.seconds:.1f}"),
        say("ui.seed", seed=stored.seed),
        *([stored.date] if stored.date else []),
    ]
    where, *why = _where_it_breaks(stored, texts) or [""]
    told = [f'<p class="big">{safe(where)}</p>', *paragraphs(why)] if where else []
    ended = f"load.ended.{stored.ended}"
    if stored.ended != "time" and texts.has(ended):
        told += paragraphs([say(ended, seconds=round(stored.seconds))])
    told += [
        f'<p class="inconclusive">{marked_up(each)}</p>'
        if each in stored.doubts
        else f'<p class="{stored.verdict}"><strong>{marked_up(each)}</strong></p>'
        for each in _reasons(stored, texts)
    ]
    counts = say(
        "load_page.found" if stored.anomalies else "load.clean",
        deliveries=short(stored.deliveries, texts),
        rooms=stored.rooms,
        connections=stored.connections,
        cuts=stored.cuts,
        anomalies=len(stored.anomalies),
    )
    told += paragraphs([counts] if stored.rooms else [])
    mark = MARKS[Outcome(stored.verdict)]
    heading = f'<h1 class="{stored.verdict}">{mark} {safe(headline(stored, texts))}</h1>'
    return "\n".join([heading, f'<p class="soft">{safe(" · ".join(facts))}</p>', *told])


def _reasons(stored: Stored, texts: Texts) -> list[str]:
    """Those that nothing else on the page says."""
    users = stored.broken.users if stored.broken else 0
    told = [texts.say("load.reason.breaks_at", users=users)]
    told.append(texts.say("load.reason.found", anomalies=len(stored.anomalies)))
    told.append(texts.say(f"load.ended.{stored.ended}", seconds=round(stored.seconds)))
    told += [stored.broken.why or ""] if stored.broken else []
    return [each for each in stored.reasons if each not in told]


def _where_it_breaks(stored: Stored, texts: Texts) -> list[str]:
    """A sentence on the first step that failed, or that is far slower than those before."""
    broken, slowed = stored.broken, stored.slowed
    if broken and stored.is_ramp:
        place = stored.steps.index(broken)
        before = stored.steps[place - 1].users if place else 0
        key = "load_page.broken_after" if before else "load_page.broken_first"
        told = [texts.say(key, users=broken.users, before=before)]
        return [*told, broken.why] if broken.why else told
    if slowed and stored.is_ramp:
        step, best = slowed
        p99, least = (short(each.delivery.p99 or 0.0, texts) for each in (step, best))
        return [texts.say("load_page.slowed", users=step.users, p99=p99, before=best.users, least=least)]
    return []


def _findings(found: list[Finding], texts: Texts) -> list[str]:
    """Those of a kind together: what the first of them say, and how many more there are."""
    if not found:
        return []
    kinds: dict[tuple[str, str], list[Finding]] = defaultdict(list)
    for each in found:
        kinds[each.name, each.title].append(each)
    pieces = [f"<h2>{safe(texts.say('load_page.findings'))}</h2>"]
    for alike in list(kinds.values())[:_FINDINGS]:
        first, more = alike[0], len(alike) - _OF_A_KIND
        pieces += [
            '<article class="failed">',
            f'<h3>{marked_up(first.title)} <span class="soft">({safe(first.name)})</span></h3>',
            *paragraphs(line for each in alike[:_OF_A_KIND] for line in each.message.splitlines()),
            *paragraphs([texts.say("ui.more", count=more)] if more > 0 else []),
            f"<p><strong>{safe(texts.say('ui.cause'))}</strong> {marked_up(first.cause)}</p>",
            "</article>",
        ]
    return pieces


def _section(key: str, pieces: Sequence[str], texts: Texts) -> list[str]:
    """A heading and what is below it; nothing if there is nothing below."""
    return [f"<h2>{safe(texts.say(key))}</h2>", *pieces] if any(pieces) else []


def verdict_cell(verdict: str, texts: Texts) -> str:
    """A verdict with its mark."""
    said = safe(texts.say(f"outcome.{verdict}"))
    return f'<span class="verdict {verdict}">{MARKS[Outcome(verdict)]} {said}</span>'


# --- tables -------------------------------------------------------------------------------------------


def milliseconds(value: float | None, texts: Texts) -> str:
    """A cell."""
    return "–" if value is None else short(value, texts)


def _value(objective: Objective, texts: Texts) -> str:
    """That of an objective, with its unit, and the step of a ramp in which it is the worst."""
    if objective.value is None:
        return "–"
    told = milliseconds(objective.value, texts) + ("\u00a0ms" if objective.is_timed else "")
    if objective.users is None:
        return told
    return safe(texts.say("load.at_step", value=told, users=objective.users))


def _objectives(objectives: Sequence[Objective], texts: Texts) -> str:
    if not objectives:
        return ""
    say = texts.say
    has_why = any(each.why for each in objectives)
    heads = [say(f"load_page.{each}") for each in ("objective", "value", "verdict", *(["why"] * has_why))]
    rows = [
        (
            "bad" if each.outcome == "failed" else "",
            [
                f"<code>{safe(each.text)}</code>",
                _value(each, texts),
                verdict_cell(each.outcome, texts),
                *([marked_up(each.why or "")] * has_why),
            ],
        )
        for each in objectives
    ]
    title = say("load_page.objectives")
    return f"<h2>{safe(title)}</h2>\n{table(title, heads, rows, words=(0, 2), why=3 if has_why else None)}"


def _steps(stored: Stored, texts: Texts) -> str:
    if len(stored.steps) < 2:
        return ""
    say, title = texts.say, texts.say("load_page.steps")
    # Why comes before the figures: at the end of a wide table it would not be seen.
    heads = [say(f"load_page.{each}") for each in ("users", "verdict", "why")] + [
        "p50 ms",
        "p95 ms",
        "p99 ms",
    ]
    heads += [
        say(f"load_page.{each}") for each in ("probe_p99_ms", "connect_p99_ms", "said", "heard", "errors")
    ]
    rows = [_step(step, texts) for step in stored.steps[:_STEPS]]
    drawing = step_by_step(stored, texts)
    picture = figure(drawing) if drawing else ""
    shown = f"{picture}\n{table(title, heads, rows, words=(0, 1), why=2)}"
    return f'<h2>{safe(title)}</h2>\n<div class="pictures">\n{shown}\n</div>'


def _step(step: Step, texts: Texts) -> tuple[str, list[str]]:
    times = [step.delivery.p50, step.delivery.p95, step.delivery.p99, step.probe_p99, step.connect.p99]
    rates = [step.messages_per_second, step.deliveries_per_second]
    cells = [
        str(step.users),
        verdict_cell(step.verdict, texts),
        marked_up(step.why or ""),
        *(milliseconds(each, texts) for each in times),
        *(short(each, texts) for each in rates),
        str(step.errors),
    ]
    return "bad" if step.verdict == "failed" else "", cells


def _pictures(drawings: Sequence[Drawing]) -> str:
    if not drawings:
        return ""
    return '<div class="pictures">\n' + "\n".join(map(figure, drawings)) + "\n</div>"


def _distribution(stored: Stored, texts: Texts) -> str:
    points = stored.histogram.get("delivery", [])
    drawing = percentiles({row_name("delivery", texts): points}, texts)
    return figure(drawing) if drawing else ""


def _all_times(stored: Stored, texts: Texts) -> str:
    """What the crowd measured, and below each row what the probe measured beside it."""
    say, rows = texts.say, []
    names = [name for name in ROWS if name in stored.times_ms]
    names += [name for name in stored.times_ms if name not in ROWS]
    names += [name for name in stored.probe_ms if name not in stored.times_ms]
    for name in names:
        own = any(each.row == name for each in stored.differs)
        mark = f' <span class="inconclusive">{safe(say("load_page.own"))}</span>' if own else ""
        rows.append(
            ("", [safe(row_name(name, texts)) + mark, *_figures(stored.times_ms.get(name, Times()), texts)])
        )
        if name in stored.probe_ms:
            probe = f'<span class="soft">{safe(say("load_page.by_probe"))}</span>'
            rows.append(("", [probe, *_figures(stored.probe_ms[name], texts)]))
    if stored.lag_p99_ms is not None:
        lag = ["–", "–", "–", milliseconds(stored.lag_p99_ms, texts), "–", "–"]
        rows.append(("", [safe(say("load.row.lag")), *lag]))
    heads = ["", say("load.column.count"), *(f"{percent:g} %" for percent in PERCENTILES.values())]
    heads = [texts.number(each) for each in heads]
    heads[-1] = say("load.column.max")
    told = [say("load_page.in_ms")]
    if stored.warm_up_seconds:
        told.append(say("load_page.warm_up", seconds=f"{stored.warm_up_seconds:.1f}"))
    return "\n".join([*paragraphs(told), table(say("load_page.how_long"), heads, rows)])


def _figures(times: Times, texts: Texts) -> list[str]:
    count = "–" if times.count is None else short(times.count, texts)
    return [count, *(milliseconds(getattr(times, name), texts) for name in PERCENTILES)]


def settings_table(of: Sequence[Stored], texts: Texts) -> str:
    """The settings of one load, or of several beside each other; where they differ, the row is marked."""
    every = [settings_of(each) for each in of]
    names = list(dict.fromkeys(name for each in every for name in each))
    rows = []
    for name in names:
        values = [each.get(name, "–") for each in every]
        mark = "bad" if len(set(values)) > 1 else ""
        rows.append((mark, [f"<code>{safe(name)}</code>", *map(safe, values)]))
    heads = ["", *([texts.say("load_page.value")] if len(of) == 1 else "AB")]
    return table(texts.say("load_page.settings"), heads, rows, words=range(len(heads)))
