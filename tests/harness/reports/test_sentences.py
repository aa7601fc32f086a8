"""Sentences that students stumbled over: endings of reports, events in a line, and the French ones."""

from __future__ import annotations

import io
import re
from unittest.mock import AsyncMock

import pytest
from msgspec.structs import replace

from harness.check import worlds_asked
from harness.checkers.catalogue import Anomaly
from harness.contracts.result import Played
from harness.history.events import Closed, Event, Noted, Printed, Received, Sent, Server
from harness.minimize.replay_file import first_difference
from harness.reports.jsonreport import report
from harness.reports.page import page
from harness.reports.summary import Summary
from harness.reports.terminal import Terminal
from harness.reports.words import Words
from harness.running.direct_calls import add_contract
from harness.running.run import Case, Run
from harness.scenarios.common import SMALL
from harness.texts import texts
from harness.verdict.causes import Cause
from tests.harness.check.checks import made_up, options
from tests.harness.reports.runs import story_of, summary_of, swapped

FRENCH = Words(texts("fr"))


def unjudged(exercise: int) -> Run:
    """A run that passed, but in which the direct calls of the component made the kit fail."""
    run = made_up(exercise, "1", "passed")
    add_contract(run, Played("store", defect="Traceback of the kit"))
    return run


def ending(summary: Summary, language: str = "en") -> str:
    """The last lines of a report."""
    out = io.StringIO()
    Terminal(texts(language), out=out).summary(summary, hints=True)
    return out.getvalue()


def event(what: Event, language: str = "fr") -> str:
    """An event in a line."""
    return Words(texts(language)).event(what)[2]


# --- endings --------------------------------------------------------------------------------------


def test_what_the_kit_could_not_judge_is_counted_and_named() -> None:
    """Its steps are inconclusive and its points are among the possible ones: nothing looks like a success."""
    runs = [made_up(1, "1", "passed"), made_up(2, "1", "passed"), unjudged(4)]
    summary = Summary(1, "live", "x", 1.0, [runs])
    assert summary.outcome == "inconclusive"
    points, of = summary.points
    assert of > points
    text = ending(summary)
    assert "9 of 14 steps passed" in text
    assert "Exercise 4: not judged, since the kit itself failed" in text
    assert report(summary, texts())["verdict"] == "inconclusive"
    assert "Non concluant\u00a0: " in page([summary], texts("fr"), "chatlab check")
    assert "Exercice 4\u00a0: non évalué" in ending(summary, "fr")


@pytest.mark.parametrize(("run", "code"), [(made_up(1, "1", "passed"), 0), (unjudged(1), 70)])
def test_only_a_pass_has_a_tip(
    run: Run, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """To play many simulated runs: not after a failure of the kit."""
    monkeypatch.setattr(
        worlds_asked, "_all_of", AsyncMock(return_value=[Summary(1, "live", "x", 1.0, [[run]])])
    )
    monkeypatch.setattr(worlds_asked, "write_page", lambda *_: None)
    assert worlds_asked.check(options(world="live", simulated="chatlab check --world sim")) == code
    assert ("chatlab check --world sim" in capsys.readouterr().out) == (code == 0)


def test_commands_keep_the_language() -> None:
    """What a French report suggests to type answers in French."""
    failed = summary_of(swapped())
    assert "chatlab hint 2 --lang fr\n" in ending(failed, "fr")
    assert "chatlab hint 2\n" in ending(failed)
    suggested = re.compile(r"chatlab (?:hint|replay|hunt|solution|status|watch)\b[^`,;]*")
    commands = [found for text in texts("fr").keys().values() for found in suggested.findall(text)]
    assert len(commands) > 10
    assert [each for each in commands if " --lang fr" not in each] == []


def test_what_the_s_of_a_seed_means() -> None:
    """It is said where such a seed is named; else a range of them reads as seconds."""
    large = made_up(2, "13", "lost")
    small = made_up(2, "14", "lost", Case(2, "14", SMALL))
    assert "s at its end" not in ending(summary_of(large, large))
    assert "seeds 13, 14s" in ending(summary_of(large, small))
    assert "A seed with an s at its end" in ending(summary_of(large, small))


# --- events ---------------------------------------------------------------------------------------


def test_what_has_no_words_is_not_the_first_difference() -> None:
    """A replay names the first event that a reader can see."""
    story, _ = story_of(4)
    one = [*story.events, Noted(9.0, "began", 1), Server(9.1, "ready")]
    other = [*story.events, Noted(9.0, "began", 2), Server(9.1, "died")]
    assert first_difference(one, other) == (one[-1], other[-1])


def test_an_unusable_component_is_told_without_escapes() -> None:
    """The no-break spaces of the French sentence stay what they are."""
    said = "Error: pubsub.py, line 16: SyntaxError: expected ':'"
    assert event(Printed(1.0, said)).endswith("pubsub.py, ligne 16\u00a0: SyntaxError: expected ':'")


@pytest.mark.parametrize(("numbers", "shown"), [([], "aucun"), ([42], "42"), ([7, 8, 9], "7 … 9")])
def test_the_numbers_of_a_page(numbers: list[int], shown: str) -> None:
    """None, one, or the first and the last."""
    data = {"room": "red", "messages": [{"sequence": number} for number in numbers]}
    frame = {"type": "history", "data": data}
    assert event(Received(1.0, "ada", 1, frame, 9)) == f"reçoit  history red [{shown}]"


@pytest.mark.parametrize(("since", "shown"), [(0, "since=0"), ("0", 'since="0"'), ("later", "since=later")])
def test_a_string_is_not_taken_for_a_number(since: object, shown: str) -> None:
    """An invalid frame shows what is invalid."""
    frame = {"type": "join", "room": "red", "since": since}
    assert event(Sent(1.0, "ada", 1, frame, 9, bad=None)).endswith(f"join red {shown}")


def test_quotes_are_those_of_the_language() -> None:
    """One kind of them in a report."""
    frame = {"type": "message", "data": {"room": "red", "user": "ada", "content": "hi", "sequence": 3}}
    assert event(Received(1.0, "bob", 1, frame, 9)) == "reçoit  message #3 red ada: «\u00a0hi\u00a0»"
    assert event(Received(1.0, "bob", 1, frame, 9), "en").endswith("“hi”")
    error = {"type": "error", "data": {"code": "bad_room", "message": "no"}}
    assert event(Received(1.0, "bob", 1, error, 9)) == "reçoit  error bad_room «\u00a0no\u00a0»"


# --- French ---------------------------------------------------------------------------------------


def test_what_is_marked_in_an_excerpt_is_not_called_unexpected() -> None:
    """Sending a message is not: the finding is about it."""
    run = swapped()
    told = page([summary_of(run)], texts("fr"), "chatlab check")
    assert "pertinent\u00a0: alice reçoit #62" in told
    assert "inattendu" not in told


def test_places_are_translated() -> None:
    """A line of code, and the function that it is in."""
    cause = Cause("raised", "KeyError: 1", "pubsub.py, line 19, in unsubscribe", "x", 1, 0.5)
    assert "dans pubsub.py, ligne 19, dans unsubscribe (" in FRENCH.first_cause(cause)
    assert "(pubsub.py, line 19)" not in FRENCH.params({"where": "pubsub.py, line 19"})["where"]


def test_what_is_empty_is_said_so() -> None:
    """A list without numbers is "nothing", in a sentence for whoever it may be."""
    params = {"call": "attach()", "who": "m1", "number": 1, "got": "–", "owed": "1", "duty": "x"}
    hole = Anomaly("wrong_join", params, [], "hole")
    assert FRENCH.message(hole).endswith("Reçu en tout\u00a0: rien\u00a0; attendu\u00a0: 1.")
    assert "in total nothing, but should be sent 1." in Words(texts()).message(hole)


def test_a_colon_stays_where_it_is() -> None:
    """In French, a space that does not break comes before it, where we join what a program has said, too."""
    place = FRENCH.params({"where": "store.py, line 7, in members: return"})["where"]
    assert place == "store.py, ligne 7, dans members\xa0: return"
    assert "(code 1006\xa0: " in event(Closed(1.0, "alice", 1, "server", 1006, "eof"))


def test_what_two_steps_have_found_is_told_once() -> None:
    """The second one says that it is shown above; another finding of the same kind is shown."""
    run = swapped()
    (step,) = [step for step in run.steps if step.anomalies]
    other = Anomaly("reorder", {**step.anomalies[0].params, "who": "bob"}, [])
    failed = {"2.3": step.anomalies[:1], "2.4": [other]}
    steps = [
        replace(each, outcome=step.outcome, anomalies=failed[each.step]) if each.step in failed else each
        for each in run.steps
    ]
    out = io.StringIO()
    Terminal(texts("en"), out=out).run(replace(run, steps=steps))
    told = out.getvalue()
    assert told.count("alice received sequence number") == 1
    assert told.count("earlier step shows above") == 1
    assert told.count("bob received sequence number") == 1


def test_signs_have_their_spaces() -> None:
    """Where sentences are put together, as where they are written."""
    assert FRENCH.look(Anomaly("lost", {}, [])).count("\u00a0; ") == 1
    told = page([summary_of(swapped())], texts("fr"), "chatlab check")
    assert "<title>chatlab · Échoué\u00a0: " in told
    assert not re.search(r"\w; \w", " ".join(re.findall(r"<desc[^>]*>([^<]*)", told)))


def test_decimals_have_a_comma() -> None:
    """In what was measured, but not in what a program says, and not in English."""
    cause = Cause("blocks", "KeyError: 1.5", "pubsub.py, line 19, in publish", "x", 1, 0.138, seconds=2.5)
    assert "2,5 s" in FRENCH.first_cause(cause)
    assert "0,138 s" in FRENCH.first_cause(cause)
    assert "0.138 s" in Words(texts()).first_cause(cause)
    assert "1.5" in FRENCH.first_cause(replace(cause, kind="raised"))
    assert texts("fr").say("ui.runs_bound", percent="13.9").count("13,9") == 1
    out = io.StringIO()
    Terminal(texts("fr"), out=out).table(swapped(4))
    assert re.search(r"^. +\d+,\d{4} s  \w", out.getvalue(), re.MULTILINE)
    assert not re.search(r"\d\.\d", out.getvalue())


def test_lines_are_broken_at_spaces() -> None:
    """A hyphen holds words together."""
    out = io.StringIO()
    Terminal(texts("fr"), out=out).block("x" * 90 + " enregistre-t-elle", 0)
    assert out.getvalue().splitlines() == ["x" * 90, "enregistre-t-elle"]


def test_nobody_is_taken_for_a_man() -> None:
    """Sentences about a client, whose name may be anybody's, do without its gender."""
    masculine = r"\{(?:who|subject|sender)\}[^.;]*(?:été déconnecté|silencieux|qu’il était dans|entendu)\b"
    found = {key: text for key, text in texts("fr").keys().items() if re.search(masculine, text)}
    assert not found
    events = ("event.fault_go_silent", "event.fault_lose_outbound", "diagram.disconnected", "gone.go_silent")
    for key in events:
        assert not re.search(r"silencieux|entendu|déconnecté|\bil\b", texts("fr").say(key))
