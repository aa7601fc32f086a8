"""What is left of a load whose leading process was killed: its journal. And of one that never began: nothing.

There is no record, so nothing is judged; what was counted and what the probe has measured is told.
"""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise
from typing import Any

from msgspec import convert

from harness import version
from harness.checkers.catalogue import Anomaly
from harness.load.as_json import counted, milliseconds
from harness.load.figures import percentile, rate
from harness.load.options import Options
from harness.load.outputs import Files, write
from harness.reports.jsonreport import anomaly_as_json
from harness.reports.terminal import Terminal
from harness.reports.words import Words
from harness.texts import Texts
from harness.verdict.outcome import EXIT_CODES, Outcome

Line = dict[str, Any]


def tell(journal: list[Line], ended: str, found: list[Anomaly], say: Texts) -> int:
    """Print what is left, and write it into the file that was asked for; returns the exit code."""
    begin, lines = journal[0], journal[1:]
    outcome = Outcome.FAILED if found else Outcome.INCONCLUSIVE
    result = as_json(begin, lines, ended, found, Words(say))
    terminal = Terminal(say)
    terminal.line()
    terminal.anomalies(found, "")
    terminal.block(f" ? {say.say(f'load.ended.{ended}', seconds=round(result['seconds']))}", 0, "yellow")
    counts = {name: result[name] for name in ("messages", "deliveries", "errors")}
    terminal.block(f" ? {say.say('load.partial', **counts)}", 0, "yellow")
    for row, times in result["probe_ms"].items():
        terminal.block(
            f"   {say.say('load.partial_probe', row=say.say(f'load.row.{row}'), **times)}", 0, "yellow"
        )
    write(result, convert(begin["files"], Files), say)
    return EXIT_CODES[outcome]


def write_without(target: str, asked: Options, found: list[Anomaly], say: Texts) -> None:
    """Write the result of a test that never began, since the server did not start or nobody answered."""
    begin = {
        "target": target,
        "seed": asked.seed or 0,
        "shape": asked.shape,
        "settings": {},
        "objectives": asked.objectives,
    }
    files = Files(
        [asked.json_file] if asked.json_file else [], asked.html_file or "", asked.openmetrics_file or ""
    )
    write(as_json(begin, [], "no_start", found, Words(say)), files, say)


def as_json(begin: Line, lines: list[Line], ended: str, found: list[Anomaly], words: Words) -> dict[str, Any]:
    """The result, with the keys of a whole one; what is not known is empty."""
    last = lines[-1] if lines else {"passed": 0.0, "users": 0, "messages": 0, "deliveries": 0, "errors": 0}
    probe: dict[str, list[float]] = defaultdict(list)
    for line in lines:
        for row, times in line["probe"].items():
            probe[row] += times
    passed = last["passed"]
    return {
        "version": version(),
        "verdict": str(Outcome.FAILED if found else Outcome.INCONCLUSIVE),
        "began": begin.get("began", ""),
        "ended": ended,
        "target": begin["target"],
        "seed": begin["seed"],
        "shape": begin["shape"],
        "settings": begin["settings"],
        "users": max((line["users"] for line in lines), default=0),
        "processes": last.get("processes", 1),
        "seconds": round(passed, 3),
        "warm_up_seconds": 0.0,
        "messages": last["messages"],
        "deliveries": last["deliveries"],
        "messages_per_second": round(rate(last["messages"], passed), 3),
        "deliveries_per_second": round(rate(last["deliveries"], passed), 3),
        "errors": last["errors"],
        "times_ms": {},
        "warm_up_times_ms": {},
        "probe_ms": {row: counted(sorted(times)) for row, times in probe.items() if times},
        "timeline": [_moment(*each) for each in pairwise([{"passed": 0.0}, *lines])],
        "steps": [],
        "histogram": {},
        "objectives": [
            {"text": text, "value": None, "outcome": str(Outcome.INCONCLUSIVE), "why": None}
            for text in begin["objectives"]
        ],
        "reasons": [words.texts.say(f"load.ended.{ended}", seconds=round(passed))],
        "anomalies": [anomaly_as_json(anomaly, words) for anomaly in found],
    }


def _moment(before: Line, line: Line) -> dict[str, float]:
    delivered = sorted(line["probe"].get("delivery", []))
    return {
        "at": round(before["passed"], 1),
        "users": line["users"],
        **{name: line[name] - before.get(name, 0) for name in ("messages", "deliveries", "errors")},
        "probe_p99_ms": milliseconds(percentile(delivered, 99)),
    }
