"""The table of a class, student by step, as HTML."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from typing import NamedTuple
from urllib.parse import quote

from harness.grading.result import Grade, Mark, number
from harness.reports.findings import MARKS
from harness.reports.markup import safe
from harness.texts import Texts
from harness.verdict.outcome import Outcome
from lab.legible import both_ends, one_line

_CLASSES = {
    Outcome.PASSED: "p",
    Outcome.FAILED: "f",
    Outcome.INCONCLUSIVE: "i",
    Outcome.SKIPPED: "s",
}
_LONGEST = 60
"""Characters of a name that are shown; of a longer one, its beginning and its end."""


class Column(NamedTuple):
    """A step of an exercise; or a test of the rubric's own, whose `exercise` is 0."""

    exercise: int
    step: str


def heat_map(grades: Mapping[str, Grade], files: Collection[str], texts: Texts) -> str:
    """The table with its legend, in a region of its own, which can be scrolled with the keyboard."""
    columns = _columns(grades)
    rows = [_row(stem, grade, columns, files, texts) for stem, grade in in_order(grades)]
    label = safe(texts.say("class_page.map"))
    return "\n".join(
        [
            f'<h2 id="map">{label}</h2>',
            f"<p>{safe(_symbols(texts))}</p>",
            f'<div class="wide tall" role="region" tabindex="0" aria-label="{label}">',
            f'<table class="map"><thead><tr>{_heads(columns, texts)}<tbody>',
            *rows,
            f"<tfoot><tr>{_foot(grades, columns, texts)}",
            "</table>\n</div>",
            _legend(columns, grades, texts),
        ]
    )


def in_order(grades: Mapping[str, Grade]) -> list[tuple[str, Grade]]:
    """The grades by their names, as people sort them."""
    return sorted(grades.items(), key=lambda each: (each[1].name.casefold(), each[0]))


def short_name(name: str) -> str:
    """A name in one line, of a length that a page can hold."""
    return both_ends(one_line(name), _LONGEST)


def named(grade: Grade) -> str:
    """A student as HTML. Names that are written from right to left do not turn what follows them."""
    full = grade.author.full_name
    told = f"{grade.name} ({full})" if full and full != grade.name else grade.name
    return f"<bdi>{safe(short_name(told))}</bdi>"


def linked(stem: str, grade: Grade, files: Collection[str]) -> str:
    """A student as HTML, with a link to the report, if there is one."""
    report = f"{stem}.log"
    return f'<a href="{address(report)}">{named(grade)}</a>' if report in files else named(grade)


def address(file: str) -> str:
    """A relative address of a file beside the page, byte for byte, also where its name is not UTF-8."""
    return quote(os.fsencode(file), safe="")


def marks_of(grade: Grade) -> dict[Column, Mark]:
    """The marks of a grade by their columns."""
    found = {Column(n, mark.step): mark for n, part in grade.parts.items() for mark in part.steps}
    return found | {Column(0, mark.step): mark for mark in grade.checks}


def _columns(grades: Mapping[str, Grade]) -> list[Column]:
    """The steps in the course's order; then tests of the rubric's own, in theirs."""
    found = dict.fromkeys(column for grade in grades.values() for column in marks_of(grade))
    steps = sorted(
        (each for each in found if each.exercise), key=lambda each: (each.exercise, _places(each.step))
    )
    return steps + [each for each in found if not each.exercise]


def _places(step: str) -> list[tuple[int, str]]:
    """What sorts 2.10 after 2.9."""
    return [(int(each), "") if each.isdecimal() else (0, each) for each in step.split(".")]


def _heads(columns: list[Column], texts: Texts) -> str:
    say = texts.say
    steps = [
        f'<th scope="col"{_edge(columns, place)}>{safe(one_line(columns[place].step))}'
        for place in range(len(columns))
    ]
    name, points, reports = (
        safe(say(key)) for key in ("class_page.name", "page.points", "class_page.reports")
    )
    ends = f'<th scope="col">{name}<th scope="col" class="n">{points}', f'<th scope="col">{reports}'
    return ends[0] + "".join(steps) + ends[1]


def _edge(columns: list[Column], place: int) -> str:
    """Where an exercise begins, there is a line."""
    is_first = place == 0 or columns[place].exercise != columns[place - 1].exercise
    return " class=first" if is_first else ""


def _row(stem: str, grade: Grade, columns: list[Column], files: Collection[str], texts: Texts) -> str:
    # There are some thousands of cells: attributes without quotation marks keep the page small.
    marks = marks_of(grade)
    cells = []
    for place, column in enumerate(columns):
        verdict = marks[column].verdict if column in marks else Outcome.SKIPPED
        first = " first" if _edge(columns, place) else ""
        kind = f'"{_CLASSES[verdict]}{first}"' if first else _CLASSES[verdict]
        cells.append(f"<td class={kind}>{MARKS[verdict]}")
    points = texts.number(f"{number(grade.points)}")
    pages = {f"ex{n}": f"{stem}.ex{n}.html" for n in sorted(grade.parts)}
    links = [f'<a href="{address(page)}">{name}</a>' for name, page in pages.items() if page in files]
    head = f"<tr><th scope=row>{linked(stem, grade, files)}<td class=n>{points}"
    return f"{head}{''.join(cells)}<td>{''.join(links)}"


def _foot(grades: Mapping[str, Grade], columns: list[Column], texts: Texts) -> str:
    """How many passed each step."""
    passed = dict.fromkeys(columns, 0)
    for grade in grades.values():
        for column, mark in marks_of(grade).items():
            passed[column] += mark.verdict is Outcome.PASSED
    cells = "".join(f"<td{_edge(columns, place)}>{passed[each]}" for place, each in enumerate(columns))
    return f"<th scope=row>{safe(texts.say('class_page.passed_by'))}<td>{cells}<td>"


def _symbols(texts: Texts) -> str:
    return ", ".join(
        f"{mark} {texts.say(f'class_page.{_CLASSES[verdict]}')}" for verdict, mark in MARKS.items()
    )


def _legend(columns: list[Column], grades: Mapping[str, Grade], texts: Texts) -> str:
    """What each step asks for."""
    titles = {column: mark.title for grade in grades.values() for column, mark in marks_of(grade).items()}
    items = []
    for column in columns:
        key = f"step.{column.step.replace('.', '-')}"
        title = texts.say(key) if column.exercise and texts.has(key) else one_line(titles[column])
        items.append(f"<li><strong>{safe(one_line(column.step))}</strong> {safe(title)}")
    return f'<ul class="legend">\n{chr(10).join(items)}\n</ul>'
