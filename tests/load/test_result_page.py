"""The page of a load, and its figures as OpenMetrics."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families as prometheus_families

from harness.load.openmetrics import openmetrics
from harness.load.page import page
from harness.load.stored import Stored, read
from harness.texts import texts
from tests.load.made import broken_ramp, steady


def stored(made: dict[str, Any]) -> Stored:
    """What is read back from a file."""
    return read(json.dumps(made))


def words(html: str) -> str:
    """A page as a reader sees it, without its drawings."""
    body = html.partition("<body>")[2]
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", re.sub(r"(?s)<svg.*?</svg>", "", body)))


@pytest.mark.parametrize(
    ("language", "told"),
    [
        ("en", ["Failed: breaks at 640 users", "breaks at 640 users; with 480 users it still held"]),
        ("fr", ["Échoué : cède à 640 utilisateurs", "cède à 640 utilisateurs ; avec 480 utilisateurs"]),
    ],
)
def test_a_ramp_that_breaks_names_the_step(language: str, told: list[str]) -> None:
    """At the top, in its title, and in the pictures: before any figure, in the reader's language."""
    html = page(stored(broken_ramp()), texts(language))
    text = words(html).replace("\xa0", " ").replace("\u202f", " ")
    for each in told:
        assert each in text[:600]
    assert told[0] in html.partition("</title>")[0].replace("\u202f", " ").replace("\xa0", " ")
    assert html.count(">640 ✗</text>") == html.count(">800 ✗</text>") == 6, "each picture over time"
    assert "A message was lost" in text
    assert "<script" not in html
    assert "&lt;b&gt;somebody" in html


def test_a_pass_says_what_was_judged() -> None:
    """Without findings, objectives or steps there are no sections for them."""
    text = words(page(stored(steady()), texts("en")))
    assert "✓ Passed" in text
    assert "no message lost" in text
    assert not any(each in text for each in ("Findings", "Objectives", "Step by step", "breaks"))
    assert "The first 12.0 s, the warm-up, are left out" in text


def test_a_step_that_is_only_slow_is_told() -> None:
    """Without an objective nothing failed: the step from which on it is far slower is named all the same."""
    made = broken_ramp(objectives=[])
    for step in made["steps"]:
        step |= {"verdict": "passed", "why": None}
    text = words(page(stored(made), texts("en")))
    assert "From 640 users on it is slow: the 99th percentile of delivery is 1 300 ms there" in text.replace(
        "\u202f", " "
    )
    assert "breaks" not in text


@pytest.mark.parametrize("ended", ["interrupted", "server_ended", "worker_lost", "flooded"])
def test_whatever_ended_it_is_said(ended: str) -> None:
    """In a sentence, below the verdict."""
    for language in ("en", "fr"):
        said = texts(language).say(f"load.ended.{ended}", seconds=60)
        made = steady(ended=ended, reasons=[said])
        assert words(page(stored(made), texts(language))).count(" ".join(said.split())) == 1


def test_what_an_older_version_wrote_is_shown() -> None:
    """Without timeline, steps and histogram, as before there were any."""
    made = steady()
    for name in ("timeline", "steps", "histogram", "objectives", "probe_ms", "ended", "version", "settings"):
        del made[name]
    html = page(stored(made), texts("en"))
    assert "<svg" not in html
    assert "delivery to each receiver" in html


def test_odd_figures_break_no_picture() -> None:
    """Zeros, one second, huge values, steps of no length, and percentiles beyond 100."""
    made = broken_ramp()
    made["timeline"][0] |= {"p50_ms": 0, "p99_ms": 1e300, "lag_p99_ms": 0, "cpu": 0}
    made["steps"][0] |= {"from": 0.0, "to": 0.0, "delivery": {"p99": 1e-9}}
    made["steps"] += [{**made["steps"][1], "users": 10**30}] * 300
    made["histogram"]["delivery"] += [[-5, 3], [100, 5], [1e9, 7]]
    for most in (100, 1, 0):
        html = page(stored({**made, "timeline": made["timeline"][:most]}), texts("en"))
        assert not re.search(r'(?:x|y|points|width)="[^"]*(?:nan|inf)', html)


def test_what_is_open_does_not_look_like_what_failed() -> None:
    """A doubt beside a failure has its own class; a value has its unit, and its step."""
    made = broken_ramp(
        reasons=["It is late.", "Whether it is kept is open."], doubts=["Whether it is kept is open."]
    )
    made["objectives"][0] |= {"users": 800}
    html = page(stored(made), texts("en"))
    assert '<p class="failed"><strong>It is late.</strong>' in html
    assert '<p class="inconclusive">Whether it is kept is open.' in html
    assert "1 300 ms with 800 users, the worst step" in words(html).replace("\u202f", " ")
    assert '<td class="number">0<td>' in html, "a count has no unit"


def test_why_a_step_failed_stands_before_the_figures() -> None:
    """In the third column, which is seen without scrolling."""
    steps = page(stored(broken_ramp()), texts("en")).partition("Step by step</caption>")[2]
    heads = re.findall(r"<th [^>]*>([^<]*)", steps.partition("<tbody>")[0])
    assert heads[:4] == ["Users", "Verdict", "Why", "p50 ms"]
    row = next(each for each in steps.splitlines() if each.startswith('<tr class="bad">'))
    assert '<td class="why">delivery.p99=250ms' in row


def samples(text: str) -> dict[str, float]:
    """Values by names and labels, as a strict parser of OpenMetrics reads them."""
    return {
        " ".join([each.name, *each.labels.values()]): each.value
        for family in openmetrics_families(text)
        for each in family.samples
    }


def test_openmetrics_are_valid_and_true() -> None:
    """A strict parser reads the file, and so does Prometheus' own; the figures are those of the result."""
    text = openmetrics(stored(broken_ramp(target='odd "name"\\\n')))
    found = samples(text)
    assert found['chatlab_load odd "name"\\\n ramp 7 0.1.0'] == 1
    assert found["chatlab_load_verdict failed"] == 1
    assert found["chatlab_load_verdict passed"] == 0
    assert found["chatlab_load_deliveries_total"] == 90_000
    assert found["chatlab_load_latency_seconds delivery crowd 0.99"] == 0.1
    assert found["chatlab_load_latency_seconds delivery probe 0.99"] == 0.06
    assert found["chatlab_load_latency_seconds_count delivery crowd"] == 90_000
    assert found["chatlab_load_breaks_at_users"] == 640
    assert [found[f"chatlab_load_step_kept {users}"] for users in (480, 640)] == [1, 0]
    assert found["chatlab_load_objective_kept delivery.p99=250ms"] == 0
    assert {each.name for each in prometheus_families(text)} >= {
        "chatlab_load_users",
        "chatlab_load_latency_seconds",
    }


def test_openmetrics_of_a_steady_load() -> None:
    """Without steps and objectives it is valid, too, and has no families without samples."""
    families = list(openmetrics_families(openmetrics(stored(steady()))))
    assert all(each.samples for each in families)
    assert not any("step" in each.name or "objective" in each.name for each in families)
