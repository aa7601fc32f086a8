"""A WebSocket connection that is cheap to read from, and as strict as the library's own.

Most of what a received message costs in the websockets library is its parser and the task that receives it.
Nearly all frames of a chat are whole text frames; those are handled here as soon as they come.
Everything else (the handshake, pings, the closing, fragments, and whatever breaks RFC 6455) goes to the
library, one whole frame at a time, so that its parser is always between two frames.
"""

from __future__ import annotations

import asyncio
import math
import sys
from collections import deque
from collections.abc import Callable
from typing import Any

from websockets.asyncio.client import ClientConnection
from websockets.asyncio.messages import MAX_FRAGMENTS
from websockets.exceptions import ProtocolError, TooManyFragments
from websockets.frames import CTRL_OPCODES, DATA_OPCODES, CloseCode, Frame, Opcode
from websockets.protocol import Event, Protocol, State

from harness.history.faults import FaultKind, Way
from harness.judged.bounds import MAX_CONTROLS
from harness.worlds.library_errors import violation_of

_WHOLE_TEXT = 0x81
_OPCODE = 0x0F
_OPCODES = frozenset(Opcode)
_MASKED = 0x80
_READ_AT_ONCE = 64 * 1024  # bytes; for asyncio's own 256 KiB, glibc gets memory from the system each time


class Connection(ClientConnection):
    """A client's connection; `listen` takes the place of `recv`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._early: deque[str | bytes] = deque()  # what came before `listen`
        self._hear: Callable[[str | bytes], None] = self._early.append
        self._on_end: Callable[[], None] | None = None
        self._rest = bytearray()  # the beginning of a frame
        self._need = 0  # bytes that the frame has, as far as is known
        self._room = _room(self.protocol)  # bytes that the payload of the next frame may have
        self._parts: list[Frame] = []  # of a message in fragments
        self._controls = 0  # control frames that have come
        self._is_over = False  # no message is given out any more: all bytes go to the library
        self.inbound = self.outbound = Way.FLOWS

    def listen(self, hear: Callable[[str | bytes], None], on_end: Callable[[], None] | None = None) -> None:
        """From now on call `hear` with each message as it comes, and at once with those that have come.

        `on_end` is called when the connection has ended, after all messages. What `hear` raises goes to
        the event loop's exception handler, and no message is lost by it.
        """
        self._hear, self._on_end = hear, on_end
        while self._early:
            self._deliver(self._early.popleft())
        if self.is_lost:
            self._tell_end()

    def disturb(self, kind: FaultKind) -> None:
        """Begin, or end, a fault that leaves the connection open."""
        self.inbound, self.outbound = kind.inbound, kind.outbound
        if self.inbound is Way.HELD:
            self.transport.pause_reading()
        elif not (self.transport.is_closing() or self.transport.is_reading()):
            self.transport.resume_reading()

    @property
    def is_undisturbed(self) -> bool:
        """Whether frames arrive in both directions, as far as it depends on this side."""
        return self.inbound is self.outbound is Way.FLOWS

    @property
    def is_lost(self) -> bool:
        """Whether the connection has ended, perhaps by this side, so that nothing more will come."""
        return self.connection_lost_waiter.done() or bool(self.violation[0])

    @property
    def violation(self) -> tuple[str, str]:
        """Which rule of RFC 6455 the server broke, so that this side ended the connection, and what shows it.

        Both are empty as long as it broke none.
        """
        return violation_of(self.protocol.parser_exc, self.connection_exc)

    @property
    def end_code(self) -> int:
        """The code of the closing frame that ended it: ours after a violation; 1006 if there was none."""
        sent = self.protocol.close_sent
        return int(sent.code) if self.violation[0] and sent is not None else self.close_code or 1006

    # --- what asyncio and the library call --------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is established."""
        super().connection_made(transport)
        if hasattr(transport, "max_size"):  # only asyncio's own transports have it
            transport.max_size = _READ_AT_ONCE

    def data_received(self, data: bytes) -> None:
        """Bytes from the server; those that a fault loses are acknowledged by the system all the same."""
        if self.inbound is Way.LOST:
            return
        if self.protocol.state is State.CONNECTING:
            data = self._shake_hands(data)
        if self._rest:
            self._rest += data
            # Until a large frame is whole, its pieces are not parsed: that would be quadratic.
            if len(self._rest) < self._need:
                return
            data, self._rest = bytes(self._rest), bytearray()
        taken = self._take_frames(data)
        if taken < len(data):
            self._rest += data[taken:]

    def send_data(self) -> None:
        """Write what the library has to send: frames, pongs, and the closing handshake."""
        if self.outbound is Way.LOST:
            self.protocol.data_to_send()  # which discards it
        else:
            super().send_data()

    def process_event(self, event: Event) -> None:
        """Handle what the library has read: messages go to `hear`, in place of the library's queue."""
        if self.response is None or not isinstance(event, Frame) or event.opcode not in DATA_OPCODES:
            super().process_event(event)
        elif not self._is_over:
            self._add_fragment(event)

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection has ended."""
        super().connection_lost(exc)
        self._tell_end()

    # --- frames -----------------------------------------------------------------------------------

    def _shake_hands(self, data: bytes) -> bytes:
        """Give the library the answer to the handshake line by line; returns what comes after it."""
        at = 0
        while at < len(data) and self.protocol.state is State.CONNECTING:
            line = at
            at = data.find(b"\n", line) + 1 or len(data)
            super().data_received(data[line:at])
        return data[at:]

    def _take_frames(self, data: bytes) -> int:
        """Take all whole frames; returns how many bytes they had."""
        at, end = 0, len(data)
        self._need = 0
        while at < end and not self._is_over:
            start, stop = _payload(data, at)
            if stop > end:
                if not self._will_be_refused(data[at:start], stop - start):
                    self._need = stop - at
                    return at
                self._is_over = True
            elif data[at] == _WHOLE_TEXT and stop - start <= self._room and not self._parts:
                self._take_text(data[start:stop])
                at = stop
            else:
                self._hand_over(data[at:stop])
                at = stop
        if self._is_over:
            super().data_received(data[at:])
            if self.violation[0]:
                self._give_up()
        return end

    def _will_be_refused(self, head: bytes, size: int) -> bool:
        """Whether the library refuses a frame by its head, without waiting for the rest."""
        if len(head) < 2:
            return False
        return head[0] & _OPCODE not in _OPCODES or head[1] >= _MASKED or size > self._room

    def _hand_over(self, frame: bytes) -> None:
        self._controls += frame[0] & _OPCODE in CTRL_OPCODES
        if self._controls > MAX_CONTROLS:
            words = "too many control frames"
            self._fail(CloseCode.POLICY_VIOLATION, words, ProtocolError(words))
            return
        super().data_received(frame)
        self._room = _room(self.protocol)
        if self.protocol.close_rcvd is not None or self.protocol.parser_exc is not None:
            self._is_over = True

    def _add_fragment(self, part: Frame) -> None:
        if len(self._parts) >= MAX_FRAGMENTS:
            self._fail(CloseCode.MESSAGE_TOO_BIG, "too many fragments", TooManyFragments(MAX_FRAGMENTS))
            return
        self._parts.append(part)
        if part.fin:
            parts, self._parts = self._parts, []
            data = b"".join(each.data for each in parts)
            if parts[0].opcode is Opcode.TEXT:
                self._take_text(data)
            else:
                self._deliver(data)

    def _take_text(self, data: bytes) -> None:
        try:
            text = data.decode()
        except UnicodeDecodeError as error:
            self._fail(CloseCode.INVALID_DATA, f"{error.reason} at position {error.start}", error)
        else:
            self._deliver(text)

    def _deliver(self, message: str | bytes) -> None:
        try:
            self._hear(message)
        except Exception as error:
            context = {"message": f"{self._hear!r} raised an error", "exception": error, "protocol": self}
            self.loop.call_exception_handler(context)

    def _fail(self, code: CloseCode, reason: str, error: Exception) -> None:
        """End the connection as the library's `recv` does for a message that it cannot return."""
        self._is_over = True
        self._parts.clear()
        self.set_connection_exc(error)
        if self.protocol.state is State.OPEN:
            self.protocol.fail(code, reason)
        self.send_data()
        self._give_up()

    def _give_up(self) -> None:
        """Leave the server some time to read why this side has ended the connection."""
        if self.close_timeout is not None:
            self.loop.call_later(self.close_timeout, self.transport.abort)
        self._tell_end()

    def _tell_end(self) -> None:
        """Call `on_end`, once."""
        on_end, self._on_end = self._on_end, None
        if on_end:
            on_end()


def _room(protocol: Protocol) -> float:
    """Bytes that the payload of the next frame may have."""
    message, fragment = protocol.max_message_size, protocol.max_fragment_size
    return min(
        math.inf if message is None else message - (protocol.current_size or 0),
        math.inf if fragment is None else fragment,
    )


def _payload(data: bytes, at: int) -> tuple[int, int]:
    """Where the payload of the frame at this place begins and ends; beyond `data` if that is not known yet.

    A masked frame, which a server must not send, is never whole: it is refused by its head.
    """
    have = len(data) - at
    if have < 2:
        return at + 2, at + 2
    size = data[at + 1]
    if size < 126:
        return at + 2, at + 2 + size
    if size >= _MASKED:
        return at + 2, sys.maxsize
    if size == 126 and have >= 4:
        return at + 4, at + 4 + 256 * data[at + 2] + data[at + 3]
    start = at + (4 if size == 126 else 10)
    if have < start - at:
        return start, start
    return start, start + int.from_bytes(data[at + 2 : start])
