"""Byte streams that are no WebSocket connection, or stop being one, from faulty clients and networks."""

from __future__ import annotations

import enum
import struct
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from tests.stress.link import (
    BINARY,
    CLOSE,
    CONTINUATION,
    FIN,
    PING,
    TEXT,
    asking,
    handshake,
    masked,
    wire,
)

MAX_FRAME = 1024 * 1024


class Ending(enum.Enum):
    """What happens to a connection after the last byte."""

    WAIT = "wait for the server to end it"
    FINISH = "say that nothing follows, and wait for the server to end it"
    CLOSE = "close it"
    RESET = "reset it"


@dataclass(frozen=True)
class Stream:
    """What is written, part by part, what happens then, and the close codes that may answer it."""

    kind: str
    parts: list[bytes]
    ending: Ending
    codes: tuple[int, ...] = ()
    """Empty where an answer is not asked for."""
    greeted: bool = False
    """Whether to wait for the handshake's answer after the first part."""


def stream(chance: Random) -> Stream:
    """A stream."""
    return chance.choice(_HANDSHAKES if chance.random() < 0.35 else _CONNECTIONS)(chance)


def _any(chance: Random) -> Ending:
    return chance.choice((Ending.FINISH, Ending.CLOSE, Ending.RESET))


def _pieces(data: bytes, chance: Random) -> list[bytes]:
    """The same bytes in one to four writes."""
    cuts = sorted(chance.randrange(len(data) + 1) for _ in range(chance.choice((0, 0, 1, 3))))
    return [data[a:b] for a, b in zip([0, *cuts], [*cuts, None], strict=True)]


# --- handshakes that are invalid ------------------------------------------------------------------


def _half_handshake(chance: Random) -> Stream:
    whole = handshake("half")
    return Stream("half a handshake", _pieces(whole[: chance.randrange(len(whole))], chance), _any(chance))


BAD_LINES = (
    (b"GET /", b"POST /"), (b"GET /", b"BREW /"), (b"HTTP/1.1", b"HTTP/1.0"), (b"HTTP/1.1", b"HTTP/9"),
    (b"GET /", b"GET"), (b"GET /", b"GET / /"), (b"GET /", b"\x00\xff"), (b"GET / ", b"GET  "),
    (b"Upgrade: websocket\r\n", b""), (b"Upgrade: websocket", b"Upgrade: h2c"),
    (b"Connection: Upgrade", b"Connection: close"), (b"Connection: Upgrade\r\n", b""),
    (b"Sec-WebSocket-Version: 13", b"Sec-WebSocket-Version: 12"),
    (b"Sec-WebSocket-Version: 13", b"Sec-WebSocket-Version: \xff"),
    (b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", b""), (b"dGhlIHNhbXBsZSBub25jZQ==", b"short"),
    (b"dGhlIHNhbXBsZSBub25jZQ==", b"\xc3\x28"), (b"dGhlIHNhbXBsZSBub25jZQ==", b"=" * 24),
    (b"Host: localhost", b"Host localhost"), (b"Host: localhost", b" : localhost"),
    (b"Host: localhost", b"Content-Length: -1"), (b"Host: localhost", b"Content-Length: 5\r\nX: y"),
    (b"Host: localhost", b"Transfer-Encoding: chunked"), (b"\r\n", b"\n"), (b": ", b"\x00: "),
    (b"Upgrade: websocket", b"Upgrade: websocket\r\nUpgrade: websocket"),
    (b"dGhlIHNhbXBsZSBub25jZQ==", b"dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="),
    (b"GET /", b"GET /?user=%FF"), (b"GET /", b"GET /?user=system"), (b"GET /", b"GET //[?user=" + b"x" * 65),
)  # fmt: skip


def _bad_handshake(chance: Random) -> Stream:
    """It may be answered in HTTP, just be ended, or be accepted; with FINISH, it must end."""
    data = handshake()
    for _ in range(chance.choice((1, 1, 2))):
        data = data.replace(*chance.choice(BAD_LINES), 1)
    return Stream("bad handshake", _pieces(data, chance), _any(chance))


def _other_protocol(chance: Random) -> Stream:
    opening = chance.choice(
        (
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + chance.randbytes(200),
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + chance.randbytes(30),
            b"SSH-2.0-OpenSSH_9.6\r\n",
            b"\x05\x01\x00",
            b"\r\n" * 50,
            chance.randbytes(chance.randrange(1, 2000)),
        )
    )
    return Stream("another protocol", _pieces(opening, chance), _any(chance))


def _huge_headers(chance: Random) -> Stream:
    """Headers beyond all limits must be refused without waiting for their end."""
    data = chance.choice(
        (
            handshake()[:-2] + b"X-Many: y\r\n" * 1000,
            handshake()[:-2] + b"X-Long: " + b"y" * 100_000,
            b"GET /" + b"a" * 100_000,
            b"\x00" * 300_000,
        )
    )
    return Stream("huge headers", _pieces(data, chance), Ending.WAIT)


# --- connections that are broken after a valid handshake ------------------------------------------


def _after(kind: str, data: bytes, chance: Random, ending: Ending, codes: tuple[int, ...] = ()) -> Stream:
    """The bytes after a handshake: in one write with it, or once the server has answered it."""
    greeted = chance.random() < 0.7
    if greeted:
        return Stream(kind, [handshake(), *_pieces(data, chance)], ending, codes, greeted=True)
    # A client that does not wait for the answer breaks the rules already, and need not get an error for more.
    return Stream(kind, _pieces(handshake() + data, chance), ending)


def _joined(chance: Random) -> bytes:
    """Right frames, whose effects must be undone when the connection breaks."""
    room = f"broken-{chance.randrange(5)}"
    say = asking("message", data={"room": room, "content": "so long"})
    return chance.choice((b"", asking("join", room=room, since=10**9), asking("join", room=room) + say))


def _half_a_frame(chance: Random) -> Stream:
    size = chance.choice((10, 200, 70_000, 1_000_000))
    whole = wire(TEXT, b'{"type": "heartbeat"' + b" " * size + b"}")
    cut = chance.randrange(1, min(len(whole), 5000))
    return _after("half a frame", _joined(chance) + whole[:cut], chance, _any(chance))


def _no_mask(chance: Random) -> Stream:
    payload = b'{"type": "heartbeat"}'
    frame = bytes([FIN | TEXT, len(payload)]) + payload
    return _after("no mask", _joined(chance) + frame, chance, Ending.WAIT, (1002,))


def _wrong_mask(chance: Random) -> Stream:
    """Under another mask it is random bytes, which are no text or no JSON; it may even be both."""
    payload = masked(b'{"type": "heartbeat"}', chance.randbytes(4))
    return _after("wrong mask", wire(TEXT, payload, mask=chance.randbytes(4)), chance, _any(chance))


def _reserved(chance: Random) -> Stream:
    first = chance.choice((FIN | TEXT | 0x40, FIN | BINARY | 0x20, FIN | PING | 0x10, FIN | 0x70 | CLOSE))
    if chance.random() < 0.5:
        first = FIN | chance.choice((3, 4, 5, 6, 7, 11, 12, 13, 14, 15))
    frame = bytes([first, 0x80 | 2]) + bytes(4) + b"\x03\xe8"
    return _after("reserved", _joined(chance) + frame, chance, Ending.WAIT, (1002,))


def _huge_length(chance: Random) -> Stream:
    size = chance.choice((MAX_FRAME + 1, 1 << 31, 1 << 32, (1 << 63) - 1, 1 << 63, (1 << 64) - 1))
    frame = struct.pack(">BBQ", FIN | chance.choice((TEXT, BINARY)), 0xFF, size) + bytes(4) + b"{" * 100
    return _after("huge length", _joined(chance) + frame, chance, Ending.WAIT, (1002, 1009))


def _no_end(chance: Random) -> Stream:
    """Fragments that never end: given up, or more than a message may have."""
    if chance.random() < 0.9:
        count = chance.randrange(1, 300)
        parts = wire(TEXT, b"{", fin=False) + wire(CONTINUATION, b" ", fin=False) * count
        return _after("fragments without an end", _joined(chance) + parts, chance, _any(chance))
    part = wire(CONTINUATION, b" " * 60_000, fin=False)
    data = wire(TEXT, b"{", fin=False) + part * (MAX_FRAME // 60_000 + 1)
    return _after("fragments of too much", data, chance, Ending.WAIT, (1009,))


def _bad_fragments(chance: Random) -> Stream:
    data = chance.choice(
        (
            wire(CONTINUATION, b"{}"),
            wire(CONTINUATION, b"{}", fin=False),
            wire(TEXT, b"{", fin=False) + wire(TEXT, b"}"),
            wire(TEXT, b"{", fin=False) + wire(BINARY, b"}", fin=False),
        )
    )
    return _after("bad fragments", _joined(chance) + data, chance, Ending.WAIT, (1002,))


def _bad_control(chance: Random) -> Stream:
    opcode = chance.choice((PING, CLOSE, 10))
    size = chance.choice((126, 200, 70_000))
    frame = wire(opcode, b"x" * size)
    if chance.random() < 0.5:
        frame = wire(opcode, b"\x03\xe8", fin=False)
    return _after("bad control frame", _joined(chance) + frame, chance, Ending.WAIT, (1002, 1009))


def _bad_text(chance: Random) -> Stream:
    bad = chance.choice((b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe2\x82", b"\x80"))
    data = wire(TEXT, b'{"type": "heartbeat", "x": "' + bad + b'"}')
    return _after("invalid UTF-8", _joined(chance) + data, chance, Ending.WAIT, (1007,))


def _bad_close(chance: Random) -> Stream:
    code = chance.choice((0, 1, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535))
    payload = chance.choice((code.to_bytes(2, "big"), b"\x03", b"\x03\xe8\xff\xfe"))
    return _after("bad close", _joined(chance) + wire(CLOSE, payload), chance, Ending.WAIT, (1002, 1007))


def _more_after_close(chance: Random) -> Stream:
    data = wire(CLOSE, b"\x03\xe8") + asking("join", room="broken-0") * 10 + chance.randbytes(100)
    return _after("more after the close", _joined(chance) + data, chance, Ending.WAIT, (1000,))


def _rubbish(chance: Random) -> Stream:
    data = chance.randbytes(chance.randrange(1, 3000))
    return _after("rubbish", _joined(chance) + data, chance, _any(chance))


def _right_and_gone(chance: Random) -> Stream:
    """Only the end is wrong, which comes while the server is about to answer."""
    data = _joined(chance) + wire(PING, b"?") * chance.choice((0, 1, 50)) + asking("history", room="broken-1")
    return _after("gone", data, chance, _any(chance))


_Kind = Callable[[Random], Stream]
_HANDSHAKES: tuple[_Kind, ...] = (_half_handshake, _bad_handshake, _other_protocol, _huge_headers)
_CONNECTIONS: tuple[_Kind, ...] = (
    _half_a_frame, _no_mask, _wrong_mask, _reserved, _huge_length, _no_end, _bad_fragments, _bad_control,
    _bad_text, _bad_close, _more_after_close, _rubbish, _right_and_gone,
)  # fmt: skip
