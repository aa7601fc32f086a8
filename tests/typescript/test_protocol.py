"""The server in TypeScript reads what clients send as the reference does: both are asked the same."""

from __future__ import annotations

import json
import subprocess
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec
import pytest
from hypothesis import HealthCheck, assume, given, settings

from harness.typescript.tools import Tools
from lab import protocol
from lab.protocol import (
    CLIENT_TYPES,
    MAX_CONTENT,
    MAX_FRAME,
    MAX_ID,
    MAX_NAME,
    MAX_SEQUENCE,
    BadFrame,
    History,
    Say,
)
from tests.lab.helpers import PROPERTY, Json, message
from tests.lab.test_protocol import (
    BAD_FRAMES,
    BAD_NAMES,
    FRAMES,
    PATHS,
    any_text,
    json_values,
    near_frames,
    say,
)


class Asked:
    """A process of Node that answers what it is asked about the compiled module."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def __call__(self, name: str, *given: Any) -> Any:
        """What a function of ask.mjs returns."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([name, *given]) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())


@pytest.fixture(scope="module")
def ask(tools: Tools, compiled: Path) -> Iterator[Asked]:
    """One for all tests of this file."""
    words = [tools.node, str(Path(__file__).with_name("ask.mjs")), (compiled / "protocol.js").as_uri()]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield Asked(process)
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(10) == 0


def told(text: str) -> Json:
    """What `lab.protocol` makes of a frame, in the form in which the other one tells it."""
    try:
        frame = protocol.parse(text)
    except BadFrame as bad:
        found = {"code": str(bad.code), "id": bad.id}
    else:
        fields = msgspec.to_builtins(frame)
        found = {"type": "message", **fields["data"]} if isinstance(frame, Say) else fields
    return {name: value for name, value in found.items() if value is not None}


# Left out are 1.0 and 1e3: in JavaScript they are the same as 1 and 1000, and the reference refuses them.
SINCE = [0, 1, "-0", 2**53 - 1, 2**53, 2**53 + 1, 2**64, 10**30, "1" + "0" * 400]
BAD_SINCE = [-1, "0.5", '"1"', "true", "[]", "{}", "9007199254740991.5e-1"]
ROOMS = [
    "r",
    "é",
    "e\u0301",
    "हिन्दी",
    "日本語",
    "٣",
    "Ⅷ",
    "½",
    "x" * 64,
    "𐐷" * 64,
    "...a",
    "_",
    "-",
    "__proto__",
]
BAD_ROOMS = [
    "",
    "..",
    "x" * 65,
    "𐐷" * 65,
    "a b",
    "a/b",
    "a\n",
    "😀",
    "\u200b",
    "\ud800",
    "\udc00\ud800",
    "%41",
]
IDS = ["x", "\0", "😀", "x" * MAX_ID, "😀" * MAX_ID, "constructor", "\u2028"]
BAD_IDS = ["", "x" * (MAX_ID + 1), "😀" * (MAX_ID + 1), "\udc00", "a\ud83d"]
CONTENTS = [
    "a",
    " ",
    "\0",
    "\u2028",
    "é" * (MAX_CONTENT // 2),
    "日" * (MAX_CONTENT // 3),
    "😀" * (MAX_CONTENT // 4),
]
BAD_CONTENTS = [
    *("", "\ud800", "\ude00\ud83d", "a\udfff"),
    *("x" * (MAX_CONTENT + 1), "é" * (MAX_CONTENT // 2) + "x", "日" * (MAX_CONTENT // 3 + 1)),
    "😀" * (MAX_CONTENT // 4) + "x",
]
NO_TEXTS: list[Any] = [None, 5, True, [], {}]
TEXTS = [
    *(text for text, _ in FRAMES),
    *(text for text, *_ in BAD_FRAMES if isinstance(text, str)),
    *(f'{{"type": "join", "room": "r", "since": {number}}}' for number in [*SINCE, *BAD_SINCE]),
    *(f'{{"type": "history", "room": "r", "since": {number}}}' for number in [*SINCE, *BAD_SINCE]),
    *(f'{{"type": "history", "room": "r", "limit": {number}}}' for number in [*SINCE, *BAD_SINCE]),
    *(
        json.dumps({"type": kind, "room": room})
        for kind in ("join", "leave", "presence", "history", "heartbeat")
        for room in [*ROOMS, *BAD_ROOMS, *NO_TEXTS]
    ),
    *(say(room=room, content="hi", id="x") for room in [*ROOMS, *BAD_ROOMS, *NO_TEXTS]),
    *(say(room="r", content=content, id="x") for content in [*CONTENTS, *BAD_CONTENTS, *NO_TEXTS]),
    *(say(room="r", content=content) for content in [*CONTENTS, *BAD_CONTENTS, *NO_TEXTS]),
    *(say(room="r", content="hi", id=id) for id in [*IDS, *BAD_IDS, *NO_TEXTS]),
    *(json.dumps({"type": kind}) for kind in [*CLIENT_TYPES, "toString", "__proto__", "", *NO_TEXTS]),
    *(f'{{"type": "message", "data": {data}}}' for data in ("null", "5", '"x"', "[]", "{}")),
    *('\ufeff{"type": "heartbeat"}', '\u00a0{"type": "heartbeat"}', ' \t\r\n{"type": "heartbeat"}\n'),
    *('{"type": "heartbeat",}', "{'type': 'heartbeat'}", '{"type": "heart\nbeat"}', '{"type": "\0"}'),
    *(f'{{"type": "heartbeat", "x": {number}}}' for number in ("01", ".5", "+1", "0x1", "1e999", "Infinity")),
    *('{"__proto__": {"type": "heartbeat"}}', '{"type": "join", "__proto__": {"room": "r"}}'),
    '{"type": "join", "room": "a b", "room": "r"}',
]  # fmt: skip


@pytest.mark.parametrize("begin", range(0, len(TEXTS), 50))
def test_each_frame_is_answered_as_by_the_reference(ask: Asked, begin: int) -> None:
    """The same frame is read, with its defaults and limits, or refused with the same code and id."""
    for text in TEXTS[begin : begin + 50]:
        assert ask("parse", text) == told(text), text[:200]


@settings(PROPERTY, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=near_frames(any_text, json_values(any_text)))
def test_what_is_nearly_a_frame_is_answered_likewise(ask: Asked, value: Json) -> None:
    """Where it has several faults, any of the codes that fit is right; the id is that of a message."""
    assume(not any(isinstance(value.get(name), float) for name in ("since", "limit")))
    text = json.dumps(value)
    ours, theirs = told(text), ask("parse", text)
    if "code" in ours and "code" in theirs:
        assert value["type"] != "message" or ours.get("id") == theirs.get("id")
    else:
        assert ours == theirs


def test_names_of_rooms_have_the_same_characters(ask: Asked) -> None:
    """All code points that both know: one of the two may know a later Unicode."""
    theirs = set(ask("rooms", 0, 0x110000))
    ours = {code for code in range(0x110000) if protocol.is_room_name(chr(code))}
    assert len(ours & theirs) > 100_000
    for code in ours ^ theirs:
        assert unicodedata.category(chr(code)) == "Cn" or not ask("isAssigned", code), f"U+{code:04X}"


USERS = [
    *(quote(name) for name in ("ada", "été", "😀" * MAX_NAME, "a b", "a+b", "a&b", "a=b", "a?b", "%", "\0")),
    *("a+b", "a=b", "a?b", "%2541", "System", "x" * MAX_NAME),
]  # fmt: skip
REFUSED = [*(name for name in BAD_NAMES if name.isascii()), quote("😀" * (MAX_NAME + 1)), "%C3", "%C3%28"]


@pytest.mark.parametrize("path", [*(path for path, _ in PATHS), *(f"/?user={name}" for name in USERS)])
def test_users_have_the_same_names(ask: Asked, path: str) -> None:
    """In any address; none where it asks for none."""
    name = protocol.user_in(path)
    assert ask("userIn", path) == ({} if name is None else {"user": name})


@pytest.mark.parametrize("name", [*REFUSED, ""])
def test_the_same_names_of_users_are_refused(ask: Asked, name: str) -> None:
    """With `bad_name`."""
    with pytest.raises(BadFrame):
        protocol.user_in(f"/?user={name}")
    assert ask("userIn", f"/?user={name}") == {"code": "bad_name"}


@pytest.mark.parametrize("char", ["x", "\x01", "é", "😀", '"'])
@pytest.mark.parametrize("more", [False, True])
def test_long_pages_are_cut(ask: Asked, char: str, more: bool) -> None:
    """So that each frame stays within 1 MiB; all messages are in them, in order, and hardly more frames."""
    content = char * (MAX_CONTENT // len(char.encode()))
    messages = [message(number, room="é", content=content) for number in range(1, 41)]
    history = History("é", messages, MAX_SEQUENCE, more)
    texts = ask("frames", msgspec.to_builtins(history))
    assert all(len(text.encode()) <= MAX_FRAME for text in texts)
    pages = [json.loads(text)["data"] for text in texts]
    assert [each for page in pages for each in page["messages"]] == msgspec.to_builtins(messages)
    assert {(page["room"], page["last"]) for page in pages} == {("é", MAX_SEQUENCE)}
    assert [page["more"] for page in pages] == [True] * (len(pages) - 1) + [more]
    assert len(list(protocol.split(history))) <= len(pages) <= len(list(protocol.split(history))) + 1
