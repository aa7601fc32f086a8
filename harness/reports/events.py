"""All events of a run, as tables for a page: blamed events and their neighbours are open, others folded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from msgspec import Struct

from harness.history.events import Event, History, Printed, Step
from harness.reports.calls import is_one_line, joined_calls
from harness.reports.excerpt import Fold, is_telling
from harness.reports.markup import safe
from harness.reports.words import Words
from lab.legible import one_line

OPEN = 8
"""Events before and after a blamed one that are not folded."""
MOST = 20_000
"""Events of a run that are listed."""
_FEW = 12
"""So few events are not folded."""


class _Part(Struct):
    """A step, or the part before the first one, with the places of its events in the history."""

    step: str
    places: list[int]


def events_as_html(history: History, guilty: list[int], words: Words) -> str:
    """The events, step by step. `guilty` are the places of the blamed ones, in rising order."""
    near = {place + by for place in guilty for by in range(-OPEN, OPEN + 1)}
    parts = _parts(history, set(guilty))
    told = [_part(part, history, set(guilty), near, words) for part in parts if part.places]
    more = sum(map(is_telling, history)) - MOST
    if more > 0:
        told.append(f"<p>{safe(words.texts.say('page.left_out', count=more))}</p>")
    return "\n".join(told)


def listing(events: Sequence[Event | Fold], guilty: Sequence[Event], words: Words) -> str:
    """Some events as a table, none of them folded."""
    told = joined_calls(
        each for each in events if isinstance(each, Fold) or is_telling(each) or each in guilty
    )
    return _whole_table([_row(each, words, is_guilty=each in guilty) for each in told], words)


def _parts(history: History, guilty: set[int]) -> Iterator[_Part]:
    part, listed = _Part("", []), 0
    for place, event in enumerate(history):
        if isinstance(event, Step) and not event.done:
            yield part
            part = _Part(event.step, [])
        elif is_telling(event) or place in guilty:
            if part.places and is_one_line(history[part.places[-1]], event):
                part.places[-1] = place
                continue
            listed += 1
            if listed <= MOST:
                part.places.append(place)
    yield part


def _part(part: _Part, history: History, guilty: set[int], near: set[int], words: Words) -> str:
    is_open = bool(guilty & set(part.places))
    title = f"{part.step} {words.step(part.step)}" if part.step else words.texts.say("page.beginning")
    pieces = []
    for is_near, group in groupby(part.places, key=lambda place: place in near):
        places = list(group)
        table = _table(places, history, guilty, words)
        is_folded = is_open and not is_near and len(places) > _FEW
        pieces.append(_folded(_span(places, history, words), table) if is_folded else table)
    return _folded(f"{title} · {_span(part.places, history, words)}", "\n".join(pieces), is_open=is_open)


def _folded(summary: str, inside: str, *, is_open: bool = False) -> str:
    return f"<details{' open' if is_open else ''}><summary>{safe(summary)}</summary>\n{inside}\n</details>"


def _span(places: list[int], history: History, words: Words) -> str:
    seconds = history[places[-1]].at - history[places[0]].at
    return words.texts.say("page.span", count=len(places), seconds=f"{seconds:.2f}")


def _table(places: list[int], history: History, guilty: set[int], words: Words) -> str:
    return _whole_table([_row(history[place], words, is_guilty=place in guilty) for place in places], words)


def _whole_table(rows: list[str], words: Words) -> str:
    say = words.texts.say
    heads = "".join(f'<th scope="col">{safe(say(f"page.{each}"))}' for each in ("when", "who", "what"))
    body = "\n".join(rows)
    return f'<table class="events"><thead class="unseen"><tr>{heads}<tbody>\n{body}\n</table>'


def _row(event: Event | Fold, words: Words, *, is_guilty: bool) -> str:
    if isinstance(event, Fold):
        text = words.texts.say("diagram.fold", count=event.count, seconds=f"{event.seconds:.2f}")
        return f'<tr class="soft"><td><td><td>{safe(text)}'
    at, who, what = words.event(event)
    mark, style = "", ""
    if is_guilty:
        mark = f'&gt;<span class="unseen">{safe(words.texts.say("page.guilty"))}</span> '
        style = ' class="guilty"'
    told = safe(what)
    if isinstance(event, Printed) and "\n" in event.text:
        whole = "\n".join(map(one_line, words.without_nonce(event.text).splitlines()))
        told = f"<details><summary>{told}</summary>\n<pre>{safe(whole)}</pre></details>"
    return f"<tr{style}><td>{words.texts.number(f'{at:.4f}')}<td>{safe(who)}<td>{mark}{told}"
