"""Animals of exercise 1: the delivery of messages, and the handling of bad frames."""

from __future__ import annotations

import html
import os
import re
import sys
import time
import unicodedata
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import msgspec
from websockets.frames import Frame, Opcode

import lab.fanout
import lab.protocol
import lab.sequencer
from harness.zoo.animal import animal
from lab.fanout import Connection
from lab.hub import Components
from lab.interfaces import Draft, Member
from lab.protocol import BadFrame, Error, ErrorCode, Join, Leave, Message, Say, ServerFrame
from lab.pubsub import PubSub
from lab.sequencer import Sequencer
from lab.server import ChatServer
from lab.session import Session


def _sessions_beside(session: Session) -> dict[str, Session]:
    """All sessions of its server, by their ids."""
    server = session._hub
    assert isinstance(server, ChatServer)
    return server._sessions


@animal("1.5", "missing_notice", is_alone=True)  # members at other nodes are told by their own node
def leaving_is_not_announced(parts: Components) -> None:
    """A client that sends `leave` is removed from the list, but its leaving is not announced."""

    async def leave(self: Session, frame: Leave) -> None:
        if frame.room not in self._rooms:
            raise BadFrame(lab.protocol.ErrorCode.NOT_JOINED, "not there")
        del self._rooms[frame.room]
        self._hub.pubsub.unsubscribe(frame.room, self)
        self._hub.publish_presence(self._hub.presence.left(self.id, frame.room, self._hub.now()))
        self._hub.leave(frame.room, self.user)

    Session._leave = leave  # type: ignore[method-assign]


@animal("1.4", "lost", also="2.1 2.3 4.1 4.4")
def sender_is_left_out(parts: Components) -> None:
    """A message is sent to all members except its sender."""

    class WithoutSender(PubSub):
        def publish(self, room: str, frame: ServerFrame) -> None:
            for member in self.members(room):
                if not (isinstance(frame, Message) and getattr(member, "user", "") == frame.user):
                    member.send(frame)

    parts.pubsub = WithoutSender


@animal("1.4", "room_leak", also="1.3 4.1")
def rooms_ignore_case(parts: Components) -> None:
    """`Lobby` and `lobby` are the same room when a message is published."""

    class Folded(PubSub):
        def publish(self, room: str, frame: ServerFrame) -> None:
            for name in self.rooms():
                if name.casefold() == room.casefold():
                    super().publish(name, frame)

    parts.pubsub = Folded


@animal("1.4", "altered")
def content_is_trimmed(parts: Components) -> None:
    """Leading and trailing whitespace is removed from the content."""

    class Trimming(Sequencer):
        async def accept(self, draft: Draft) -> Message:
            return await super().accept(msgspec.structs.replace(draft, content=draft.content.strip()))

    parts.sequencer = Trimming


@animal("1.3", "invalid_frame", also="1.4 1.5")
def texts_are_latin1(parts: Components) -> None:
    """Text is encoded as latin-1, and not as UTF-8: only letters beyond ASCII show it."""

    def to_wire(frame: ServerFrame) -> bytes:
        text = lab.protocol.encode(frame).decode()
        return Frame(Opcode.TEXT, text.encode("latin-1", "replace")).serialize(mask=False)

    lab.fanout.to_wire = to_wire


@animal("1.5", "heard_after_leave", also="3.1")
def leavers_still_hear(parts: Components) -> None:
    """`unsubscribe` does nothing while the connection is open."""

    class Sticky(PubSub):
        def unsubscribe(self, room: str, member: Member) -> None:
            if getattr(member, "connection", None) and member.connection.state.value != 1:  # type: ignore[attr-defined]
                super().unsubscribe(room, member)

    parts.pubsub = Sticky


@animal("1.3", "unanswered_error", also="1.2 1.4 1.5 2.4 3.2")
def bad_frames_are_ignored(parts: Components) -> None:
    """No `error` is ever sent."""
    send = Session.send

    def silent(self: Session, frame: ServerFrame) -> None:
        if not isinstance(frame, Error):
            send(self, frame)

    Session.send = silent  # type: ignore[method-assign]


@animal("1.2", "dropped_connection", also="1.3 1.4 1.5 2.4 3.2 3.4")
def bad_frames_disconnect(parts: Components) -> None:
    """A bad frame ends its connection, as an uncaught exception does."""
    obey = Session._obey

    async def fatal(self: Session, text: str | bytes) -> None:
        try:
            lab.protocol.parse(text)
        except BadFrame as bad:
            raise RuntimeError(bad.message) from bad
        await obey(self, text)

    Session._obey = fatal  # type: ignore[method-assign]


@animal("1.2", "server_died", also="2.4 3.2")
def bad_frames_kill_the_server(parts: Components) -> None:
    """A bad frame ends the process."""
    obey = Session._obey

    async def deadly(self: Session, text: str | bytes) -> None:
        try:
            lab.protocol.parse(text)
        except BadFrame:
            print("Traceback: something went wrong", file=sys.stderr)
            os._exit(3)
        await obey(self, text)

    Session._obey = deadly  # type: ignore[method-assign]


@animal(
    "1.2", "server_died", also="2.4 3.2", worlds=("live",), why="it closes file descriptors like the system"
)
def bad_frames_kill_the_server_slowly(parts: Components) -> None:
    """A bad frame ends the process, but all connections are closed some time before that."""
    obey = Session._obey

    async def deadly(self: Session, text: str | bytes) -> None:
        try:
            lab.protocol.parse(text)
        except BadFrame:
            os.closerange(3, 256)
            time.sleep(0.4)  # noqa: ASYNC251 - like the clean-up work of a crash
            os._exit(3)
        await obey(self, text)

    Session._obey = deadly  # type: ignore[method-assign]


@animal("1.4", "wrong_time", also="2.1 4.1")
def timestamps_are_days_off(parts: Components) -> None:
    """The days since 1970 are computed without leap years: timestamps lie twenty days in the past."""
    vars(lab.sequencer)["time"] = SimpleNamespace(time=lambda: time.time() - 20 * 24 * 3600)


@animal("1.4", "obeyed_bad_frame")
def empty_content_is_said(parts: Components) -> None:
    """Content is not checked at all."""
    lab.protocol.check_content = lambda content, id=None: None


def _rewriting(rewrite: Callable[[str], str]) -> type[Sequencer]:
    class Rewriting(Sequencer):
        async def accept(self, draft: Draft) -> Message:
            return await super().accept(msgspec.structs.replace(draft, content=rewrite(draft.content)))

    return Rewriting


@animal("1.4", "altered")
def content_is_normalised(parts: Components) -> None:
    """Content is normalised: the two Unicode forms of é become the same one."""
    parts.sequencer = _rewriting(lambda text: unicodedata.normalize("NFC", text))


@animal("1.4", "altered")
def content_is_escaped(parts: Components) -> None:
    """The server escapes content for HTML, which is the client's task."""
    parts.sequencer = _rewriting(lambda text: html.escape(text, quote=False))


@animal("1.4", "altered")
def line_ends_are_changed(parts: Components) -> None:
    """Carriage returns are lost, as when a file is read in text mode."""
    parts.sequencer = _rewriting(lambda text: text.replace("\r\n", "\n"))


@animal("1.4", "altered")
def content_is_cut_one_short(parts: Components) -> None:
    """A message of the maximum size loses its last byte."""
    parts.sequencer = _rewriting(lambda text: text[: 64 * 1024 - 1])


@animal("1.4", "refused")
def rooms_are_ascii(parts: Components) -> None:
    """Room names with letters outside of ASCII are refused."""
    lab.protocol.is_room_name = lambda room: bool(
        re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", room) and room.strip(".")
    )


@animal("1.4", "refused")
def rooms_have_32_characters(parts: Components) -> None:
    """Room names of more than 32 characters are refused."""
    good = lab.protocol.is_room_name
    lab.protocol.is_room_name = lambda room: good(room) and len(room) <= 32


@animal("1.3 1.4", "room_leak")
def rooms_are_normalised(parts: Components) -> None:
    """The two Unicode forms of é name the same room."""

    class Normal(PubSub):
        def publish(self, room: str, frame: ServerFrame) -> None:
            for name in self.rooms():
                if unicodedata.normalize("NFC", name) == unicodedata.normalize("NFC", room):
                    super().publish(name, frame)

    parts.pubsub = Normal


@animal("1.2", "room_leak")
def errors_go_to_everybody(parts: Components) -> None:
    """An `error` is sent to all connections."""
    send = Session.send

    def loud(self: Session, frame: ServerFrame) -> None:
        if isinstance(frame, Error):
            for each in _sessions_beside(self).values():
                send(each, frame)
        else:
            send(self, frame)

    Session.send = loud  # type: ignore[method-assign]


@animal("1.2", "malformed_frame")
def error_codes_are_made_up(parts: Components) -> None:
    """Every `error` has the same code, which the protocol does not define."""
    send = Session.send

    def vague(self: Session, frame: ServerFrame) -> None:
        if isinstance(frame, Error):
            self.connection.post(
                Frame(Opcode.TEXT, b'{"type":"error","data":{"code":"oops","message":"no"}}').serialize(
                    mask=False
                )
            )
        else:
            send(self, frame)

    Session.send = vague  # type: ignore[method-assign]


@animal("1.2", "unanswered_error")
def binary_frames_are_ignored(parts: Components) -> None:
    """Binary frames are neither obeyed nor answered."""
    obey = Session._obey

    async def careless(self: Session, text: str | bytes) -> None:
        if isinstance(text, str):
            await obey(self, text)

    Session._obey = careless  # type: ignore[method-assign]


@animal("1.2", "dropped_connection")
def binary_frames_kill_the_connection(parts: Components) -> None:
    """A binary frame raises an exception, which ends the connection."""
    obey = Session._obey

    async def fragile(self: Session, text: str | bytes) -> None:
        if isinstance(text, bytes):
            raise TypeError("a string was expected")
        await obey(self, text)

    Session._obey = fragile  # type: ignore[method-assign]


@animal("1.4", "refused", also="2.4")
def null_is_refused(parts: Components) -> None:
    """An optional field that is null is refused as a field of a wrong type."""
    parse = lab.protocol.parse

    def strict(text: str | bytes) -> Any:
        frame = parse(text)
        if re.search(r'"(id|since|limit)": ?null', str(text)):
            raise BadFrame(ErrorCode.BAD_REQUEST, "null is no value")
        return frame

    lab.protocol.parse = strict


@animal("1.4", "unanswered_error")
def ids_are_not_checked(parts: Components) -> None:
    """Any `id` is accepted: an empty one, a long one, a number."""
    parse = lab.protocol.parse

    def lax(text: str | bytes) -> Any:
        try:
            return parse(text)
        except BadFrame:
            value = msgspec.json.decode(text) if isinstance(text, str) else None
            data = value.get("data") if isinstance(value, dict) else None
            if not isinstance(data, dict) or "id" not in data:
                raise
            id = data.pop("id")
            frame = parse(msgspec.json.encode(value).decode())
            assert isinstance(frame, Say), "only a `message` frame has an id"
            return msgspec.structs.replace(frame, data=msgspec.structs.replace(frame.data, id=str(id) or "x"))

    lab.protocol.parse = lax


@animal("1.3", "duplicate")
def second_join_is_announced(parts: Components) -> None:
    """A second `join` of the same client is announced again."""
    join = Session._join

    async def again(self: Session, frame: Join) -> None:
        known = frame.room in self._rooms
        await join(self, frame)
        if known:
            self._announce(frame.room, "joined")

    Session._join = again  # type: ignore[method-assign]


@animal("1.2", "unanswered_error")
def bad_names_are_let_stand(parts: Components) -> None:
    """A bad user name is answered with an `error`, but the connection stays open."""

    async def tell(self: Connection, code: int, reason: str) -> None:
        self.flush()
        await self.wait_closed()

    Connection.flush_and_close = tell  # type: ignore[method-assign]


@animal("1.2", "unanswered_error")
def bad_names_are_not_told(parts: Components) -> None:
    """A connection with a bad user name is aborted without an `error`."""

    async def cut(self: Connection, code: int, reason: str) -> None:
        self._drop_queue()
        self.transport.abort()

    Connection.flush_and_close = cut  # type: ignore[method-assign]


@animal("1.2", "dropped_connection", also="2.4 3.2")
def bad_frames_close_others(parts: Components) -> None:
    """A bad frame breaks a loop that all clients share: the first client is disconnected."""
    obey = Session._obey

    async def spiteful(self: Session, text: str | bytes) -> None:
        try:
            lab.protocol.parse(text)
        except BadFrame:
            other = next(iter(_sessions_beside(self).values()))
            if other is not self:
                other.connection.transport.abort()
        await obey(self, text)

    Session._obey = spiteful  # type: ignore[method-assign]


@animal("1.4", "obeyed_bad_frame", also="2.3 4.4")
def outsiders_may_speak(parts: Components) -> None:
    """A message is accepted before the server checks whether the sender is in the room."""

    async def say(self: Session, frame: Any) -> None:
        await self._hub.sequencer.accept(Draft(frame.data.room, self.user, frame.data.content, frame.data.id))
        if frame.data.room not in self._rooms:
            raise BadFrame(ErrorCode.NOT_JOINED, "not there")

    Session._say = say  # type: ignore[method-assign]


@animal("1.4", "obeyed_bad_frame")
def outsiders_are_stored(parts: Components) -> None:
    """A message from a client that is not in the room is stored, but not published."""
    say = Session._say

    async def store(self: Session, frame: Any) -> None:
        words = frame.data
        if words.room not in self._rooms:
            last = await self._hub.store.last(words.room)
            await self._hub.store.save(
                [Message("x", words.room, self.user, words.content, last + 1, int(time.time() * 1000))]
            )
            self._hub.sequencer._room(words.room).last = None  # type: ignore[attr-defined]
        await say(self, frame)

    Session._say = store  # type: ignore[method-assign]


@animal("1.4", "refused")
def large_content_is_refused(parts: Components) -> None:
    """The size limit applies to the frame, and not to the content."""
    lab.protocol.MAX_CONTENT = 64 * 1024 - 64


@animal("1.4", "obeyed_bad_frame")
def bytes_are_not_counted(parts: Components) -> None:
    """The size limit counts characters instead of bytes."""

    def check(content: str, id: str | None = None) -> None:
        content.encode() if not any(0xD800 <= ord(c) < 0xE000 for c in content) else None
        if not content or len(content) > 64 * 1024 or any(0xD800 <= ord(c) < 0xE000 for c in content):
            raise BadFrame(ErrorCode.BAD_CONTENT, "no")

    lab.protocol.check_content = check


@animal("1.4", "lost")
def leave_and_join_twice_breaks(parts: Components) -> None:
    """A client that leaves and joins again is sent no more live frames."""

    class Once(PubSub):
        def __init__(self) -> None:
            super().__init__()
            self.was: set[tuple[str, Member]] = set()

        def subscribe(self, room: str, member: Member) -> None:
            if (room, member) not in self.was:
                super().subscribe(room, member)

        def unsubscribe(self, room: str, member: Member) -> None:
            self.was.add((room, member))
            super().unsubscribe(room, member)

    parts.pubsub = Once
