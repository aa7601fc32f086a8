"""The result of a load: its figures by second and step, as JSON, and what is left of one that was killed."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

import harness.load
from harness.history.events import Closed, Server
from harness.load import partial, report
from harness.load.as_json import as_json
from harness.load.exchange import Exchange, Order
from harness.load.figures import Figures
from harness.load.judging import Load, Result, judge
from harness.load.objectives import objective
from harness.load.reached import reached
from harness.load.record import Recording, with_end_of_server
from harness.load.slots import Step
from harness.reports.words import Words
from harness.texts import texts
from harness.verdict.outcome import Outcome
from tests.load.recorders import ROOM, Story

EVERYBODY = [0, 1, 2, 3]
PROBE = 4
BEGAN = 100.0
README = Path(harness.load.__file__).with_name("README.md")


def chat(seconds: float = 20.0, slow_from: float = 99.0) -> Story:
    """Users who arrive in three seconds and then talk every half second, with a probe in their room.

    From some second on, what they say comes 300 ms later to all, the probe included.
    """
    story = Story(len(EVERYBODY))
    user_record = story.recorders[0]
    for _ in EVERYBODY:
        user_record.arrivals.extend((BEGAN, BEGAN + 2.0))
    probe = type(user_record)("probe", "host")
    probe.busy_room = ROOM
    story.recorders.append(probe)
    story.conns[PROBE] = 0
    turn, story.recorder = story.recorder, lambda person: _of_probe(story, person, turn)  # type: ignore[method-assign]
    story.come(PROBE)
    for number in range(1, round(2 * seconds)):
        story.clock = max(story.clock, BEGAN + number / 2)
        message = story.say(number % 4, [])
        user_record.dues[message["id"]] = story.clock
        story.pass_time(0.3 if story.clock > BEGAN + slow_from else 0.002)
        for hearer in [*EVERYBODY, PROBE]:
            story.hear(hearer, {"type": "message", "data": message})
    return story


def _of_probe(story: Story, person: int, turn: Any) -> Any:
    if person != PROBE:
        return turn(0)
    story.clock += 0.001
    story.recorders[1].at = story.clock
    return story.recorders[1]


def result(story: Story, **more: Any) -> Result:
    """The verdict on a story that began a moment before its first event."""
    load = Load("x", "steady", 1, 1, 20.0, began=BEGAN, **more)
    return judge(load, [recorder.finish() for recorder in story.recorders])


def plain(found: Result) -> dict[str, Any]:
    """The result as a program reads it."""
    value: dict[str, Any] = json.loads(json.dumps(as_json(found, Words(texts("en"), "run"))))
    return value


def test_warm_up_and_probe_are_apart() -> None:
    """What users say and hear is counted without the probe, and what was due while they arrived is apart."""
    value = plain(result(chat()))
    assert value["verdict"] == "passed"
    assert value["users"] == 4
    assert value["warm_up_seconds"] == 4.0
    assert (value["messages"], value["deliveries"]) == (39, 4 * 39)
    assert value["warm_up_times_ms"]["delivery"]["count"] == 4 * 7
    assert value["times_ms"]["delivery"]["count"] == 4 * 32
    assert value["probe_ms"]["delivery"]["count"] == 32
    assert value["probe_ms"]["delivery"]["p50"] > 2


def test_what_the_probe_said_last_may_be_lost() -> None:
    """It goes when it has measured enough, and a slow server may then drop what it had sent; users stay."""
    for person, outcome in ((PROBE, Outcome.PASSED), (0, Outcome.FAILED)):
        story = chat()
        story.say(person, [])
        story.sequence -= 1
        story.pass_time(5.0)
        story.say(1, [*EVERYBODY, PROBE])
        story.pass_time(5.0)
        story.say(2, [*EVERYBODY, PROBE])
        assert result(story).outcome is outcome


def test_a_ramp_names_the_step_at_which_it_breaks() -> None:
    """The first whose objective is not kept; the later ones are told, too."""
    steps = [Step(2, 0.0, 7.0), Step(3, 7.0, 14.0), Step(4, 14.0, 20.0)]
    wanted = [objective("delivery.p99=100ms"), objective("errors=0")]
    found = result(chat(slow_from=7.5), steps=steps, objectives=wanted)
    value = plain(found)
    assert value["steps"][1]["delivery"]["p50"] > 250 > 100 > value["steps"][0]["delivery"]["p99"]
    without = [recorder.finish() for recorder in chat(slow_from=7.5).recorders[:1]]
    load = Load("x", "ramp", 1, 1, 20.0, began=BEGAN, steps=steps, objectives=wanted)
    broken = judge(load, without)
    value = plain(broken)
    assert [each["verdict"] for each in value["steps"]] == ["passed", "failed", "failed"]
    assert value["breaks_at_users"] == 3
    assert value["verdict"] == "failed"
    assert [each["outcome"] for each in value["objectives"]] == ["failed", "passed"]


def test_the_timeline_has_every_second() -> None:
    """With the users that are there, what was said and heard, and how long that took by when it was due."""
    value = plain(result(chat(slow_from=10.2)))
    line = value["timeline"]
    assert [each["at"] for each in line] == list(range(20))
    assert sum(each["messages"] for each in line) == value["messages"]
    assert sum(each["deliveries"] for each in line) == value["deliveries"]
    assert line[-1]["users"] == 4
    assert line[9]["p99_ms"] < 100 < 250 < line[12]["p50_ms"]
    assert line[12]["probe_p99_ms"] > 250


def test_the_histogram_rises_to_the_largest() -> None:
    """Percentiles and times both rise; the last is the largest."""
    value = plain(result(chat(slow_from=10.2)))
    pairs = value["histogram"]["delivery"]
    assert pairs == sorted(pairs)
    assert pairs[-1] == [100, value["times_ms"]["delivery"]["p100"]]
    assert any(percent == pytest.approx(99.9) for percent, _ in pairs)


def test_every_key_is_in_the_readme() -> None:
    """The table names each key of the result and of its parts, and nothing else."""
    value = plain(result(chat(), objectives=[objective("errors=0")]))
    section = README.read_text().partition("## The result as JSON")[2].partition("\n## ")[0]
    named = set(re.findall(r"`([a-z_0-9]+)`", section))
    keys = set(value)
    for part in ("timeline", "steps", "objectives"):
        keys |= set(value[part][0])
    assert keys <= named
    keyed = {
        key for row in re.findall(r"^\| (`.*?) \|", section, re.M) for key in re.findall(r"`(\w+)`", row)
    }
    assert keyed == set(value)


def test_connections_that_were_cut_off_are_all_counted() -> None:
    """Forty of them are forty findings, and forty errors."""
    story = Story(40)
    for person in range(40):
        story.say(person, list(range(40)))
    for person, conn in story.conns.items():
        recorder = story.recorder(person)
        recorder.add(Closed(recorder.at, f"user{person}", conn, "server", 1011, ""))
    found = judge(Load("x", "steady", 1, 1, 5.0), [recorder.finish() for recorder in story.recorders])
    assert [each.name for each in found.findings.anomalies].count("dropped_connection") == 40
    assert plain(found)["errors"] == 40


@pytest.mark.parametrize(("code", "outcome"), [(1011, "failed"), (1013, "inconclusive")])
def test_a_slow_load_may_be_why_it_was_cut_off(code: int, outcome: str) -> None:
    """A server cuts off those who do not read; if that may be the load's doing, it is no failure."""
    story = Story(4)
    story.say(0, EVERYBODY)
    recorder = story.recorder(0)
    recorder.add(Closed(recorder.at, "user0", story.conns[0], "server", code, ""))
    recorder.lags.extend([0.5] * 100)
    assert plain(judge(Load("x", "steady", 1, 1, 5.0), [recorder.finish()]))["verdict"] == outcome


def test_the_end_of_the_server_is_one_finding() -> None:
    """That connections broke by it is nobody else's fault; SIGKILL is told as that."""
    story = Story(4)
    story.say(0, EVERYBODY)
    end = story.clock + 0.1
    for person, conn in story.conns.items():
        recorder = story.recorder(person)
        recorder.add(Closed(recorder.at, f"user{person}", conn, "server", 1006, "eof"))
    recordings: list[Recording] = [recorder.finish() for recorder in story.recorders]
    died = Server(end, "died", {"code": -9, "output": ["listening"]})
    found = judge(
        Load("x", "steady", 1, 1, 5.0, ended="server_ended"), with_end_of_server(recordings, [died])
    )
    (only,) = found.findings.anomalies
    assert (only.name, only.variant) == ("server_died", "killed")
    value = plain(found)
    assert (value["ended"], value["verdict"]) == ("server_ended", "failed")
    assert "SIGKILL" in value["anomalies"][0]["message"]


def test_what_is_left_of_a_killed_process_is_its_journal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was counted and what the probe has measured is told and written; nothing is judged."""
    exchange = Exchange(tmp_path)
    file = tmp_path / "load.json"
    files = {"json": [str(file)], "html": str(tmp_path / "load.html")}
    began = "2026-11-30T20:15:00+00:00"
    asked = {"seed": 1, "shape": "steady", "objectives": ["errors=0"], "settings": {}}
    exchange.begin(began=began, target="x", files=files, **asked)
    counts = {"users": 3, "processes": 1, "errors": 0}
    for second in (1, 2):
        probe = {"delivery": [0.001 * second], "connect": []}
        exchange.note(passed=second, messages=5 * second, deliveries=9 * second, probe=probe, **counts)
    with exchange.journal.open("a") as journal:
        journal.write('{"passed": 3, "mess')  # it was killed as it wrote
    assert partial.tell(exchange.noted(), "worker_lost", [], texts("en")) == 2
    value = json.loads(file.read_text())
    assert (value["verdict"], value["ended"], value["seconds"]) == ("inconclusive", "worker_lost", 2)
    assert value["began"] == began
    assert (value["messages"], value["deliveries"], value["probe_ms"]["delivery"]["count"]) == (10, 18, 2)
    assert [each["messages"] for each in value["timeline"]] == [5, 5]
    assert "10 messages" in capsys.readouterr().out
    whole = set(plain(result(chat())))
    assert set(value) <= whole, "it has no key of its own"


def test_an_order_is_passed_on(tmp_path: Path) -> None:
    """Why Locust is stopped, and what became of the server, arrives as it was given."""
    exchange = Exchange(tmp_path)
    assert exchange.ordered() is None
    order = Order("server_ended", [Server(1.0, "died", {"code": -9})])
    exchange.order(order)
    assert exchange.ordered() == order


@pytest.mark.parametrize("language", ["en", "fr"])
def test_the_table_has_both_parts(language: str, capsys: pytest.CaptureFixture[str]) -> None:
    """With `err` it leaves standard output to others; every objective has its own line."""
    wanted = [objective("delivery.p99=250ms"), objective("errors=0")]
    found = result(chat(), objectives=wanted)
    assert found.outcome is Outcome.PASSED
    report.tell(found, language, "run", err=True)
    out, err = capsys.readouterr()
    assert out == ""
    say = texts(language)
    for key in ("load.part.steady", "load.row.probe", "load.row.delivery"):
        assert say.say(key) in err
    assert "delivery.p99=250ms" in err
    assert "errors=0" in err


def test_what_never_came_is_later_than_any_limit(capsys: pytest.CaptureFixture[str]) -> None:
    """Refused connects and lost messages miss an objective, are told and counted; a few only move it."""
    story, late = chat(), {"objectives": [objective("delivery.p99=250ms"), objective("connect.p50=1s")]}
    few = result(chat(), **late).objectives[0]
    assert few.outcome is Outcome.PASSED
    story.recorders[0].never["connect"].extend([BEGAN + 10.0] * 30)
    story.clock = BEGAN + 12.0
    story.recorders[0].dues[story.say(1, [])["id"]] = story.clock
    found = result(story, **late)
    assert found.steady is not None
    assert found.steady.never == {"connect": 30, "echo": 1, "delivery": 4}, "as many as others had on average"
    assert [each.outcome for each in found.objectives] == [Outcome.FAILED, Outcome.FAILED]
    written = plain(found)
    assert written["never"] == found.steady.never
    assert written["objectives"][0]["value"] is None
    assert "34 never came" in written["objectives"][0]["why"]
    report.tell(found, "en", "run")
    assert "connect 30" in capsys.readouterr().out


def test_what_one_user_misses_never_came() -> None:
    """A delivery that others received and one did not is one that never came."""
    story = chat()
    story.clock = BEGAN + 12.0
    story.say(1, [*EVERYBODY[:3], PROBE])
    for _ in range(2):
        story.say(1, [*EVERYBODY, PROBE])
    found = result(story)
    assert found.steady is not None
    assert found.steady.never == {"delivery": 1}


@pytest.mark.parametrize(
    ("asked", "outcome"),
    [({"rate": 2.0}, "passed"), ({"rate": 40.0}, "inconclusive"), ({"churn": 3.0}, "inconclusive")],
)
def test_a_rate_that_is_not_reached_is_told(
    asked: dict[str, float], outcome: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was made of it has a line; if that is far less, the verdict is open, for this was not tested."""
    found = result(chat(), settings={"users": 4, **asked})
    report.tell(found, "en", "run")
    told = capsys.readouterr().out
    assert f"asked for {next(iter(asked.values())):g}, made" in told
    assert ("made only" in told) == (outcome == "inconclusive")
    assert plain(found)["verdict"] == outcome


def test_chance_is_no_rate_that_is_missed() -> None:
    """Of two messages a second in ten seconds, 15 are no surprise; of 200, 150 are."""
    few, many = (Figures({}, {}, {}, 10.0, count, 0, 0, 0.0, 0.0) for count in (15, 150))
    assert [each.is_missed for each in reached({"rate": 2.0}, few)] == [False]
    assert [each.is_missed for each in reached({"rate": 20.0}, many)] == [True]
    assert list(reached({"rate": 20.0, "own_act": True}, many)) == [], "a scenario may say nothing at all"


def test_deliveries_are_without_the_probes() -> None:
    """What it receives is none, and what users receive of it is none: so the numbers of a report agree."""
    story = chat()
    before = result(story)
    story.say(PROBE, [*EVERYBODY, PROBE])
    found = result(story)
    assert found.deliveries == before.deliveries
    timed = [part.times["delivery"] for part in (found.steady, found.warm_up) if part is not None]
    assert found.deliveries == sum(map(len, timed)) == sum(moment.deliveries for moment in found.timeline)
