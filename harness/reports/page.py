"""The report as one HTML file, which needs no network, and says all that it has to say without scripts.

The one script that it has, and allows, lets its diagrams be stepped through (`scrubber.py`).

From top to bottom it has the verdict and the steps, then for each exercise what went wrong, with a diagram of
the blamed events, and what happened as strips, times and a list of events.
"""

from __future__ import annotations

from collections import Counter
from importlib import resources

from harness.checkers.catalogue import Anomaly
from harness.history.events import Called, Event, Fault, Received, Sent, Server
from harness.history.faults import Way
from harness.history.index import ENDS, HistoryIndex
from harness.reports.about import failed_in
from harness.reports.causality import EVERYTHING
from harness.reports.charts import delivery_seconds, histogram, percentile
from harness.reports.counts import frequency
from harness.reports.events import events_as_html, listing
from harness.reports.excerpt import Excerpt, blamed, excerpt, room_of
from harness.reports.findings import (
    KINDS,
    MARKS,
    are_several,
    by_kind,
    first_causes,
    is_not_reached,
    named_in,
    notes_of,
)
from harness.reports.jsonreport import receipt
from harness.reports.malformed import pointed_at
from harness.reports.markup import marked_up, paragraphs, safe
from harness.reports.policy import policy
from harness.reports.scrubber import DIAGRAM, script, scrubber, style
from harness.reports.seen import Record
from harness.reports.strip import strips
from harness.reports.summary import Scene, Summary
from harness.reports.svg import Drawing
from harness.reports.timeline import best_witness, timeline
from harness.reports.words import Words
from harness.running.run import Run
from harness.texts import Texts, defect
from harness.verdict.causes import Cause
from harness.verdict.outcome import Outcome, StepResult

_ROOMS = 3
"""Rooms whose sequence numbers are drawn."""
_TALKERS = 2
"""Clients that are shown besides one with a fault, in the diagram of a run that passed."""
_AROUND_AN_EXAMPLE = 4
"""Events on both sides of the one that is shown of a run that passed."""
_QUIET = 2
_CAUSES = 10
"""First causes that are shown."""


def page(summaries: list[Summary], texts: Texts, command: str) -> str:
    """The whole page, for one world or both. `command` is the command line that plays the same again."""
    headlines = [_headline(summary, texts) for summary in summaries]
    worlds = "\n".join(
        _world(summary, headline, texts) for summary, headline in zip(summaries, headlines, strict=True)
    )
    css = "\n" + resources.files(__package__).joinpath("page.css").read_text(encoding="utf-8")
    code = ""
    if DIAGRAM in worlds:
        css += style()
        code = f"\n{script()}"
    run = f"<script>{code}</script>\n" if code else ""
    again = f"<h2>{safe(texts.say('page.again'))}</h2>\n<pre>{safe(command)}</pre>"
    return (
        f'<!doctype html>\n<html lang="{texts.language}">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"{policy(css, code)}\n{failed_in(summaries)}\n"
        f"<title>chatlab · {safe(' · '.join(headlines))}</title>\n<style>{css}</style>\n</head>\n<body>\n"
        f'<a class="skip" href="#main">{safe(texts.say("page.skip"))}</a>\n'
        f'<main id="main">\n{worlds}\n{again}\n</main>\n{run}</body>\n</html>\n'
    )


# --- the verdict ----------------------------------------------------------------------------------


def _headline(summary: Summary, texts: Texts) -> str:
    steps = summary.steps
    passed = sum(step.outcome is Outcome.PASSED for step in steps)
    asked = sum(step.outcome is not Outcome.SKIPPED for step in steps)
    counted = texts.say("ui.passed", passed=passed, all=asked)
    outcome = texts.say(f"outcome.{summary.outcome}").capitalize()
    return texts.say("page.headline", outcome=outcome, counted=counted)


def _world(summary: Summary, headline: str, texts: Texts) -> str:
    """Everything about the runs in one world."""
    say = texts.say
    points, of = summary.points
    facts = [
        summary.target,
        say(f"page.world_{summary.world}"),
        say("ui.score", points=points, of=of),
        say("ui.seed", seed=summary.seed),
        say("ui.seconds_in_all", seconds=f"{summary.seconds:.1f}"),
    ]
    runs = [(run, Words.of(run, texts)) for run in summary.shown()]
    return "\n".join(
        [
            f'<h1 class="{summary.outcome}">{MARKS[summary.outcome]} {safe(headline)}</h1>',
            f'<p class="soft">{safe(" · ".join(facts))}</p>',
            *paragraphs(frequency(summary, texts)),
            _steps(summary, runs, texts),
            *(_run(run, words, summary.scene(run.exercise), len(summary.runs) > 1) for run, words in runs),
        ]
    )


def _steps(summary: Summary, runs: list[tuple[Run, Words]], texts: Texts) -> str:
    heads = "".join(
        f'<th scope="col">{safe(texts.say(f"page.{each}"))}' for each in ("step", "verdict", "points", "why")
    )
    rows = []
    for step in summary.steps:
        words = next((words for run, words in runs if str(run.exercise) == step.step[0]), Words(texts))
        rows.append(_step(step, words))
    return (
        f'<h2>{safe(texts.say("page.steps"))}</h2>\n<div class="wide" role="region" tabindex="0"'
        f' aria-label="{safe(texts.say("page.steps"))}">\n'
        f'<table class="steps"><thead><tr>{heads}<tbody>\n' + "\n".join(rows) + "\n</table>\n</div>"
    )


def _step(step: StepResult, words: Words) -> str:
    say = words.texts.say
    verdict = f"{MARKS[step.outcome]} {say(f'outcome.{step.outcome}')}"
    worth = say("ui.points", points=step.points, of=step.of) if step.of else "–"
    why = marked_up(receipt(step, words))
    if is_not_reached(step):
        why = safe(words.message(step.anomalies[0]))
    elif step.anomalies:
        links: dict[str, str] = {}
        for alike in by_kind(step.anomalies)[:KINDS]:
            links.setdefault(words.title(alike[0]), _name(step, alike[0]))
        why = "<br>".join(f'<a href="#{name}">{marked_up(title)}</a>' for title, name in links.items())
    return (
        f'<tr><th scope="row">{step.step} {safe(words.step(step.step))}'
        f'<td class="verdict {step.outcome}">{safe(verdict)}<td class="number">{safe(worth)}<td>{why}'
    )


# --- one run --------------------------------------------------------------------------------------


def _run(run: Run, words: Words, scene: Scene | None, is_one_of_many: bool) -> str:
    """One exercise: what went wrong, and what happened. Of many runs, it is said which one this is."""
    say = words.texts.say
    title = say("ui.exercise", number=run.exercise, title=say(f"exercise.{run.exercise}"))
    if run.defect:
        return f"<h2>{safe(title)}</h2>\n<p>{safe(defect.told(run.defect, words.texts))}</p>"
    pieces = [f'<h2 id="exercise-{run.exercise}">{safe(title)}</h2>']
    if is_one_of_many:
        pieces.append(f'<p class="soft">{safe(say("page.one_of_many", seed=run.named_seed))}</p>')
    index = HistoryIndex(run.history)
    record = Record(run.history, index)
    pieces += [_first_cause(cause, words) for cause in first_causes(run, run.steps)[:_CAUSES]]
    for step in run.steps:
        if step.anomalies and not is_not_reached(step):
            pieces += [_finding(run, step, alike, words, record) for alike in by_kind(step.anomalies)[:KINDS]]
    if are_several(run.steps):
        pieces.append(f'<p class="soft">{safe(say("ui.together"))}</p>')
    pieces += paragraphs(f"{say('ui.note')} {note}" for note in notes_of(run, words))
    if scene is not None:
        pieces.append(_scene(scene, words))
    if not any(step.anomalies for step in run.steps):
        pieces.append(_example(run, words, record))
    guilty = blamed(run.history, _evidence(run))
    pieces += [_numbers(run, index, guilty, words), _presence(index, words), _times(run, index, words)]
    pieces.append(_shown_by_faults(run, words))
    if run.history:
        heading = f"<h3>{safe(say('page.happened'))}</h3>"
        pieces.append(f"{heading}\n{events_as_html(run.history, guilty, words)}")
    if run.output:
        pieces.append(f"<h3>{safe(say('ui.output'))}</h3>\n<pre>{safe(chr(10).join(run.output))}</pre>")
    return "\n".join(piece for piece in pieces if piece)


def _first_cause(cause: Cause, words: Words) -> str:
    """What the judged code did by itself, and the line of code."""
    source = f"\n<pre>{safe(words.clean(cause.source))}</pre>" if cause.source else ""
    return f"<p><strong>{marked_up(words.first_cause(cause))}</strong></p>{source}"


def _finding(run: Run, step: StepResult, alike: list[Anomaly], words: Words, record: Record) -> str:
    """One way in which a step failed."""
    say, anomaly = words.texts.say, alike[0]
    title = f"{step.step} · {words.title(anomaly)}"
    more = [say("ui.more", count=len(alike) - 1)] if len(alike) > 1 else []
    look = words.look(anomaly)
    moment = say("page.moment", title=words.title(anomaly))
    found = excerpt(run.history, anomaly.evidence, named=named_in(anomaly))
    pieces = [
        f'<article class="{step.outcome}" id="{_name(step, anomaly)}">',
        f'<h3>{marked_up(title)} <span class="soft">({safe(anomaly.name)})</span></h3>',
        *paragraphs([*words.message(anomaly).splitlines(), *more]),
        f"<p><strong>{safe(say('ui.cause'))}</strong> {marked_up(words.cause(anomaly))}</p>",
        *paragraphs(words.explained(anomaly)),
        f'<p class="soft">{safe(say("ui.look"))} {safe(look)}</p>',
        *_shape(anomaly),
        *(
            [_calls(anomaly, title, words)]
            if anomaly.is_of_a_contract
            else [_diagram(found, moment, words, record), _listing(found, words)]
        ),
        "</article>",
    ]
    return "\n".join(piece for piece in pieces if piece)


def _shape(anomaly: Anomaly) -> list[str]:
    """The malformed frame, with a mark under what is wrong in it."""
    pointed = pointed_at(anomaly)
    return [f"<pre>{safe(chr(10).join(pointed))}</pre>"] if pointed else []


def _calls(anomaly: Anomaly, title: str, words: Words) -> str:
    """The calls that show it: a column for each concurrent caller, so that races can be seen."""
    lines = words.calls(anomaly)
    lanes = list(dict.fromkeys(line.who for line in lines)) or [""]
    label, named = safe(words.texts.say("page.calls")), safe(title.replace("`", ""))
    heads = "".join(f'<th scope="col">{safe(lane) or label}' for lane in lanes)
    rows = []
    for line in lines:
        guilty = ' class="guilty"' if line is lines[-1] else ""
        cells = ["<td>"] * len(lanes)
        cells[lanes.index(line.who)] = f"<td><code>{'&emsp;' * 2 * line.depth}{safe(line.what)}</code>"
        rows.append(f"<tr{guilty}>{''.join(cells)}")
    return (
        f'<div class="wide" role="region" tabindex="0" aria-label="{label}: {named}">\n'
        f'<table class="calls"><thead{"" if len(lanes) > 1 else " class=unseen"}><tr>{heads}<tbody>\n'
        + "\n".join(rows)
        + "\n</table>\n</div>"
    )


def _scene(scene: Scene, words: Words) -> str:
    """The smallest play that fails in the same way, as a whole."""
    say, run = words.texts.say, scene.run
    title = say("page.scene", title=say(f"anomaly.{scene.name}.title"))
    guilty = [run.history[place] for place in blamed(run.history, _evidence(run))]
    whole = Excerpt(list(run.history), guilty, set())
    replay = f"<pre>{safe(say('page.replay', path=scene.path))}</pre>" if scene.path else ""
    own = Words(words.texts, run.nonce)
    diagram = _diagram(whole, title, own, Record(run.history))
    pieces = [f"<h3>{safe(title)}</h3>", diagram, _listing(whole, own), replay]
    return "\n".join(piece for piece in pieces if piece)


def _example(run: Run, words: Words, record: Record) -> str:
    """Part of a run in which nothing went wrong: a fault and what followed, if there was one."""
    moments = [min(run.history, key=_rank_as_example)] if run.history else []
    talkers = Counter(each.client for each in run.history if isinstance(each, Sent))
    named = [client for client, _count in talkers.most_common(_TALKERS)]
    found = excerpt(run.history, moments, named=named, around=_AROUND_AN_EXAMPLE)
    is_fault = bool(moments) and _rank_as_example(moments[0]) < _QUIET
    title = words.texts.say("page.fault" if is_fault else "page.example")
    diagram = _diagram(Excerpt(found.events, [], set()), title, words, record)
    return f"<h3>{safe(title)}</h3>\n{diagram}" if diagram else ""


def _rank_as_example(event: Event) -> int:
    """Ranks events as examples, the best first: least for a client that is reset while others talk."""
    match event:
        case Fault(kind=kind) if kind.drawn and not kind.heals:
            return 0 if kind.outbound is Way.LOST else 1
        case Server(what=what) if what in ENDS:
            return 1
        case Received(frame={"type": "message", "data": {"sequence": int(number)}}) if number > 0:
            return _QUIET
    return _QUIET + 1


def _numbers(run: Run, index: HistoryIndex, guilty: list[int], words: Words) -> str:
    """Strips of the rooms in which something went wrong, or else of those with the most messages."""
    blamed_events = [run.history[place] for place in guilty]
    counts = Counter(heard.message.room for heard in index.heard)
    rooms = dict.fromkeys(room for room in map(room_of, blamed_events) if room in counts)
    rooms |= dict.fromkeys(room for room, _count in counts.most_common(_ROOMS))
    drawn = []
    for room in list(rooms)[:_ROOMS]:
        title = words.texts.say("page.strip", room=words.clean(room))
        drawn.append(_figure(strips(index, room, title, words.texts, blamed_events)))
    return f"<h3>{safe(words.texts.say('page.numbers'))}</h3>\n" + "\n".join(drawn) if drawn else ""


def _presence(index: HistoryIndex, words: Words) -> str:
    """Presence as shown to the client that was shown the most."""
    witness = best_witness(index)
    if witness is None:
        return ""
    return f"<h3>{safe(words.texts.say('page.people'))}</h3>\n{_figure(timeline(index, *witness, words))}"


def _times(run: Run, index: HistoryIndex, words: Words) -> str:
    """How long delivery took, and how long the harness itself stalled."""
    say = words.texts.say
    seconds = delivery_seconds(index)
    if not seconds:
        return ""
    shares = {
        name: f"{1000 * percentile(seconds, share):.1f}"
        for name, share in (("median", 0.5), ("high", 0.99), ("highest", 1.0))
    }
    told = say("page.times_told", count=len(seconds), **shares)
    lag = say("ui.lag", milliseconds=f"{1000 * run.lag:.0f}")
    drawing = histogram(seconds, say("page.times"), say("page.times_across"), say("page.times_up"))
    return f"<h3>{safe(say('page.times'))}</h3>\n<p>{safe(told)} {safe(lag)}</p>\n{_figure(drawing)}"


def _shown_by_faults(run: Run, words: Words) -> str:
    """What the faults of this run can prove, and what they cannot."""
    kinds = [event.fault for event in run.history if isinstance(event, Fault)]
    kinds += [event.what for event in run.history if isinstance(event, Server) and not event.second]
    say = words.texts.say
    told = [say(f"shows.{kind}") for kind in dict.fromkeys(kinds) if words.texts.has(f"shows.{kind}")]
    if not told:
        return ""
    return "\n".join(
        [f"<details><summary>{safe(say('page.shows'))}</summary>", *paragraphs(told), "</details>"]
    )


# --- small pieces ---------------------------------------------------------------------------------


def _diagram(found: Excerpt, title: str, words: Words, record: Record) -> str:
    """A diagram that can be stepped through, of an excerpt from the history of `record`."""
    if not found.events:
        return ""
    return scrubber(found, title.replace("`", ""), EVERYTHING, words, record).fragment


def _listing(found: Excerpt, words: Words) -> str:
    """The events, if there are calls among them, which no diagram shows."""
    if not any(isinstance(event, Called) for event in found.events):
        return ""
    title = safe(words.texts.say("page.between"))
    return (
        f"<details open><summary>{title}</summary>\n{listing(found.events, found.guilty, words)}\n</details>"
    )


def _figure(drawing: Drawing) -> str:
    """A drawing that can be scrolled, with the keyboard too."""
    label = safe(drawing.title)
    return f'<figure class="wide" role="group" tabindex="0" aria-label="{label}">\n{drawing}</figure>'


def _evidence(run: Run) -> list[Event]:
    found = [anomaly for step in run.steps for anomaly in step.anomalies if not anomaly.is_of_a_contract]
    return [event for anomaly in found for event in anomaly.evidence]


def _name(step: StepResult, anomaly: Anomaly) -> str:
    """The anchor of a finding, for links."""
    variant = f"-{anomaly.variant}" if anomaly.variant else ""
    return f"step-{step.step.replace('.', '-')}-{anomaly.name}{variant}"
