"""From findings to verdicts: what fails, what is inconclusive, what was not reached, and the points."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import pytest

import harness.checkers
from harness.checkers.catalogue import CATALOGUE, Anomaly
from harness.history.events import Stalled
from harness.reports.summary import Summary, excluded_frequency
from harness.running.run import Run
from harness.texts import texts
from harness.verdict.any_history import leniencies
from harness.verdict.judge import STALL_LIMIT, judge
from harness.verdict.outcome import Outcome, StepCheck, StepResult, Text, overall
from harness.verdict.steps import BREAKABLE, COMPONENTS, EXERCISES, POINTS, points_for, steps_of
from tests.harness.stories import EPOCH, Story, names_of

PROOF = Text("nothing")
TIMED = Anomaly("lost", {"who": "bob"})
UNTIMED = Anomaly("reorder", {"who": "bob"})


def findings_of(exercise: int, **findings: StepCheck) -> dict[str, StepCheck]:
    """What the checks of an exercise find in each step: `s1_1` is step 1.1; nothing in the others."""
    given = {step.replace("_", ".").lstrip("s"): finding for step, finding in findings.items()}
    return {step: given.get(step, StepCheck([], PROOF)) for step in steps_of(exercise)}


def played(*steps: str) -> Story:
    """A story in which these steps are played to their end, in a second each."""
    story = Story()
    for step in steps:
        with story.step(step):
            story.passes(1)
    return story


ALL = ("1.1", "1.2", "1.3", "1.4", "1.5")


def verdicts(story: Story, component: str | None = None, **findings: StepCheck) -> dict[str, StepResult]:
    """The verdict on each step of exercise 1, if the checks find this."""
    results = judge(1, findings_of(1, **findings), story.index, component)
    for result in results:
        names_of(a for a in result.anomalies if a not in (TIMED, UNTIMED))
    return {result.step: result for result in results}


def outcomes(results: dict[str, StepResult]) -> list[str]:
    """The outcomes, in the order of the steps."""
    return [str(result.outcome) for result in results.values()]


# --- passing --------------------------------------------------------------------------------------


def test_everything_passes_where_nothing_is_wrong() -> None:
    """Each step has its points and its proof."""
    results = verdicts(played(*ALL))
    assert outcomes(results) == ["passed"] * 5
    assert [(result.points, result.of) for result in results.values()] == [(n, n) for n in (1, 1, 2, 4, 2)]
    assert [result.receipt for result in results.values()] == [PROOF] * 5


def test_a_doubt_makes_a_pass_inconclusive() -> None:
    """Where nothing was shown, nothing is proved; notes are kept."""
    doubt, note = Text("nothing_said_after"), Text("no_retries")
    result = verdicts(played(*ALL), s1_5=StepCheck([], PROOF, doubt=doubt, notes=[note]))["1.5"]
    assert (result.outcome, result.points, result.of) == (Outcome.INCONCLUSIVE, 0, 2)
    assert (result.receipt, result.notes) == (doubt, [note])


def test_a_finding_fails_its_step_only() -> None:
    """The others are judged by themselves."""
    results = verdicts(played(*ALL), s1_4=StepCheck([UNTIMED], PROOF))
    assert outcomes(results) == ["passed", "passed", "passed", "failed", "passed"]
    assert (results["1.4"].points, results["1.4"].of, results["1.4"].receipt) == (0, 4, None)
    assert results["1.4"].anomalies == [UNTIMED]


def test_a_doubt_does_not_save_what_failed() -> None:
    """A finding fails a step, however little the step has shown."""
    results = verdicts(played(*ALL), s1_4=StepCheck([UNTIMED], PROOF, doubt=Text("nothing_said_after")))
    assert results["1.4"].outcome is Outcome.FAILED


# --- a machine that was too slow ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stall", "anomalies", "outcome"),
    [
        (STALL_LIMIT, [TIMED], Outcome.FAILED),
        (STALL_LIMIT + 0.1, [TIMED], Outcome.INCONCLUSIVE),
        (STALL_LIMIT + 0.1, [UNTIMED], Outcome.FAILED),
        (STALL_LIMIT + 0.1, [TIMED, UNTIMED], Outcome.FAILED),
        (STALL_LIMIT + 0.1, [], Outcome.PASSED),
    ],
)
def test_a_stall_makes_timed_findings_inconclusive(
    stall: float, anomalies: list[Anomaly], outcome: Outcome
) -> None:
    """What was missing in time proves nothing then; what was wrong still does, and a pass too."""
    story = played("1.1", "1.2", "1.3")
    story.begins("1.4")
    story.stalls(stall)
    with story.step("1.4"):
        pass
    with story.step("1.5"):
        story.passes(1)
    result = verdicts(story, s1_4=StepCheck(anomalies, PROOF))["1.4"]
    assert result.outcome is outcome
    assert result.anomalies == anomalies
    if outcome is Outcome.INCONCLUSIVE:
        assert result.receipt == Text("stalled", {"seconds": 1.1})


def test_a_stall_of_another_step_excuses_nothing() -> None:
    """Only stalls during the step count; one that ends in a later step may have begun in this one."""
    story = played("1.1", "1.2", "1.3", "1.4")
    with story.step("1.5"):
        story.passes(1)
        story.add(Stalled(story.at, 1.5))
        story.passes(1)
    found = StepCheck([TIMED], PROOF)
    results = verdicts(story, s1_3=found, s1_4=found, s1_5=found)
    assert outcomes(results)[2:] == ["failed", "inconclusive", "inconclusive"]


def test_what_a_scenario_calls_shaky_is_inconclusive() -> None:
    """Where answers took too long, neither a pass nor a timeout proves anything."""
    shaky = Text("slow_machine", {"seconds": 2})
    story = played(*ALL)
    for anomalies, outcome in (([TIMED], "inconclusive"), ([], "inconclusive"), ([UNTIMED], "failed")):
        result = verdicts(story, s1_4=StepCheck(anomalies, PROOF, shaky=shaky))["1.4"]
        assert str(result.outcome) == outcome
        assert result.receipt == (shaky if outcome == "inconclusive" else None)


def test_no_machine_is_slow_in_simulated_time() -> None:
    """What takes long there is the server, and other programs have no part in it."""
    story = Story(world="sim")
    for step in ALL:
        with story.step(step):
            story.passes(1)
    shaky = Text("slow_machine", {"seconds": 31.2})
    result = verdicts(story, s1_4=StepCheck([TIMED], PROOF, shaky=shaky))["1.4"]
    assert (result.outcome, result.receipt) == (Outcome.INCONCLUSIVE, Text("slow_server", {"seconds": 31.2}))


# --- what was not played --------------------------------------------------------------------------


def test_steps_that_were_not_reached_say_which_one_stopped_the_play() -> None:
    """The first step that did not come to its end, with the end of the server as evidence."""
    story = played("1.1")
    story.begins("1.2")
    died = story.server("died", code=1)
    results = verdicts(story)
    assert outcomes(results) == ["passed"] + ["failed"] * 4
    assert names_of(results["1.2"].anomalies) == ["server_died"]
    for step in ("1.3", "1.4", "1.5"):
        assert names_of(results[step].anomalies) == ["not_reached"]
        assert results[step].anomalies[0].params == {"step": step, "blocked": "1.2"}
        assert results[step].anomalies[0].evidence == [died]
        assert results[step].points == 0


def test_a_step_that_did_not_come_to_its_end_with_other_findings() -> None:
    """Those are enough."""
    story = played("1.1", "1.2", "1.3")
    story.begins("1.4")
    results = verdicts(story, s1_4=StepCheck([UNTIMED], PROOF), s1_5=StepCheck([TIMED], PROOF))
    assert [a.name for step in ("1.4", "1.5") for a in results[step].anomalies] == ["reorder", "lost"]


def test_what_failed_on_a_machine_that_lacked_something_is_inconclusive() -> None:
    """So is what was not reached; a step that has passed stays passed."""
    story = played("1.1", "1.2")
    story.begins("1.3")
    story.server("limit", limit="disk", where="/tmp")
    results = verdicts(story, s1_2=StepCheck([UNTIMED], PROOF))
    assert outcomes(results) == ["passed", *["inconclusive"] * 4]
    assert {each.receipt.key for each in results.values() if each.receipt} == {PROOF.key, "limit_disk"}


def test_a_step_that_stopped_for_no_known_reason() -> None:
    """It is named itself, without evidence."""
    story = played("1.1")
    story.begins("1.2")
    result = verdicts(story)["1.2"]
    assert names_of(result.anomalies) == ["not_reached"]
    assert result.anomalies[0].params == {"step": "1.2", "blocked": "1.2"}
    assert result.anomalies[0].evidence == []


def test_skipped_steps_have_no_points_and_block_nothing() -> None:
    """A step left out on purpose is no failure, and does not block another one."""
    skipped = Text("slow_left_out")
    story = played("1.1", "1.2", "1.3")
    results = verdicts(story, s1_4=StepCheck([], PROOF, skipped=skipped))
    assert outcomes(results) == ["passed"] * 3 + ["skipped", "failed"]
    assert (results["1.4"].of, results["1.4"].receipt, results["1.4"].anomalies) == (0, skipped, [])
    assert results["1.5"].anomalies[0].params["blocked"] == "1.5"


# --- what holds for every scenario ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "name"),
    [
        ("died", "server_died"),
        ("hung", "server_hung"),
        ("unbounded", "unbounded_memory"),
        ("blocked", "server_blocked"),
        ("slow", "server_slow"),
        ("flooding", "flooding"),
    ],
)
def test_the_server_and_the_connections_are_checked_in_every_step(how: str, name: str) -> None:
    """A lost connection comes first, as it explains the rest; but if the server ended, that does."""
    story = Story()
    with story.step("1.1"):
        (alice, bob) = story.members("red", "alice", "bob")
        bob.says("red")
        bob.is_dropped(1011)
        story.passes(2)
        story.server("stopped", in_time=False)
    with story.step("1.2"):
        alice.gives_up("history", 6.0, "red")
        story.server(
            how,
            code=1,
            events=9,
            mebibytes=1,
            blocked=9.0,
            waited=9.0,
            longest=3.0,
            seconds=12.5,
            came=3,
            due=99,
        )
    results = verdicts(story, s1_2=StepCheck([UNTIMED], PROOF))
    assert names_of(results["1.1"].anomalies) == ["dropped_connection/1011", "slow_stop"]
    assert [anomaly.name for anomaly in results["1.2"].anomalies] == [name, "reorder"]


def test_what_a_scenario_found_is_not_reported_again() -> None:
    """A dropped connection that the scenario's own checks have found is one finding."""
    story = Story()
    with story.step("1.1"):
        (alice,) = story.members("red", "alice")
        alice.is_dropped(1011)
        alice.gives_up("reading")
    found = Anomaly("dropped_connection", {"who": "alice", "code": 1011, "what": "no_type"}, [], "bad_frame")
    results = verdicts(story, s1_1=StepCheck([found], PROOF))
    assert [anomaly.name for anomaly in results["1.1"].anomalies] == ["no_connection", "dropped_connection"]


@pytest.mark.parametrize(
    ("frame", "step", "field", "kind"),
    [
        ([], "1.2", "…", "?"),
        ({"type": "connected", "data": {}}, "1.2", "data.user", "connected"),
        ({"type": "error", "data": {}}, "1.2", "data.message", "error"),
        ({"type": "message", "data": {"sequence": "1"}}, "1.4", "data.id", "message"),
    ],
)
def test_malformed_frames_belong_to_the_step_of_their_kind(
    frame: Any, step: str, field: str, kind: str
) -> None:
    """Whenever they came; a thousand of them are one finding with a count."""
    story = Story()
    with story.step("1.1"):
        (alice,) = story.clients("alice")
        for _ in range(3):
            alice.gets(frame)
    for each in ALL[1:]:
        with story.step(each):
            story.passes(1)
    results = verdicts(story)
    assert [each for each in ALL if results[each].outcome is Outcome.FAILED] == [step]
    (anomaly,) = results[step].anomalies
    assert anomaly.name == "malformed_frame"
    assert [anomaly.params[key] for key in ("who", "kind", "field", "count")] == ["alice", kind, field, 3]


def test_an_empty_receipt_proves_nothing() -> None:
    """If a proof counts nothing, the step is left open; measures of time may be 0."""
    story = played(*ALL)
    results = verdicts(
        story,
        s1_2=StepCheck([], Text("connected", {"clients": 5, "bad": 0})),
        s1_3=StepCheck([], Text("started", {"seconds": 0.0})),
        s1_4=StepCheck([UNTIMED], Text("connected", {"clients": 5, "bad": 0})),
    )
    assert outcomes(results) == ["passed", "inconclusive", "passed", "failed", "passed"]
    assert results["1.2"].receipt == Text("nothing_done")


def test_what_could_not_be_tested_after_a_failure_has_failed() -> None:
    """The server has brought that about itself; so the same server gets the same verdict again."""
    nothing = StepCheck([], Text("connected", {"clients": 0}), doubt=Text("nothing_missed"))
    results = verdicts(played(*ALL), s1_2=nothing, s1_3=StepCheck([UNTIMED], PROOF), s1_4=nothing)
    assert outcomes(results) == ["passed", "inconclusive", "failed", "failed", "passed"]
    (untested,) = results["1.4"].anomalies
    assert (untested.name, untested.variant, untested.params["blocked"]) == ("not_reached", "untested", "1.3")


def test_a_play_that_ends_after_a_failure_names_that() -> None:
    """Nothing is known of the step in whose middle it ended; what comes after it was not reached."""
    story = played("1.1", "1.2")
    story.begins("1.3")
    results = verdicts(story, s1_2=StepCheck([UNTIMED], PROOF))
    found = {step: result.anomalies[-1] for step, result in results.items() if result.anomalies}
    told = {step: (each.variant, each.params.get("blocked")) for step, each in found.items()}
    assert told == {"1.2": ("", None), "1.3": ("ended", "1.2"), "1.4": ("", "1.3"), "1.5": ("", "1.3")}


def test_malformed_frames_of_another_exercise_explain_a_failure() -> None:
    """They cost nothing here, but are listed with the first failure: before it, if they may be its cause."""
    for anomalies in ([], [UNTIMED]):
        story = played(*ALL)
        (alice,) = story.clients("alice")
        alice.gets({"type": "history", "data": {"room": "red"}})
        alice.gets({"type": "presence", "data": {"room": "red"}})
        results = verdicts(
            story, s1_3=StepCheck(list(anomalies), PROOF), s1_4=StepCheck(list(anomalies), PROOF)
        )
        names = [[anomaly.name for anomaly in result.anomalies] for result in results.values()]
        if anomalies:
            assert names == [[], [], ["malformed_frame", "malformed_frame", "reorder"], ["reorder"], []]
        else:
            assert names == [[]] * 5


def test_a_malformed_error_explains_least() -> None:
    """Other findings come first: nobody needs to understand an `error`."""
    story = Story(exercise=2)
    with story.step("2.1"):
        (alice,) = story.clients("alice")
        alice.gets({"type": "error", "data": {"code": "oops", "message": "no"}})
        alice.gets({"type": "message", "data": {}})
    for step in ("2.2", "2.3", "2.4"):
        with story.step(step):
            story.passes(1)
    first = judge(2, findings_of(2, s2_1=StepCheck([UNTIMED], PROOF)), story.index, None)[0]
    assert [(each.name, each.params.get("kind")) for each in first.anomalies] == [
        ("malformed_frame", "message"),
        ("reorder", None),
        ("malformed_frame", "error"),
    ]


def test_what_was_forgiven_is_noted_once() -> None:
    """Each forgiven deviation, in the order in which they were seen."""
    story = Story()
    (alice,) = story.members("red", "alice")
    for _ in range(3):
        alice.is_refused(code=None)
        alice.gets_page("red", [])
        alice.is_shown("red", {"alice": "online"})
        alice.hears(story.line(alice, "red"), 1, timestamp=EPOCH / 1000)
    keys = [text.key for text in leniencies(story.index)]
    assert keys == [f"lenient.{note}" for note in ("no_code", "no_last", "no_more", "no_full", "seconds")]
    assert all(texts("en").has(f"note.{key}") for key in keys)


# --- points ---------------------------------------------------------------------------------------


def test_each_exercise_is_worth_ten_points() -> None:
    """Whatever its number of steps."""
    for exercise in EXERCISES:
        assert sum(POINTS[step] for step in steps_of(exercise)) == 10


def test_only_what_a_component_can_break_has_points_for_it() -> None:
    """If one component is judged alone, the rest of the server is the reference server."""
    results = verdicts(played(*ALL), component="pubsub")
    assert [(result.points, result.of) for result in results.values()] == [
        (0, 0),
        (0, 0),
        (2, 2),
        (4, 4),
        (2, 2),
    ]
    assert set(outcomes(results)) == {"passed"}
    for exercise, component in COMPONENTS.items():
        assert all(step in steps_of(exercise) for step in BREAKABLE[component])
        assert points_for(steps_of(exercise)[-1], component) == POINTS[steps_of(exercise)[-1]]


@pytest.mark.parametrize(
    ("several", "verdict"),
    [
        ([], "skipped"),
        (["skipped"], "skipped"),
        (["passed", "skipped"], "passed"),
        (["passed", "inconclusive", "skipped"], "inconclusive"),
        (["inconclusive", "failed", "passed"], "failed"),
    ],
)
def test_the_worst_outcome_is_the_verdict(several: list[str], verdict: str) -> None:
    """Failed, else inconclusive, else passed, else skipped."""
    assert overall([Outcome(each) for each in several]) is Outcome(verdict)


# --- several runs ---------------------------------------------------------------------------------


def run(exercise: int, *results: str, defect: str = "") -> Run:
    """A run in which the first steps of an exercise have these outcomes."""
    steps = [
        StepResult(step, Outcome(result), POINTS[step] * (result == "passed"), POINTS[step], None)
        for step, result in zip(steps_of(exercise), results, strict=False)
    ]
    return Run(exercise, "1", "live", "x", 1.0, steps, [], [], 0.0, [], defect)


def test_several_runs_are_as_good_as_the_worst() -> None:
    """Each step is the worst over all runs, and runs are counted by their outcome."""
    runs = [
        [run(1, "passed", "passed"), run(2, "passed")],
        [run(1, "passed", "failed"), run(2, "inconclusive", "skipped")],
        [run(1, "passed", "inconclusive"), run(2, "inconclusive")],
    ]
    summary = Summary(1, "live", "x", 3.0, runs)
    assert [(step.step, str(step.outcome)) for step in summary.steps] == [
        ("1.1", "passed"),
        ("1.2", "failed"),
        ("2.1", "inconclusive"),
        ("2.2", "skipped"),
    ]
    assert [str(outcome) for outcome in summary.outcomes] == ["passed", "failed", "inconclusive"]
    assert summary.outcome is Outcome.FAILED
    assert [summary.count(outcome) for outcome in Outcome] == [1, 1, 1, 0]
    assert summary.points == (1, 1 + 1 + 2 + 3)
    assert summary.defect == ""


def test_without_runs_nothing_is_shown() -> None:
    """A summary of no runs is skipped, without points."""
    summary = Summary(1, "live", "x", 0.0, [])
    assert (summary.outcome, summary.points, summary.steps, summary.defect) == (
        Outcome.SKIPPED,
        (0, 0),
        [],
        "",
    )


def test_a_defect_of_the_kit_is_passed_on() -> None:
    """The first traceback, whichever run it is from."""
    runs = [[run(1, "passed")], [run(1, defect="Traceback one")], [run(1, defect="Traceback two")]]
    assert Summary(1, "live", "x", 0.0, runs).defect == "Traceback one"


def test_what_many_passes_exclude() -> None:
    """With n passes, a failure in one of 1 / (1 - 0.05^(1/n)) runs, about 3 / n, would have been seen."""
    assert excluded_frequency(0) == 1.0
    assert excluded_frequency(1) == pytest.approx(0.95)
    assert excluded_frequency(10) == pytest.approx(0.2589, abs=1e-4)
    assert excluded_frequency(1000) == pytest.approx(0.003, abs=1e-4)
    for runs in (1, 10, 100):
        assert (1 - excluded_frequency(runs)) ** runs == pytest.approx(0.05)


# --- texts ----------------------------------------------------------------------------------------

GIVEN = {
    ("missing_notice", "joined"),
    ("missing_notice", "left"),
    *(("premature_offline", why) for why in ("quiet", "pings", "bad_frames", "twin")),
    *(("unannounced_presence", why) for why in ("join", "leave", "return")),
    *(("no_connection", wanted) for wanted in ("connection", "connected", "reading")),
    *(("unanswered_request", wanted) for wanted in ("history", "presence")),
}
"""Variants that come to a checker from a scenario or an event, and do not stand in its source."""
UNNAMED = {("stored_twice", "numbers")}
"""What the source seems to name: two names and two variants in one expression, which go together."""


def _variants() -> set[tuple[str, str]]:
    """The names of anomalies, with their variants, in the source of the checkers."""
    found: set[tuple[str, str]] = set()
    for path in sorted(Path(harness.checkers.__path__[0]).glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Anomaly":
                names = _strings(node.args[0])
                variants = _strings(node.args[3]) if len(node.args) > 3 else {""}
                found |= {(name, variant) for name in names for variant in variants}
    return found


def _strings(node: ast.expr) -> set[str]:
    """The strings that an expression can evaluate to, as far as they are literals."""
    if isinstance(node, ast.Constant):
        return {str(node.value)}
    if isinstance(node, ast.IfExp):
        return _strings(node.body) | _strings(node.orelse)
    return set()


def test_all_anomalies_named_by_checkers_are_in_the_catalogue_and_have_texts() -> None:
    """A title, a message and a likely cause: those of the variant, or else those of the entry."""
    has = texts("en").has
    named = (_variants() | GIVEN) - UNNAMED
    assert {name for name, _ in named} <= set(CATALOGUE)
    for name, variant in sorted(named):
        assert has(f"anomaly.{name}.title")
        for what in ("says", "cause"):
            key = f"anomaly.{name}.{what}"
            assert has(key) or has(f"{key}_{variant}"), (name, variant)


def test_every_variant_has_its_own_text() -> None:
    """A variant has another message than its entry, or another cause."""
    variants = {(name, variant) for name, variant in _variants() if variant} | GIVEN
    assert len(variants) > 30
    has = texts("en").has
    for name, variant in sorted(variants - UNNAMED):
        assert any(has(f"anomaly.{name}.{what}_{variant}") for what in ("says", "cause")), (name, variant)


def test_every_text_of_an_anomaly_belongs_to_a_variant() -> None:
    """No text is left over from a variant that no checker names."""
    sources = "".join(
        path.read_text(encoding="utf-8")
        for folder in ("checkers", "contracts", "scenarios", "verdict", "worlds")
        for path in (Path(harness.checkers.__path__[0]).parent / folder).glob("*.py")
    )
    of_reports = {"nowhere", "exited_unsaid", ""}  # which reports choose by what a finding lacks
    named = set(re.findall(r'"(\w+)"', sources)) | set(BREAKABLE) | of_reports
    for key in texts("en").keys():  # noqa: SIM118
        if key.startswith("anomaly.") and "_" in key.rsplit(".", 1)[1]:
            variant = _variant_in(key)
            assert variant in named or variant.isdigit(), key


def _variant_in(key: str) -> str:
    """The variant in `….cause_VARIANT` and `….cause_VARIANT_for_COMPONENT`, or the component."""
    what = key.rsplit(".", 1)[1].split("_", 1)[1]
    what = re.sub(r"_?in_typescript$", "", what)  # the same in the words of that track
    return re.sub(r"_for_\w+$", "", what).removeprefix("for_")
