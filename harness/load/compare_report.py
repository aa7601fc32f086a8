"""A comparison of two loads, on a terminal and as one HTML file, which runs no script."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table

from harness.load.compare import BEYOND, LEAST_MS, SHARE, SHARE_ALONE, Comparison, Kept, Mark, Row
from harness.load.page import document, figure, headline, milliseconds, row_name, settings_table, table
from harness.load.plots import percentiles
from harness.load.stored import PERCENTILES, Stored
from harness.reports.findings import MARKS
from harness.reports.markup import paragraphs, safe
from harness.reports.terminal import Terminal
from harness.texts import Texts
from harness.verdict.outcome import Outcome

_STYLES = {Mark.WORSE: "bold red", Mark.BETTER: "green"}


def sentences(found: Comparison, texts: Texts) -> list[tuple[Mark, str]]:
    """What is worse and what is better, and what to think of when reading that."""
    say = texts.say
    lists = {mark: _list(found, mark, 0.0, texts) for mark in (Mark.WORSE, Mark.BETTER)}
    told = [(mark, say(f"load_compare.{mark.value}", what=what)) for mark, what in lists.items() if what]
    if not told and not found.is_unsure:
        told.append((Mark.SAME, say("load_compare.same")))
    if found.is_unsure:
        told.append((Mark.UNSURE, say("load_compare.unsure")))
    if found.differs:
        told.append((Mark.DIFFERS, say("load_compare.differs", what=", ".join(found.differs))))
    return told


def worse_than(found: Comparison, share: float, texts: Texts) -> str:
    """What is worse in B by more than such a share, and all that it does not keep; empty if nothing is."""
    return _list(found, Mark.WORSE, share, texts)


def _list(found: Comparison, mark: Mark, share: float, texts: Texts) -> str:
    """What has such a mark and differs by more than a share; the percentiles of a row stand together."""
    parts: dict[str, list[str]] = {_kept_name(each, texts): [] for each in found.kept if each.mark is mark}
    for row in found.rows:
        if row.mark is mark and (row.share is None or abs(row.share) > share):
            parts.setdefault(_row_name(row, texts), []).append(_percent(row.part, texts))
    return texts.say("ui.semicolon").join(f"{name} {', '.join(of)}".strip() for name, of in parts.items())


def rule(texts: Texts) -> str:
    """How a difference is decided."""
    shares = {"alone": f"{100 * SHARE_ALONE:g}", "share": f"{100 * SHARE:g}"}
    return texts.say("load_compare.rule", beyond=BEYOND, ms=f"{LEAST_MS:g}", **shares)


def tell(found: Comparison, texts: Texts, which: Sequence[str] = ()) -> None:
    """Print it: the result first. Rows with too few values are only counted."""
    terminal = Terminal(texts)
    for line in which:
        terminal.line(f" {line}")
    for mark, sentence in sentences(found, texts):
        terminal.block(f" {sentence}", 0, _STYLES.get(mark, ""))
    for lines in (_kept_lines(found, texts), _row_lines(found, texts)):
        for line, mark in lines:
            terminal.line(line, _STYLES.get(mark, ""))
    terminal.line()
    few = sum(row.mark is Mark.FEW for row in found.rows)
    if few:
        terminal.block(f" {texts.say('load_compare.left_out', count=few)}", 0, "dim")
    terminal.block(f" {rule(texts)}", 0, "dim")


def both(a: Stored, b: Stored, names: tuple[str, str], texts: Texts) -> list[str]:
    """Which results are compared: a line for each, with its file, when it began, and its verdict."""
    found = zip("AB", names, (a, b), strict=True)
    return [
        " · ".join(each for each in (f"{letter}: {name}", of.date, headline(of, texts)) if each)
        for letter, name, of in found
    ]


def page(a: Stored, b: Stored, names: tuple[str, str], found: Comparison, texts: Texts) -> str:
    """The whole page; `names` are those of the files."""
    title = texts.say("load_compare.title", a=names[0], b=names[1])
    kinds = {Mark.WORSE: ' class="big worse"', Mark.BETTER: ' class="big better"', Mark.SAME: ' class="big"'}
    told = [f"<p{kinds.get(mark, '')}>{safe(each)}</p>" for mark, each in sentences(found, texts)]
    which = both(a, b, names, texts)
    curves = {letter: of.histogram.get("delivery", []) for letter, of in (("A", a), ("B", b))}
    drawing = percentiles(curves, texts)
    pieces = [
        f"<h1>{safe(title)}</h1>",
        *paragraphs(which),
        *told,
        *(f'<p class="soft">{each}' for each in [safe(rule(texts))]),
        _section("load_compare.kept", _table_of_kept(found, texts), texts),
        _section("load_compare.rows", _table_of_rows(found, texts), texts),
        _folded(found, texts),
        figure(drawing) if drawing else "",
        _section("load_page.settings", settings_table([a, b], texts), texts),
    ]
    return document(title, pieces, texts)


def _section(key: str, piece: str, texts: Texts) -> str:
    return f"<h2>{safe(texts.say(key))}</h2>\n{piece}"


# --- cells --------------------------------------------------------------------------------------------


def _row_name(row: Row, texts: Texts) -> str:
    if row.name.isdecimal():
        return texts.say("load_compare.users", users=row.name)
    key = f"load_compare.{row.name}"
    return texts.say(key) if texts.has(key) else row_name(row.name, texts)


def _name(row: Row, texts: Texts) -> str:
    return f"{_row_name(row, texts)} {_percent(row.part, texts)}".strip()


def _percent(part: str, texts: Texts) -> str:
    return f"p{texts.number(f'{PERCENTILES[part]:g}')}" if part else ""


def _change(row: Row, texts: Texts) -> str:
    return "" if row.share is None else f"{texts.number(f'{100 * row.share:+.0f}')} %"


def _mark(mark: Mark, texts: Texts) -> str:
    return "" if mark is Mark.NONE else texts.say(f"load_compare.mark_{mark.value}")


def _kept_name(kept: Kept, texts: Texts) -> str:
    key = f"load_compare.{kept.name}"
    return texts.say(key) if texts.has(key) else kept.name


def _kept_value(value: str | int | None, texts: Texts) -> str:
    if isinstance(value, str):
        return f"{MARKS[Outcome(value)]} {texts.say(f'outcome.{value}')}"
    return "–" if value is None else str(value)


def _kept_cells(kept: Kept, texts: Texts) -> list[str]:
    values = [_kept_value(each, texts) for each in (kept.a, kept.b)]
    return [_kept_name(kept, texts), *values, _mark(kept.mark, texts)]


def _row_cells(row: Row, texts: Texts) -> list[str]:
    values = [milliseconds(each, texts) for each in (row.a, row.b)]
    return [_name(row, texts), *values, _change(row, texts), _mark(row.mark, texts)]


def _heads(texts: Texts, *more: str) -> list[str]:
    return ["", "A", "B", *(texts.say(f"load_compare.column_{each}") for each in more)]


def _row_lines(found: Comparison, texts: Texts) -> list[tuple[str, Mark]]:
    rows = [(_row_cells(row, texts), row.mark) for row in found.rows if row.mark is not Mark.FEW]
    return _drawn(_heads(texts, "change", "mark"), rows)


def _kept_lines(found: Comparison, texts: Texts) -> list[tuple[str, Mark]]:
    rows = [(_kept_cells(kept, texts), kept.mark) for kept in found.kept]
    return _drawn(_heads(texts, "mark"), rows)


def _drawn(heads: list[str], rows: Sequence[tuple[list[str], Mark]]) -> list[tuple[str, Mark]]:
    """A table as lines; each with the mark of its row."""
    drawing = Table(box=box.SIMPLE_HEAD)
    for place, head in enumerate(heads):
        drawing.add_column(head, justify="right" if 0 < place < len(heads) - 1 else "left", no_wrap=True)
    for cells, _ in rows:
        drawing.add_row(*cells)
    console = Console(width=110, color_system=None)
    with console.capture() as capture:
        console.print(drawing, markup=False)
    lines = [line.rstrip() for line in capture.get().splitlines() if line.strip()]
    marks = [Mark.NONE] * (len(lines) - len(rows)) + [mark for _, mark in rows]
    return list(zip(lines, marks, strict=True))


def _table_of_kept(found: Comparison, texts: Texts) -> str:
    rows = [(_kind(kept.mark), [*map(safe, _kept_cells(kept, texts))]) for kept in found.kept]
    return table(texts.say("load_compare.kept"), _heads(texts, "mark"), _marked(rows), words=range(4))


def _folded(found: Comparison, texts: Texts) -> str:
    """The rows with too few values, which can be unfolded."""
    few = [row for row in found.rows if row.mark is Mark.FEW]
    if not few:
        return ""
    told = safe(texts.say("load_compare.few", count=len(few)))
    return f"<details><summary>{told}</summary>\n{_table_of(few, texts)}\n</details>"


def _table_of_rows(found: Comparison, texts: Texts) -> str:
    return _table_of([row for row in found.rows if row.mark is not Mark.FEW], texts)


def _table_of(some: Sequence[Row], texts: Texts) -> str:
    rows = [(_kind(row.mark), [*map(safe, _row_cells(row, texts))]) for row in some]
    return table(texts.say("load_compare.rows"), _heads(texts, "change", "mark"), _marked(rows), words=(0, 4))


def _kind(mark: Mark) -> str:
    return mark.value if mark in _STYLES else ""


def _marked(rows: list[tuple[str, list[str]]]) -> list[tuple[str, list[str]]]:
    """Rows with their last cell in the colour of the mark, and what is worse on a ground of its own."""
    return [
        (
            "bad" if kind == "worse" else "",
            [*cells[:-1], f'<span class="{kind}">{cells[-1]}</span>' if kind else cells[-1]],
        )
        for kind, cells in rows
    ]
