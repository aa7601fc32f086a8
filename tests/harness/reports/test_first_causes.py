"""What the judged code did by itself leads each report: terminal, page and JSON."""

from __future__ import annotations

import io

import pytest

from harness.checkers.catalogue import Anomaly
from harness.history.events import Printed
from harness.reports.jsonreport import report
from harness.reports.page import page
from harness.reports.terminal import Terminal
from harness.reports.words import Words
from harness.running.run import Run
from harness.texts import LANGUAGES, texts
from harness.verdict.causes import Cause
from tests.harness.reports.runs import run_of, story_of, summary_of, swapped

PLACE, SOURCE = "pubsub.py, line 12, in publish", "self._rooms[room]"
RAISED = Cause("raised", "KeyError: 'red'", PLACE, SOURCE, 41, 0.31)
TRACEBACK = f"""could not obey
Traceback (most recent call last):
  File "/x/pubsub.py", line 12, in publish
    {SOURCE}
KeyError: 'red'"""


def shown(run: Run, *, verbose: bool = False) -> str:
    """The terminal's report on a run."""
    out = io.StringIO()
    Terminal(texts(), verbose=verbose, out=out).run(run)
    return out.getvalue()


def failed(*causes: Cause) -> Run:
    """A run in which messages were swapped, and for these reasons."""
    run = swapped()
    run.causes = list(causes)
    return run


def test_the_cause_comes_before_what_followed() -> None:
    """With the line of code, how often it happened, and when first."""
    text = shown(failed(RAISED))
    told = f"Your code raised KeyError: 'red' in {PLACE} (41 times, first at 0.310 s):\n      {SOURCE}\n"
    assert text.count(told) == 1
    assert text.index(told) < text.index("(reorder)")
    html = page([summary_of(failed(RAISED))], texts(), "chatlab check")
    assert html.index("KeyError") < html.index("(reorder)")


def test_what_the_first_finding_says_is_not_told_twice() -> None:
    """A component that was called directly raises at the same place; elsewhere, both are told."""
    run = failed(RAISED)
    params = {"call": "publish()", "error": "KeyError: 'red'", "where": f"{PLACE}: {SOURCE}", "duty": "x"}
    run.steps[0].anomalies = [Anomaly("call_raised", params, [])]
    assert "Your code raised" not in shown(run)
    params["where"] = "pubsub.py, line 99, in publish: x"
    assert "Your code raised" in shown(run)


def test_few_causes_are_shown() -> None:
    """The others are counted; JSON has all of them."""
    causes = [Cause("raised", "KeyError", f"a.py, line {line}, in f", at=1.0) for line in range(1, 6)]
    text = shown(failed(*causes))
    assert text.count("Your code raised") == 3
    assert "… and 2 more like these" in text
    assert len(report(summary_of(failed(*causes)), texts())["causes"]) == 5


def test_a_run_that_passed_has_a_note() -> None:
    """Exceptions are no failure. Those that come from clients that go away are not told at all."""
    story, _ = story_of(20)
    run = run_of(story, {})
    run.causes = [RAISED, Cause("raised", "ConnectionResetError", PLACE, is_usual=True)]
    text = shown(run)
    assert text.count("Your code raised") == 1
    assert f"Note: Your code raised KeyError: 'red' in {PLACE}" in text


def test_what_json_says_of_a_cause() -> None:
    """The same, in parts."""
    assert report(summary_of(failed(RAISED)), texts())["causes"] == [
        {
            "exercise": 2,
            "kind": "raised",
            "message": f"Your code raised KeyError: 'red' in {PLACE} (41 times, first at 0.310 s):",
            "what": "KeyError: 'red'",
            "where": PLACE,
            "source": SOURCE,
            "count": 41,
            "at": 0.31,
        }
    ]


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(
    "kind",
    [
        *("raised", "elsewhere", "unusable", "unusable None", "unusable undefined", "none", "unawaited"),
        *("blocks", "task", "unhandled", "floating"),
    ],
)
@pytest.mark.parametrize(("at", "count"), [(None, 1), (0.5, 1), (0.5, 3)])
def test_each_kind_has_its_words(language: str, kind: str, at: float | None, count: int) -> None:
    """In each language, with its place."""
    errors = {"unusable None": "TypeError: 'NoneType' object", "unusable undefined": "undefined is not x"}
    error = errors.get(kind, "TypeError: 1")
    cause = Cause(kind.split()[0], "thing", PLACE, SOURCE, count, at, error, 2.5)
    told = Words(texts(language)).first_cause(cause)
    assert {"en": PLACE, "fr": "pubsub.py, ligne 12, dans publish"}[language] in told
    assert "first." not in told
    assert "{" not in told
    assert ("None" in told) == (kind in ("none", "unusable None"))
    assert ("undefined" in told) == (kind == "unusable undefined")


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("kind", ["unhandled", "heap"])
def test_a_cause_may_have_no_place(language: str, kind: str) -> None:
    """Node does not always tell one: then the text has no room for it."""
    told = Words(texts(language)).first_cause(Cause(kind, "out of memory", "", at=0.5))
    assert "out of memory" in told
    assert not any(each in told for each in ("first.", "{", "  ", "dans (", "in ("))
    assert told.endswith({"en": "(at 0.500 s)", "fr": "(à 0,500 s)"}[language])


def test_a_table_shows_what_was_printed_at_its_moment() -> None:
    """A traceback in one line: the exception, and the line of code. The page has all of it, folded."""
    run = swapped(20)
    last = run.history[-1].at
    run.history += [Printed(last, "hello <b>"), Printed(last, TRACEBACK), Printed(last, "", more=9)]
    out = io.StringIO()
    Terminal(texts(), out=out).table(run)
    assert "prints    hello <b>\n" in out.getvalue()
    assert f"prints    KeyError: 'red'   {PLACE}: {SOURCE}\n" in out.getvalue()
    assert "prints 9 more characters" in out.getvalue()
    html = page([summary_of(run)], texts(), "chatlab check")
    assert "<summary>prints    KeyError:" in html
    assert "could not obey\nTraceback (most" in html
