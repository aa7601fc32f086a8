from __future__ import annotations

import io
import json
import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.checkers.catalogue import Anomaly
from harness.history.events import Received, Sent
from harness.history.index import HistoryIndex
from harness.reports.charts import histogram
from harness.reports.events import MOST, events_as_html
from harness.reports.page import page
from harness.reports.scrubber import script
from harness.reports.strip import MOST_CLIENTS, Row, Span, rows, strips
from harness.reports.summary import Scene, Summary
from harness.reports.terminal import Terminal
from harness.reports.timeline import best_witness, timeline
from harness.reports.timeline import rows as timeline_rows
from harness.reports.words import Words
from harness.texts import texts
from tests.harness.reports.runs import RED, run_of, story_of, summary_of, swapped
from tests.harness.stories import NONCE, PROPERTY, Story

_VOID = {"meta", "br", "link", "img"}
_SCRIPT = re.compile(r"<script(?: type=\"(?P<kind>[^\"]*)\")?>(?P<inside>.*?)</script>", re.DOTALL)
_OPTIONAL = {"tr", "td", "th", "thead", "tbody"}


class _Reader(HTMLParser):
    """Parses a page strictly: it fails where a browser would have to guess."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.outside: list[str] = []
        self.folds = 0
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in _VOID | _OPTIONAL:
            self.open.append(tag)
        self.folds += tag == "details"
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            if name == "href":
                self.links.append(value or "")
            if name in ("src", "href") and not (value or "").startswith("#"):
                self.outside.append(value or "")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.ids += [value or "" for name, value in attrs if name == "id"]

    def handle_endtag(self, tag: str) -> None:
        if tag not in _OPTIONAL:
            assert self.open.pop() == tag


def page_of(summary: Summary, lang: str = "en") -> str:
    """The page, which must be well-formed, load nothing, run nothing but our script, and have no id twice."""
    text = page([summary], texts(lang), "chatlab check 2 --seed 7")
    read = _Reader(text)
    assert read.outside == []
    found = list(_SCRIPT.finditer(text))
    assert text.count("<script") == text.count("</script") == len(found)
    assert {each["inside"].strip() for each in found if each["kind"] is None} <= {script().strip()}
    for each in found:
        assert each["kind"] in (None, "application/json")
        if each["kind"]:
            assert json.loads(each["inside"])["steps"]
    assert "url(" not in text
    assert len(read.ids) == len(set(read.ids))
    assert {link[1:] for link in read.links} <= set(read.ids)
    return text


def _texts_in(value: Any) -> str:
    """All texts in a JSON value, without the keys of its objects."""
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return value if isinstance(value, str) else " ".join(map(_texts_in, inside))


# --- the page -------------------------------------------------------------------------------------


def test_a_failure_is_reported_first_and_explained_below() -> None:
    """The verdict, each step, each kind of anomaly once, the diagram, and how to replay it."""
    text = page_of(summary_of(swapped()))
    assert '<h1 class="failed">✗ Failed: 3 of 4 steps passed</h1>' in text
    assert 'href="#step-2-2-reorder"' in text
    assert text.count("In red, alice received sequence number 62, and then 61.") == 1
    assert "… and 1 more like this" in text
    assert "When it happened: Messages arrive out of order" in text
    assert "#61 “one” late" in text
    assert "<pre>chatlab check 2 --seed 7</pre>" in text
    assert "a &lt;b&gt; &amp; c" in text
    assert "my &lt;server&gt;" in text
    assert "late by 12 ms" in text


def test_a_pass_has_a_page_too() -> None:
    """With its proofs, and a part of the history in which nothing is marked."""
    story, (alice, *others) = story_of(40)
    alice.is_cut()
    story.talk(others, RED, 4, first=41)
    alice.connects()
    text = page_of(summary_of(run_of(story, {})))
    assert '<h1 class="passed">✓ Passed: 4 of 4 steps passed</h1>' in text
    assert "3 messages in 1 room" in text
    assert "1 rooms" not in text
    assert "A fault and its consequences" in text
    assert "is reset" in text
    assert "unexpected" not in text
    quiet, _ = story_of(40)
    assert "How the first messages were delivered" in page_of(summary_of(run_of(quiet, {})))


def test_what_is_missing_is_left_out() -> None:
    """A run without a history, such as one that never began, still has a verdict."""
    story = Story(2)
    died = Anomaly("no_start", {"output": "boom", "code": 1, "seconds": 1}, [], "exited")
    run = run_of(story, {"2.1": [died], "2.2": [Anomaly("not_reached", {"blocked": "2.1"})]})
    run.history = []
    text = page_of(summary_of(run))
    assert "It exited with code 1" in text
    assert "because step 2.1 could not be completed" in text
    assert "<figure" not in text


def test_an_error_of_the_kit_is_no_verdict() -> None:
    """It is reported as an error of the kit, with its traceback."""
    run = run_of(Story(2), {})
    run.steps, run.defect = [], "Traceback: <x>"
    assert "Traceback: &lt;x&gt;" in page_of(summary_of(run))


def test_of_several_runs_the_first_of_the_worst_is_shown() -> None:
    """With how many passed, and, if all did, what that excludes."""
    right, _ = story_of(20)
    text = page_of(summary_of(run_of(right, {}), swapped(), swapped(80)))
    assert "3 runs: 1 passed, 2 failed (seeds 7, 7)" in text
    assert "received sequence number 62" in text
    assert "received sequence number 82" not in text
    assert "95 % certainty" in page_of(summary_of(run_of(right, {}), run_of(right, {})))


def test_a_small_scene_is_drawn_as_a_whole() -> None:
    """With the command that plays it again."""
    run = swapped()
    scene = Scene(2, "reorder", swapped(4), "replays/x.json")
    text = page_of(summary_of(run, scenes=[scene]))
    assert "The smallest scenario that fails in this way: Messages arrive out of order" in text
    assert "<pre>chatlab replay replays/x.json</pre>" in text


def test_a_page_is_in_one_language() -> None:
    """No English is left in a French page, except names and the words of the protocol."""
    text = page_of(summary_of(swapped()), "fr")
    assert '<html lang="fr">' in text
    prose = re.sub(r"<style>.*?</style>", "", text, flags=re.S)
    prose = _SCRIPT.sub(lambda found: _texts_in(json.loads(found["inside"])) if found["kind"] else "", prose)
    assert "�" not in text, "spaces that do not break are spaces"
    assert "\u00a0" in text
    for word in ("the", "and", "events", "late", "steps", "heard", "received", "server", "Numbers"):
        assert not re.search(rf"\b{word}\b", re.sub(r"<[^>]*>|my &lt;server&gt;", " ", prose)), word


def test_two_thousand_events_stay_under_a_megabyte_and_ten_thousand_are_folded() -> None:
    """Quiet parts are closed, evidence is open, so that a browser has little to lay out."""
    assert len(page_of(summary_of(swapped(500)))) < 1_000_000
    run = swapped(2500)
    assert len(run.history) > 10_000
    text = page_of(summary_of(run))
    opened = re.sub(r"<details>.*?</details>", "", text, flags=re.S)
    assert opened.count("<tr") < 60
    assert 'class="guilty"' in opened
    assert text.count("<tr") > 10_000


def test_any_text_can_stand_in_a_page() -> None:
    """Markup, control characters and halves of characters may come from servers, too."""
    story, (alice, *_) = story_of(4)
    line = alice.says(RED, "<script>alert(1)</script>\x00\ud83d]]>")
    alice.hears(line, 5)
    text = page_of(summary_of(run_of(story, {"2.1": [Anomaly("lost", {"who": "<b>"}, story.events[-1:])]})))
    text.encode("utf-8")
    assert "&lt;script&gt;" in text


# --- its parts ------------------------------------------------------------------------------------


def test_strips_show_gaps_repeats_and_swaps() -> None:
    """Live numbers after one join increase by one; what is in a page is no gap,
    nor is what a client was away for.
    """
    story = Story()
    alice, bob, eve = story.members(RED, "alice", "bob", "eve")
    said = [(alice.says(RED, str(n)), n) for n in range(1, 11)]
    story.all_hear([alice], *said)
    story.all_hear([bob], *said[:3], *said[4:6], said[3], said[5], *said[7:])
    story.all_hear([eve], *said[:2])
    eve.is_cut()
    eve.connects()
    eve.joins(RED, 2, said[2:5])
    story.all_hear([eve], *said[5:])
    assert rows(story.index, RED) == [
        Row("bob", [Span(1, 6), Span(8, 10)], [], [Span(7, 7)], [4], [6]),
        Row("alice", [Span(1, 10)]),
        Row("eve", [Span(1, 2), Span(6, 10)], [Span(3, 5)]),
    ]


def test_an_answer_to_a_retry_is_not_out_of_order() -> None:
    """It comes late, or again, because it was asked for."""
    story = Story()
    (alice,) = story.members(RED, "alice")
    line = alice.says(RED, "one", id="x")
    alice.hears(line, 1)
    story.talk([alice], RED, 3, first=2)
    alice.repeats(line)
    alice.hears(line, 1)
    (row,) = rows(story.index, RED)
    assert not row.is_odd


def test_strips_stay_readable_for_many() -> None:
    """They have a row for each of so many clients, name those left out, and have a text description."""
    story = Story()
    people = story.members(RED, *(f"p{n:02}" for n in range(MOST_CLIENTS + 6)))
    story.talk(people, RED, 3)
    drawn = strips(HistoryIndex(story.events), RED, "t", texts("en"), story.events[-1:])
    root = ET.fromstring(str(drawn))
    written = [each.text or "" for each in root.iter("{http://www.w3.org/2000/svg}text")]
    assert sum(text.startswith(("p0", "p1", "p2")) for text in written) == 24
    assert any("6 more clients are left out" in text for text in written)
    assert "p00: live 1–3." in (root[1].text or "")


def test_an_empty_room_can_be_drawn() -> None:
    """It has no content, and that is no error."""
    ET.fromstring(str(strips(HistoryIndex(Story().events), RED, "t", texts("en"))))
    ET.fromstring(str(histogram([], "t", "x", "y")))


@pytest.mark.parametrize(
    ("seconds", "bars"),
    [([0.001], {"≤ 1": 1}), ([0.0010001, 0.002], {"≤ 2": 2}), ([0.0, 3.0], {"≤ 0.02": 1, "≤ 5000": 1})],
)
def test_a_histogram_counts_each_time_once(seconds: list[float], bars: dict[str, int]) -> None:
    """A time on an edge belongs to the bar that ends there; the smallest and largest are counted, too."""
    root = ET.fromstring(str(histogram(seconds, "t", "x", "y")))
    written = [each.text or "" for each in root.iter("{http://www.w3.org/2000/svg}text")]
    found = {
        label: int(written[place - 1])
        for place, label in enumerate(written)
        if label.startswith("≤") and written[place - 1] != "0"
    }
    assert found == bars


def test_what_happened_is_listed_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """Events beyond the limit are counted."""
    monkeypatch.setattr("harness.reports.events.MOST", 50)
    story, _ = story_of(60)
    text = events_as_html(story.events, [], Words(texts("en"), NONCE))
    assert len(re.findall(r"<tr[^>]*><td>\d", text)) == 50
    listed = sum(isinstance(event, Sent) for event in story.events)
    assert listed > 50
    assert re.search(r"\d+ more events are left out", text)
    assert MOST >= 10_000


def test_presence_is_drawn_as_one_client_received_it() -> None:
    """A bar for each status, from when it was shown; a user missing from a full list is offline."""
    story = Story(3)
    alice, bob = story.members(RED, "alice", "bob")
    both = {alice.user: "online", bob.user: "online"}
    alice.is_shown(RED, both, True)
    bob.faults("go_silent")
    broken = story.at
    alice.is_shown(RED, {bob.user: "away"}, False)
    alice.is_shown(RED, both, True)
    alice.is_shown(RED, {alice.user: "online"}, True)
    index = story.index
    assert best_witness(index) == ("alice", RED)
    one, two = timeline_rows(index, "alice", RED)
    assert [str(status) for _, status in one.shown] == ["online"]
    assert [str(status) for _, status in two.shown] == ["online", "away", "online", "offline"]
    assert two.breaks == [broken]
    drawn = str(timeline(index, "alice", RED, Words(texts("en"), NONCE)))
    assert "The presence of users in red as alice received it, over time" in drawn
    assert best_witness(Story().index) is None


_TYPES = st.sampled_from(["message", "history", "presence", "error", "connected", "heartbeat", "dance"])
_KEYS = st.sampled_from(["room", "messages", "users", "user", "status", "content", "sequence", "code", "id"])
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(_KEYS | st.text(max_size=4), inner, max_size=4)
    ),
    max_leaves=12,
)


@PROPERTY
@given(st.lists(st.tuples(_TYPES, _JSON), min_size=1, max_size=6))
def test_there_is_a_page_for_anything_a_server_sends(frames: list[tuple[str, Any]]) -> None:
    """A report that fails would hide the verdict: any frame can be evidence, drawn and listed."""
    story, (alice, *_) = story_of(4)
    begin = len(story.events)
    for kind, data in frames:
        alice.gets({"type": kind, "data": data, "room": data})
        alice.gets(data)
    blamed = [each for each in story.events[begin:] if isinstance(each, Received)]
    found = Anomaly("malformed_frame", {"who": "alice", "field": "data.room[0].x"}, blamed)
    run = run_of(story, {"2.1": [found]})
    page_of(summary_of(run))
    out = io.StringIO()
    Terminal(texts("en"), out=out).run(run)
    Terminal(texts("en"), out=out).table(run)
    assert out.getvalue()
