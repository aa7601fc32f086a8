"""Messages that should not have come: twice, altered, under another name, or to outsiders."""

from __future__ import annotations

from typing import Any

import pytest

from harness.checkers import delivery
from harness.checkers.catalogue import Anomaly
from harness.history.events import Sent
from tests.harness.checkers.deliveries import every
from tests.harness.stories import Story, facts, names_of

# --- duplicate ----------------------------------------------------------------------------------------


def test_a_message_that_comes_twice_is_a_duplicate() -> None:
    """The finding says which client got how many copies of which message."""
    story = Story()
    alice, bob = story.members("red", "alice", "bob")
    line = alice.says("red")
    said = story.last
    story.all_hear([alice, bob, bob, bob, bob], (line, 1))
    found = delivery.duplicates(story.index, "red")
    params = {"who": "bob", "room": "red", "count": 4, "sender": "alice", "content": line.content}
    assert found == [Anomaly("duplicate", params, [said, *story.events[-4:-1]])]
    assert names_of(found) == ["duplicate"]


def test_duplicates_after_two_joins_on_one_connection_are_one_finding() -> None:
    """Two memberships of one connection are one receiver."""
    story = Story()
    alice, bob = story.members("red", "alice", "bob")
    bob.leaves("red")
    bob.joins("red", since=0)
    line = alice.says("red")
    story.all_hear([alice, bob, bob], (line, 1))
    found = delivery.duplicates(story.index, "red")
    assert names_of(found) == ["duplicate"]
    assert facts(found, "who", "count") == ["bob", 2]


def test_a_retry_that_is_published_to_all_is_a_duplicate_for_the_others() -> None:
    """Its answer is for its sender only."""
    story = Story()
    alice, bob = story.members("red", "alice", "bob")
    line = alice.says("red", id="m1")
    story.all_hear([alice, bob], (line, 1))
    alice.repeats(line)
    story.all_hear([alice, bob], (line, 1))
    found = delivery.duplicates(story.index, "red")
    assert names_of(found) == ["duplicate/retry"]
    assert facts(found, "who", "sender", "count") == ["bob", "alice", 2]


def test_a_retry_is_answered_once() -> None:
    """A third copy for the sender is one too many."""
    story = Story()
    (alice,) = story.members("red", "alice")
    line = alice.says("red", id="m1")
    alice.hears(line, 1)
    alice.repeats(line)
    alice.hears(line, 1)
    assert names_of(delivery.duplicates(story.index, "red")) == []
    alice.hears(line, 1)
    found = delivery.duplicates(story.index, "red")
    assert names_of(found) == ["duplicate/retry"]
    assert facts(found, "who", "count") == ["alice", 3]


def test_one_message_under_two_numbers_is_a_duplicate() -> None:
    """Sent once, accepted twice: the finding has both numbers;
    a client that receives both has a duplicate, too.
    """
    story = Story()
    alice, bob = story.members("red", "alice", "bob")
    line, other = alice.says("red"), bob.says("red")
    said = story.events[-2]
    bob.hears(line, 1)
    alice.hears(line, 2)
    heard = story.events[-2:]
    alice.hears(other, 3)
    bob.hears(other, 4)
    found = delivery.numbered_twice(story.index, "red")
    message = {"sender": "alice", "room": "red", "content": line.content, "id": ""}
    params = {"who": "bob", **message, "first": 1, "second": 2, "count": 2}
    assert found == [Anomaly("duplicate", params, [said, *heard], "numbers")]
    assert names_of(found) == ["duplicate/numbers"]
    assert names_of(delivery.duplicates(story.index, "red")) == []
    bob.hears(line, 2)
    assert names_of(delivery.duplicates(story.index, "red")) == ["duplicate"]


def test_a_retry_that_is_stored_again() -> None:
    """Sent again with its id, by the same user, and numbered anew: the finding has both numbers."""
    story = Story()
    alice, bob = story.members("red", "alice", "bob")
    line = alice.says("red", id="m1")
    said = story.last
    bob.hears(line, 1)
    first = story.last
    alice.hears(line, 1)
    alice.repeats(line)
    alice.repeats(line)
    again = story.last
    bob.hears(line, 2)
    second = story.last
    alice.hears(line, 2)
    found = delivery.numbered_twice(story.index, "red")
    message = {"sender": "alice", "room": "red", "content": line.content, "id": "m1"}
    params = {"who": "bob", **message, "first": 1, "second": 2, "count": 2}
    assert found == [Anomaly("stored_twice", params, [said, first, again, second])]
    assert names_of(found) == ["stored_twice"]


@pytest.mark.parametrize(
    ("between", "variant"), [("restart", "stored_twice/restart"), ("", "stored_twice/meanwhile")]
)
def test_when_a_retry_was_sent_that_is_stored_again(between: str, variant: str) -> None:
    """After a restart, or while the first one was under way: that tells the causes apart, and is shown."""
    story = Story()
    alice, bob = story.members("red", "alice", "bob")
    line = alice.says("red", id="m1")
    if between:
        bob.hears(line, 1)
        story.restarts("killed", alice, bob)
        start = story.index.server[-1]
        story.tick()
    alice.repeats(line)
    again = story.last
    if not between:
        bob.hears(line, 1)
    bob.hears(line, 2)
    (found,) = delivery.numbered_twice(story.index, "red")
    assert names_of([found]) == [variant]
    assert again in found.evidence
    assert not between or found.evidence.index(start) < found.evidence.index(again)


def test_a_retry_stored_again_is_not_reported_as_a_duplicate() -> None:
    """It is reported by its two numbers, once; another message that comes twice is reported beside it."""
    story = Story()
    alice, bob = story.members("red", "alice", "bob")
    line = alice.says("red", id="m1")
    story.all_hear([alice, bob], (line, 1))
    alice.repeats(line)
    story.all_hear([alice, bob], (line, 2))
    assert names_of(delivery.duplicates(story.index, "red")) == []
    other = alice.says("red")
    story.all_hear([alice, bob, bob], (other, 3))
    assert facts(delivery.duplicates(story.index, "red"), "who", "content") == ["bob", other.content]


def test_the_answer_to_something_new_is_no_retry_of_another() -> None:
    """If a message with another's id is answered by that other message, the finding says why."""
    story = Story()
    alice, bob = story.members("red", "alice", "bob")
    first = alice.says("red", "first", id="x")
    story.all_hear([alice, bob], (first, 1))
    bob.says("red", "second", id="x")
    bob.hears(first, 1)
    assert names_of(delivery.duplicates(story.index, "red")) == ["duplicate/id_of_user"]
    alice.repeats(first)
    story.all_hear([alice, bob], (first, 1))
    assert names_of(delivery.duplicates(story.index, "red")) == ["duplicate/id_of_user"]
    other = Story()
    alice, bob = other.members("red", "alice", "bob")
    first = alice.says("red", "first", id="x")
    other.all_hear([alice, bob], (first, 1))
    alice.repeats(first)
    other.all_hear([alice, bob], (first, 1))
    bob.says("red", "second", id="x")
    assert names_of(delivery.duplicates(other.index, "red")) == ["duplicate/retry"]


# --- altered, impersonation ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "altered", "position", "how"),
    [
        ("spaces  ", "spaces", 17, "trimmed"),
        ("déjà vu", "deja vu", 12, ""),
        ("déjà", "de\u0301ja\u0300", 12, "normalized"),
        ("<b>", "&lt;b&gt;", 11, "escaped"),
        ("'<b>'", "&#x27;&lt;b&gt;&#x27;", 11, "escaped"),
        ("a\r\nb\rc", "a\nb\rc", 12, "line_ends"),
        ("a\r\nb\rc", "a\nb\nc", 12, "line_ends"),
        ("a long one", "a lon", 16, "cut_off"),
        ("same length", "same lengtH", 21, ""),
    ],
)
def test_a_content_that_was_changed(text: str, altered: str, position: int, how: str) -> None:
    """The finding shows both, and counts from 1 to the place where they differ."""
    story = Story()
    alice, bob = story.members("red", "alice", "bob")
    line = alice.says("red", text)
    alice.hears(line, 1)
    said = story.events[-2]
    alice.repeats(line)
    bob.hears(line, 1, content=f"{line.tag}. {altered}")
    found = delivery.altered(story.index, "red")
    contents = {"sent": delivery.excerpt(line.content), "position": position}
    contents["got"] = delivery.excerpt(f"{line.tag}. {altered}")
    params = {"who": "bob", "sender": "alice", "room": "red", **contents}
    assert found == [Anomaly("altered", params, [said, story.last], how)]
    assert names_of(found) == [f"altered/{how}" if how else "altered"]


def test_a_change_far_into_a_long_content_is_shown_where_it_is() -> None:
    """The excerpts are from the place where the contents differ."""
    story = Story()
    alice, bob = story.members("red", "alice", "bob")
    line = alice.says("red", "x" * 1000 + "\ttail")
    story.all_hear([alice], (line, 1))
    bob.hears(line, 1, content=line.content.replace("\t", " "))
    (found,) = delivery.altered(story.index, "red")
    assert "x\\ttail" in found.params["sent"]
    assert "x tail" in found.params["got"]
    assert found.params["sent"].startswith("…")


def test_a_message_that_nobody_sent() -> None:
    """A content without the tag of a sent message cannot be traced, and is a finding of its own."""
    story = Story()
    alice, bob = story.members("red", "alice", "bob")
    line = story.line(alice, "red")
    bob.hears(line, 1, content="Welcome to the chat!")
    found = delivery.altered(story.index, "red")
    assert names_of(found) == ["altered/unknown"]
    assert facts(found, "who", "got") == ["bob", "Welcome to the chat!"]


@pytest.mark.parametrize(
    ("rule", "frame", "text", "heard"),
    [
        ("content_empty", {"type": "message", "data": {"room": "red", "content": ""}}, None, ""),
        ("half_character", None, '{"content": "a1b2c3-99. \\ud83d"}', "a1b2c3-99. \ufffd"),
        (
            "not_joined",
            {"type": "message", "data": {"room": "red", "content": "a1b2c3-99. x "}},
            None,
            "a1b2c3-99. x",
        ),
    ],
)
def test_a_bad_message_that_was_passed_on_is_not_reported_as_unknown(
    rule: str, frame: Any, text: str | None, heard: str
) -> None:
    """It was sent, although it should not have been: `errors.obeyed` reports that."""
    story = Story()
    alice, mallory = story.members("red", "alice", "mallory")
    mallory.misbehaves(rule, frame, text)
    alice.hears(story.line(mallory, "red"), 1, content=heard)
    assert every(story) == []


def test_a_message_under_another_name() -> None:
    """The finding names the real sender and the apparent one."""
    story = Story()
    alice, bob = story.members("red", "alice", "bob")
    line = bob.says("red")
    alice.hears(line, 1, user="alice")
    evidence = story.events[-2:]
    bob.hears(line, 1)
    found = delivery.altered(story.index, "red")
    params = {"who": "alice", "room": "red", "user": "bob", "shown": "alice"}
    assert found == [Anomaly("impersonation", params, evidence)]
    assert names_of(found) == ["impersonation"]


def test_each_kind_of_change_is_reported_once() -> None:
    """A thousand altered messages are one finding."""
    story = Story()
    alice, bob = story.members("red", "alice", "bob")
    for number in range(1, 9):
        line = alice.says("red", "text ")
        bob.hears(line, number, content="?")
        bob.hears(line, number, content=line.content.strip(), user="bob")
    assert names_of(delivery.altered(story.index, "red")) == [
        "altered/unknown",
        "altered/trimmed",
        "impersonation",
    ]


def test_excerpts_are_short_and_visible() -> None:
    """Invisible characters are written as escapes, and what is left out as an ellipsis."""
    assert delivery.excerpt("plain") == "plain"
    assert delivery.excerpt("a\tb\u200b") == "a\\tb\\u200b"
    assert delivery.excerpt("it's a \\o/") == "it's a \\o/"
    assert delivery.excerpt("x" * 40) == "x" * 40
    assert delivery.excerpt("x" * 50) == "x" * 40 + "…"
    assert delivery.excerpt("x" * 50 + "y" + "z" * 50, around=50) == "…" + "x" * 20 + "y" + "z" * 19 + "…"


# --- leaks --------------------------------------------------------------------------------------------


def test_a_message_that_reaches_an_outsider() -> None:
    """The finding names the outsider, the room, and what it received from whom."""
    story = Story()
    alice, bob = story.members("red", "alice", "bob")
    carol, dave = story.clients("carol", "dave")
    carol.joins("blue")
    line = alice.says("red")
    said = story.last
    story.all_hear([carol, dave, alice, bob], (line, 1))
    evidence = story.events[-4:-2]
    carol.hears(line, 1)
    found = delivery.leaks(story.index)
    params = {"room": "red", "content": line.content, "user": "alice"}
    assert found == [
        Anomaly("room_leak", {"who": who, **params}, [said, event])
        for who, event in zip(("carol", "dave"), evidence, strict=True)
    ]
    assert names_of(found) == ["room_leak", "room_leak"]


@pytest.mark.parametrize(
    ("own", "variant"),
    [("RED", "case"), ("re\u0301d", "form"), ("rot", "")],
)
def test_a_message_that_reaches_a_room_with_a_similar_name(own: str, variant: str) -> None:
    """The finding has the receiver's own room, and its join, if the names differ in case or form only."""
    story = Story()
    (alice,) = story.members("réd" if variant == "form" else "red", "alice")
    (carol,) = story.clients("carol")
    carol.asks_to_join(own)
    join = story.last
    carol.is_member(own)
    line = alice.says("réd" if variant == "form" else "red")
    carol.hears(line, 1)
    (found,) = delivery.leaks(story.index)
    assert names_of([found]) == [f"room_leak/{variant}" if variant else "room_leak"]
    assert found.params.get("other_room") == (own if variant else None)
    assert (join in found.evidence) == bool(variant)


def test_a_leak_after_the_answer_to_ones_own_retry() -> None:
    """What a client asked for is no leak, and does not excuse others."""
    story = Story()
    alice, bob = story.members("red", "alice", "bob")
    line = alice.says("red", id="m1")
    story.all_hear([alice, bob], (line, 1))
    alice.is_cut()
    alice.connects()
    alice.repeats(line)
    alice.hears(line, 1)
    assert names_of(delivery.leaks(story.index)) == []
    other = bob.says("red")
    alice.hears(other, 2)
    assert facts(delivery.leaks(story.index), "who", "content") == ["alice", other.content]


def test_a_notice_that_reaches_an_outsider() -> None:
    """Notices are for the room too; the finding says that it was one."""
    story = Story()
    story.members("red", "alice")
    (carol,) = story.clients("carol")
    carol.gets_notice("red", "alice is here")
    found = delivery.leaks(story.index)
    assert names_of(found) == ["room_leak"]
    assert facts(found, "who", "user") == ["carol", "system"]


def test_a_message_under_another_rooms_name_is_a_leak_of_its_own_room() -> None:
    """The room where it was sent counts, and not the one in the frame."""
    story = Story()
    (alice,) = story.members("red", "alice")
    (carol,) = story.members("blue", "carol")
    line = alice.says("red")
    alice.hears(line, 1)
    carol.hears(line, 1, room="blue")
    found = delivery.leaks(story.index)
    assert names_of(found) == ["room_leak"]
    assert facts(found, "who", "room") == ["carol", "red"]


def test_a_client_that_left_receives_nothing_more() -> None:
    """What is sent after a `leave` was done is not for those who left; the last leave counts."""
    story = Story()
    alice, bob, carol = story.members("red", "alice", "bob", "carol")
    bob.leaves("red")
    bob.joins("red")
    bob.leaves("red")
    left = {"bob": story.last}
    carol.leaves("red")
    left |= {"carol": story.last}
    bob.joins("blue")
    bob.leaves("blue")
    line = alice.says("red", id="m1")
    said = story.last
    alice.repeats(line)
    story.all_hear([alice, bob, carol], (line, 1))
    heard = dict(zip(("bob", "carol"), story.events[-2:], strict=True))
    found = delivery.leaks(story.index)
    params = {"room": "red", "content": line.content, "user": "alice"}
    assert found == [
        Anomaly("heard_after_leave", {"who": who, **params}, [left[who], said, heard[who]])
        for who in ("bob", "carol")
    ]
    assert names_of(found) == ["heard_after_leave"] * 2


def test_what_was_sent_before_leaving_may_still_arrive() -> None:
    """So may what was sent between the `leave` and the moment when it was done."""
    story = Story()
    alice, bob = story.members("red", "alice", "bob")
    before = alice.says("red")
    bob.asks_to_leave("red")
    during = alice.says("red")
    bob.has_left("red")
    story.all_hear([alice, bob], (before, 1), (during, 2))
    assert names_of(delivery.leaks(story.index)) == []


def test_notices_after_leaving_are_leaks() -> None:
    """A room sends no notices to clients that have left it."""
    story = Story()
    alice, bob = story.members("red", "alice", "bob")
    bob.leaves("red")
    alice.leaves("red")
    bob.gets_notice("red", "alice has left")
    assert names_of(delivery.leaks(story.index)) == ["heard_after_leave"]


def test_a_message_in_the_history_of_another_room() -> None:
    """It was sent in one room and read in another: reported with both rooms, for the copy only."""
    story = Story()
    alice, bob = story.members("red", "alice", "bob")
    said = story.talk([alice, bob], "red", 3)
    bob.joins("blue")
    other = alice.says("red", "elsewhere")
    bob.hears(other, 1, room="blue")  # live messages are for `leaks`
    bob.reads("red", said)
    assert names_of(delivery.strays(story.index, "red")) == []
    assert names_of(delivery.strays(story.index, "blue")) == []
    stray = other.numbered(4, room="blue")
    page = {"type": "history", "data": {"room": "blue", "messages": [stray], "last": 4, "more": False}}
    inspector = story.client("inspector", second=True)
    for reader, place in ((inspector, 1), (bob, 0)):
        assert names_of(delivery.strays(story.index.worlds[place], "blue")) == []
        reader.asks_history("blue")
        reader.gets(page)
        found = delivery.strays(story.index.worlds[place], "blue")
        assert names_of(found) == ["room_leak/stored"]
        assert facts(found, "who", "other_room", "sequence", "user") == [reader.name, "red", 4, "alice"]
        assert isinstance(found[0].evidence[0], Sent)
        assert found[0].evidence[1] is story.last
