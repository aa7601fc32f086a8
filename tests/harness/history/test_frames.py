"""Frames are read leniently: what is forgiven is noted, anything else is a flaw, and nothing raises."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.history import frames
from harness.history.frames import Flaw, Unknown
from lab.protocol import (
    MAX_FRAME,
    Connected,
    Error,
    ErrorCode,
    Heartbeat,
    Message,
    Presence,
    PresenceFrame,
    Status,
    encode,
)
from lab.protocol import History as HistoryFrame
from tests.harness.stories import EPOCH, NONCE, PROPERTY

MESSAGE = {
    "id": "m1",
    "room": "red",
    "user": "alice",
    "content": "a1b2c3-1. hello",
    "sequence": 7,
    "timestamp": EPOCH,
}


def message(**changes: Any) -> dict[str, Any]:
    """A right message frame, but for some fields."""
    return {"type": "message", "data": {**MESSAGE, **changes}}


def presence(*users: Any, **more: Any) -> dict[str, Any]:
    """A presence frame."""
    return {"type": "presence", "data": {"room": "red", "users": list(users), **more}}


def person(**changes: Any) -> dict[str, Any]:
    """One user in a presence frame."""
    return {"user": "alice", "status": "online", "lastSeen": EPOCH, **changes}


def test_a_right_frame_of_each_type_has_its_meaning_and_no_notes() -> None:
    """What the reference server's own encoder writes is read back completely, without flaws or notes."""
    said = Message(**MESSAGE)
    pairs: list[tuple[Any, Any]] = [
        (said, said),
        (HistoryFrame("red", [said], 7, more=False), frames.History("red", [said], 7, more=False)),
        (
            PresenceFrame("red", [Presence("alice", Status.AWAY, EPOCH)], full=True),
            frames.PresenceFrame("red", {"alice": Presence("alice", Status.AWAY, EPOCH)}, full=True),
        ),
        (Connected("c", "alice", 0.5, 1.5), frames.Connected("alice", "c", 0.5, 1.5)),
        (Error(ErrorCode.BAD_ROOM, "no", "m1"), frames.Error("bad_room", "no", "m1")),
        (Heartbeat(), frames.Heartbeat()),
    ]
    for frame, meaning in pairs:
        reading = frames.read(frames.decode(encode(frame).decode()))
        assert (reading.meaning, reading.flaws, reading.notes) == (meaning, (), ())


@pytest.mark.parametrize(
    ("frame", "notes"),
    [
        ({"type": "history", "data": {"room": "red", "messages": []}}, ("no_last", "no_more")),
        ({"type": "history", "data": {"room": "red", "messages": [], "last": 0, "more": None}}, ("no_more",)),
        (presence(person()), ("no_full",)),
        (presence(person(lastSeen=None, last_seen=EPOCH), full=True), ("last_seen",)),
        (presence(person(lastSeen=EPOCH / 1000 + 0.5), full=True), ("seconds",)),
        (message(timestamp=EPOCH / 1000), ("seconds",)),
        ({"type": "connected", "data": {"user": "alice", "clientId": "c"}}, ("no_intervals",)),
        ({"type": "error", "data": {"message": "no"}}, ("no_code",)),
    ],
)
def test_what_the_contract_forgives_is_a_note(frame: Any, notes: tuple[str, ...]) -> None:
    """Each forgiven deviation is noted once, and the frame keeps its meaning."""
    reading = frames.read(frame)
    assert reading.flaws == ()
    assert reading.meaning is not None
    assert reading.notes == notes


@pytest.mark.parametrize(
    ("frame", "flaw"),
    [
        (None, Flaw("", "object", "null")),
        ([1], Flaw("", "object", "[…]")),
        ("hello", Flaw("", "object", '"hello"')),
        ({}, Flaw("type", "string", "null")),
        ({"type": 7}, Flaw("type", "string", "7")),
        ({"type": "message"}, Flaw("data", "object", "null")),
        ({"type": "message", "data": "x"}, Flaw("data", "object", '"x"')),
        (message(id=7), Flaw("data.id", "string", "7")),
        (message(room={}), Flaw("data.room", "string", "{…}")),
        (message(user=None), Flaw("data.user", "string", "null")),
        (message(content=["x"]), Flaw("data.content", "string", "[…]")),
        (message(sequence="7"), Flaw("data.sequence", "whole", '"7"')),
        (message(sequence=-1), Flaw("data.sequence", "whole", "-1")),
        (message(sequence=7.5), Flaw("data.sequence", "whole", "7.5")),
        (message(sequence=True), Flaw("data.sequence", "whole", "true")),
        (message(timestamp="2026"), Flaw("data.timestamp", "millis", '"2026"')),
        (message(timestamp=12), Flaw("data.timestamp", "millis", "12")),
        (message(timestamp=EPOCH * 1000), Flaw("data.timestamp", "millis", str(EPOCH * 1000))),
        (message(timestamp=float("nan")), Flaw("data.timestamp", "millis", "nan")),
        (message(timestamp=False), Flaw("data.timestamp", "millis", "false")),
        (message(content=None, id="i" * 60), Flaw("data.content", "string", "null")),
        ({"type": "history", "data": {"room": "red"}}, Flaw("data.messages", "list", "null")),
        (
            {"type": "history", "data": {"room": "red", "messages": [MESSAGE, {**MESSAGE, "id": 1}]}},
            Flaw("data.messages[1].id", "string", "1"),
        ),
        (
            {"type": "history", "data": {"room": "red", "messages": [7]}},
            Flaw("data.messages[0]", "object", "7"),
        ),
        (
            {"type": "history", "data": {"room": "red", "messages": [], "last": "7"}},
            Flaw("data.last", "whole", '"7"'),
        ),
        (
            {"type": "history", "data": {"room": "red", "messages": [], "last": 7.5}},
            Flaw("data.last", "whole", "7.5"),
        ),
        (
            {"type": "history", "data": {"room": "red", "messages": [], "more": 1}},
            Flaw("data.more", "bool", "1"),
        ),
        (presence(person(status="here")), Flaw("data.users[0].status", "status", '"here"')),
        (presence(person(), person(user=7)), Flaw("data.users[1].user", "string", "7")),
        (presence(person(lastSeen=None)), Flaw("data.users[0].lastSeen", "millis", "null")),
        (presence(full="yes"), Flaw("data.full", "bool", '"yes"')),
        (
            {"type": "connected", "data": {"user": "a", "clientId": "c", "heartbeatInterval": "1"}},
            Flaw("data.heartbeatInterval", "number", '"1"'),
        ),
        (
            {"type": "connected", "data": {"user": "a", "clientId": "c", "heartbeatInterval": 30_000}},
            Flaw("data.heartbeatInterval", "seconds", "30000"),
        ),
        (
            {"type": "connected", "data": {"user": "a", "clientId": "c", "offlineTimeout": 0}},
            Flaw("data.offlineTimeout", "seconds", "0"),
        ),
        ({"type": "connected", "data": {"user": "a"}}, Flaw("data.clientId", "string", "null")),
        ({"type": "error", "data": {"code": 4, "message": "no"}}, Flaw("data.code", "string", "4")),
        ({"type": "error", "data": {"code": "oops", "message": "no"}}, Flaw("data.code", "code", '"oops"')),
        ({"type": "error", "data": {"code": "bad_json"}}, Flaw("data.message", "string", "null")),
    ],
)
def test_what_the_contract_does_not_forgive_is_a_flaw(frame: Any, flaw: Flaw) -> None:
    """It says what a field should be. Such a frame has no meaning; an `error` has one all the same."""
    reading = frames.read(frame)
    assert (reading.meaning is None) == (reading.kind != "error")
    assert reading.flaws[0] == flaw


def test_a_long_value_is_cut_short_in_a_flaw() -> None:
    """What a field holds is shown to a person, so 40 characters of it are enough."""
    reading = frames.read(message(sequence="x" * 100))
    assert reading.flaws[0].actual == '"' + "x" * 39 + "…"


def test_a_frame_of_more_than_a_mebibyte_is_a_flaw() -> None:
    """The size of a frame is part of its shape."""
    assert frames.read({"type": "heartbeat"}, MAX_FRAME).flaws == ()
    assert frames.read({"type": "heartbeat"}, MAX_FRAME + 1).flaws == (Flaw("", "small", str(MAX_FRAME + 1)),)


def test_frames_of_unknown_types_are_allowed() -> None:
    """A type that only this server has is no flaw."""
    reading = frames.read({"type": "typing", "user": "bob"})
    assert (reading.kind, reading.meaning, reading.flaws) == ("typing", Unknown("typing"), ())


@pytest.mark.parametrize("more", [{}, {"sequence": -5}, {"sequence": "x", "timestamp": "now"}, {"id": 9}])
def test_a_notice_may_have_any_number_and_time(more: dict[str, Any]) -> None:
    """A message of `system` is not stored, so only its room and content are checked."""
    reading = frames.read(
        {"type": "message", "data": {"room": "red", "user": "system", "content": "hi", **more}}
    )
    assert reading.flaws == ()
    assert isinstance(reading.meaning, Message)
    assert (reading.meaning.user, reading.meaning.sequence) == ("system", 0)


def test_a_whole_number_may_be_written_with_a_fraction_of_zero() -> None:
    """7.0 is 7, since JSON has only one kind of number."""
    reading = frames.read(message(sequence=7.0))
    assert isinstance(reading.meaning, Message)
    assert reading.meaning.sequence == 7
    reading = frames.read({"type": "history", "data": {"room": "red", "messages": [], "last": 7.0}})
    assert isinstance(reading.meaning, frames.History)
    assert reading.meaning.last == 7


def test_seconds_are_turned_into_milliseconds() -> None:
    """A time in seconds with a fraction is the same time."""
    reading = frames.read(message(timestamp=EPOCH / 1000 + 0.25))
    assert isinstance(reading.meaning, Message)
    assert reading.meaning.timestamp == EPOCH + 250


@pytest.mark.parametrize(
    ("content", "tag"),
    [
        ("a1b2c3-7. hello", "a1b2c3-7"),
        ("  a1b2c3-7. trimmed or not", "a1b2c3-7"),
        ("A1B2C3-7. LOUD", "a1b2c3-7"),
        ("<b>a1b2c3-7. escaped", "a1b2c3-7"),
        ("a1b2c3-17. another", "a1b2c3-17"),
        ("a1b2c3-7 without a dot", None),
        ("hello", None),
        ("", None),
        ("x" * 300 + "a1b2c3-7. too late", None),
    ],
)
def test_the_tag_is_found_in_altered_contents_too(content: str, tag: str | None) -> None:
    """A message is recognised by its tag, wherever near the beginning it is, in upper or lower case."""
    assert frames.tag_in(content) == tag


@pytest.mark.parametrize(
    "text", [b"{}", "", "{", "NaN", "[" * 100_000, '"\\ud800"', '{"a": 1e999}', "9" * 9999]
)
def test_text_that_is_not_json_is_a_value_error(text: str | bytes) -> None:
    """Whatever cannot be decoded raises ValueError, and nothing else."""
    with pytest.raises(ValueError, match=r"."):
        frames.decode(text)


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(min_value=-(2**70), max_value=2**70)
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["system", "online", "red", EPOCH]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(sorted(MESSAGE)), inner),
    max_leaves=8,
)
names = [*MESSAGE, "users", "messages", "status", "lastSeen", "last_seen", "full", "last", "more", "code"]
datas = st.dictionaries(st.sampled_from([*names, "message", "clientId", "heartbeatInterval"]), values)
types = st.sampled_from(["message", "history", "presence", "connected", "error", "heartbeat", "typing"])


@PROPERTY
@given(
    st.one_of(
        values,
        st.fixed_dictionaries({"type": types}, optional={"data": datas | values}),
        st.builds(
            lambda kind, inner: {"type": kind, "data": {"room": "red", "users": inner, "messages": inner}},
            types,
            st.lists(datas, max_size=3),
        ),
    )
)
def test_reading_a_frame_never_raises(frame: Any) -> None:
    """Any JSON value that a server sends can be read, and has a meaning or else flaws."""
    reading = frames.read(frame)
    assert (reading.meaning is None) == (bool(reading.flaws) and reading.kind != "error")
    assert all(note and flaw for note in reading.notes for flaw in reading.flaws)


@PROPERTY
@given(st.integers(1, 10**9), st.text(max_size=50))
def test_every_tag_of_the_harness_is_found_again(number: int, text: str) -> None:
    """A content that begins with a tag has that tag, whatever follows."""
    assert frames.tag_in(f"{NONCE}-{number}. {text}") == f"{NONCE}-{number}"


values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 2),
    st.integers(),
    st.sampled_from(
        [
            7.0,
            7.5,
            EPOCH / 1000,
            EPOCH,
            10**12,
            10**12 - 1,
            10**14,
            10**14 - 1,
            "system",
            "x",
            "\ud800",
            [],
            {},
        ]
    ),
)


@given(
    st.dictionaries(st.sampled_from([*MESSAGE, "more"]), values, max_size=3),
    st.sets(st.sampled_from([*MESSAGE]), max_size=1),
)
def test_the_fast_path_reads_a_right_message_the_same(changes: dict[str, Any], missing: set[str]) -> None:
    """The fast path for messages with nothing to forgive has the same result as reading field by field."""
    data = {key: value for key, value in {**MESSAGE, **changes}.items() if key not in missing}
    flaws: list[Flaw] = []
    notes: list[str] = []
    slowly = frames._message(frames._Fields(data, "data", flaws, notes))
    reading = frames.read({"type": "message", "data": data})
    assert reading == frames.Reading("message", None if flaws else slowly, tuple(flaws), tuple(notes))
    if reading.meaning:
        assert type(reading.meaning.sequence) is type(slowly.sequence)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "text",
    [
        '{"type": "heartbeat"}',
        "no JSON",
        b'{"type": "heartbeat"}',
        "[" * 10**5,
        f'"{"x" * frames.SHORT}"',
        "",
    ],
)
def test_a_cached_text_is_read_the_same(text: str | bytes) -> None:
    """Whether it is short or long, right or wrong, and also when it is received again."""
    for _ in range(2):
        assert frames.hear(text) == frames._read_text(text)


def test_what_many_receive_is_read_once() -> None:
    """The second client that receives a short text gets the object that the first one got."""
    text = encode(Message(**MESSAGE)).decode()
    assert frames.hear(text)[1] is frames.hear(text)[1]


@pytest.mark.parametrize(
    ("text", "flaw"),
    [
        (b'{"type": "heartbeat"}', "binary"),
        ('{"type": "heartbeat", "more": "\\ud83d"}', "half"),
        ('{"type": "heartbeat", "more": "\\udc4b\\ud83d"}', "half"),
        ('{"type": "heartbeat", "more": "\\ud83d"', "object"),
        ("hello", "object"),
    ],
)
def test_what_is_no_text_of_json_is_told_apart(text: str | bytes, flaw: str) -> None:
    """A binary frame, and one with half of a character, have flaws of their own."""
    frame, reading = frames.hear(text)
    assert frame is None
    assert [each.expected for each in reading.flaws] == [flaw]


def test_a_whole_character_may_be_escaped_in_two_halves() -> None:
    """As in JSON that is ASCII."""
    frame, reading = frames.hear('{"type": "heartbeat", "more": "\\ud83d\\udc4b"}')
    assert frame == {"type": "heartbeat", "more": "👋"}
    assert reading.flaws == ()
