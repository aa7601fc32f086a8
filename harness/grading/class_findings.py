"""What went wrong in a class, by frequency, and which sections of the course explain it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping

from msgspec import Struct, field

from harness.checkers.catalogue import CATALOGUE
from harness.grading.heat_map import in_order, linked, marks_of
from harness.grading.result import Grade
from harness.reports.markup import marked_up, safe
from harness.texts import Texts
from lab.legible import one_line

_FEW = 8
"""Names that are shown at once; more are folded."""


class Found(Struct):
    """An anomaly, with those in whose work it was found."""

    name: str
    title: str
    steps: set[str] = field(default_factory=set)
    stems: list[str] = field(default_factory=list)

    @property
    def section(self) -> str:
        """The course's section that explains it; empty if the catalogue does not know it."""
        return CATALOGUE[self.name].section if self.name in CATALOGUE else ""


def findings(grades: Mapping[str, Grade], files: Collection[str], texts: Texts) -> str:
    """The anomalies as a table, the most frequent first, below the sections to teach again."""
    heading = f'<h2 id="findings">{safe(texts.say("class_page.findings"))}</h2>'
    found = by_frequency(grades, texts)
    if not found:
        return f"{heading}\n<p>{safe(texts.say('class_page.no_findings'))}</p>"
    label = safe(texts.say("class_page.findings"))
    heads = ("students", "finding", "at_steps", "teach", "who")
    cells = "".join(f'<th scope="col">{safe(texts.say(f"class_page.{each}"))}' for each in heads)
    rows = [_row(each, grades, files, texts) for each in found]
    return "\n".join(
        [
            heading,
            f"<p>{safe(texts.say('class_page.teach_told'))}</p>",
            _sections(found, texts),
            f'<div class="wide" role="region" tabindex="0" aria-label="{label}">',
            f"<table><thead><tr>{cells}<tbody>",
            *rows,
            "</table>\n</div>",
        ]
    )


def by_frequency(grades: Mapping[str, Grade], texts: Texts) -> list[Found]:
    """Each anomaly once, with all steps and students."""
    found: dict[str, Found] = {}
    for stem, grade in in_order(grades):
        for column, mark in marks_of(grade).items():
            for place, name in enumerate(mark.anomalies):
                key = f"anomaly.{name}.title"
                told = mark.said[place] if place < len(mark.said) else name
                title = texts.say(key) if texts.has(key) else one_line(told)
                each = found.setdefault(name, Found(name, title))
                each.steps.add(column.step)
                each.stems += [] if stem in each.stems[-1:] else [stem]
    return sorted(found.values(), key=lambda each: (-len(each.stems), each.name))


def _sections(found: list[Found], texts: Texts) -> str:
    """The course's sections by how many students would gain from them."""
    stems: dict[str, set[str]] = defaultdict(set)
    for each in found:
        if each.section:
            stems[each.section].update(each.stems)
    ranked = sorted(stems.items(), key=lambda each: (-len(each[1]), each[0]))
    told = [
        texts.say("class_page.section", section=texts.say(f"section.{section}"), count=len(who))
        for section, who in ranked
    ]
    return "<ul>\n" + "\n".join(f"<li>{safe(each)}" for each in told) + "\n</ul>"


def _row(found: Found, grades: Mapping[str, Grade], files: Collection[str], texts: Texts) -> str:
    section = texts.say(f"section.{found.section}") if found.section else "–"
    names = ", ".join(linked(stem, grades[stem], files) for stem in found.stems)
    if len(found.stems) > _FEW:
        count = texts.say("class_page.who_folded", count=len(found.stems))
        names = f"<details><summary>{safe(count)}</summary>{names}</details>"
    return (
        f'<tr><td class="n">{len(found.stems)}<th scope="row">{marked_up(found.title)}'
        f' <span class="soft">({safe(one_line(found.name))})</span>'
        f"<td>{safe(one_line(', '.join(sorted(found.steps))))}<td>{safe(section)}"
        f'<td class="who">{names}'
    )
