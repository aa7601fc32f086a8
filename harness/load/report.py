"""The verdict on a load, for people; `as_json.py` has it for programs."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence

from rich import box
from rich.console import Console
from rich.table import Table

from harness.load import sentences
from harness.load.as_json import as_json
from harness.load.doubts import differences
from harness.load.figures import Figures, percentile, rate
from harness.load.judging import Result
from harness.load.outputs import Files, write
from harness.reports.terminal import Terminal
from harness.reports.words import Words
from harness.texts import Texts, texts
from harness.verdict.outcome import Outcome

COLUMNS = {"p50": 50, "p95": 95, "p99": 99, "p99_9": 99.9, "max": 100}
_ARRIVING = ("connect", "join", "delivery")
"""What the table has of the time in which users arrive."""
_NOT_COMPARED = {"echo", "history", "reconnect"}
_MARKS = {
    Outcome.PASSED: ("✓", "green"),
    Outcome.FAILED: ("✗", "bold red"),
    Outcome.INCONCLUSIVE: ("?", "yellow"),
}
_FAILURES = ("flooding", "check")
_OWN = " ~"
"""Behind the name of a row whose figures are the load's own."""


def tell(result: Result, language: str, run: str, files: Files | None = None, *, err: bool = False) -> None:
    """Print the report; also write it into these files. `run` is the suffix of all names.

    It goes to standard output or, with `err`, to standard error.
    """
    say = texts(language)
    words = Words(say, run)
    write(as_json(result, words), files, say)
    terminal = Terminal(say, out=sys.stderr if err else None)
    load = result.load
    terminal.line()
    counts = {"users": result.users, "seconds": round(load.seconds), "processes": load.processes}
    terminal.line(
        say.say("load.title", target=load.target, shape=load.shape, seed=load.seed, **counts), "bold"
    )
    for line in _table(result, say):
        terminal.line(line)
    terminal.anomalies(result.findings.anomalies, run)
    for line, outcome in _verdicts(result, words):
        mark, style = _MARKS[outcome]
        terminal.block(f" {mark} {line}", 0, style)
    if result.hosts > 1:
        terminal.block(say.say("load.hosts", hosts=result.hosts), 0, "yellow")


def _verdicts(result: Result, words: Words) -> Iterator[tuple[str, Outcome]]:
    """The last lines: how it ended, why it is not passed, each objective, each step, and what was checked."""
    say = words.texts
    if result.load.ended != "time":
        yield (
            say.say(f"load.ended.{result.load.ended}", seconds=round(result.load.seconds)),
            Outcome.INCONCLUSIVE,
        )
    told = {"not_kept", "not_kept_at", "open", "open_at", "breaks_at"}
    for reason in result.reasons:
        if reason.key not in told:
            is_why = result.outcome is Outcome.FAILED and reason.key in _FAILURES
            yield sentences.reason(reason, words), Outcome.FAILED if is_why else Outcome.INCONCLUSIVE
    for made in result.reached:
        if made.text not in result.reasons:
            is_made = Outcome.INCONCLUSIVE if made.is_less else Outcome.PASSED
            yield sentences.reason(made.text, words), is_made
    for name, (count, failed) in result.checks.items():
        if not failed:
            yield say.say("load.check", name=name, count=count), Outcome.PASSED
    for each in result.objectives:
        yield sentences.objective(each, words), each.outcome
    if result.load.steps:
        for step in result.steps:
            why = "".join(f" {sentences.reason(each, words)}" for each in step.why)
            times = step.figures.times.get("delivery")
            p99 = f"{1000 * percentile(times, 99):.1f}" if times else "–"
            yield say.say("load.step", users=step.step.users, p99=p99) + why, step.outcome
    if result.breaks_at is not None:
        yield say.say("load.breaks_at", users=result.breaks_at.users), Outcome.FAILED
    if result.findings.rooms:
        found = result.findings.anomalies
        yield _judged(result, say), result.outcome if found else Outcome.PASSED


# --- the table ------------------------------------------------------------------------------------


def _table(result: Result, say: Texts) -> list[str]:
    """The figures as lines of text."""
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("")
    for name in ("count", "rate", *COLUMNS):
        table.add_column(say.say(f"load.column.{name}"), justify="right")
    table.add_row(say.say("load.row.messages"), f"{result.messages:,}", _per_second(result.messages, result))
    if result.warm_up is not None and result.warm_up_seconds:
        table.add_row(say.say("load.part.warm_up", seconds=round(result.warm_up_seconds)))
        _rows(table, result, result.warm_up, _ARRIVING, say)
        table.add_row(say.say("load.part.steady"))
    if result.steady is not None:
        _rows(table, result, result.steady, list(result.times), say)
    if result.lags:
        table.add_row(say.say("load.row.lag"), "", "", *_milliseconds(result.lags), style="dim")
    console = Console(width=120, color_system=None)
    with console.capture() as capture:
        console.print(table)
    cpu = [*_never(result, say)]
    if result.steady is not None:
        used, waited = round(100 * result.steady.cpu), round(100 * result.steady.waited)
        cpu.append(say.say("load.cpu", percent=used, waited=waited))
    return [*(line.rstrip() for line in capture.get().splitlines() if line.strip()), *cpu]


def _never(result: Result, say: Texts) -> Iterator[str]:
    """What never came, for which the table has no time."""
    parts = {"warm_up": result.warm_up, "steady": result.steady}
    for part, figures in parts.items():
        if figures is not None and figures.never:
            counts = [f"{say.say(f'load.row.{name}')} {count:,}" for name, count in figures.never.items()]
            yield say.say(f"load.never.{part}", counts=", ".join(counts))


def _rows(table: Table, result: Result, figures: Figures, names: Sequence[str], say: Texts) -> None:
    """A row for each name, and below it the probe's, if it has one."""
    differ = {each.row for each in differences(figures)}
    if differ:  # what the probe does not measure is held up by the same processes
        differ |= _NOT_COMPARED
    for name in names:
        times = figures.times.get(name)
        if times:
            label = say.say(f"load.row.{name}") + (_OWN if name in differ else "")
            table.add_row(f"  {label}", f"{len(times):,}", _rate(len(times), figures), *_milliseconds(times))
        probe = figures.probe.get(name)
        if probe:
            told = [f"{len(probe):,}", _rate(len(probe), figures), *_milliseconds(probe)]
            by = say.say("load.row.probe")
            label = f"    {by}" if times else f"  {say.say(f'load.row.{name}')}, {by}"
            table.add_row(label, *told, style="dim")


def _milliseconds(times: list[float]) -> list[str]:
    return [f"{1000 * percentile(times, each):.1f}" for each in COLUMNS.values()]


def _rate(count: int, figures: Figures) -> str:
    return f"{rate(count, figures.seconds):,.1f}"


def _per_second(count: int, result: Result) -> str:
    return f"{rate(count, result.talked):,.1f}"


def _judged(result: Result, say: Texts) -> str:
    """What was checked, and the result."""
    found = result.findings
    return say.say(
        "load.found" if found.anomalies else "load.clean",
        deliveries=f"{result.deliveries:,}",
        rooms=found.rooms,
        connections=found.connections,
        cuts=found.cuts,
        anomalies=len(found.anomalies),
    )
