"""`chatlab load compare`: what differs beyond noise, and what does not."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

import pytest
from click.testing import CliRunner, Result

from harness.cli.main import cli
from harness.load.compare import Comparison, Mark
from harness.load.compare import compare as compared
from harness.load.stored import read
from lab.command import EXIT_USAGE
from tests.load.made import broken_ramp, steady

BAD = json.dumps(steady(seconds="NUMBER")).replace('"NUMBER"', "1e999")
"""A number that is none."""


def compare(a: dict[str, Any], b: dict[str, Any]) -> Comparison:
    """The comparison of two results as they are read back from files."""
    return compared(read(json.dumps(a)), read(json.dumps(b)))


def marks(found: Comparison) -> dict[str, Mark]:
    """The marks by names and percentiles, of what is kept as well."""
    rows = {f"{row.name} {row.part}".strip(): row.mark for row in found.rows}
    return rows | {each.name: each.mark for each in found.kept}


def run(tmp_path: Path, a: dict[str, Any], b: dict[str, Any], *options: str) -> Result:
    """The command, with both results in files."""
    for name, made in (("a.json", a), ("b.json", b)):
        (tmp_path / name).write_text(json.dumps(made))
    arguments = ["load", "compare", str(tmp_path / "a.json"), str(tmp_path / "b.json"), *options]
    return CliRunner().invoke(cli, arguments, standalone_mode=False)


def test_the_same_twice_differs_in_nothing() -> None:
    """No mark at all, and no setting."""
    for made in (steady(), broken_ramp()):
        found = compare(made, made)
        assert {*marks(found).values()} <= {Mark.SAME, Mark.FEW, Mark.ONCE}
        assert found.differs == []


def test_twice_as_slow_is_worse_and_the_other_way_round_better() -> None:
    """Where there are enough values, and only there."""
    found = marks(compare(steady(2.0), steady(4.0)))
    assert [found[f"delivery {part}"] for part in ("p50", "p95", "p99", "p99_9")] == [Mark.WORSE] * 4
    assert found["connect p50"] is Mark.ONCE
    assert found["connect p99"] is Mark.FEW, "of 340 connections, 3 are beyond"
    assert marks(compare(steady(4.0), steady(2.0)))["delivery p99"] is Mark.BETTER


def test_what_is_within_the_noise_is_not_marked() -> None:
    """Two fifths more; half a millisecond; and a percentile that a single pause of the machine has moved."""
    assert marks(compare(steady(2.0), steady(2.8)))["delivery p99"] is Mark.SAME
    assert marks(compare(steady(0.1), steady(0.2)))["delivery p50"] is Mark.SAME
    paused = steady(2.0)
    paused["times_ms"]["delivery"] |= {"p99": 80.0, "p99_9": 400.0}
    for second in paused["timeline"][30:34]:
        second["p99_ms"] = 900.0
    assert marks(compare(steady(2.0), paused))["delivery p99"] is Mark.SAME


def test_random_pairs_of_equal_runs_are_left_unmarked() -> None:
    """Of 60 pairs whose seconds vary by half and whose pauses are their own, at most one."""
    rng, false = Random(1), 0

    def a_run() -> dict[str, Any]:
        made = steady(5.0)
        for second in made["timeline"][2:]:
            second["p99_ms"] *= rng.lognormvariate(0, 0.5) * (20 if rng.random() < 0.03 else 1)
        known = sorted(second["p99_ms"] for second in made["timeline"][2:])
        made["times_ms"]["delivery"]["p99"] = known[len(known) * 4 // 5]
        return made

    for _ in range(60):
        false += marks(compare(a_run(), a_run()))["delivery p99"] is not Mark.SAME
    assert false <= 1


def test_more_runs_of_a_show_how_much_equal_runs_differ() -> None:
    """What is worse than one of them, and not than another, is not marked; what is worse than each is."""
    runs = [read(json.dumps(steady(p50))) for p50 in (2.0, 5.0, 3.0)]
    between, beyond = (read(json.dumps(steady(p50))) for p50 in (4.0, 8.0))
    assert marks(compared(runs[0], between))["delivery p99"] is Mark.WORSE
    assert marks(compared(runs[0], between, runs[1:]))["delivery p99"] is Mark.SAME
    assert marks(compared(runs[0], beyond, runs[1:]))["delivery p99"] is Mark.WORSE
    assert marks(compared(runs[0], read(json.dumps(steady(2.8))), runs[:1]))["delivery p99"] is Mark.WORSE
    slow = steady(2.0)
    slow["times_ms"]["connect"] |= {"p50": 7.0}
    assert marks(compared(runs[0], read(json.dumps(slow)), runs[:1]))["connect p50"] is Mark.WORSE
    doubtful = [read(json.dumps(steady(verdict="inconclusive")))]
    assert marks(compared(runs[0], read(json.dumps(slow)), doubtful))["connect p50"] is Mark.ONCE
    failed = read(json.dumps(steady(verdict="failed")))
    assert marks(compared(runs[0], failed))["verdict"] is Mark.WORSE
    assert marks(compared(runs[0], failed, [failed]))["verdict"] is Mark.SAME


def test_times_of_a_load_that_was_too_slow_are_not_compared() -> None:
    """They may be the load's own."""
    found = compare(steady(2.0), steady(20.0, verdict="inconclusive"))
    assert found.is_unsure
    assert marks(found)["delivery p99"] is Mark.UNSURE
    assert marks(found)["verdict"] is Mark.UNSURE
    own = {"row": "delivery", "percent": 99, "load_ms": 100.0, "probe_ms": 50.0}
    found = compare(steady(2.0), steady(20.0, verdict="failed", differs=[own]))
    assert marks(found)["delivery p99"] is Mark.UNSURE
    assert marks(found)["echo p99"] is Mark.WORSE


def test_rates_of_other_settings_are_not_judged() -> None:
    """Who asks for fewer users gets fewer messages; with the same settings, fewer are worse."""
    fewer = {"messages_per_second": 20.0, "messages": 1200}
    assert marks(compare(steady(), steady(**fewer)))["messages_per_second"] is Mark.WORSE
    other = compare(steady(), steady(**fewer, users=200, settings={"rooms": 10, "pace": 2.0}))
    assert marks(other)["messages_per_second"] is Mark.DIFFERS
    assert other.differs == ["users", "pace"]
    assert compare(steady(), steady(version="0.2.0", seed=8)).differs == ["version", "seed"]
    assert marks(compare(steady(), steady(**fewer, seed=8)))["messages_per_second"] is Mark.DIFFERS


def test_what_is_no_longer_kept_is_worse() -> None:
    """An objective, the verdict, and a ramp that breaks earlier; each row of a step has its own mark."""
    held = broken_ramp(verdict="passed", anomalies=[])
    for step in held["steps"]:
        step |= {"verdict": "passed", "why": None, "delivery": held["steps"][0]["delivery"]}
    for second in held["timeline"]:
        second |= {"p50_ms": 2.0, "p99_ms": 10.0}
    held["errors"] = 0
    held["objectives"] = [{**each, "outcome": "passed"} for each in held["objectives"]]
    found = marks(compare(held, broken_ramp()))
    for name in ("verdict", "findings", "breaks", "delivery.p99=250ms", "640 p99", "800 p99", "errors"):
        assert found[name] is Mark.WORSE, name
    assert found["160 p99"] is found["errors=0"] is Mark.SAME
    assert marks(compare(broken_ramp(), held))["breaks"] is Mark.BETTER


def test_other_objectives_are_no_regression(tmp_path: Path) -> None:
    """What B misses that A was not asked for is another setting, and --fail-over is 0; findings count."""
    missed = {"text": "delivery.p99<=1ms", "value": 10.0, "outcome": "failed", "why": None}
    b = steady(verdict="failed", objectives=[missed])
    found = compare(steady(), b)
    assert found.differs == ["objectives"]
    assert marks(found)["verdict"] is Mark.DIFFERS
    assert marks(found)["messages_per_second"] is Mark.SAME, "it is the same load"
    assert run(tmp_path, steady(), b, "--fail-over", "20%").return_value == 0
    assert marks(compare(steady(), b | {"anomalies": [{"name": "lost"}]}))["verdict"] is Mark.WORSE
    assert marks(compare(steady(), b | {"ended": "server_ended"}))["verdict"] is Mark.WORSE
    kept = steady(objectives=[missed | {"outcome": "passed"}])
    assert marks(compare(kept, b))["verdict"] is Mark.WORSE
    assert run(tmp_path, kept, b, "--fail-over", "20%").return_value == 1


def test_the_result_comes_first_and_what_says_nothing_is_folded(tmp_path: Path) -> None:
    """Before the tables: which runs, when they began, and what is worse. Rows of few values are counted."""
    page, b = tmp_path / "page.html", steady(4.0, began="2026-11-30T20:15:01+00:00", seed=8)
    lines = run(tmp_path, steady(2.0), b, "--html", str(page)).output.splitlines()
    assert lines[1].strip() == "B: b.json · 2026-11-30 20:15 UTC · Passed"
    assert lines[2].strip().startswith("B is worse: ")
    few = sum(mark is Mark.FEW for mark in marks(compare(steady(2.0), b)).values())
    assert few
    assert "too few values" not in "".join(lines[: len(lines) - 8])
    assert any(f"{few} rows with too few values are left out" in line for line in lines)
    assert page.read_text().count("<details><summary>") == 1


@pytest.mark.parametrize(
    ("p50", "share", "code"), [(4.0, "20%", 1), (4.0, "150", 0), (2.1, "1%", 0), (1.0, "0%", 0)]
)
def test_the_exit_code(tmp_path: Path, p50: float, share: str, code: int) -> None:
    """0 whatever is worse; 1 with --fail-over if something beyond noise is worse by more than that."""
    assert run(tmp_path, steady(2.0), steady(p50)).return_value == 0
    done = run(tmp_path, steady(2.0), steady(p50), "--fail-over", share)
    assert done.return_value == code, done.output
    assert ("Worse by more than" in done.output) == bool(code)


def test_it_is_printed_and_written_in_the_language(tmp_path: Path) -> None:
    """What is worse comes in a sentence, and the rule behind it; the page has the settings, too."""
    page = tmp_path / "page.html"
    done = run(tmp_path, steady(2.0), steady(4.0, users=350), "--lang", "fr", "--html", str(page))
    assert "B est moins bon" in done.output
    assert "Les réglages diffèrent (users)" in done.output
    assert "+100 %" in done.output
    html = page.read_text()
    assert "a.json à côté de b.json" in html
    assert '<tr class="bad"><th scope="row"><code>users</code>' in html
    assert "<script" not in html


@pytest.mark.parametrize(
    "text", ["", "x", "[]", "{}", '{"verdict": "passed"}', "\0", json.dumps(steady(verdict="so")), BAD]
)
def test_a_file_that_is_no_result_is_told(tmp_path: Path, text: str) -> None:
    """In a sentence that names the file, with exit code 64; one that is not there, likewise."""
    (tmp_path / "a.json").write_text(json.dumps(steady()))
    (tmp_path / "b.json").write_text(text)
    for name in ("b.json", "none.json"):
        done = CliRunner().invoke(cli, ["load", "compare", str(tmp_path / "a.json"), str(tmp_path / name)])
        assert done.exit_code in (2, EXIT_USAGE), "click's own code for wrong usage, which becomes 64"
        assert name in done.output
        assert "Traceback" not in done.output
