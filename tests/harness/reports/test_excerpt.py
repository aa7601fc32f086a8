from __future__ import annotations

import pytest

from harness.checkers.catalogue import Anomaly
from harness.history.events import LONG, Closed, Event, GaveUp, Received, Sent, shortened
from harness.reports.causality import EVERYTHING, SERVER, Causality, causality
from harness.reports.excerpt import LANES, MOST, Excerpt, Fold, blamed, excerpt, is_telling
from harness.reports.spacetime import spacetime
from harness.reports.words import Words
from harness.texts import texts
from tests.harness.stories import NONCE, Person, Story

RED, BLUE = f"red-{NONCE}", f"blue-{NONCE}"


def swapped() -> tuple[Story, list[Person], list[Event]]:
    """A long talk of three in which only Alice receives two messages
    in the wrong order; both are evidence.
    """
    story = Story()
    people = story.members(RED, "alice", "bob", "carol")
    story.talk(people, RED, 30)
    one, two = people[1].says(RED, "one"), people[2].says(RED, "two")
    people[0].hears(two, 32)
    guilty = [story.events[-1]]
    people[0].hears(one, 31)
    guilty.append(story.events[-1])
    story.all_hear(people[1:], (one, 31), (two, 32))
    story.talk(people, RED, 30, first=33)
    return story, people, guilty


def shown(found: Excerpt) -> list[Event]:
    """The events of an excerpt, without its folds."""
    return [event for event in found.events if not isinstance(event, Fold)]


def folded(found: Excerpt) -> int:
    """How many events are folded away."""
    return sum(each.count for each in found.events if isinstance(each, Fold))


def labels(found: Causality, *, odd: bool | None = None) -> list[str]:
    """The labels beside the moments."""
    return [each.label for each in found.moments if each.label and odd in (None, each.odd)]


def test_an_excerpt_has_the_evidence_and_its_causes() -> None:
    """Who sent the messages, what that client received before and after,
    and that others received them in order.
    """
    story, _, guilty = swapped()
    found = excerpt(story.events, guilty)
    assert found.guilty == guilty
    said = [event for event in shown(found) if isinstance(event, Sent) and event.client != "alice"]
    assert {"one", "two"} <= {str(event.frame["data"]["content"]).split(". ")[-1] for event in said}
    numbers = [
        event.frame["data"]["sequence"]
        for event in shown(found)
        if isinstance(event, Received) and event.client == "alice"
    ]
    assert numbers == [29, 30, 32, 31, 33, 34]
    assert shown(found) == [event for event in story.events if event in shown(found)], "in their order"


def test_quiet_parts_are_folded_and_counted() -> None:
    """A fold says how many events of the clients shown it stands for; a few events are shown instead."""
    story, _, guilty = swapped()
    found = excerpt(story.events, guilty)
    first, last = shown(found)[1], shown(found)[-1]
    between = story.events[story.events.index(first) : story.events.index(last) + 1]
    theirs = [event for event in between if is_telling(event)]
    assert len(shown(found)) - 1 + folded(found) == len(theirs)
    assert folded(found) > 3
    assert all(each.count > 3 for each in found.events if isinstance(each, Fold))


def test_an_excerpt_stays_small() -> None:
    """However long the history and however many the receivers, it fits on a page."""
    story = Story()
    people = story.members(RED, *(f"person{n}" for n in range(40)))
    story.talk(people, RED, 200)
    line = people[0].says(RED, "look")
    story.all_hear(people, (line, 201))
    found = excerpt(story.events, [story.events[-1]])
    assert len(found.events) <= 2 * (MOST + 1) + 4 * MOST
    assert len({getattr(event, "client", "") for event in shown(found)} - {""}) <= LANES


def test_other_rooms_are_left_out() -> None:
    """Their events are not even counted."""
    story = Story()
    alice, bob = story.clients("alice", "bob")
    for person in (alice, bob):
        person.joins(RED)
        person.joins(BLUE)
    (guilty,) = [event for _ in story.talk([alice], RED, 1) for event in story.events[-1:]]
    story.talk([alice, bob], BLUE, 20)
    story.talk([alice, bob], RED, 2, first=2)
    rooms = {
        event.frame["data"]["room"]
        for event in shown(excerpt(story.events, [guilty]))
        if isinstance(event, Sent) and event.frame["type"] == "message"
    }
    assert rooms == {RED}
    assert folded(excerpt(story.events, [guilty])) == 0


def test_a_named_client_has_a_lane_although_it_did_nothing() -> None:
    """If a client did not receive something, what it saw instead is what matters."""
    story = Story()
    alice, bob = story.members(RED, "alice", "bob")
    story.talk([alice, bob], RED, 3)
    bob.asks_to_leave(RED)
    guilty = story.events[-1]
    story.talk([alice], RED, 3, first=4)
    found = excerpt(story.events, [guilty], named=["alice", "offline", RED])
    assert {getattr(event, "client", "bob") for event in shown(found)[1:]} == {"alice", "bob"}
    without = excerpt(story.events, [guilty])
    assert {getattr(event, "client", "bob") for event in shown(without)[1:]} == {"bob"}


def test_the_last_fault_before_is_shown_with_its_end() -> None:
    """It may be the cause, such as a restart after which numbers start again."""
    story = Story()
    people = story.members(RED, "alice", "bob")
    story.talk(people, RED, 10)
    story.restarts("killed", *people)
    for person in people:
        person.joins(RED)
    story.talk(people, RED, 10)
    drawn = causality(excerpt(story.events, [story.events[-1]]), EVERYTHING)
    assert [each.label for each in drawn.moments if each.lane == SERVER and each.label and not each.fold] == [
        "is killed",
        "is ready again",
    ]


def test_in_an_excerpt_only_the_evidence_is_marked() -> None:
    """A part of a history does not show what is wrong; the checkers have seen all of it."""
    story, _, guilty = swapped()
    both = causality(excerpt(story.events, guilty), EVERYTHING)
    assert labels(both, odd=True) == ["#32 “two”", "#31 “one” late"]
    (late,) = guilty[1:]
    assert labels(causality(excerpt(story.events, [late]), EVERYTHING), odd=True) == ["#31 “one” late"]


def test_only_what_nobody_received_ends_at_the_server() -> None:
    """An excerpt leaves clients out, and one of them may have received it."""
    story = Story()
    people = story.members(RED, *(f"person{n}" for n in range(10)))
    lost, heard = people[0].says(RED, "lost"), people[0].says(RED, "heard")
    story.all_hear(people[9:], (heard, 2))
    sent = [event for event in story.events if isinstance(event, Sent) and event.frame["type"] == "message"]
    assert excerpt(story.events, sent[:1]).unheard == {lost.tag}
    assert excerpt(story.events, sent[1:]).unheard == set()
    assert "received by nobody" in labels(causality(excerpt(story.events, sent[:1]), EVERYTHING))
    assert "received by nobody" not in labels(causality(excerpt(story.events, sent[1:]), EVERYTHING))


def test_all_kinds_of_evidence_are_drawn() -> None:
    """Also events that are in no other diagram: a list, an unknown frame, waiting in vain, a bad frame."""
    story = Story()
    (alice,) = story.members(RED, "alice")
    begin = len(story.events)
    alice.asks_presence(RED)
    alice.gets({"type": "presence", "data": {"room": RED, "full": True, "users": []}})
    alice.asks_history(RED, 0)
    alice.gets_page(RED, [])
    alice.gets({"type": "dance"})
    alice.gets({"type": "heartbeat"})
    story.add(GaveUp(story.tick(), "alice", alice.conn, "history", 3.0, RED))
    alice.misbehaves("not_json", text="{")
    alice.is_dropped(1011)
    drawn = causality(excerpt(story.events, story.events[begin:]), EVERYTHING)
    assert [each.label for each in sorted(drawn.moments, key=lambda m: m.at or 0) if each.odd] == [
        "asks for presence of red",
        "presence: –",
        "asks for history of red",
        "replay: nothing",
        "dance",
        "heartbeat",
        "waits for history, without success",
        "sends text that is not JSON",
        "is disconnected",
    ]


def test_a_diagram_of_an_excerpt_says_when() -> None:
    """The time between two moments may matter; a diagram of a whole history shows no times."""
    story, _, guilty = swapped()
    assert f"{guilty[0].at:.3f} s" in str(spacetime(excerpt(story.events, guilty), "t", EVERYTHING))
    assert f"{guilty[0].at:.3f} s" not in str(spacetime(story.events[:40], "t", EVERYTHING))


def test_a_diagram_in_french() -> None:
    """All text in it, except what people said and the words of the protocol."""
    story, _, guilty = swapped()
    drawn = str(spacetime(excerpt(story.events, guilty), "t", EVERYTHING, texts("fr")))
    assert "en retard" in drawn
    assert "serveur" in drawn
    assert " late" not in drawn
    assert "left out" not in drawn


def test_evidence_is_recognised_after_transport() -> None:
    """Findings come from other processes, and long texts in their histories are cut."""
    story = Story()
    (alice,) = story.members(RED, "alice")
    line = alice.says(RED, "x" * 5000)
    alice.hears(line, 1)
    guilty = story.events[-1]
    short = shortened(story.events)
    assert blamed(short, [guilty]) == [len(short) - 1]
    assert blamed(short, []) == []
    assert excerpt(short, []) == Excerpt([], [], set())


def test_a_since_is_told_only_where_there_was_one() -> None:
    """A join or a request without `since` is not told as one with 0."""
    told = Words(texts("en"))
    joined = {"who": "eve", "room": "red", "sequence": 7, "count": 1, "replayed": 50}
    assert "joined red without `since` but" in told.message(Anomaly("replay_hole", {**joined, "since": None}))
    assert "joined red with `since` 0 but" in told.message(Anomaly("replay_hole", {**joined, "since": 0}))
    asked = {"who": "eve", "room": "red", "missing": 2, "count": 1}
    assert "of red from its beginning, but" in told.message(Anomaly("history_hole", {**asked, "since": None}))
    assert "of red after 0, but" in told.message(Anomaly("history_hole", {**asked, "since": 0}))


def test_what_explains_is_not_cut_off() -> None:
    """The text of an `error`, and the end of an exception; of very long ones, the middle is left out."""
    told = Words(texts("en"))
    reason = "the message could not be accepted (the store raised OSError: no space left on device)"
    error = {"type": "error", "data": {"code": "unavailable", "message": reason}}
    _, _, what = told.event(Received(1.0, "bob", 1, error, 100))
    assert reason in what
    error["data"] = {"code": "unavailable", "message": f"first {'x' * 5000} last"}
    _, _, what = told.event(Received(1.0, "bob", 1, error, 100))
    assert "first" in what
    assert what.endswith("last”")
    assert len(what) < 700
    (short,) = shortened([Received(1.0, "bob", 1, error, 100)])
    assert isinstance(short, Received)
    assert short.frame["data"]["message"].endswith(" last")


def test_shortened_histories_keep_their_form() -> None:
    """Only long texts are cut, wherever they are; the rest is unchanged."""
    story = Story()
    (alice,) = story.members(RED, "alice")
    line = alice.says(RED, "x" * 5000)
    alice.gets_page(RED, [(line, 1)])
    alice.misbehaves("not_json", text="{" * 5000)
    short = shortened(story.events)
    assert len(short) == len(story.events)
    assert short[:-3] == story.events[:-3]
    sent, page, bad = short[-3:]
    assert isinstance(sent, Sent)
    assert isinstance(page, Received)
    assert isinstance(bad, Sent)
    assert len(sent.frame["data"]["content"]) == len(page.frame["data"]["messages"][0]["content"]) == LONG + 1
    assert len(bad.text or "") == LONG + 1


@pytest.mark.parametrize(
    ("event", "words"),
    [
        (Closed(0.0, "a", 1, "server", 1006, "reset"), "Connection reset"),
        (Closed(0.0, "a", 1, "server", 1006, "eof"), "End of file"),
        (Closed(0.0, "a", 1, "server", 1006, ""), "Code 1006"),
        (Closed(0.0, "a", 1, "server", 1011, "reset"), "Code 1011"),
        (GaveUp(0.0, "a", 1, "connection nobody", 0.0), "The connection was refused"),
    ],
)
def test_codes_and_errors_are_explained(event: Event, words: str) -> None:
    """By one sentence each, since a number means nothing to a beginner; unknown ones have none."""
    said = Words(texts("en"))
    (sentence,) = said.explained(Anomaly("dropped_connection", {}, [event, event]))
    assert sentence.startswith(words)
    assert said.explained(Anomaly("dropped_connection", {}, [Closed(0.0, "a", 1, "server", 4321, "")])) == []
    assert said.explained(Anomaly("dropped_connection", {}, [Closed(0.0, "a", 1, "client", 1011, "")])) == []


@pytest.mark.parametrize(
    "line",
    [
        "OSError: [Errno 98] error while attempting to bind",
        "Error: listen EADDRINUSE: address already in use",
    ],
)
def test_a_taken_port_is_explained(line: str) -> None:
    """In whatever language the server says so."""
    (sentence,) = Words(texts("en")).explained(Anomaly("no_start", {"output": f"x\n{line}"}, [], "exited"))
    assert "another process uses the port" in sentence
