"""Bad frames: each is answered by `error`, changes nothing, and leaves everybody connected."""

from __future__ import annotations

from math import inf
from typing import Any

import pytest

from harness.checkers import errors, lifecycle
from harness.checkers.catalogue import Anomaly
from harness.verdict.any_history import leniencies
from tests.harness.stories import Person, Story, facts, names_of


def misbehaves(person: Person, rule: str, *, answered: bool = True, served: bool = True) -> None:
    """A bad frame, its answer, and a fence after it."""
    person.misbehaves(rule)
    if answered:
        person.is_refused()
    if served:
        person.fences()


def test_a_bad_id_must_be_refused_where_ids_are_kept() -> None:
    """A server that makes its own ids need not check them; but no client may be cut off for one."""
    for keeps, names in ((True, ["unanswered_error"]), (False, [])):
        story = Story()
        (mallory,) = story.members("red", "mallory")
        line = mallory.says("red", id="mine")
        mallory.hears(line, 1, id="mine" if keeps else "theirs")
        misbehaves(mallory, "id_number", answered=False)
        assert names_of(errors.unanswered(story.index, 0.0, inf)) == names
        assert errors.counted(story.index, 0.0, inf) == keeps
        mallory.misbehaves("id_long")
        mallory.is_dropped(1011)
        assert "dropped_connection/bad_frame" in names_of(errors.unanswered(story.index, 0.0, inf))


# --- right histories ------------------------------------------------------------------------------


def test_bad_frames_that_are_all_answered() -> None:
    """Each has its error, with or without a code: no findings, and they are counted."""
    story = Story()
    (mallory,) = story.clients("mallory")
    for rule in ("not_json", "no_type", "room_dots"):
        misbehaves(mallory, rule)
    mallory.misbehaves("unknown_type")
    mallory.is_refused(code=None)
    assert names_of(errors.unanswered(story.index, 0.0, inf)) == []
    assert errors.counted(story.index, 0.0, inf) == 4
    assert names_of(errors.obeyed(story.index)) == []


def test_an_empty_history_has_nothing_wrong() -> None:
    """No events, no findings."""
    log = Story().index
    assert (errors.unanswered(log, 0.0, inf), errors.obeyed(log), errors.counted(log, 0.0, inf)) == (
        [],
        [],
        0,
    )


def test_a_frame_may_be_answered_after_the_fence() -> None:
    """Until the next bad frame, any error belongs to this one; the order of answers is not judged here."""
    story = Story()
    (mallory,) = story.clients("mallory")
    misbehaves(mallory, "no_type", answered=False)
    mallory.is_refused()
    misbehaves(mallory, "not_json")
    assert names_of(errors.unanswered(story.index, 0.0, inf)) == []


def test_an_error_at_the_time_of_a_bad_frame_answers_that_one() -> None:
    """It comes at once where the clock stands still; it never answers the bad frame before."""
    story = Story()
    (mallory,) = story.clients("mallory")
    mallory.misbehaves("no_type")
    with story.moment():
        mallory.misbehaves("not_json")
        mallory.is_refused()
    assert facts(errors.unanswered(story.index, 0.0, inf), "what", "count") == ["no_type", 1]


def test_both_ends_of_a_step_belong_to_it() -> None:
    """A bad frame that was sent when a step began or ended is one of that step."""
    story = Story()
    (mallory,) = story.clients("mallory")
    mallory.misbehaves("no_type")
    first = story.at
    mallory.misbehaves("not_json")
    log, last = story.index, story.at
    assert errors.counted(log, first, first) == errors.counted(log, last, last) == 1
    assert facts(errors.unanswered(log, first, last), "count", "of") == [2, 2]


def test_only_bad_frames_of_the_step_are_judged() -> None:
    """Those of other steps are judged there."""
    story = Story()
    (mallory,) = story.clients("mallory")
    misbehaves(mallory, "no_type", answered=False)
    middle = story.passes(1)
    misbehaves(mallory, "not_json")
    log = story.index
    assert names_of(errors.unanswered(log, middle, inf)) == []
    assert errors.counted(log, middle, inf) == errors.counted(log, 0.0, middle) == 1
    assert facts(errors.unanswered(log, 0.0, middle), "what") == ["no_type"]


@pytest.mark.parametrize("how", ["asked_to_stop", "killed", "died"])
def test_a_connection_that_ends_with_the_server_is_not_dropped_for_a_bad_frame(how: str) -> None:
    """The last bad frame of a connection is not the cause of the server's end, however late it comes."""
    story = Story()
    (mallory,) = story.clients("mallory")
    misbehaves(mallory, "no_type")
    story.passes(30)
    story.ends(how, mallory)
    assert names_of(errors.unanswered(story.index, 0.0, inf)) == []


def test_a_frame_at_which_the_server_ended_is_not_unanswered() -> None:
    """There was nobody to answer; the end itself is another checker's, and later bad frames are judged."""
    story = Story()
    (mallory,) = story.clients("mallory")
    mallory.misbehaves("no_type")
    mallory.is_dropped(1006)
    story.server("died", code=1)
    assert names_of(errors.unanswered(story.index, 0.0, inf)) == []
    story.server("ready")
    mallory.connects()
    misbehaves(mallory, "not_json", answered=False)
    assert facts(errors.unanswered(story.index, 0.0, inf), "what", "count", "of") == ["not_json", 1, 2]


def test_a_connection_that_is_served_after_its_bad_frame_was_not_dropped_for_it() -> None:
    """If it is dropped after that, even at once, that has another cause, which other checkers look for."""
    for seconds in (0, 5):
        story = Story()
        (mallory,) = story.clients("mallory")
        mallory.misbehaves("no_type")
        mallory.is_refused()
        mallory.asks_presence("fence-1")
        with story.moment():
            mallory.is_shown("fence-1", {}, full=True)
            story.passes(seconds)
            mallory.is_dropped(1006)
        assert names_of(errors.unanswered(story.index, 0.0, inf)) == []


def test_a_question_before_a_bad_frame_does_not_show_that_it_was_served() -> None:
    """Its answer may have been in flight already: only what is asked afterwards counts."""
    story = Story()
    (mallory,) = story.clients("mallory")
    with story.moment():
        mallory.asks_presence("fence-1")
        mallory.misbehaves("no_type")
    bad = story.index.sent[-1]
    mallory.is_shown("fence-1", {}, full=True)
    mallory.is_refused()
    assert errors.served_again(story.index, bad) == inf
    mallory.fences()
    assert errors.served_again(story.index, bad) == story.at


def test_a_frame_over_the_limit_may_cost_the_connection() -> None:
    """Closed with 1009 after an error is allowed."""
    story = Story()
    (mallory,) = story.clients("mallory")
    mallory.misbehaves("content_long")
    mallory.is_refused("too_large")
    mallory.is_dropped(1009)
    assert names_of(errors.unanswered(story.index, 0.0, inf)) == []


# --- unanswered, dropped --------------------------------------------------------------------------


def test_bad_frames_that_get_no_error() -> None:
    """The finding counts them, and names each rule once, in order."""
    story = Story()
    (mallory,) = story.clients("mallory")
    misbehaves(mallory, "no_type", answered=False)
    misbehaves(mallory, "not_json")
    misbehaves(mallory, "room_dots", answered=False)
    misbehaves(mallory, "no_type", answered=False)
    found = errors.unanswered(story.index, 0.0, inf)
    assert names_of(found) == ["unanswered_error"]
    assert facts(found, "who", "count", "of", "what") == ["mallory", 3, 4, "no_type, room_dots"]
    assert len(found[0].evidence) == 2


def test_the_last_bad_frame_may_be_the_unanswered_one() -> None:
    """It is found even if the server ended later, as the fence after it was answered."""
    story = Story()
    (mallory,) = story.clients("mallory")
    misbehaves(mallory, "no_type", answered=False)
    story.passes(5)
    story.ends("asked_to_stop", mallory)
    assert names_of(errors.unanswered(story.index, 0.0, inf)) == ["unanswered_error"]


def test_an_error_on_another_connection_is_no_answer() -> None:
    """The sender has to receive it."""
    story = Story()
    mallory, bob = story.clients("mallory", "bob")
    mallory.misbehaves("no_type")
    bob.is_refused()
    mallory.fences()
    assert names_of(errors.unanswered(story.index, 0.0, inf)) == ["unanswered_error"]


@pytest.mark.parametrize("answered", [True, False])
def test_a_sender_that_is_disconnected(answered: bool) -> None:
    """Being disconnected for one bad frame is a finding with the frame and the close code."""
    story = Story()
    (mallory,) = story.clients("mallory")
    mallory.misbehaves("no_data")
    if answered:
        mallory.is_refused()
    mallory.asks_presence("fence-1")
    mallory.is_dropped(1011)
    mallory.connects()
    misbehaves(mallory, "not_json")
    found = errors.unanswered(story.index, 0.0, inf)
    assert names_of(found) == ["dropped_connection/bad_frame"]
    assert facts(found, "who", "what", "code") == ["mallory", "no_data", 1011]


def test_a_sender_that_is_disconnected_at_once() -> None:
    """At the very time when the bad frame was sent."""
    story = Story()
    (mallory,) = story.clients("mallory")
    with story.moment():
        mallory.misbehaves("no_data")
        mallory.is_dropped(1011)
    found = errors.unanswered(story.index, 0.0, inf)
    params = {"who": "mallory", "what": "no_data", "code": 1011}
    assert found == [Anomaly("dropped_connection", params, story.events[-2:], "bad_frame")]


def test_an_answer_that_is_no_frame_is_reported_elsewhere() -> None:
    """The client ended the connection because of it: there is no `error`, but nobody was dropped."""
    story = Story()
    (mallory,) = story.clients("mallory")
    mallory.misbehaves("no_data")
    mallory.is_closed("kit", 1002, "masked")
    assert names_of(errors.unanswered(story.index, 0.0, inf)) == []


def test_at_most_three_drops_are_reported() -> None:
    """Also for a server that disconnects everybody."""
    story = Story()
    (mallory,) = story.clients("mallory")
    for _ in range(5):
        mallory.misbehaves("no_data")
        mallory.is_dropped(1009)
        mallory.connects()
    assert names_of(errors.unanswered(story.index, 0.0, inf)) == ["dropped_connection/bad_frame"] * 3


# --- obeyed ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "frame", "text", "heard"),
    [
        (
            "not_joined",
            {"type": "message", "data": {"room": "red", "content": "a1b2c3-2. x"}},
            None,
            "a1b2c3-2. x",
        ),
        ("content_empty", {"type": "message", "data": {"room": "red", "content": ""}}, None, ""),
        ("half_character", None, '{"content": "a1b2c3-2. \\ud83d"}', "a1b2c3-2. ?"),
    ],
)
def test_a_bad_message_that_is_passed_on(rule: str, frame: Any, text: str | None, heard: str) -> None:
    """The finding names the receiver, the sender, and the rule that it breaks."""
    story = Story()
    alice, mallory = story.members("red", "alice", "mallory")
    mallory.misbehaves(rule, frame, text)
    line = story.line(mallory, "red")
    alice.hears(line, 1, content=heard)
    evidence = story.events[-2:]
    mallory.hears(line, 1, content=heard)
    found = errors.obeyed(story.index)
    params = {"who": "alice", "sender": "mallory", "what": rule}
    assert found == [Anomaly("obeyed_bad_frame", params, evidence)]
    assert names_of(found) == ["obeyed_bad_frame"]


def test_at_most_two_bad_messages_that_are_passed_on_are_reported() -> None:
    """One for each rule that they break, and the first two of those are enough."""
    story = Story()
    alice, mallory = story.members("red", "alice", "mallory")
    for number, rule in enumerate(("not_joined", "not_joined", "no_room", "room_path"), 2):
        content = f"a1b2c3-{number}. x"
        mallory.misbehaves(rule, {"type": "message", "data": {"room": "blue", "content": content}})
        alice.hears(story.line(mallory, "red"), 1, content=content)
    assert [each.params["what"] for each in errors.obeyed(story.index)] == ["not_joined", "no_room"]


@pytest.mark.parametrize(("id", "names"), [("m1", ["obeyed_bad_frame"]), ("server-1", [])])
def test_a_message_with_a_bad_id_may_be_passed_on_where_no_ids_are_kept(id: str, names: list[str]) -> None:
    """A server that makes its own ids need not check it; one that keeps ids must refuse it."""
    story = Story()
    alice, mallory = story.members("red", "alice", "mallory")
    alice.hears(alice.says("red", id="m1"), 1, id=id)
    data = {"room": "red", "content": "a1b2c3-9. x", "id": 5}
    mallory.misbehaves("id_number", {"type": "message", "data": data})
    alice.hears(story.line(mallory, "red"), 2, content="a1b2c3-9. x")
    assert names_of(errors.obeyed(story.index)) == names


def test_bad_messages_are_distinguished_by_their_whole_tags() -> None:
    """Number 2 is not number 25: only the one that was passed on is reported."""
    story = Story()
    alice, mallory = story.members("red", "alice", "mallory")
    for number, rule in ((2, "not_joined"), (25, "message_room_path")):
        data = {"room": "../red", "content": f"a1b2c3-{number}. x"}
        mallory.misbehaves(rule, {"type": "message", "data": data})
    alice.hears(story.line(mallory, "red"), 1, content="a1b2c3-25. x")
    assert facts(errors.obeyed(story.index), "what") == ["message_room_path"]


def test_what_was_never_sent_is_not_obeyed() -> None:
    """Unknown contents are another checker's."""
    story = Story()
    alice, mallory = story.members("red", "alice", "mallory")
    misbehaves(mallory, "no_type")
    alice.hears(story.line(mallory, "red"), 1, content="who said this?")
    line = alice.says("red")
    mallory.hears(line, 2)
    assert names_of(errors.obeyed(story.index)) == []


# --- stray ----------------------------------------------------------------------------------------


def test_an_error_that_reaches_somebody_else() -> None:
    """The finding names the receiver and the client that had caused it."""
    story = Story()
    dave, mallory = story.clients("dave", "mallory")
    dave.fences()
    mallory.misbehaves("no_type")
    cause = story.last
    mallory.is_refused(message="a type is missing")
    dave.sends({"type": "heartbeat"})
    dave.is_refused(message="a type is missing")
    error = story.last
    mallory.misbehaves("not_json")
    dave.is_refused(message="no JSON")
    found = errors.stray(story.index)
    params = {"who": "dave", "room": "", "user": "mallory", "content": "a type is missing"}
    assert found == [Anomaly("room_leak", params, [cause, error], "error")]
    assert names_of(found) == ["room_leak/error"]


def test_an_error_that_reaches_somebody_else_at_once() -> None:
    """At the time when it was caused, and when the receiver's own question was asked and answered."""
    story = Story()
    dave, mallory = story.clients("dave", "mallory")
    with story.moment():
        dave.fences()
        mallory.misbehaves("no_type")
        dave.is_refused()
    found = errors.stray(story.index)
    assert names_of(found) == ["room_leak/error"]
    assert facts(found, "who", "user") == ["dave", "mallory"]


def test_an_error_that_nobody_can_have_caused() -> None:
    """Without a single bad frame, it is not an error for another client."""
    story = Story()
    (alice,) = story.clients("alice")
    alice.fences()
    alice.is_refused()
    assert names_of(errors.stray(story.index)) == []


def test_an_error_that_may_be_one_s_own() -> None:
    """For a message, a question or a bad name of the receiver, or before anybody sent a bad frame."""
    story = Story()
    alice, bob, stranger, early, mallory = story.clients("alice", "bob", "stranger", "early", "mallory")
    newcomer, mute = story.clients("newcomer", "mute")
    early.fences()
    early.is_refused()
    misbehaves(mallory, "no_type", answered=False)
    alice.says("red")
    alice.fences()
    bob.joins("red", confirmed=False)
    stranger.fences()
    stranger.faults("bad_name")
    newcomer.asks_who("red", {})
    newcomer.asks_presence("blue")
    for person in (alice, bob, stranger, mallory, newcomer, mute):
        person.is_refused()
    assert names_of(errors.stray(story.index)) == []


# --- what is forgiven -----------------------------------------------------------------------------

QUESTION = {"type": "presence", "room": "binary"}


def asks_in_binary(person: Person) -> None:
    """A question that is JSON in a binary frame."""
    person.misbehaves("binary", QUESTION, "b'…'")


def test_a_binary_frame_may_be_obeyed() -> None:
    """That is a note, and does not count as a refused bad frame; a fence that is answered is no note."""
    for obeyed in (True, False):
        story = Story()
        (bertha,) = story.clients("bertha")
        asks_in_binary(bertha)
        if obeyed:
            bertha.is_shown("binary", {}, full=True)
        bertha.fences()
        log = story.index
        assert names_of(errors.unanswered(log, 0.0, inf)) == ([] if obeyed else ["unanswered_error/binary"])
        assert errors.counted(log, 0.0, inf) == (not obeyed)
        assert [note.key for note in leniencies(log)] == (["lenient.binary"] if obeyed else [])


def test_somebody_else_s_answer_does_not_show_that_a_binary_frame_was_obeyed() -> None:
    """Nor does an answer about another room."""
    story = Story()
    bertha, alice = story.clients("bertha", "alice")
    asks_in_binary(bertha)
    alice.is_shown("binary", {}, full=True)
    bertha.is_shown("other", {}, full=True)
    assert errors.obeyed_binary(story.index) == []


def test_a_binary_frame_that_is_refused() -> None:
    """Like any other bad frame: no finding, no note, and it counts."""
    story = Story()
    (bertha,) = story.clients("bertha")
    asks_in_binary(bertha)
    bertha.is_refused("bad_json")
    bertha.fences()
    assert names_of(errors.unanswered(story.index, 0.0, inf)) == []
    assert errors.counted(story.index, 0.0, inf) == 1
    assert leniencies(story.index) == []


@pytest.mark.parametrize(
    ("rule", "code", "answered", "names"),
    [
        ("binary", 1003, False, []),
        ("binary", 1003, True, []),
        ("binary", 1011, False, ["dropped_connection/bad_frame"]),
        ("binary", 1006, True, ["dropped_connection/bad_frame"]),
        ("frame_large", 1009, False, []),
        ("frame_large", 1006, False, []),
        ("no_type", 1003, True, ["dropped_connection/bad_frame"]),
    ],
)
def test_some_frames_may_end_their_connection(rule: str, code: int, answered: bool, names: list[str]) -> None:
    """With 1003, which is WebSocket's own code for it; so may too large a frame, and no other."""
    story = Story()
    (bertha,) = story.clients("bertha")
    bertha.misbehaves(rule, QUESTION, "b'…'")
    if answered:
        bertha.is_refused("bad_json")
    bertha.is_dropped(code)
    assert names_of(errors.unanswered(story.index, 0.0, inf)) == names
    bertha.connects()
    assert names_of(lifecycle.connections(story.index, 0.0, inf)) == []


MARKED, PLAIN = "E\u0301te\u0301", "Été"


def test_rooms_that_are_refused_for_their_combining_marks() -> None:
    """The answer to the join is an error, before anything is sent there; that is a note."""
    story = Story()
    first, second = story.clients("first", "second")
    first.asks_to_join(MARKED)
    first.is_refused("bad_room")
    first.is_member(MARKED)
    second.joins(PLAIN)
    second.hears(second.says(PLAIN), 1)
    assert errors.refused_for_marks(story.index) == {MARKED}
    assert [note.key for note in leniencies(story.index)] == ["lenient.marks"]


@pytest.mark.parametrize("room", [PLAIN, "red"])
def test_rooms_without_combining_marks_must_not_be_refused(room: str) -> None:
    """An error is no leniency there."""
    story = Story()
    (first,) = story.clients("first")
    first.asks_to_join(room)
    first.is_refused("bad_room")
    assert errors.refused_for_marks(story.index) == set()
    assert leniencies(story.index) == []


def test_a_room_with_combining_marks_that_was_joined_is_like_others() -> None:
    """An error before the join, or after something was sent there, or for another client does not count."""
    story = Story()
    first, second = story.clients("first", "second")
    first.is_refused()
    first.joins(MARKED)
    second.is_refused()
    line = first.says(MARKED)
    first.is_refused("unavailable")
    first.repeats(line)
    assert errors.refused_for_marks(story.index) == set()


def test_a_message_that_was_accepted_after_a_leave_has_a_cause_of_its_own() -> None:
    """The frames of its connection are not handled in their order."""
    story = Story()
    alice, bob = story.members("red", "alice", "bob")
    bob.asks_to_leave("red")
    data = {"room": "red", "content": "a1b2c3-2. x"}
    bob.misbehaves("after_leave", {"type": "message", "data": data})
    alice.hears(story.line(bob, "red"), 1, content="a1b2c3-2. x")
    assert names_of(errors.obeyed(story.index)) == ["obeyed_bad_frame/after_leave"]
