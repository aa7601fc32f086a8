"""The verdict on a load, for people and for programs."""

from __future__ import annotations

import json
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from harness.load.figures import percentile, rate
from harness.load.judging import Result
from harness.reports.jsonreport import anomaly_as_json
from harness.reports.outfile import write_out
from harness.reports.terminal import Terminal
from harness.reports.words import Words
from harness.texts import Texts, texts
from harness.verdict.outcome import Outcome

PERCENTILES = (50, 95, 99)
_MARKS = {
    Outcome.PASSED: ("✓", "green"),
    Outcome.FAILED: ("✗", "bold red"),
    Outcome.INCONCLUSIVE: ("?", "yellow"),
}


def tell(result: Result, language: str, run: str, json_file: str | None) -> None:
    """Print the report; also write it as JSON if a file is given. `run` is the suffix of all names."""
    say = texts(language)
    words = Words(say, run)
    if json_file:
        text = json.dumps(as_json(result, words), indent=2, ensure_ascii=False) + "\n"
        write_out(json_file, text, say)
    terminal = Terminal(say)
    load = result.load
    terminal.line()
    counts = {"users": result.users, "seconds": round(load.seconds), "processes": load.processes}
    terminal.line(
        say.say("load.title", target=load.target, shape=load.shape, seed=load.seed, **counts), "bold"
    )
    for line in _table(result, say):
        terminal.line(line)
    terminal.anomalies(result.findings.anomalies, run)
    for reason in result.reasons:
        _line(terminal, words.text("load.reason", reason), result.outcome)
    if result.findings.rooms:
        clean = Outcome.FAILED if result.findings.anomalies else Outcome.PASSED
        _line(terminal, _judged(result, say), clean)
    if result.hosts > 1:
        terminal.block(say.say("load.hosts", hosts=result.hosts), 0, "yellow")


def _line(terminal: Terminal, text: str, outcome: Outcome) -> None:
    mark, style = _MARKS[outcome]
    terminal.block(f" {mark} {text}", 0, style)


def _table(result: Result, say: Texts) -> list[str]:
    """The figures as lines of text."""
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("")
    for name in ("count", "rate", *(f"p{each}" for each in PERCENTILES), "max"):
        table.add_column(say.say(f"load.column.{name}"), justify="right")
    table.add_row(say.say("load.row.messages"), f"{result.messages:,}", _per_second(result.messages, result))
    for name, times in result.times.items():
        if times:
            count = [f"{len(times):,}", _per_second(len(times), result)]
            table.add_row(say.say(f"load.row.{name}"), *count, *_milliseconds(times))
    if result.lags:
        table.add_row(say.say("load.row.lag"), "", "", *_milliseconds(result.lags), style="dim")
    console = Console(width=100, color_system=None)
    with console.capture() as capture:
        console.print(table)
    return [line.rstrip() for line in capture.get().splitlines() if line.strip()]


def _milliseconds(times: list[float]) -> list[str]:
    return [f"{1000 * percentile(times, each):.1f}" for each in (*PERCENTILES, 100)]


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


def as_json(result: Result, words: Words) -> dict[str, Any]:
    """The result as JSON values; times in milliseconds."""
    load = result.load
    return {
        "verdict": result.outcome.value,
        "target": load.target,
        "seed": load.seed,
        "shape": load.shape,
        "users": result.users,
        "processes": load.processes,
        "seconds": round(load.seconds, 3),
        "messages": result.messages,
        "deliveries": result.deliveries,
        "messages_per_second": round(rate(result.messages, result.talked), 3),
        "deliveries_per_second": round(rate(result.deliveries, result.talked), 3),
        "rooms": result.findings.rooms,
        "connections": result.findings.connections,
        "cuts": result.findings.cuts,
        "lag_p99_ms": round(1000 * result.lag, 3),
        "times_ms": {
            name: {"count": len(times)}
            | {f"p{each}": round(1000 * percentile(times, each), 3) for each in (*PERCENTILES, 100)}
            for name, times in result.times.items()
        },
        "reasons": [words.text("load.reason", reason) for reason in result.reasons],
        "anomalies": [anomaly_as_json(anomaly, words) for anomaly in result.findings.anomalies],
    }
