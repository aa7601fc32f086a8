"""Reads a server's frames leniently: first their shape, then, if that is right, their meaning.

What the contract forgives is a *note*; what it does not is a *flaw*, and a frame with a flaw has no
meaning for the checkers. Nothing here raises, whatever the frame is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import msgspec
from msgspec import Struct

from lab.protocol import MAX_FRAME, SYSTEM, ErrorCode, Message, Presence, Status


class Flaw(Struct, frozen=True, gc=False):
    """Where a frame departs from the contract: the field, what it should be, and what it is."""

    field: str
    expected: str
    actual: str


class History(Struct, frozen=True, gc=False):
    """A `history` frame. `last` and `more` are None where the server does not say."""

    room: str
    messages: list[Message]
    last: int | None
    more: bool | None


class PresenceFrame(Struct, frozen=True, gc=False):
    """A `presence` frame. `full` is None where the server does not say."""

    room: str
    users: dict[str, Presence]
    full: bool | None


class Connected(Struct, frozen=True, gc=False):
    """A `connected` frame; the intervals in seconds, None where the server does not say."""

    user: str
    client_id: str
    heartbeat: float | None
    timeout: float | None


class Error(Struct, frozen=True, gc=False):
    """An `error` frame."""

    code: str | None
    message: str
    id: str | None


class Heartbeat(Struct, frozen=True, gc=False):
    """A `heartbeat` frame."""


class Unknown(Struct, frozen=True, gc=False):
    """A frame of a type that is not in the contract, which the contract allows."""

    kind: str


Meaning = History | PresenceFrame | Connected | Error | Heartbeat | Message | Unknown


class Reading(Struct, frozen=True, gc=False):
    """What a frame says: its type, its meaning unless it has flaws, and what was forgiven."""

    kind: str
    meaning: Meaning | None
    flaws: tuple[Flaw, ...] = ()
    notes: tuple[str, ...] = ()


class _Fields:
    """Reads the fields of one JSON object, and collects flaws and notes."""

    def __init__(self, value: Any, where: str, flaws: list[Flaw], notes: list[str]) -> None:
        self.where = where
        self.flaws = flaws
        self.notes = notes
        self.value: dict[str, Any] = value if isinstance(value, dict) else {}
        if not isinstance(value, dict):
            self.flaw("", "object", value)

    def flaw(self, name: str, expected: str, actual: Any) -> None:
        field = f"{self.where}.{name}".strip(".")
        self.flaws.append(Flaw(field, expected, _describe(actual)))

    def text(self, name: str) -> str:
        value = self.value.get(name)
        if not isinstance(value, str):
            self.flaw(name, "string", value)
            return ""
        return value

    def whole(self, name: str) -> int:
        value = _as_integer(self.value.get(name))
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            self.flaw(name, "whole", value)
            return 0
        return value

    def millis(self, name: str, *others: str) -> int:
        """Milliseconds since 1970; seconds, also with a fraction, are forgiven."""
        for other in others:
            if self.value.get(name) is None and self.value.get(other) is not None:
                self.notes.append(other)
                name = other
        value = self.value.get(name)
        if not isinstance(value, int | float) or isinstance(value, bool):
            self.flaw(name, "millis", value)
            return 0
        # 1e9 seconds is the year 2001, and 1e12 milliseconds is the same moment.
        if 1e9 <= value < 1e11:
            self.notes.append("seconds")
            return int(value * 1000)
        if not 1e12 <= value < 1e14:
            self.flaw(name, "millis", value)
            return 0
        return int(value)

    def objects(self, name: str) -> list[Any]:
        value = self.value.get(name)
        if not isinstance(value, list):
            self.flaw(name, "list", value)
            return []
        return value

    def optional(self, name: str, kind: type, note: str | None = None) -> Any:
        value = self.value.get(name)
        if value is None:
            if note:
                self.notes.append(note)
            return None
        if kind is int:
            value = _as_integer(value)
        fits = isinstance(value, kind) and (kind is bool or not isinstance(value, bool))
        if kind is float:
            fits = isinstance(value, int | float) and not isinstance(value, bool)
        if not fits:
            self.flaw(name, {bool: "bool", int: "whole", float: "number", str: "string"}[kind], value)
            return None
        return value


def _as_integer(value: Any) -> Any:
    """A value in which 3.0 is 3. A float with more bits than an integer may have stays one."""
    is_one = isinstance(value, float) and value.is_integer() and int(value) in INTEGERS
    return int(value) if is_one else value


MIN_INTERVAL, MAX_INTERVAL = 0.01, 600.0
"""Seconds: no client can answer more often; a longer interval is most likely in milliseconds."""

SHORT = 4096
"""Characters up to which a received text is cached, for the other clients that receive it."""
_MANY = 400
"""Commas from which on it is not: it would be far larger here than as text."""
_CACHE_SIZE = 2048
"""How many texts are cached."""

MAX_DEPTH = 64
"""How deep a frame may be nested. A few levels are in use; what is far deeper, we could not copy or print."""
INTEGERS = range(-(2**63), 2**64)
"""Integers that a frame may hold: no file of ours, and few other programs, can keep longer ones."""

_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_TAG = re.compile(r"[a-z0-9]+-[0-9]+(?=\.)", re.IGNORECASE)


def tag_in(content: str) -> str | None:
    """The tag that every message of the harness begins with, found even if the content was altered."""
    return _tag_in(content[:200])


@lru_cache(_CACHE_SIZE)
def _tag_in(start: str) -> str | None:
    found = _TAG.search(start)
    return found.group().lower() if found else None


class TooMuch(ValueError):  # noqa: N818 - named for what it says
    """A frame that is JSON, but nested too deeply, or with numbers that are too long."""

    def __init__(self) -> None:
        super().__init__("it is nested too deeply, or has a number that is too long")


def decode(text: str | bytes) -> Any:
    """The JSON value in a text frame. Raises ValueError if there is none, and for a binary frame.

    Raises TooMuch, which is one, for what could not be copied, kept or printed: whatever is done with the
    value later on cannot fail for its depth, or for the length of a number.
    """
    if isinstance(text, bytes):
        raise ValueError("a binary frame")
    try:
        value = msgspec.json.decode(text)
    except (RecursionError, msgspec.ValidationError) as error:  # the latter for a number that is too long
        raise TooMuch from error
    if not _is_plain(value, text) and is_too_much(value):
        raise TooMuch
    return value


_encode = msgspec.msgpack.Encoder().encode


def _is_plain(value: Any, text: str) -> bool:
    """Whether a value is certainly not too much, as nearly all are: this is as fast as reading."""
    try:
        _encode(value)  # which refuses what is longer than 64 bits, and lone surrogates
    except (OverflowError, RecursionError, UnicodeError):
        return False
    return text.count("[") + text.count("{") <= MAX_DEPTH


def is_too_much(value: Any) -> bool:
    """Whether a value is nested too deeply, or has a number that is too long; level by level."""
    level: list[dict[str, Any] | list[Any]] = [[value]]
    for _ in range(MAX_DEPTH + 1):
        inside = [each for some in level for each in (some.values() if isinstance(some, dict) else some)]
        if any(isinstance(each, int) and each not in INTEGERS for each in inside):
            return True
        level = [each for each in inside if isinstance(each, dict | list)]
    return bool(level)


def hear(text: str | bytes) -> tuple[Any, Reading]:
    """The JSON value in a frame as it was received (None if there is none), and its reading.

    Members of a room receive the same text, which is read once: the result is shared, so do not change it.
    """
    return _read_cached(text) if isinstance(text, str) and is_small(text) else _read_text(text)


def is_small(text: str | bytes) -> bool:
    """Whether a frame is kept as it is, also when it has been read."""
    return len(text) <= SHORT and values_in(text) <= _MANY


def values_in(text: str | bytes) -> int:
    """About how many values are in a frame."""
    return text.count(",") if isinstance(text, str) else 0


def _read_text(text: str | bytes) -> tuple[Any, Reading]:
    try:
        frame = decode(text)
    except TooMuch:
        return None, TOO_MUCH
    except ValueError:
        return None, BINARY if isinstance(text, bytes) else HALF if _has_half(text) else read(None)
    return frame, read(frame, len(text))


def _has_half(text: str) -> bool:
    """Whether it would be JSON, but for a lone surrogate, which an escape sequence can hold."""
    if not _SURROGATE.search(text):
        return False
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


TOO_MUCH = Reading("", None, (Flaw("", "plain", "…"),))
"""The reading of a frame that is JSON, and can be no value of ours."""
BINARY = Reading("", None, (Flaw("", "binary", "…"),))
"""The reading of a binary frame."""
HALF = Reading("", None, (Flaw("", "half", "…"),))
"""The reading of a frame that holds half of a character."""


_read_cached = lru_cache(_CACHE_SIZE)(_read_text)


def read(frame: Any, size: int = 0) -> Reading:
    """The reading of a frame, given as its JSON value (None: it was not JSON)."""
    flaws: list[Flaw] = []
    notes: list[str] = []
    if not isinstance(frame, dict):
        return Reading("", None, (Flaw("", "object", _describe(frame)),))
    kind = frame.get("type")
    if not isinstance(kind, str):
        return Reading("", None, (Flaw("type", "string", _describe(kind)),))
    if size > MAX_FRAME:
        flaws.append(Flaw("", "small", f"{size}"))
    meaning: Meaning | None
    if kind == "message" and not flaws and (meaning := _right_message(frame.get("data"))):
        return Reading(kind, meaning)
    if kind == "heartbeat":
        meaning = Heartbeat()
    elif kind not in _READERS:
        meaning = Unknown(kind)
    else:
        meaning = _READERS[kind](_Fields(frame.get("data"), "data", flaws, notes))
    if flaws and not isinstance(meaning, Error):  # a malformed error is an error all the same
        return Reading(kind, None, tuple(flaws), tuple(dict.fromkeys(notes)))
    return Reading(kind, meaning, tuple(flaws), tuple(dict.fromkeys(notes)))


def _right_message(data: Any) -> Message | None:
    """A numbered message without flaws and notes: nearly all are, and need not be read field by field."""
    try:
        message = msgspec.convert(data, Message)
    except (msgspec.ValidationError, UnicodeError):  # the latter for a lone surrogate in place of a number
        return None
    is_right = message.user != SYSTEM and message.sequence >= 0 and 1e12 <= message.timestamp < 1e14
    return message if is_right else None


def _message(fields: _Fields) -> Message:
    is_notice = fields.value.get("user") == SYSTEM
    if is_notice:  # neither its number nor its time is judged
        return Message(
            str(fields.value.get("id", "")), fields.text("room"), SYSTEM, fields.text("content"), 0, 0
        )
    return Message(
        id=fields.text("id"),
        room=fields.text("room"),
        user=fields.text("user"),
        content=fields.text("content"),
        sequence=fields.whole("sequence"),
        timestamp=fields.millis("timestamp"),
    )


def _page(fields: _Fields) -> History:
    messages = [
        _message(_Fields(each, f"data.messages[{n}]", fields.flaws, fields.notes))
        for n, each in enumerate(fields.objects("messages"))
    ]
    return History(
        fields.text("room"),
        messages,
        fields.optional("last", int, "no_last"),
        fields.optional("more", bool, "no_more"),
    )


def _presence_frame(fields: _Fields) -> PresenceFrame:
    users = {}
    for number, each in enumerate(fields.objects("users")):
        one = _Fields(each, f"data.users[{number}]", fields.flaws, fields.notes)
        user, status = one.text("user"), one.text("status")
        if status not in tuple(Status):
            one.flaw("status", "status", one.value.get("status"))
            continue
        users[user] = Presence(user, Status(status), one.millis("lastSeen", "last_seen"))
    return PresenceFrame(fields.text("room"), users, fields.optional("full", bool, "no_full"))


def _connected(fields: _Fields) -> Connected:
    for name in ("heartbeatInterval", "offlineTimeout"):
        value = fields.value.get(name)
        if isinstance(value, int | float) and not MIN_INTERVAL <= value <= MAX_INTERVAL:
            fields.flaw(name, "seconds", value)
    return Connected(
        fields.text("user"),
        fields.text("clientId"),
        fields.optional("heartbeatInterval", float, "no_intervals"),
        fields.optional("offlineTimeout", float, "no_intervals"),
    )


def _error(fields: _Fields) -> Error:
    code = fields.optional("code", str, "no_code")
    if code is not None and code not in tuple(ErrorCode):
        fields.flaw("code", "code", code)
    return Error(code, fields.text("message"), fields.optional("id", str))


_READERS: dict[str, Callable[[_Fields], Meaning]] = {
    "message": _message,
    "history": _page,
    "presence": _presence_frame,
    "connected": _connected,
    "error": _error,
}


def _describe(value: Any) -> str:
    """A short JSON-like form of a value, for a person to read."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "{…}"
    if isinstance(value, list):
        return "[…]"
    text = repr(value) if not isinstance(value, str) else f'"{value}"'
    return text if len(text) <= 40 else f"{text[:40]}…"
