"""Every frame that crosses the wire, with its limits and error codes. PROTOCOL.md says what they mean.

A frame is one JSON object with a string `type`. Here each kind of frame is a class, so that a typing
mistake is found by the type checker and not by a client. `parse` reads what clients send and `encode`
writes what the server answers; nothing in this module does any input or output.

`python -m lab.protocol` prints all frames as a JSON Schema.
"""

from __future__ import annotations

import difflib
import hmac
import json
import re
import unicodedata
from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated, Any, NoReturn, get_args
from urllib.parse import parse_qs

import msgspec
from msgspec import Meta, Struct

MAX_FRAME = 1024 * 1024
"""Bytes of one WebSocket frame, in either direction."""
MAX_CONTENT = 64 * 1024
"""Bytes of UTF-8 in one message."""
MAX_NAME = 64
"""Characters in the name of a room or a user."""
MAX_ID = 128
"""Characters in the `id` that a client gives its message."""
MAX_PAGE = 100
"""Messages in one page of history."""
NEWEST = 50
"""Messages that a join without `since` is answered with."""
MAX_UNREAD = 16 * 1024 * 1024
"""Bytes of live frames that may wait for a member that does not read."""
MAX_SEQUENCE = 2**53 - 1
"""The largest whole number that every JSON library keeps exactly."""
SYSTEM = "system"
"""The user in whose name joining and leaving are announced; nobody else may have it."""

HEARTBEAT_INTERVAL = 30.0
"""Seconds between two heartbeats of the server, unless it is told otherwise."""
OFFLINE_TIMEOUT = 60.0
"""Seconds of silence after which a user is offline, unless the server is told otherwise."""


class ErrorCode(StrEnum):
    """What was wrong with a client's frame."""

    BAD_JSON = "bad_json"
    BAD_REQUEST = "bad_request"
    UNKNOWN_TYPE = "unknown_type"
    BAD_ROOM = "bad_room"
    BAD_CONTENT = "bad_content"
    BAD_NAME = "bad_name"
    NOT_JOINED = "not_joined"
    TOO_LARGE = "too_large"
    RATE_LIMITED = "rate_limited"
    UNAVAILABLE = "unavailable"


class BadFrame(Exception):  # noqa: N818 - it names a frame, which is bad; the frame is not an error of ours
    """A client's frame that cannot be obeyed: `code` and `message` are told to the client.

    `id` is that of the chat message which the frame held, if it held one.
    """

    def __init__(self, code: ErrorCode, message: str, id: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.id = id


# --- from the client ------------------------------------------------------------------------------

_Since = Annotated[int, Meta(ge=0, description="the highest sequence number already seen")]
_Id = Annotated[str, Meta(min_length=1, max_length=MAX_ID)]


class Join(Struct, tag_field="type", tag="join", frozen=True):
    """Become a member of a room, and be told what was said since."""

    room: str
    since: _Since | None = None


class Leave(Struct, tag_field="type", tag="leave", frozen=True):
    """Stop being a member of a room."""

    room: str


class Words(Struct, frozen=True):
    """What a client says, and where. A given `id` makes it safe to say it again."""

    room: str
    content: str
    id: _Id | None = None


class Say(Struct, tag_field="type", tag="message", frozen=True):
    """Say something in a room."""

    data: Words


class AskPresence(Struct, tag_field="type", tag="presence", frozen=True):
    """Ask who is in a room."""

    room: str


class AskHistory(Struct, tag_field="type", tag="history", frozen=True):
    """Ask for stored messages with a sequence number above `since`, `limit` at the most."""

    room: str
    since: _Since | None = None
    limit: Annotated[int, Meta(ge=1)] | None = None


class Heartbeat(Struct, tag_field="type", tag="heartbeat", frozen=True):
    """A sign of life, in both directions."""


ClientFrame = Join | Leave | Say | AskPresence | AskHistory | Heartbeat
CLIENT_TYPES = ("join", "leave", "message", "presence", "history", "heartbeat")


# --- from the server ------------------------------------------------------------------------------


class Status(StrEnum):
    """How present a user is."""

    ONLINE = "online"
    AWAY = "away"
    OFFLINE = "offline"


class Connected(Struct, frozen=True, rename="camel"):
    """The first frame on a connection. The two intervals are in seconds."""

    client_id: str
    user: str
    heartbeat_interval: float
    offline_timeout: float


class Presence(Struct, frozen=True, rename="camel"):
    """One user's presence in one room; `last_seen` in milliseconds since the Unix epoch."""

    user: str
    status: Status
    last_seen: int


class PresenceFrame(Struct, frozen=True):
    """Who is in a room: everybody if `full`, else only those whose presence changed."""

    room: str
    users: list[Presence]
    full: bool = False


class Message(Struct, frozen=True):
    """A chat message with its number in the room; `timestamp` in milliseconds since the Unix epoch."""

    id: str
    room: str
    user: str
    content: str
    sequence: int
    timestamp: int


class History(Struct, frozen=True):
    """Stored messages in rising order. `last` is the room's newest number; `more` says that newer follow."""

    room: str
    messages: list[Message]
    last: int
    more: bool


class Error(Struct, frozen=True, omit_defaults=True):
    """Why a frame was not obeyed; `id` is that of the chat message it held."""

    code: ErrorCode
    message: str
    id: str | None = None


ServerFrame = Connected | PresenceFrame | Message | History | Heartbeat | Error


class _ConnectedFrame(Struct, tag_field="type", tag="connected"):
    data: Connected


class _PresenceFrame(Struct, tag_field="type", tag="presence"):
    data: PresenceFrame


class _MessageFrame(Struct, tag_field="type", tag="message"):
    data: Message


class _HistoryFrame(Struct, tag_field="type", tag="history"):
    data: History


class _ErrorFrame(Struct, tag_field="type", tag="error"):
    data: Error


_ENVELOPES: dict[type, type] = {
    Connected: _ConnectedFrame,
    PresenceFrame: _PresenceFrame,
    Message: _MessageFrame,
    History: _HistoryFrame,
    Error: _ErrorFrame,
}
_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[ClientFrame] = msgspec.json.Decoder(ClientFrame)


def encode(frame: ServerFrame) -> bytes:
    """The UTF-8 text of a server's frame."""
    envelope = _ENVELOPES.get(type(frame))
    return _encoder.encode(envelope(frame) if envelope else frame)


def split(history: History) -> Iterator[History]:
    """The same messages in as many frames as it takes for each to stay within MAX_FRAME."""
    room_for = MAX_FRAME - len(encode(History(history.room, [], history.last, more=False)))
    page: list[Message] = []
    size = 0
    for message in history.messages:
        more = len(_encoder.encode(message)) + len(",")
        if page and size + more > room_for:
            yield History(history.room, page, history.last, more=True)
            page, size = [], 0
        page.append(message)
        size += more
    yield History(history.room, page, history.last, history.more)


# --- reading what a client sent -------------------------------------------------------------------


def parse(text: str | bytes) -> ClientFrame:
    """The frame in `text`, which keeps every rule for names, content and ranges.

    Raises BadFrame, and nothing else, for any text that is not such a frame.
    """
    try:
        frame = _decoder.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        frame = _decode_with_reasons(text)
    match frame:
        case Say(data=words):
            check_room(words.room, words.id)
            check_content(words.content, words.id)
        case Join(room=room, since=since):
            check_room(room)
            frame = Join(room, None if since is None else min(since, MAX_SEQUENCE))
        case AskHistory(room=room, since=since, limit=limit):
            check_room(room)
            frame = AskHistory(room, min(since or 0, MAX_SEQUENCE), min(limit or MAX_PAGE, MAX_PAGE))
        case Leave(room=room) | AskPresence(room=room):
            check_room(room)
    return frame


def _decode_with_reasons(text: str | bytes) -> ClientFrame:
    """Decode again, slowly: to say what is wrong, and because msgspec refuses every lone surrogate,
    also one that stands in a field that nobody asked for."""
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise BadFrame(ErrorCode.BAD_JSON, f"this is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise BadFrame(ErrorCode.BAD_JSON, 'a frame is one JSON object, such as {"type": "heartbeat"}')
    kind = value.get("type")
    if not isinstance(kind, str):
        raise BadFrame(ErrorCode.BAD_REQUEST, "a frame needs a `type`, which is a string")
    if kind not in CLIENT_TYPES:
        near = difflib.get_close_matches(kind[:MAX_NAME], CLIENT_TYPES, n=1)
        hint = f"did you mean `{near[0]}`?" if near else f"there are {', '.join(CLIENT_TYPES)}"
        raise BadFrame(ErrorCode.UNKNOWN_TYPE, f"there is no such `type`; {hint}")
    _refuse_half_characters(value)
    try:
        # What is left of lone surrogates stands where nobody looks, and must not be in the way.
        return _decoder.decode(json.dumps(value, ensure_ascii=False).encode(errors="replace"))
    except (msgspec.DecodeError, RecursionError) as error:
        raise BadFrame(ErrorCode.BAD_REQUEST, f"in `{kind}`: {error}", _id_in(value)) from None


def _refuse_half_characters(value: dict[str, Any]) -> None:
    """Raise BadFrame for a lone surrogate in a field that matters: half of a character is none."""
    if value["type"] == "message":
        owner = value["data"] if isinstance(value.get("data"), dict) else {}
        names = {"id": ErrorCode.BAD_REQUEST, "room": ErrorCode.BAD_ROOM, "content": ErrorCode.BAD_CONTENT}
    else:
        owner = value
        names = {} if value["type"] == "heartbeat" else {"room": ErrorCode.BAD_ROOM}
    for name, code in names.items():
        text = owner.get(name)
        if isinstance(text, str) and _has_lone_surrogate(text):
            raise BadFrame(code, f"`{name}` holds half of a character (a lone surrogate)", _id_in(value))


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON value")


def _id_in(value: dict[str, Any]) -> str | None:
    data = value.get("data")
    id = data.get("id") if isinstance(data, dict) else None
    if not isinstance(id, str) or not 1 <= len(id) <= MAX_ID or _has_lone_surrogate(id):
        return None
    return id


def _has_lone_surrogate(text: str) -> bool:
    return any(unicodedata.category(char) == "Cs" for char in text)


def check_room(room: str, id: str | None = None) -> None:
    """Raise BadFrame unless `room` may be the name of a room."""
    if not is_room_name(room):
        raise BadFrame(
            ErrorCode.BAD_ROOM,
            f"a room's name has 1 to {MAX_NAME} letters, digits, `_`, `-` or `.`, and not only dots",
            id,
        )


_PLAIN_ROOM = re.compile(r"[A-Za-z0-9_.-]{1,64}")


def is_room_name(room: str) -> bool:
    """Whether `room` is 1 to 64 letters, digits, `_`, `-`, `.` of any script, and not only dots.

    Marks (accents, vowel signs) belong to the letters before them: without them most Indian languages
    could not name a room.
    """
    if not _PLAIN_ROOM.fullmatch(room):
        if not 1 <= len(room) <= MAX_NAME:
            return False
        if not all(char in "_-." or unicodedata.category(char)[0] in "LMN" for char in room):
            return False
    return room.strip(".") != ""


def check_content(content: str, id: str | None = None) -> None:
    """Raise BadFrame unless `content` may be said."""
    size = len(content.encode(errors="surrogatepass"))
    if size == 0:
        raise BadFrame(ErrorCode.BAD_CONTENT, "`content` is empty", id)
    if size > MAX_CONTENT:
        reason = f"`content` has {size:,} bytes, and {MAX_CONTENT:,} is the most"
        raise BadFrame(ErrorCode.TOO_LARGE, reason, id)


def user_in(path: str) -> str | None:
    """The user's name that a connection to `path` asks for; None where it asks for none.

    Raises BadFrame for a name that cannot be had.
    """
    name = _asked(path, "user")
    if name is None:
        return None
    if not 1 <= len(name) <= MAX_NAME or name == SYSTEM or _has_lone_surrogate(name):
        reason = f"a user's name has 1 to {MAX_NAME} characters, and is not `{SYSTEM}`"
        raise BadFrame(ErrorCode.BAD_NAME, reason)
    return name


def is_key_in(path: str, key: str) -> bool:
    """Whether a connection to `path` gives the key. The time that it takes tells nothing about the key."""
    return not key or hmac.compare_digest((_asked(path, "key") or "").encode(errors="replace"), key.encode())


def _asked(path: str, name: str) -> str | None:
    """The first value of a name in the query of an address."""
    query = parse_qs(path.partition("?")[2], keep_blank_values=True, errors="surrogateescape")
    return query[name][0] if name in query else None


def schema() -> dict[str, Any]:
    """All frames as one JSON Schema, with `client` and `server` as its two entry points."""
    from_server = [*_ENVELOPES.values(), Heartbeat]
    kinds = [*get_args(ClientFrame), *from_server]
    found, definitions = msgspec.json.schema_components(kinds, ref_template="#/$defs/{name}")
    refs = dict(zip(kinds, found, strict=True))
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$defs": {
            **definitions,
            "client": {"oneOf": [refs[kind] for kind in get_args(ClientFrame)]},
            "server": {"oneOf": [refs[kind] for kind in from_server]},
        },
    }


if __name__ == "__main__":
    print(json.dumps(schema(), indent=2))
