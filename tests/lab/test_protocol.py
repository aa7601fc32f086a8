from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lab import protocol
from lab.protocol import (
    MAX_CONTENT,
    MAX_FRAME,
    MAX_ID,
    MAX_NAME,
    MAX_SEQUENCE,
    AskHistory,
    AskPresence,
    BadFrame,
    Connected,
    Error,
    ErrorCode,
    Heartbeat,
    History,
    Join,
    Leave,
    Message,
    Presence,
    PresenceFrame,
    Say,
    ServerFrame,
    Status,
    Words,
    encode,
    parse,
    split,
    user_in,
)
from tests.lab.helpers import PROPERTY, Json, message

CONTRACT = (Path(protocol.__file__).parent / "PROTOCOL.md").read_text(encoding="utf-8")

# Unpaired surrogates too: JSON can escape them, and Python's strings can hold them.
any_text = st.text(st.characters(exclude_categories=()), max_size=12)
whole_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
numbers = st.one_of(
    st.integers(-2, 120),
    st.sampled_from([2**53, 2**63, 2**64, 10**40, -(10**40), 1.0, 1.5, 1e300, 0.0]),
)


def json_values(text: st.SearchStrategy[str]) -> st.SearchStrategy[Any]:
    """Any JSON value, with strings and keys from `text`."""
    return st.recursive(
        st.none() | st.booleans() | numbers | text,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
        max_leaves=6,
    )


def near_frames(key: st.SearchStrategy[str], odd: st.SearchStrategy[Any]) -> st.SearchStrategy[Json]:
    """Objects that could be frames: the right names, and values that are right or almost right."""
    room = st.sampled_from(["r", "", "..", "é", "a b", "x" * 64, "x" * 65, "\ud800"]) | odd
    number = numbers | st.none() | odd
    id = any_text | st.sampled_from(["", "x" * 128, "x" * 129]) | st.none() | odd
    content = any_text | st.sampled_from(["", "x" * (MAX_CONTENT + 1)]) | odd
    data = st.fixed_dictionaries({}, optional={"room": room, "content": content, "id": id})
    data = st.builds(lambda more, known: {**more, **known}, st.dictionaries(key, odd, max_size=1), data)
    known = st.fixed_dictionaries(
        {"type": st.sampled_from([*protocol.CLIENT_TYPES, "connected", "joni", ""]) | odd},
        optional={"room": room, "since": number, "limit": number, "data": data | odd},
    )
    return st.builds(lambda more, given: {**more, **given}, st.dictionaries(key, odd, max_size=2), known)


def is_frame_or_bad_frame(text: str | bytes) -> None:
    """Parse it; the result is a frame whose fields all keep the rules, or a BadFrame that can be sent."""
    try:
        frame = parse(text)
    except BadFrame as bad:
        answer = json.loads(encode(Error(bad.code, bad.message, bad.id)))["data"]
        assert answer["code"] in set(ErrorCode)
        assert answer["message"]
        return
    match frame:
        case Say(data=words):
            assert 1 <= len(words.content.encode()) <= MAX_CONTENT
            assert words.id is None or 1 <= len(words.id.encode()) <= 4 * MAX_ID
        case Join(since=since):
            assert since is None or 0 <= since <= MAX_SEQUENCE
        case AskHistory(since=since, limit=limit):
            assert since is not None
            assert 0 <= since <= MAX_SEQUENCE
            assert limit is not None
            assert 1 <= limit <= 100
    room = frame.data.room if isinstance(frame, Say) else getattr(frame, "room", "r")
    assert 1 <= len(room.encode()) <= 4 * MAX_NAME
    assert "/" not in room


@PROPERTY
@given(st.text(st.characters(exclude_categories=())) | st.binary() | json_values(any_text).map(json.dumps))
def test_parse_survives_any_text(text: str | bytes) -> None:
    """Any text or bytes are a frame or a BadFrame, and raise no other exception."""
    is_frame_or_bad_frame(text)


@settings(PROPERTY, max_examples=60)
@given(near_frames(whole_text, json_values(whole_text)), st.booleans(), st.booleans())
def test_parse_survives_what_is_nearly_a_frame(value: Json, ascii_only: bool, as_bytes: bool) -> None:
    """An object with the right names and odd values is a frame that keeps the limits, or a BadFrame."""
    text = json.dumps(value, ensure_ascii=ascii_only)
    is_frame_or_bad_frame(text.encode("utf-8", "surrogatepass") if as_bytes else text)


@settings(PROPERTY, max_examples=60)
@given(near_frames(any_text, json_values(any_text)))
@example({"type": "join", "room": "r", "since": "\ud800"})
@example({"type": "message", "data": "\ud800"})
@example({"type": "heartbeat", "\ud800": 1})
@example({"type": "message", "data": {"room": "r", "content": "hi", "\ud800": 1}})
def test_parse_survives_surrogates_anywhere(value: Json) -> None:
    """With an unpaired surrogate in any key or value,
    an object is a frame or a BadFrame, and nothing else.
    """
    is_frame_or_bad_frame(json.dumps(value))


@pytest.mark.parametrize("depth", [10, 1_000, 100_000])
@pytest.mark.parametrize("around", ["%s", '{"type": "join", "room": %s}', '{"type": "message", "data": %s}'])
@pytest.mark.parametrize("nest", ["[", '{"a":'])
def test_parse_survives_deep_nesting(nest: str, around: str, depth: int) -> None:
    """However deeply a text is nested, closed or not, it is refused as a BadFrame."""
    closing = "]" if nest == "[" else "}"
    for text in (nest * depth, nest * depth + "1" + closing * depth):
        with pytest.raises(BadFrame):
            parse(around % text)


FRAMES = [
    ('{"type": "join", "room": "r"}', Join("r")),
    ('{"type": "join", "room": "r", "since": 41, "x": {"y": [1]}}', Join("r", 41)),
    ('{"type": "join", "room": "r", "since": null}', Join("r")),
    (f'{{"type": "join", "room": "r", "since": {10**30}}}', Join("r", MAX_SEQUENCE)),
    ('{"type": "leave", "room": "r"}', Leave("r")),
    ('{"type": "presence", "room": "r"}', AskPresence("r")),
    ('{"type": "history", "room": "r"}', AskHistory("r", 0, 100)),
    ('{"type": "history", "room": "r", "since": 7, "limit": 100}', AskHistory("r", 7, 100)),
    ('{"type": "history", "room": "r", "limit": 101}', AskHistory("r", 0, 100)),
    (f'{{"type": "history", "room": "r", "limit": {10**30}}}', AskHistory("r", 0, 100)),
    ('{"type": "heartbeat"}', Heartbeat()),
    ('{"type": "heartbeat", "data": null, "note": "\\ud800"}', Heartbeat()),
    ('{"type": "heartbeat", "room": "\\ud800"}', Heartbeat()),
    ('{"type": "leave", "room": "r", "data": {"content": "\\ud800"}}', Leave("r")),
    ('{"type": "message", "data": {"room": "r", "content": " a "}}', Say(Words("r", " a "))),
    (
        '{"x":5, "data":{"content": "\\u0000\\ud83d\\ude00", "room": "r", "id": "x"}, "type": "message"}',
        Say(Words("r", "\0😀", "x")),
    ),
]


@pytest.mark.parametrize(("text", "frame"), FRAMES)
def test_parse_reads_every_frame(text: str, frame: protocol.ClientFrame) -> None:
    """Each kind of frame is read with its defaults and limits; null is left out,
    unknown fields are ignored.
    """
    assert parse(text) == frame
    assert parse(text.encode()) == frame


def say(**data: Any) -> str:
    """The text of a `message` frame."""
    return json.dumps({"type": "message", "data": data})


BAD_FRAMES = [
    ("", "bad_json", None),
    ("{", "bad_json", None),
    ('{"type": "heartbeat"} {}', "bad_json", None),
    ("[]", "bad_json", None),
    ("null", "bad_json", None),
    ('"heartbeat"', "bad_json", None),
    ('{"type": "heartbeat", "x": NaN}', "bad_json", None),
    (b'{"type": "heartbeat\xff"}', "bad_json", None),
    ("{}", "bad_request", None),
    ('{"type": null}', "bad_request", None),
    ('{"type": ["join"]}', "bad_request", None),
    ('{"type": "Join", "room": "r"}', "unknown_type", None),
    ('{"type": "connected"}', "unknown_type", None),
    ('{"type": "\\ud800"}', "unknown_type", None),
    ('{"type": "join"}', "bad_request", None),
    ('{"type": "join", "room": null}', "bad_request", None),
    ('{"type": "join", "room": 5}', "bad_request", None),
    ('{"type": "join", "room": "r", "since": -1}', "bad_request", None),
    ('{"type": "join", "room": "r", "since": "1"}', "bad_request", None),
    ('{"type": "join", "room": "r", "since": true}', "bad_request", None),
    ('{"type": "join", "room": "r", "since": 1.5}', "bad_request", None),
    ('{"type": "history", "room": "r", "limit": 0}', "bad_request", None),
    ('{"type": "history", "room": "r", "limit": -1}', "bad_request", None),
    ('{"type": "join", "room": ""}', "bad_room", None),
    ('{"type": "leave", "room": "a b"}', "bad_room", None),
    ('{"type": "presence", "room": "../../etc"}', "bad_room", None),
    ('{"type": "history", "room": "\\ud800"}', "bad_room", None),
    ('{"type": "message"}', "bad_request", None),
    ('{"type": "message", "data": []}', "bad_request", None),
    (say(room="r", id="x"), "bad_request", "x"),
    (say(room="r", content=["hi"], id="x"), "bad_request", "x"),
    (say(room="r", content="hi", id=""), "bad_request", None),
    (say(room="r", content="hi", id="x" * 129), "bad_request", None),
    (say(room="r", content="hi", id=5), "bad_request", None),
    (say(room="r", content="hi", id="\ud800"), "bad_request", None),
    (say(room="..", content="hi", id="x"), "bad_room", "x"),
    (say(room="..", content="hi", id="\ud800"), "bad_request", None),
    (say(room="r", content="", id="x"), "bad_content", "x"),
    (say(room="r", content="half \ud800", id="x"), "bad_content", "x"),
    (say(room="r", content="x" * (MAX_CONTENT + 1), id="x"), "too_large", "x"),
    (say(room="r", content="é" * (MAX_CONTENT // 2) + "x", id="x"), "too_large", "x"),
]


@pytest.mark.parametrize(("text", "code", "id"), BAD_FRAMES)
def test_parse_names_the_error(text: str | bytes, code: str, id: str | None) -> None:
    """Each error has its code of PROTOCOL.md, and a refused message is named by its id."""
    with pytest.raises(BadFrame) as refused:
        parse(text)
    assert (refused.value.code, refused.value.id) == (code, id)


def test_an_unknown_type_is_guessed() -> None:
    """The answer to a misspelt `type` suggests the right one, or else lists them all."""
    with pytest.raises(BadFrame, match="did you mean `history`"):
        parse('{"type": "histroy", "room": "r"}')
    with pytest.raises(BadFrame, match="join, leave, message, presence, history, heartbeat"):
        parse('{"type": "%s"}' % ("subscribe" * 1000))


@pytest.mark.parametrize("content", ["x" * MAX_CONTENT, "é" * (MAX_CONTENT // 2), "\n", " ", "\x00"])
def test_content_up_to_the_limit_passes_unchanged(content: str) -> None:
    """A content of up to 64 KiB of UTF-8 is accepted exactly as it came, with its spaces."""
    frame = parse(say(room="r", content=content, id="x" * MAX_ID))
    assert frame == Say(Words("r", content, "x" * MAX_ID))


@pytest.mark.parametrize(
    ("name", "fits"),
    [
        *[
            (name, True)
            for name in ["general", "Paris-2.0_x", "é", "été", "हिन्दी", "日本語", "٣", ".a", "x" * 64]
        ],
        *[(name, True) for name in ["e\u0301", "é" * 64]],
        *[
            (name, False)
            for name in ["", ".", "..", "." * 64, "x" * 65, "é" * 65, "a b", "a/b", "a\\b", "a\n"]
        ],
        *[(name, False) for name in ["../../etc", "a:b", "a\0", "\u200b", "😀", "\ud800", "a\u00a0b", "%41"]],
    ],
)
def test_room_names(name: str, fits: bool) -> None:
    """A room's name is 1 to 64 letters, digits, accents, `_`, `-` and `.` of any script, not only dots."""
    assert protocol.is_room_name(name) is fits


@pytest.mark.parametrize(
    ("name", "fits"),
    [
        *[(name, True) for name in ["a", "x" * 64, "Été.北京_Ωμέγα", "-", "_", ".a", "...a", "٣Ⅷ½", "ß-ſ"]],
        *[
            (name, False)
            for name in ["", ".", "...", "x" * 65, "a b", "a/b", "../a", "a\n", "..\n", "e\u0301"]
        ],
    ],
)
def test_the_contract_has_an_expression_for_room_names(name: str, fits: bool) -> None:
    """Python's, as given there, accepts what the server accepts, except combining marks."""
    (expression,) = re.findall(r"`re\.fullmatch` \| `(.*)` \|$", CONTRACT, flags=re.M)
    assert bool(re.fullmatch(expression, name)) is fits
    assert protocol.is_room_name(name) is (fits or name == "e\u0301")


# --- from the server ------------------------------------------------------------------------------


@PROPERTY
@given(
    st.builds(
        Message,
        id=whole_text,
        room=whole_text,
        user=whole_text,
        content=whole_text,
        sequence=st.integers(0, MAX_SEQUENCE),
        timestamp=st.integers(0, MAX_SEQUENCE),
    )
)
def test_messages_round_trip(message: Message) -> None:
    """What is encoded can be read by any JSON library, and gives an equal message."""
    wire = json.loads(encode(message).decode("utf-8"))
    assert wire == {"type": "message", "data": msgspec.to_builtins(message)}
    assert Message(**wire["data"]) == message


@pytest.mark.parametrize(
    ("frame", "wire"),
    [
        (
            Connected("9f2c", "ada", 30, 60),
            {"clientId": "9f2c", "user": "ada", "heartbeatInterval": 30, "offlineTimeout": 60},
        ),
        (
            PresenceFrame("r", [Presence("ada", Status.AWAY, 5)]),
            {"room": "r", "users": [{"user": "ada", "status": "away", "lastSeen": 5}], "full": False},
        ),
        (PresenceFrame("r", [], full=True), {"room": "r", "users": [], "full": True}),
        (History("r", [], 0, False), {"room": "r", "messages": [], "last": 0, "more": False}),
        (Error(ErrorCode.BAD_ROOM, "no"), {"code": "bad_room", "message": "no"}),
        (Error(ErrorCode.NOT_JOINED, "no", "x"), {"code": "not_joined", "message": "no", "id": "x"}),
        (Heartbeat(), None),
    ],
)
def test_server_frames_have_the_fields_of_the_contract(frame: ServerFrame, wire: Json | None) -> None:
    """Each server frame has exactly the fields and names of PROTOCOL.md, in `data` beside its `type`."""
    decoded = json.loads(encode(frame))
    kind = decoded.pop("type")
    assert decoded == ({} if wire is None else {"data": wire})
    assert kind == type(frame).__name__.removesuffix("Frame").lower()


def test_the_contract_and_the_types_agree() -> None:
    """The tables and examples of PROTOCOL.md have the same types, codes and fields as the code."""
    sections = {part.partition("\n")[0]: part for part in re.split(r"^#+ ", CONTRACT, flags=re.M)}

    def first_column(section: str) -> list[str]:
        return re.findall(r"^\| `(\w+)`", sections[section].partition("|---|")[2], flags=re.M)

    assert first_column("What clients send") == list(protocol.CLIENT_TYPES)
    assert set(first_column("Error codes")) == set(ErrorCode)
    ours = {"connected", "presence", "message", "history", "heartbeat", "error"}
    assert set(first_column("What the server sends")) == ours
    for line in re.findall(r"^\{.*\}$", sections["What clients send"], flags=re.M):
        parse(line)
    examples = re.findall(r"^\{.*\}$", sections["What the server sends"], flags=re.M)
    assert len(examples) == 3
    kinds: dict[str, type] = {"connected": Connected, "message": Message, "presence": PresenceFrame}
    for line in examples:
        example = json.loads(line)
        frame: Any = msgspec.convert(example["data"], kinds[example["type"]])
        assert json.loads(encode(frame)) == example


def test_the_schema_names_every_frame() -> None:
    """The JSON Schema has an entry for each type in each direction, and all references exist."""
    schema = json.loads(json.dumps(protocol.schema()))
    definitions = schema["$defs"]

    def kinds(direction: str) -> set[str]:
        refs = [entry["$ref"].removeprefix("#/$defs/") for entry in definitions[direction]["oneOf"]]
        return {definitions[ref]["properties"]["type"]["enum"][0] for ref in refs}

    assert kinds("client") == set(protocol.CLIENT_TYPES)
    assert kinds("server") == {"connected", "presence", "message", "history", "heartbeat", "error"}
    for ref in re.findall(r'"#/\$defs/([^"]+)"', json.dumps(schema)):
        assert ref in definitions


@settings(PROPERTY, max_examples=20)
@given(
    st.lists(st.tuples(st.sampled_from("x\x01é😀"), st.sampled_from([1, 1000, MAX_CONTENT])), max_size=40),
    st.booleans(),
)
@example([("\x01", MAX_CONTENT)] * 100, False)
@example([("x", MAX_CONTENT)] * 17, True)
def test_split_keeps_everything_within_the_limit(sizes: list[tuple[str, int]], more: bool) -> None:
    """A split page keeps its messages in order, each frame within 1 MiB,
    and `more` true except at the end.
    """
    page = [
        message(n, content=char * (size // len(char.encode()))) for n, (char, size) in enumerate(sizes, 1)
    ]
    frames = list(split(History("r", page, 1000, more)))
    assert [each for frame in frames for each in frame.messages] == page
    assert all(len(encode(frame)) <= MAX_FRAME for frame in frames)
    assert [frame.more for frame in frames] == [True] * (len(frames) - 1) + [more]
    assert {(frame.room, frame.last) for frame in frames} == {("r", 1000)}
    assert len(frames) == 1 or all(frame.messages for frame in frames)


# --- names ----------------------------------------------------------------------------------------


PATHS = [
    ("/", None),
    ("/?other=1", None),
    ("/any/path?user=ada", "ada"),
    ("/?x=1&user=ada&user=eve", "ada"),
    ("/?user=%C3%A9t%C3%A9%20%26", "été &"),
    ("/?user=System", "System"),
    ("/?user=" + "x" * 64, "x" * 64),
    ("/?user=" + "%F0%9F%98%80" * 64, "😀" * 64),
]


@pytest.mark.parametrize(("path", "user"), PATHS)
def test_user_names(path: str, user: str | None) -> None:
    """A connection's address has its user name, percent-encoded, on any path, or leaves it to the server."""
    assert user_in(path) == user


BAD_NAMES = ["", "system", "%73ystem", "x" * 65, "%FF", "%ED%A0%80", "\udcc3\udca9"]


@pytest.mark.parametrize("name", BAD_NAMES)
def test_user_names_that_are_refused(name: str) -> None:
    """An empty, too long or broken name, and that of the system, are refused as `bad_name`."""
    with pytest.raises(BadFrame) as refused:
        user_in(f"/?user={name}")
    assert refused.value.code == "bad_name"


@pytest.mark.parametrize("path", ["//[?user=ada", "//[::1?user=ada", "//x]/?user=ada"])
def test_any_path_is_accepted(path: str) -> None:
    """Clients connect to any path, also to one that looks like the beginning of a broken address."""
    assert user_in(path) == "ada"
