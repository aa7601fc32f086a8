"""The results of a class as one HTML file for the instructor, which needs no network and runs no script."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from importlib import resources
from statistics import median

from harness.grading.class_findings import findings
from harness.grading.copies import NearCopies, sentences
from harness.grading.heat_map import heat_map, in_order, linked, short_name
from harness.grading.result import HAS_VERDICT, Grade, number
from harness.reports.markup import marked_up, safe
from harness.reports.svg import Drawing, Sheet
from harness.texts import Texts
from harness.verdict.outcome import Outcome
from lab.legible import both_ends, one_line

_SLOWEST = 10
"""Submissions that are named as the slowest."""
_PAIRS = 100
"""Near copies that are shown."""
_SANDBOX = "bubblewrap"
"""The isolation that there is nothing to say about."""


def class_page(
    grades: Mapping[str, Grade], texts: Texts, page_names: Collection[str], copies: NearCopies | None = None
) -> str:
    """The whole page, of grades by the stems of their files' names.

    `page_names` are the names of the files beside the page: a report that is not among them gets no link.
    `copies` are named by the same stems; None if nothing was compared.
    """
    css = resources.files(__package__).joinpath("class_page.css").read_text(encoding="utf-8")
    title = safe(texts.say("class_page.title", count=len(grades)))
    files = set(page_names)
    pieces = [
        f'<h1>{title}</h1>\n<p class="warning">{safe(texts.say("class_page.instructor"))}</p>',
        *(f"<p>{safe(each)}</p>" for each in _summary(list(grades.values()), texts)),
        *(f'<p class="warning">{safe(each)}</p>' for each in _isolation(grades.values(), texts)),
        heat_map(grades, files, texts) if grades else "",
        findings(grades, files, texts),
        _points(grades.values(), texts),
        _open(grades, files, texts),
        _slowest(grades, files, texts),
        _attention(grades, files, texts),
        _copies(grades, copies, texts),
    ]
    body = "\n".join(piece for piece in pieces if piece)
    return (
        f'<!doctype html>\n<html lang="{texts.language}">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>chatlab · {title}</title>\n<style>\n{css}</style>\n</head>\n<body>\n"
        f'<a class="skip" href="#main">{safe(texts.say("class_page.skip"))}</a>\n'
        f'<main id="main">\n{body}\n</main>\n</body>\n</html>\n'
    )


# --- in words ---------------------------------------------------------------------------------------


def _summary(grades: list[Grade], texts: Texts) -> list[str]:
    """How the class did, in sentences."""
    final = [grade for grade in grades if grade.verdict in HAS_VERDICT and grade.of]
    passed = sum(grade.verdict is Outcome.PASSED for grade in grades)
    are_open = sum(grade.verdict is Outcome.INCONCLUSIVE for grade in grades)
    told = [texts.say("class_page.passed", passed=passed, count=len(grades))]
    if final and len({grade.of for grade in final}) == 1:
        points = texts.number(f"{number(median(grade.points for grade in final))}")
        told.append(texts.say("class_page.median", points=points, of=number(final[0].of)))
    elif final:
        share = f"{100 * median(grade.points / grade.of for grade in final):.0f}"
        told.append(texts.say("class_page.median_share", share=share))
    if are_open:
        told.append(texts.say("class_page.open_told", count=are_open))
    failed = sum(grade.kit_failed for grade in grades)
    return [*told, texts.say("class_page.kit_failed", count=failed)] if failed else told


def _isolation(grades: Iterable[Grade], texts: Texts) -> list[str]:
    """A warning, if any code was not kept from the rest of the machine by a sandbox."""
    weak = [grade.isolation for grade in grades if grade.isolation not in ("", _SANDBOX)]
    none = weak.count("none")
    return (
        [texts.say("class_page.isolation", count=len(weak), none=none, user=len(weak) - none)] if weak else []
    )


# --- points -----------------------------------------------------------------------------------------


def _points(grades: Iterable[Grade], texts: Texts) -> str:
    """How the points are distributed, of those whose points are final."""
    shares = [grade.points / grade.of for grade in grades if grade.verdict in HAS_VERDICT and grade.of]
    if not shares:
        return ""
    drawing = _histogram(shares, texts)
    label = safe(drawing.title)
    return (
        f'<h2 id="points">{label}</h2>\n'
        f'<figure class="wide" role="group" tabindex="0" aria-label="{label}">\n{drawing}</figure>'
    )


def _histogram(shares: list[float], texts: Texts) -> Drawing:
    """Eleven bars: the tenths of the possible points, and all of them, which is a class of its own."""
    counts = [0] * 11
    for share in shares:
        counts[min(max(int(10 * share + 1e-9), 0), 10)] += 1
    labels = [f"{10 * place}–{10 * place + 9}" for place in range(10)] + ["100"]
    left, top, height, bar = 60, 28, 150, 52
    floor = top + height
    told = ", ".join(f"{label} %: {count}" for label, count in zip(labels, counts, strict=True))
    title, across = texts.say("class_page.distribution"), texts.say("class_page.across")
    sheet = Sheet(left + bar * 11 + 20, floor + 56, title, f"{across}. {told}.")
    for place, (label, count) in enumerate(zip(labels, counts, strict=True)):
        x, tall = left + bar * place, height * count / max(counts)
        if count:
            sheet.box(x + 4, floor - tall, bar - 8, tall, "#ccc")
        sheet.text(x + bar / 2, floor - tall - 6, str(count), anchor="middle")
        sheet.text(x + bar / 2, floor + 18, label, anchor="middle")
    sheet.line(left, floor, left + bar * 11, floor)
    sheet.text(left + bar * 5.5, floor + 42, across, anchor="middle")
    sheet.text(30, top + height / 2, texts.say("class_page.up"), anchor="middle", upright=True)
    return sheet.finish()


# --- whom to look at --------------------------------------------------------------------------------


def _open(grades: Mapping[str, Grade], files: Collection[str], texts: Texts) -> str:
    """Those without a final verdict, and why."""
    items = []
    for stem, grade in in_order(grades):
        if grade.open_steps or grade.verdict is Outcome.INCONCLUSIVE:
            steps = texts.say("class_page.open_steps", steps=", ".join(grade.open_steps))
            items.append((linked(stem, grade, files), [steps, *_why_open(grade)]))
    return _described("open", "class_page.open", items, texts)


def _why_open(grade: Grade) -> list[str]:
    """Each reason once."""
    found = [part.problem for part in grade.parts.values() if part.verdict is Outcome.INCONCLUSIVE]
    for marks in (*(part.steps for part in grade.parts.values()), grade.checks):
        found += [said for mark in marks if mark.verdict is Outcome.INCONCLUSIVE for said in mark.said]
    return [both_ends(reason) for reason in dict.fromkeys(found) if reason]


def _slowest(grades: Mapping[str, Grade], files: Collection[str], texts: Texts) -> str:
    """Those that took the longest to judge."""
    ranked = sorted(in_order(grades), key=lambda each: -each[1].seconds)[:_SLOWEST]
    items = [
        f"<li>{linked(stem, grade, files)}: {safe(texts.say('ui.seconds', seconds=f'{grade.seconds:.1f}'))}"
        for stem, grade in ranked
        if grade.seconds
    ]
    if not items:
        return ""
    heading = f'<h2 id="slowest">{safe(texts.say("class_page.slowest"))}</h2>'
    return f"{heading}\n<ol>\n" + "\n".join(items) + "\n</ol>"


def _attention(grades: Mapping[str, Grade], files: Collection[str], texts: Texts) -> str:
    """What the instructor should look at, and what was remarked and noted, by student."""
    items = []
    for stem, grade in in_order(grades):
        told = [*grade.attention, *grade.remarks]
        told += [texts.say("class_page.note", note=grade.note)] if grade.note else []
        if told:
            items.append((linked(stem, grade, files), [both_ends(each) for each in told]))
    return _described("attention", "class_page.attention", items, texts)


def _described(name: str, key: str, items: list[tuple[str, list[str]]], texts: Texts) -> str:
    """A list of students with sentences about each; nothing if there are none."""
    if not items:
        return ""
    told = "\n".join(
        f"<dt>{who}" + "".join(f"<dd>{marked_up(one_line(each))}" for each in said) for who, said in items
    )
    return f'<h2 id="{name}">{safe(texts.say(key))}</h2>\n<dl>\n{told}\n</dl>'


def _copies(grades: Mapping[str, Grade], copies: NearCopies | None, texts: Texts) -> str:
    """Components that resemble each other, or the answers."""
    if copies is None:
        return ""
    heading = f'<h2 id="copies">{safe(texts.say("class_page.copies"))}</h2>'
    if not copies.is_possible:
        return f"{heading}\n<p>{marked_up(texts.say('copies.not_installed'))}</p>"
    if not copies.pairs:
        return f"{heading}\n<p>{safe(texts.say('class_page.no_copies'))}</p>"
    names = {stem: short_name(grade.name) for stem, grade in grades.items()}
    items = []
    for pair in copies.pairs[:_PAIRS]:
        first, *more = [marked_up(each) for each in sentences(pair, texts, names)]
        items.append(f'<li>{first}<br><span class="soft">{" ".join(more)}</span>')
    left = len(copies.pairs) - len(items)
    told = texts.say("class_page.copies_told")
    rest = f"\n<p>{safe(texts.say('class_page.more_copies', count=left))}</p>" if left else ""
    return f"{heading}\n<p>{safe(told)}</p>\n<ul>\n" + "\n".join(items) + f"\n</ul>{rest}"
