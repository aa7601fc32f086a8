"""Text and binary messages in valid WebSocket frames, most of which no sane client would send."""

from __future__ import annotations

import enum
import json
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

from tests.stress.link import BINARY, CONTINUATION, PING, PONG, TEXT, wire

ROOMS = tuple(f"fuzz-{number}" for number in range(6))
"""Where the fuzzers meet, so that what one of them gets through reaches the others."""


class Due(enum.Enum):
    """What the server must do with a message."""

    OBEYED = "obeyed"
    REFUSED = "refused"
    EITHER = "either"


@dataclass(frozen=True)
class Shot:
    """One message, and what the server must do with it."""

    opcode: int
    payload: bytes
    due: Due


NUMBERS = (
    "-1", "0", "1", "-0", "1.0", "1.5", "-0.0", "1e2", "1e400", "-1e400", "1E-400", "NaN", "Infinity",
    "-Infinity", "01", "+1", "0x10", "9007199254740991", "9007199254740992", "9223372036854775807",
    "9223372036854775808", "18446744073709551616", "-9223372036854775809", "1" + "0" * 400, "9" * 5000,
)  # fmt: skip
ODD: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 1.5, "", "x", [], {}, [[]], {"type": "join"}, [None], {"": ""}, "null",
    {"room": "r"}, ["join"], 10**30, "\x00", "𝒳", "a\u0301",
)  # fmt: skip
NAMES = (
    "\ud800", "\udfff\ud800", "a\ud83d", "\x00", "a\x00b", "..", "../../etc/passwd", "a b", "a/b", "a\nb",
    "", " ", "x" * 65, "x" * 5000, "\u202e", "\ufeff", "𝒳" * 65, "%s%n", "'; DROP TABLE messages; --",
    "\U0010ffff", "\uffff", "💥", "<script>",
)  # fmt: skip
"""Names that no room can have."""
TYPES = (
    "", "Join", "JOIN", "joi", "message ", " message", "error", "connected", "\x00join", "join\x00",
    "mess\u0430ge", "__class__", "j" * 100_000, "\ud800", "../join", "type", "null",
)  # fmt: skip
"""Types that there are not."""
SCALARS = ("null", "true", "0", '"join"', "[]", "[{}]", '["type", "join"]', "1e5", "{}", '{"room": "r"}')
"""JSON that is no frame."""


def shot(chance: Random) -> Shot:
    """A message."""
    make = chance.choices(_KINDS, _WEIGHTS)[0]
    return make(chance)


def on_the_wire(each: Shot, chance: Random) -> bytes:
    """Its frame, or several fragments of it, with pings and pongs in between now and then."""
    dice = chance.random()
    if dice < 0.9:
        return wire(each.opcode, each.payload)
    mask = chance.randbytes(4)
    if dice < 0.95:
        return wire(each.opcode, each.payload, mask=mask)
    if dice < 0.97:
        control = wire(chance.choice((PING, PONG)), chance.randbytes(chance.randrange(126)), mask=mask)
        return control + wire(each.opcode, each.payload, mask=mask)
    cuts = sorted(chance.randrange(len(each.payload) + 1) for _ in range(chance.randrange(1, 5)))
    parts = [each.payload[a:b] for a, b in zip([0, *cuts], [*cuts, None], strict=True)]
    opcodes = [each.opcode] + [CONTINUATION] * (len(parts) - 1)
    fragments = [
        wire(opcode, part, fin=number == len(parts), mask=mask)
        for number, (opcode, part) in enumerate(zip(opcodes, parts, strict=True), 1)
    ]
    return wire(PING, b"between").join(fragments)


# --- the kinds ------------------------------------------------------------------------------------


def _valid(chance: Random) -> dict[str, Any]:
    """What a client may send, in any order."""
    room = chance.choice(ROOMS)
    kind = chance.choices(
        ("join", "leave", "message", "presence", "history", "heartbeat"), (6, 4, 12, 2, 1, 2)
    )[0]
    if kind == "message":
        data: dict[str, Any] = {"room": room, "content": _content(chance)}
        if chance.random() < 0.4:
            data["id"] = f"id-{chance.randrange(1000)}"
        return {"type": kind, "data": data}
    if kind == "heartbeat":
        return {"type": kind}
    frame: dict[str, Any] = {"type": kind, "room": room}
    if kind == "history":
        frame |= {"since": chance.randrange(100), "limit": chance.randrange(1, 10)}
    elif kind == "join" and chance.random() < 0.7:
        frame["since"] = 10**6  # above all numbers: long replays are not tested here
    return frame


def _content(chance: Random) -> str:
    dice = chance.random()
    if dice < 0.9:
        return f"no. {chance.randrange(10**6)}"
    if dice < 0.995:
        return chance.choice(("\x00", "💥", " ", "\u202e", "\ufeff", "\n\n", "\U0010ffff", "\\u0000", '"'))
    return chance.choice("x\x01é") * chance.randrange(1, 32 * 1024)


def _text(text: str, due: Due) -> Shot:
    return Shot(TEXT, text.encode(), due)


def _right(chance: Random) -> Shot:
    frame = _valid(chance)
    depends = frame["type"] in ("message", "leave")  # depends on whether the sender is in the room
    return _text(json.dumps(frame), Due.EITHER if depends else Due.OBEYED)


def _wrong_type(chance: Random) -> Shot:
    frame = _valid(chance)
    inner = chance.random() < 0.5 and "data" in frame
    owner = frame["data"] if inner else frame
    owner[chance.choice((*owner, "type", "room", "data", "id", "extra"))] = chance.choice(ODD)
    return _text(json.dumps(frame), Due.EITHER)


def _odd_number(chance: Random) -> Shot:
    field = chance.choice(("since", "limit", "room", "type", "extra"))
    kind = chance.choice(("history", "join", "message", "presence"))
    return _text(
        f'{{"type": "{kind}", "room": "{chance.choice(ROOMS)}", "{field}": {chance.choice(NUMBERS)}}}',
        Due.EITHER,
    )


def _deep(chance: Random) -> Shot:
    depth = chance.choice((10, 100, 500, 990, 1000, 1100, 3000, 20_000))
    opening, closing = chance.choice((("[", "]"), ('{"a":', "}"), ('{"data":', "}"), ('{"type":', "}")))
    if chance.random() < 0.3:
        closing = ""
    inside = chance.choice(('""', "0", "[]", "{}")) if closing else ""
    nest = opening * depth + inside + closing * depth
    if chance.random() < 0.5:
        return _text(nest, Due.REFUSED)
    field = chance.choice(("room", "data", "extra", "since"))
    return _text(f'{{"type": "join", "room": "{chance.choice(ROOMS)}", "{field}": {nest}}}', Due.EITHER)


def _twice(chance: Random) -> Shot:
    first, second = (json.dumps(_valid(chance))[1:-1] for _ in range(2))
    return _text(f"{{{first}, {second}}}", Due.EITHER)


def _bad_name(chance: Random) -> Shot:
    name = json.dumps(chance.choice(NAMES), ensure_ascii=True)
    kind = chance.choice(("join", "leave", "presence", "history"))
    if chance.random() < 0.5:
        return _text(f'{{"type": "{kind}", "room": {name}}}', Due.REFUSED)
    return _text(f'{{"type": "message", "data": {{"content": "x", "room": {name}}}}}', Due.REFUSED)


def _bad_content(chance: Random) -> Shot:
    data: dict[str, Any] = {"room": chance.choice(ROOMS), "content": "x"}
    bad = chance.randrange(20)
    if bad == 0:
        data["content"] = "é" * (32 * 1024 + 1)
    elif bad < 10:
        data["content"] = chance.choice(("", "\ud800", "a\udc00", "\ud83d\ud83d"))
    else:
        data["id"] = chance.choice(("", "x" * 129, "\ud800", "\udfff" * 128))
    return _text(json.dumps({"type": "message", "data": data}), Due.REFUSED)


def _unused(chance: Random) -> Shot:
    """Odd values in unused fields must do no harm."""
    frame: dict[str, Any] = {"type": "presence", "room": chance.choice(ROOMS), "data": chance.choice(NAMES)}
    frame[chance.choice(NAMES) or "x"] = chance.choice(ODD)
    return _text(json.dumps(frame), Due.OBEYED)


def _unknown(chance: Random) -> Shot:
    return _text(json.dumps({**_valid(chance), "type": chance.choice(TYPES)}), Due.REFUSED)


def _cut(chance: Random) -> Shot:
    text = json.dumps(_valid(chance))
    return _text(text[: chance.randrange(len(text))], Due.REFUSED)


def _scratched(chance: Random) -> Shot:
    """A right frame with some bytes changed, left out, inserted or repeated."""
    text = bytearray(json.dumps(_valid(chance)).encode())
    for _ in range(chance.randrange(1, 4)):
        at = chance.randrange(len(text) + 1)
        what = chance.randrange(3)
        text[at : at + (what != 1)] = (
            b"" if what == 0 else bytes([chance.choice(b'{}[]",:\\u0dtrue -.\x00\x7f')])
        )
    return _text(text.decode(errors="replace"), Due.EITHER)


def _binary(chance: Random) -> Shot:
    if chance.random() < 0.5:
        return Shot(BINARY, json.dumps(_valid(chance)).encode(), Due.REFUSED)
    return Shot(BINARY, chance.randbytes(chance.randrange(200)), Due.REFUSED)


def _rubbish(chance: Random) -> Shot:
    if chance.random() < 0.5:
        return _text(chance.choice(SCALARS), Due.REFUSED)
    letters = [chr(chance.choice((chance.randrange(128), chance.randrange(0xD800)))) for _ in range(20)]
    return _text("\ufeff?" + "".join(letters), Due.REFUSED)


_WEIGHTED: tuple[tuple[Callable[[Random], Shot], int], ...] = (
    (_right, 20),
    (_wrong_type, 15),
    (_odd_number, 8),
    (_deep, 1),
    (_twice, 4),
    (_bad_name, 8),
    (_bad_content, 6),
    (_unused, 4),
    (_unknown, 6),
    (_cut, 10),
    (_scratched, 15),
    (_binary, 4),
    (_rubbish, 4),
)
_KINDS = [kind for kind, _ in _WEIGHTED]
_WEIGHTS = [weight for _, weight in _WEIGHTED]
