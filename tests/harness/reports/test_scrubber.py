"""The scrubber: what each step shows, that it is a picture without its script, and how big it may be."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.checkers.catalogue import Anomaly
from harness.history.events import Event, Fault, History, Received, Sent
from harness.reports.causality import EVERYTHING
from harness.reports.excerpt import Excerpt, excerpt
from harness.reports.page import page
from harness.reports.scrubber import LINES, Scrubber, script, scrubber, style
from harness.reports.seen import Record
from harness.reports.spacetime import spacetime
from harness.reports.words import Words
from harness.texts import texts
from tests.harness.reports.runs import RED, run_of, story_of, summary_of, swapped
from tests.harness.stories import NONCE, PROPERTY, Story

_WORDS = Words(texts("en"), NONCE)


def data_of(made: Scrubber) -> dict[str, Any]:
    """What its script reads."""
    found = re.search(r'<script type="application/json">(.*?)</script>', made.fragment, re.DOTALL)
    assert found
    read: dict[str, Any] = json.loads(found[1])
    return read


def shown(data: dict[str, Any], number: int) -> dict[str, list[str]]:
    """The messages that each client has after a step, with what is odd about them and what is missing."""
    lines: dict[str, list[str]] = {lane: [] for lane in data["lanes"]}
    gaps = dict.fromkeys(data["lanes"], "")
    for step in data["steps"][: number + 1]:
        for change in step["seen"]:
            lane = data["lanes"][change["lane"]]
            for room in change.get("rooms", ()):
                lines[lane] += [" ".join(line) for line in room.get("lines", ())]
                gaps[lane] = room.get("missing", gaps[lane])
    return {lane: lines[lane] + ([f"missing {gaps[lane]}"] if gaps[lane] else []) for lane in lines}


def step_of(data: dict[str, Any], told: str) -> int:
    """The number of the step that tells something."""
    return next(
        number for number, step in enumerate(data["steps"]) if any(told in each for each in step["told"])
    )


def blamed(messages: int = 60) -> tuple[Excerpt, Record]:
    """The excerpt of a swap, and the record of its history."""
    run = swapped(messages)
    found = excerpt(run.history, run.steps[1].anomalies[0].evidence, named=["alice"])
    return found, Record(run.history)


# --- what is seen at each step --------------------------------------------------------------------


def test_a_message_is_on_its_way_before_it_is_seen() -> None:
    """It is sent, arrives, is sent on, and only then anybody has it; in the end all have."""
    story = Story()
    alice, bob = story.members(RED, "alice", "bob")
    line = alice.says(RED, "hello")
    story.all_hear([alice, bob], (line, 1))
    data = data_of(scrubber(story.events, "A message"))
    stations = [
        step_of(data, told)
        for told in (
            "alice sends “hello”",
            "reaches the server: alice sends “hello”",
            "the server sends to alice, bob: #1 “hello”",
            "bob receives #1 “hello”",
        )
    ]
    assert stations == sorted(set(stations))
    assert shown(data, stations[2]) == {"alice": [], "bob": []}
    assert shown(data, stations[3]) == {"alice": ["#1 alice: hello"], "bob": ["#1 alice: hello"]}
    assert data["steps"][stations[3]]["told"] == ["alice receives #1 “hello”", "bob receives #1 “hello”"]
    assert data["start"] == len(data["steps"]) - 1


def test_a_swap_is_seen_as_it_happens() -> None:
    """Alice has all that she had before; then a number is missing, and then it comes late."""
    found, record = blamed()
    data = data_of(scrubber(found, "t", EVERYTHING, _WORDS, record))
    before = shown(data, 0)
    assert before["alice"][-1] == "#58 alice: no. 27"
    gap = step_of(data, "relevant: alice receives #62")
    late = step_of(data, "relevant: alice receives #61")
    assert shown(data, gap)["alice"][-2:] == ["#62 carol: two", "missing #61"]
    assert shown(data, late)["alice"][-2:] == ["#62 carol: two", "#61 bob: one late"]
    assert data["start"] == late
    assert [number for number, step in enumerate(data["steps"]) if step.get("odd")] == [gap, late]
    assert "the server sends to alice: #61 “one”" in data["steps"][gap]["told"], "lateness is Alice's"


def test_what_a_fold_leaves_out_is_seen_all_the_same() -> None:
    """Bob's messages in between, of which the newest are listed."""
    found, record = blamed()
    data = data_of(scrubber(found, "t", EVERYTHING, _WORDS, record))
    fold = step_of(data, "events left out")
    (change,) = [each for each in data["steps"][fold]["seen"] if data["lanes"][each["lane"]] == "bob"]
    (room,) = change["rooms"]
    assert len(room["lines"]) == LINES
    assert room["lines"][-1] == ["#60", "carol: no. 29"]
    first = next(each for each in data["steps"][0]["seen"] if data["lanes"][each["lane"]] == "bob")
    assert first["rooms"][0]["left"] + room["left"] + 2 * LINES == 60


def test_nobody_has_seen_what_was_not_sent_yet() -> None:
    """Steps are in logical time: at each of them, all causes of what is there have been shown."""
    story, _ = story_of(24)
    data = data_of(scrubber(story.events, "t"))
    sent: set[str] = set()
    for step in data["steps"]:
        for told in step["told"]:
            if found := re.match(r"(\w+) sends “(.*)”", told):
                sent.add(f"{found[1]}: {found[2]}")
        for change in step["seen"]:
            for room in change.get("rooms", ()):
                assert {said for _, said, *_ in room.get("lines", ())} <= sent
    assert sent
    final = shown(data, len(data["steps"]))
    assert all(len(lines) == 24 for lines in final.values())


def test_presence_and_connections_are_those_of_each_client() -> None:
    """What one is told of another, and how its own connection is."""
    story = Story(3)
    alice, bob = story.members(RED, "alice", "bob")
    alice.is_shown(RED, {"bob": "online"}, False)
    bob.is_cut()
    alice.is_shown(RED, {"bob": "offline"}, False)
    data = data_of(scrubber(story.events, "t", EVERYTHING))
    changes = [change for step in data["steps"] for change in step["seen"]]
    alices = [room["present"] for each in changes if each["lane"] == 0 for room in each.get("rooms", ())]
    assert alices == ["bob online", "bob offline"]
    assert [each["is"] for each in changes if each["lane"] == 1 and "is" in each] == [
        "connected",
        "is reset",
        "not connected",
    ]


def test_of_many_users_those_are_listed_who_are_drawn() -> None:
    """A room may hold hundreds."""
    story = Story(3)
    (alice,) = story.members(RED, "alice")
    alice.is_shown(RED, {f"guest{n}": "online" for n in range(20)} | {"alice": "away"}, False)
    data = data_of(scrubber(story.events, "t", EVERYTHING))
    (room,) = (room for step in data["steps"] for change in step["seen"] for room in change.get("rooms", ()))
    assert room["present"].startswith("alice away, guest0 online, ")
    assert room["present"].endswith(", …")


def test_each_step_tells_something() -> None:
    """Also where the diagram only draws, since the label of another moment says it: the server has ended."""
    story, people = story_of(6)
    story.ends("killed", *people)
    data = data_of(scrubber(story.events, "t"))
    assert all(step["told"] for step in data["steps"])
    killed = step_of(data, "server is killed")
    assert data["steps"][killed + 1]["told"] == [f"{each.name} is disconnected" for each in people]
    assert {each["is"] for each in data["steps"][killed + 1]["seen"]} == {"not connected"}


# --- the fragment -----------------------------------------------------------------------------------


def test_without_its_script_it_is_the_picture() -> None:
    """Exactly the one that there would be, in an element that shows nothing else."""
    found, record = blamed()
    made = scrubber(found, "When", EVERYTHING, _WORDS, record)
    assert str(made.drawing) == str(spacetime(found, "When", EVERYTHING, _WORDS.texts))
    rest = re.sub(r"<script.*?</script>", "", made.fragment.replace(str(made.drawing), ""), flags=re.DOTALL)
    assert re.sub(r"<[^>]*>", "", rest).strip() == ""


def test_it_is_whole_by_itself_and_the_same_each_time() -> None:
    """A notebook shows its HTML, which loads nothing, and has the style and the script with it."""
    first, second = (str(scrubber(story_of(12)[0].events, "t")) for _ in range(2))
    assert first == second
    assert style() in first
    assert script() in first
    assert re.findall(r"(?:src|href)=|url\(|@import|https?:(?!//www.w3.org/2000/svg)", first) == []
    assert re.findall(r'\bid="(?!d[0-9a-f]{8}-)', first) == []
    assert scrubber([], "t")._repr_html_()


@pytest.mark.parametrize("text", ["</script><img src=x onerror=alert(1)>", "<!--<script>", "&lt;b&gt;"])
def test_no_text_of_a_server_is_markup(text: str) -> None:
    """It stands in JSON without any sign that HTML has a meaning for, and is read as it was."""
    story, (alice, *_) = story_of(4)
    line = alice.says(RED, text)
    alice.hears(line, 5, user=text)
    fragment = scrubber(story.events, text).fragment
    written = fragment.partition('<script type="application/json">')[2].removesuffix("</script>\n</div>")
    assert not set("<>&") & set(written)
    assert any(f"{text}: {text}"[:20] in each for each in json.dumps(json.loads(written)).split('"'))


def test_a_long_history_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """So many rows can be stepped through; it is said that there are more."""
    monkeypatch.setattr("harness.reports.scrubber.STEPS", 10)
    data = data_of(scrubber(story_of(12)[0].events, "t"))
    assert len(data["steps"]) == 11
    assert any(re.search(r"\(\d\d rows\) cannot be stepped through", note) for note in data["notes"])


def test_a_big_failure_does_not_make_a_page_much_bigger() -> None:
    """By less than a third, with all the findings that are shown, of ten thousand events."""
    run = swapped(2500)
    said = [event for event in run.history if isinstance(event, Received)][-400::40]
    names = ("reorder", "lost", "duplicate")
    found = [
        Anomaly(name, {"who": "alice", "room": RED}, [event])
        for name, event in zip(names, said, strict=False)
    ]
    for step in run.steps:
        step.anomalies = list(found)
    text = page([summary_of(run)], texts("en"), "")
    added = sum(map(len, re.findall(r'<script type="application/json">.*?</script>', text, re.DOTALL)))
    assert text.count('<div class="chatlab-scrubber">') == 4 * len(names)
    assert added + len(script()) + len(style()) < 0.3 * (len(text) - added)
    assert added < 15_000 * 4 * len(names)


@PROPERTY
@given(st.data())
def test_there_is_a_scrubber_for_any_history(data: st.DataObject) -> None:
    """Of which a part is missing, is out of order, or comes twice."""
    story, (alice, bob, carol) = story_of(6)
    alice.is_shown(RED, {"bob": "away"})
    bob.faults("go_silent")
    carol.is_cut()
    carol.connects()
    alice.gets({"type": "message", "data": {"room": [RED], "sequence": {}}})
    alice.gets({"type": "presence", "data": {"room": RED, "users": [{"user": 1}]}})
    kinds = Sent | Received | Fault
    pool: list[Event] = [event for event in story.events if isinstance(event, kinds)] + story.events[:3]
    events: History = data.draw(st.lists(st.sampled_from(pool), max_size=16))
    read = data_of(scrubber(events, "t", EVERYTHING))
    assert len(read["steps"]) >= 1
    found = excerpt(story.events, events)
    if found.events:
        read = data_of(scrubber(found, "t", EVERYTHING, _WORDS, Record(story.events)))
        assert 0 <= read["start"] < len(read["steps"])


def test_the_page_allows_its_own_script_and_nothing_else() -> None:
    """By the hash of what it has; a page without diagrams allows none."""
    text = page([summary_of(swapped())], texts("en"), "")
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)
    assert policy
    assert "default-src 'none'; style-src 'sha256-" in policy[1]
    assert "; script-src 'sha256-" in policy[1]
    assert "unsafe" not in policy[1]
    empty = run_of(Story(2), {})
    empty.history = []
    assert "; script-src 'none';" in page([summary_of(empty)], texts("en"), "")
