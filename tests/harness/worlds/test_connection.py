"""The harness's own connection receives what the library's would receive, and ends in the same way."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from itertools import pairwise
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.messages import MAX_FRAGMENTS
from websockets.client import ClientProtocol
from websockets.exceptions import (
    ConnectionClosed,
    ConnectionClosedError,
    InvalidMessage,
    InvalidStatus,
    PayloadTooBig,
    ProtocolError,
    TooManyFragments,
)
from websockets.frames import Close
from websockets.uri import parse_uri
from websockets.utils import accept_key, apply_mask

from harness.worlds.connection import Connection

MAX_SIZE = 150
CONT, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
BYE = b"\x03\xe8bye"
"""The payload of a close frame: code 1000 and a reason."""


class Wire(asyncio.Transport):
    """A transport that records what is written, and loses its connection on demand."""

    def __init__(self, protocol: asyncio.Protocol) -> None:
        super().__init__()
        self.protocol = protocol
        self.written = b""
        self.is_aborted = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Record it."""
        self.written += bytes(data)

    def can_write_eof(self) -> bool:
        """It can."""
        return True

    def write_eof(self) -> None:
        """Ignored."""

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """There is no buffer."""

    def is_closing(self) -> bool:
        """Whether it was aborted."""
        return self.is_aborted

    def abort(self) -> None:
        """Lose the connection soon."""
        if not self.is_aborted:
            self.is_aborted = True
            asyncio.get_running_loop().call_soon(self.protocol.connection_lost, None)


async def turns() -> None:
    """Let the event loop do everything that it can do without waiting."""
    for _ in range(4):
        await asyncio.sleep(0)


def frame(
    opcode: int, data: bytes = b"", *, fin: bool = True, rsv: int = 0, size: int | None = None
) -> bytes:
    """A frame as a server sends it; `size` is the size that its header claims, if not the true one."""
    size = len(data) if size is None else size
    head = bytes([fin << 7 | rsv << 4 | opcode])
    if size < 126:
        return head + bytes([size]) + data
    if size < 1 << 16:
        return head + b"\x7e" + size.to_bytes(2) + data
    return head + b"\x7f" + size.to_bytes(8) + data


def text(words: str) -> bytes:
    """A whole text frame."""
    return frame(TEXT, words.encode())


async def opened(
    kind: type[ClientConnection],
    max_size: Any = MAX_SIZE,
    *,
    with_answer: bytes = b"",
    close_timeout: Any = 10,
) -> Any:
    """A connection on a wire, after its handshake; `with_answer` arrives in one piece with the answer."""
    protocol = ClientProtocol(parse_uri("ws://localhost/"), max_size=max_size)
    ws = kind(protocol, ping_interval=None, max_queue=None, close_timeout=close_timeout)
    ws.connection_made(Wire(ws))
    shaking = asyncio.create_task(ws.handshake())
    await turns()
    assert ws.request is not None
    accept = accept_key(ws.request.headers["Sec-WebSocket-Key"])
    lines = f"HTTP/1.1 101 Yes\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}"
    answer = f"{lines}\r\n\r\n".encode()
    ws.transport.written = b""  # type: ignore[attr-defined]
    ws.data_received(answer[:-2])
    ws.data_received(answer[-2:] + with_answer)
    await shaking
    return ws


async def ours(**options: Any) -> tuple[Connection, list[str | bytes]]:
    """A connection of ours, and the list of what it receives."""
    heard: list[str | bytes] = []
    ws = await opened(Connection, **options)
    ws.listen(heard.append)
    return ws, heard


def sent(ws: ClientConnection) -> list[tuple[int, bytes]]:
    """Opcodes and payloads of the frames that a client has sent."""
    found, wire = [], ws.transport.written  # type: ignore[attr-defined]
    while wire:
        size = wire[1] & 0x7F
        assert size < 126
        found.append((wire[0] & 0x0F, bytes(apply_mask(wire[6 : 6 + size], wire[2:6]))))
        wire = wire[6 + size :]
    return found


def end(ws: ClientConnection, reset: bool = False) -> None:
    """Close or reset the server's side of the wire."""
    if not reset:
        ws.eof_received()
    if not ws.transport.is_closing():
        ws.connection_lost(ConnectionResetError() if reset else None)


class Story(NamedTuple):
    """What a connection has received, and how it has ended."""

    heard: list[str | bytes]
    code: int | None
    reason: str | None
    error: type[BaseException]
    cause: type[BaseException]
    received: Close | None
    sent: Close | None
    order: bool | None
    answers: list[tuple[int, bytes]]


def story(ws: ClientConnection, heard: list[str | bytes]) -> Story:
    """What is compared of a connection that has ended."""
    error = ws.close_exc
    return Story(
        heard,
        ws.close_code,
        ws.close_reason,
        type(error),
        type(error.__cause__),
        error.rcvd,
        error.sent,
        error.rcvd_then_sent,
        sent(ws),
    )


async def story_of_the_library(stream: bytes, max_size: Any, reset: bool) -> Story:
    """Feed it byte by byte, so that its reader has read each message before the next one comes."""
    ws = await opened(ClientConnection, max_size)
    heard: list[str | bytes] = []

    async def read() -> None:
        with suppress(ConnectionClosed):
            while True:
                heard.append(await ws.recv())

    reader = asyncio.create_task(read())
    for at in range(len(stream)):
        ws.data_received(stream[at : at + 1])
        await turns()
    end(ws, reset)
    await reader
    return story(ws, heard)


async def story_of_ours(pieces: list[bytes], listens: int, max_size: Any, reset: bool) -> Story:
    """Feed it in pieces: the first comes with the handshake,
    and the listener is set after a number of others.
    """
    ws = await opened(Connection, max_size, with_answer=pieces[0])
    heard: list[str | bytes] = []
    ended: list[int] = []
    for number, piece in enumerate([*pieces[1:], b""]):
        if number == min(listens, len(pieces) - 1):
            ws.listen(heard.append, lambda: ended.append(len(heard)))
        if piece:
            ws.data_received(piece)
        if number % 2:
            await turns()
    end(ws, reset)
    await turns()
    assert ended == [len(heard)]
    return story(ws, heard)


def cut(stream: bytes, places: Iterable[int]) -> list[bytes]:
    """The stream in pieces, the first of which may be empty."""
    inside = sorted(place % (len(stream) + 1) for place in places)
    first, *more = [stream[a:b] for a, b in pairwise([0, *inside, len(stream)])]
    return [first, *(piece for piece in more if piece)]


payloads = st.one_of(
    st.text(max_size=8).map(str.encode),
    st.binary(max_size=6),
    st.sampled_from(
        [b"x" * 125, b"x" * 126, "ä".encode()[:1], "ä".encode()[1:], b"y" * MAX_SIZE, b"z" * 151]
    ),
)
right = st.one_of(
    st.builds(frame, st.just(TEXT), st.text(max_size=8).map(str.encode)),
    st.builds(frame, st.sampled_from([TEXT, TEXT, BINARY, PING, PONG]), payloads),
    st.builds(frame, st.sampled_from([TEXT, BINARY, CONT, CONT]), payloads, fin=st.booleans()),
)
ends = st.builds(
    frame, st.just(CLOSE), st.sampled_from([BYE, b"", b"\x03\xea", b"\x03\xe8\xff", b"\x00", b"\x03\xed"])
)
wrong = st.one_of(
    st.builds(
        frame,
        st.integers(0, 15),
        payloads,
        fin=st.booleans(),
        rsv=st.sampled_from([0, 0, 4, 2, 1]),
        size=st.one_of(st.none(), st.sampled_from([0, 1, 5, 125, 126, MAX_SIZE, 151, 1 << 16, 1 << 63])),
    ),
    payloads.map(lambda data: b"\x81" + bytes([0x80 | len(data) & 0x7F]) + b"mask" + data),  # masked
    payloads.map(lambda data: b"\x81\x7e" + len(data).to_bytes(2) + data),  # a header longer than necessary
    payloads.map(lambda data: b"\x81\x7f" + len(data).to_bytes(8) + data),
    st.binary(max_size=4),
)
streams = st.lists(st.one_of(right, right, right, right, ends, wrong), max_size=8).map(b"".join)


@settings(max_examples=300, deadline=None)
@given(
    streams,
    st.lists(st.integers(0, 2000), max_size=12),
    st.integers(0, 6),
    st.sampled_from([MAX_SIZE, MAX_SIZE, (MAX_SIZE, 20), (None, 100), (150, None), None]),
    st.booleans(),
)
def test_it_receives_and_ends_as_the_library_does(
    stream: bytes, places: list[int], listens: int, max_size: Any, reset: bool
) -> None:
    """Whatever a server sends, in whatever pieces: the same messages, answers and end as in the library."""

    async def compare() -> None:
        actual = await story_of_ours(cut(stream, places), listens, max_size, reset)
        assert actual == await story_of_the_library(stream, max_size, reset)

    asyncio.run(compare())


@pytest.mark.parametrize("step", [1, 2, 3, 1000])
async def test_messages_come_in_order_in_any_pieces(step: int) -> None:
    """Short, long and very long texts, cut anywhere, are received once each and in order."""
    said = ["", "a", "b" * 125, "c" * 126, "d" * 1000, "e" * 65536 if step > 3 else "e", "ä", "f"]
    stream = b"".join(text(each) for each in said)
    ws, heard = await ours(max_size=None)
    for at in range(0, len(stream), step):
        ws.data_received(stream[at : at + step])
    assert heard == said


async def test_what_comes_with_the_handshake_is_received() -> None:
    """Frames in the same piece as the end of the handshake are kept until a listener is set."""
    ws, heard = await ours(with_answer=text("one") + text("two") + text("three")[:2])
    assert heard == ["one", "two"]
    ws.data_received(text("three")[2:])
    assert heard == ["one", "two", "three"]


@pytest.mark.parametrize("step", [1, 7, 1000])
@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"HTTP/1.1 404 No\r\nContent-Length: 7\r\n\r\n\x81\x05hello", InvalidStatus),
        (b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n\x81\x05hello", InvalidStatus),
        (b"HTTP/1.1 404 No\r\n\r\n\x81\x05hello", InvalidStatus),
        (b"SSH-2.0-OpenSSH\r\n\r\n\x81\x05hello", InvalidMessage),
        (b"HTTP/1.1", InvalidMessage),
    ],
)
async def test_a_refused_connection_receives_nothing(
    answer: bytes, error: type[Exception], step: int
) -> None:
    """An answer that refuses the handshake goes to the library only, in any pieces."""
    ws = Connection(ClientProtocol(parse_uri("ws://localhost/")), ping_interval=None)
    wire = Wire(ws)
    ws.connection_made(wire)
    shaking = asyncio.create_task(ws.handshake())
    await turns()
    for at in range(0, len(answer), step):
        ws.data_received(answer[at : at + step])
    end(ws)
    with pytest.raises(error):
        await shaking
    heard: list[str | bytes] = []
    ws.listen(heard.append)
    assert heard == []


async def test_a_listener_receives_what_came_before() -> None:
    """In order, and before what comes later."""
    ws = await opened(Connection)
    ws.data_received(text("one") + frame(BINARY, b"two"))
    ws.data_received(text("three"))
    heard: list[str | bytes] = []
    ws.listen(heard.append)
    assert heard == ["one", b"two", "three"]
    ws.data_received(text("four"))
    assert heard == ["one", b"two", "three", "four"]


async def test_a_listener_set_after_the_end_is_notified() -> None:
    """After everything that had arrived."""
    ws = await opened(Connection)
    ws.data_received(text("one"))
    end(ws)
    heard: list[str | bytes] = []
    ws.listen(heard.append, lambda: heard.append("the end"))
    assert heard == ["one", "the end"]


async def test_another_listener_takes_over_at_once() -> None:
    """Also while earlier messages, or those of one piece, are being delivered."""
    ws = await opened(Connection)
    first: list[str | bytes] = []
    second: list[str | bytes] = []

    def hear(message: str | bytes) -> None:
        first.append(message)
        ws.listen(second.append)

    ws.data_received(text("one") + text("two"))
    ws.listen(hear)
    assert (first, second) == (["one"], ["two"])
    ws.listen(hear)
    ws.data_received(text("three") + text("four"))
    assert (first, second) == (["one", "three"], ["two", "four"])


async def test_nothing_is_received_after_a_close_frame() -> None:
    """Not in the same piece, and not later; the close frame is answered."""
    ws, heard = await ours()
    ws.data_received(text("one") + frame(CLOSE, BYE) + text("two"))
    ws.data_received(text("three") + frame(PING, b"?"))
    assert heard == ["one"]
    assert sent(ws) == [(CLOSE, BYE)]
    end(ws)
    assert (ws.close_code, ws.close_reason) == (1000, "bye")


async def test_what_comes_while_we_close_is_received() -> None:
    """After our own close frame, until the server's."""
    ws, heard = await ours()
    closing = asyncio.create_task(ws.close())
    await turns()
    ws.data_received(text("one") + frame(CLOSE, b"\x03\xe8") + text("two"))
    end(ws)
    await closing
    assert heard == ["one"]
    assert ws.close_code == 1000


async def test_bad_text_while_we_close_does_not_hide_the_end() -> None:
    """Nothing more is received, but the server's close frame counts."""
    ws, heard = await ours()
    closing = asyncio.create_task(ws.close())
    await turns()
    ws.data_received(frame(TEXT, b"\xff") + text("one") + frame(CLOSE, b"\x03\xe8"))
    end(ws)
    await closing
    assert heard == []
    assert ws.close_code == 1000


async def test_a_ping_between_two_fragments_is_answered() -> None:
    """And the message arrives whole."""
    ws, heard = await ours()
    ws.data_received(frame(TEXT, "hä".encode()[:2], fin=False) + frame(PING, b"there?"))
    assert sent(ws) == [(PONG, b"there?")]
    ws.data_received(frame(CONT, "hä".encode()[2:]) + text("next"))
    assert heard == ["hä", "next"]


async def test_pings_without_end_end_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few thousand are answered; then it is the server that breaks the rules, and nothing more is read."""
    monkeypatch.setattr("harness.worlds.connection.MAX_CONTROLS", 3)
    ws, heard = await ours()
    ws.data_received(frame(PING) * 3 + text("one") + frame(PING) * 9 + text("two"))
    assert heard == ["one"]
    assert [opcode for opcode, _ in sent(ws)] == [PONG, PONG, PONG, CLOSE]
    assert (ws.violation, ws.end_code, ws.is_lost) == (("pings", ""), 1008, True)


async def test_a_pong_ends_the_wait_for_it() -> None:
    """The library's own pings work."""
    ws, _ = await ours()
    waiter = await ws.ping(b"me")
    ws.data_received(text("one") + frame(PONG, b"me"))
    assert await waiter >= 0


FAILURES = {
    "a message over the limit": (text("x" * (MAX_SIZE + 1)), 1009),
    "the head of a message over the limit": (frame(TEXT, b"", size=1 << 40), 1009),
    "fragments over the limit": (
        frame(TEXT, b"x" * 100, fin=False) + frame(CONT, b"x" * (MAX_SIZE - 99), fin=False),
        1009,
    ),
    "too many fragments": (frame(TEXT, fin=False) + frame(CONT, fin=False) * MAX_FRAGMENTS, 1009),
    "compression that nobody asked for": (frame(TEXT, b"x", rsv=4), 1002),
    "a masked frame": (b"\x81\x81mask\x00", 1002),
    "the head of a masked frame": (b"\x81\x81", 1002),
    "an opcode that there is not": (b"\x83\x7e", 1002),
    "a message within a message in fragments": (frame(TEXT, b"x", fin=False) + text("y"), 1002),
    "a fragment of no message": (frame(CONT, b"x"), 1002),
    "a ping in fragments": (frame(PING, b"x", fin=False), 1002),
    "a text that is not UTF-8": (frame(TEXT, b"\xff"), 1007),
    "half a letter": (frame(TEXT, "ä".encode()[:1]), 1007),
    "fragments that are not UTF-8": (frame(TEXT, b"x", fin=False) + frame(CONT, b"\xff"), 1007),
}


@pytest.mark.parametrize("name", FAILURES)
async def test_nothing_is_received_after_a_protocol_error(name: str) -> None:
    """The connection is failed with the right code at once, and what follows is not received."""
    breach, code = FAILURES[name]
    ws, heard = await ours()
    ws.data_received(text("one") + breach + text("two"))
    ws.data_received(text("three"))
    assert heard == ["one"]
    ((opcode, data),) = sent(ws)
    assert (opcode, int.from_bytes(data[:2])) == (CLOSE, code)
    end(ws)
    assert isinstance(ws.close_exc, ConnectionClosedError)
    assert ws.close_code == 1006
    causes = {1002: ProtocolError, 1007: UnicodeDecodeError, 1009: (PayloadTooBig, TooManyFragments)}
    assert isinstance(ws.close_exc.__cause__, causes[code])


@pytest.mark.parametrize(
    ("head", "code"),
    [
        (b"\x83\x7e", 1002),  # an unknown opcode
        (b"\x81\x81", 1002),  # a mask
        (b"\x81\xfe\x00", 1002),
        (b"\x81\xfe\x00\x00mask", 1002),
        (frame(TEXT, size=MAX_SIZE + 1), 1009),
        (frame(TEXT, b"x" * 100, fin=False) + frame(CONT, size=MAX_SIZE - 99), 1009),
    ],
)
async def test_an_error_in_a_header_fails_the_connection_at_once(head: bytes, code: int) -> None:
    """The payload of such a frame may never come, or be very long."""
    ws, heard = await ours(max_size=None if code == 1002 else MAX_SIZE)
    ws.data_received(head)
    assert heard == []
    ((_, data),) = sent(ws)
    assert int.from_bytes(data[:2]) == code


async def test_a_message_of_exactly_the_limit_is_received() -> None:
    """Whole or in fragments."""
    ws, heard = await ours()
    half = b"x" * (MAX_SIZE // 2)
    ws.data_received(text("x" * MAX_SIZE) + frame(TEXT, half, fin=False) + frame(CONT, half))
    assert heard == ["x" * MAX_SIZE] * 2


async def test_a_server_that_does_not_close_is_cut_off() -> None:
    """After bad text, a server that does not close is waited for until the close timeout."""
    ws, _ = await ours(close_timeout=0)
    ws.data_received(frame(TEXT, b"\xff"))
    await ws.wait_closed()
    assert ws.transport.is_closing()
    patient, _ = await ours(close_timeout=None)
    patient.data_received(frame(TEXT, b"\xff"))
    await turns()
    assert not patient.transport.is_closing()


async def test_an_error_of_the_listener_loses_nothing() -> None:
    """It is reported to the event loop, the rest is received, and the connection stays open."""
    errors: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(context["exception"]))
    heard: list[str | bytes] = []

    def hear(message: str | bytes) -> None:
        heard.append(message)
        if message in ("one", "three"):
            raise ZeroDivisionError

    ws = await opened(Connection, with_answer=text("one") + text("two"))
    ws.listen(hear)
    ws.data_received(text("three") + frame(PING, b"?") + text("four") + text("five")[:3])
    ws.data_received(text("five")[3:])
    assert heard == ["one", "two", "three", "four", "five"]
    assert [type(error) for error in errors] == [ZeroDivisionError] * 2
    assert sent(ws) == [(PONG, b"?")]
    ws.data_received(frame(CLOSE, BYE))
    end(ws)
    assert ws.close_code == 1000


async def test_an_abrupt_end_differs_from_a_closing_handshake() -> None:
    """A reset in the middle of a frame is the cause of the exception with which the connection ends."""
    ws, heard = await ours()
    ws.data_received(text("one") + text("two")[:3])
    end(ws, reset=True)
    assert heard == ["one"]
    assert ws.close_code == 1006
    assert isinstance(ws.close_exc.__cause__, ConnectionResetError)


async def test_a_large_frame_in_many_pieces_is_copied_once() -> None:
    """Until it is whole, its pieces are only collected."""
    looks = []

    class Watched(Connection):
        def _take_frames(self, data: bytes) -> int:
            looks.append(len(data))
            return super()._take_frames(data)

    ws = await opened(Watched, None)
    heard: list[str | bytes] = []
    ws.listen(heard.append)
    looks.clear()
    stream = text("x" * 100_000) + text("y")
    for at in range(0, len(stream), 10):
        ws.data_received(stream[at : at + 10])
    assert [len(each) for each in heard] == [100_000, 1]
    assert sum(looks) < 2 * len(stream)
