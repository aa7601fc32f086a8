"""The chat client of one user: blocking calls, a thread that reads, and a record of everything.

It behaves as a well-written client does: it answers heartbeats, rejoins with `since`, and retries, with the
same `id`, messages that were not answered when its connection broke. It judges nothing, and does not depend
on Locust, although it runs on sockets and threads that Locust has patched.
"""

from __future__ import annotations

import socket
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import msgspec
from websockets.exceptions import ConnectionClosed, ProtocolError
from websockets.frames import CTRL_OPCODES, CloseCode, Frame, Opcode
from websockets.protocol import Event
from websockets.sync.client import ClientConnection

from harness.history import events as history
from harness.history import frames
from harness.history.frames import tag_in
from harness.judged.bounds import MAX_CONTROLS
from harness.load.record import Recorder
from harness.worlds.dialling import dial_blocking
from harness.worlds.library_errors import NotOpened, violation_of
from lab.protocol import HEARTBEAT_INTERVAL, OFFLINE_TIMEOUT, SYSTEM, Message

PATIENCE = 15.0
"""Seconds to wait for an answer."""

MAX_FRAGMENTS = 1000
"""Fragments of one message, which nobody needs."""
_TURN = 100
"""Frames of a connection after which others have their turn."""

Measure = Callable[[str, float, int, str | None], None]
"""Called with everything that was timed: its name, seconds, bytes, and an error if there was one."""


class Gone(Exception):  # noqa: N818 - it says what happened to the connection
    """There is no connection, or it was lost."""


class _Connection(ClientConnection):
    """Passes each text on as soon as it is read, instead of putting it into a queue for another thread.

    With hundreds of connections in one process, that queue is half of the cost of receiving.
    """

    on_text: Callable[[str], None]
    _frames = _controls = _fragments = 0

    def process_event(self, event: Event) -> None:
        """Handle unfragmented text frames here; leave all others to the library, unless they do not end."""
        self._frames += 1
        if self._frames % _TURN == 0:
            time.sleep(0)  # lets others have their turn: where data are always there, nobody else would
        if isinstance(event, Frame):
            if event.opcode is Opcode.TEXT and event.fin:
                with suppress(UnicodeDecodeError):
                    self.on_text(bytes(event.data).decode())
                    return
            if self._is_too_much(event):
                return
        super().process_event(event)

    def _is_too_much(self, frame: Frame) -> bool:
        """Whether control frames or fragments come without end; then the connection is ended.

        The library ends it, too, by and by, but closes the socket while its own thread reads there.
        """
        self._controls += frame.opcode in CTRL_OPCODES
        self._fragments = 0 if frame.fin else self._fragments + 1
        many = self._controls > MAX_CONTROLS
        if not many and self._fragments < MAX_FRAGMENTS:
            return False
        if self.protocol.parser_exc is None:
            words = "too many control frames" if many else "incomplete fragmented message"
            self.protocol.fail(CloseCode.POLICY_VIOLATION, words)
            self.protocol.parser_exc = ProtocolError(words)
            with suppress(OSError):
                self.socket.shutdown(socket.SHUT_RDWR)
        return True


class Chatter:
    """The client of a user in some rooms, with one connection at a time."""

    def __init__(
        self, recorder: Recorder, address: str, name: str, user: str, tag: str, measure: Measure
    ) -> None:
        self.name = name
        self.user = user
        """The name that it asks the server for; unique to this run."""
        self.wake = threading.Event()
        """Set when the connection ends, and to wake the user from a rest."""
        self.rooms: list[str] = []
        """The rooms that it wants to be in."""
        self.unanswered: dict[str, tuple[str, str]] = {}
        """Room and content, by their ids, of messages that have not come back yet."""
        self.settled = False
        """Whether, after the order to be quiet, all its requests were answered."""
        self.finished = False
        """Whether it has closed its connection for good."""
        self._recorder = recorder
        self._address = address
        self._tag = tag
        self._measure = measure
        self._newest: dict[str, int] = {}
        self._retried: set[str] = set()
        self._pending: dict[str, threading.Event] = {}
        self._ended: set[int] = set()
        self._ws: ClientConnection | None = None
        self._open = False
        self._conn = 0
        self._asked: tuple[str, float, str] | None = None  # what, since when, in which room
        self._under_way: tuple[str, float] | None = None  # what is timed, and since when
        self._cut = 0  # the last connection that the user has cut, or a storm

    @property
    def is_open(self) -> bool:
        """Whether the connection is open, as far as this side knows."""
        return self._open

    # --- the connection ---------------------------------------------------------------------------

    def connect(self, due: float | None = None) -> None:
        """Open a connection, which was due then or is now, and wait for `connected`. Raises Gone."""
        self._conn = self._recorder.next_conn()
        began = self._recorder.now()
        due = began if due is None else due
        with self._timed("connect", due):
            self._connect(began, due)

    def _connect(self, began: float, due: float) -> None:
        conn = self._conn
        connected = self._pending["connected"] = threading.Event()

        def create(*args: Any, **more: Any) -> _Connection:
            connection = _Connection(*args, **more)
            connection.on_text = partial(self._hear, conn)
            return connection

        try:
            self._ws = ws = dial_blocking(self._address, self.user, PATIENCE, create)
        except NotOpened as error:
            self._give_up(f"connection {error.why}", began)
            self._time("connect", due, error=error.why)
            raise Gone from error
        self._open = True
        self.wake.clear()
        threading.Thread(target=self._read, args=(ws, conn), name=f"{self.name} reads", daemon=True).start()
        if not connected.wait(PATIENCE):
            self._give_up("connected", began)
            self._reset()
        if not self._open:
            self._time("connect", due, error="no connected frame")
            raise Gone
        self._time("connect", due)

    def arrive(self, due: float | None = None) -> None:
        """Connect, and join all of its rooms. Raises Gone."""
        self.connect(due)
        for room in list(self.rooms):
            self.join(room)

    def come_back(self, due: float | None = None) -> None:
        """Reconnect, rejoin all rooms, and retry messages that were not answered. Raises Gone."""
        due = self._recorder.now() if due is None else due
        with self._timed("reconnect", due):
            self._come_back(due)
        self._time("reconnect", due)

    def _come_back(self, due: float) -> None:
        self.arrive(due)
        for id, (room, content) in list(self.unanswered.items()):
            if room in self.rooms:
                self._retried.add(id)
                self._send(_message(room, content, id))

    def reset(self) -> None:
        """Cut the connection as the user or a storm does: what is under way is not expected any more."""
        if self._open:
            self._cut = self._conn
        self._reset()

    def _reset(self) -> None:
        """Reset the connection, without a closing handshake."""
        if self._ws is not None and self._open:
            self._end("reset")
            with suppress(OSError):
                self._ws.socket.shutdown(socket.SHUT_RDWR)

    def conclude(self, patience: float) -> None:
        """The load is over: note what was asked so many seconds ago, and was not answered."""
        if self._asked is not None and self._recorder.now() - self._asked[1] > patience:
            self._give_up(*self._asked)
        if self._under_way is not None and self._recorder.now() - self._under_way[1] > patience:
            self._recorder.never[self._under_way[0]].append(self._under_way[1])

    def close(self) -> None:
        """Close the connection properly, and for good."""
        self.finished = True
        if self._ws is not None and self._open:
            self._end("close")
            self._ws.close()

    def _end(self, fault: str) -> None:
        self._open = False
        self._ended.add(self._conn)
        self._recorder.add(history.Fault(self._recorder.now(), fault, self.name, self._conn))
        self._wake_all()

    def _wake_all(self) -> None:
        """Wake all threads that wait for an answer: none will come."""
        self.wake.set()
        for answered in list(self._pending.values()):
            answered.set()

    def _read(self, ws: ClientConnection, conn: int) -> None:
        with suppress(ConnectionClosed):
            for text in ws:
                self._hear(conn, text)
        by, code, reason = _how_it_ended(ws)
        by = "client" if conn in self._ended else by
        self._recorder.add(history.Closed(self._recorder.now(), self.name, conn, by, code, reason))
        if conn == self._conn:
            self._open = False
            self._wake_all()

    # --- what it hears ----------------------------------------------------------------------------

    def _hear(self, conn: int, text: str | bytes) -> None:
        try:
            self._handle(conn, text)
        except Exception:  # in the library's thread it would go unnoticed
            self._recorder.defect = traceback.format_exc()

    def _handle(self, conn: int, text: str | bytes) -> None:
        meaning = self._recorder.hear(self.name, conn, text)
        if self._recorder.flooded:
            self.finished = True
            self.reset()
            return
        match meaning:
            case Message() as message if message.user != SYSTEM:
                self._note(message)
                self._time_delivery(message, len(text))
            case frames.History() as page:
                for message in page.messages:
                    self._note(message)
                self._answer(f"history {page.room}")
            case frames.PresenceFrame() as presence_frame:
                self._answer(f"presence {presence_frame.room}")
            case frames.Heartbeat():
                with suppress(Gone):
                    self._send({"type": "heartbeat"})
            case frames.Connected() as connected:
                self._recorder.add(
                    history.Opened(
                        self._recorder.now(),
                        self.name,
                        conn,
                        connected.user,
                        self.user,
                        connected.heartbeat or HEARTBEAT_INTERVAL,
                        connected.timeout or OFFLINE_TIMEOUT,
                    )
                )
                self._answer("connected")
            case frames.Error() as error:
                self.unanswered.pop(error.id or "", None)
                self._measure("error", 0.0, len(text), error.code or error.message)

    def _note(self, message: Message) -> None:
        self._newest[message.room] = max(self._newest.get(message.room, 0), message.sequence)
        self.unanswered.pop(tag_in(message.content) or "", None)

    def _time_delivery(self, message: Message, size: int) -> None:
        """Measure a live message by its tag, which has the time at which it was due, on its host's clock."""
        tag = tag_in(message.content)
        if tag is None or tag[:4] != self._recorder.host or tag in self._retried:
            return
        if "p" in tag.partition("-")[0]:  # the probe has said it, whose messages are no part of the load
            return
        seconds = self._recorder.now() - int(tag.rpartition("-")[2]) / 1e9
        self._measure("delivery", seconds, size, None)
        if tag.startswith(f"{self._tag}-"):
            self._measure("echo", seconds, size, None)

    def _answer(self, key: str) -> None:
        if key in self._pending:
            self._pending[key].set()

    # --- what it says and asks --------------------------------------------------------------------

    def join(self, room: str) -> None:
        """Join a room (with `since`, if it was in it before) and wait until that is done. Raises Gone."""
        frame: dict[str, Any] = {"type": "join", "room": room}
        if room in self._newest:
            frame["since"] = self._newest[room]
        began = self._recorder.now()
        with self._timed("join", began):
            self._send(frame)
            self.fence()
        self._newest.setdefault(room, 0)
        self._recorder.add(history.Joined(self._recorder.now(), self.name, self._conn, room))
        if room not in self.rooms:
            self.rooms.append(room)
        self._time("join", began)

    def leave(self, room: str) -> None:
        """Leave a room, and wait until that is done. Raises Gone."""
        if room in self.rooms:
            self.rooms.remove(room)
        self._send({"type": "leave", "room": room})
        self.fence()
        self._recorder.add(history.Left(self._recorder.now(), self.name, self._conn, room))

    def say(self, room: str, words: str, due: float | None = None, size: int = 0) -> None:
        """Say a message, which was due then or is now, in a room; do not wait for it to come back.

        With a size, its content has so many bytes, if the tag leaves room for that. Raises Gone.
        """
        due = self._recorder.now() if due is None else due
        tag = f"{self._tag}-{round(due * 1e9)}"
        content = f"{tag}. {words}"
        if size:
            content = content.ljust(size, ".")[: max(size, len(tag) + 2)]
        self._recorder.dues[tag] = due
        self.unanswered[tag] = (room, content)
        self._send(_message(room, content, tag))

    def look_back(self, room: str, since: int, due: float | None = None) -> None:
        """Ask for a page of history, which was due then or is now, and wait for it. Raises Gone."""
        due = self._recorder.now() if due is None else due
        with self._timed("history", due):
            self._ask(f"history {room}", {"type": "history", "room": room, "since": since})
        self._time("history", due)

    def check(self, name: str, *, ok: bool) -> bool:
        """Count a check of a scenario."""
        self._recorder.check(name, ok=ok)
        self._measure(f"check {name}", 0.0, 0, None if ok else "failed")
        return ok

    def newest(self, room: str) -> int:
        """The highest number that it has seen in a room."""
        return self._newest.get(room, 0)

    def fence(self) -> None:
        """Wait until all that was sent before is done: frames are answered in order. Raises Gone."""
        room = f"fence-{self.user}"
        self._ask(f"presence {room}", {"type": "presence", "room": room})

    def _ask(self, key: str, frame: dict[str, Any]) -> None:
        answered = self._pending[key] = threading.Event()
        began = self._recorder.now()
        self._send(frame)
        self._asked = key.partition(" ")[0], began, frame["room"]
        came = answered.wait(PATIENCE)
        self._asked = None
        self._pending.pop(key, None)
        if not came:
            self._give_up(key.partition(" ")[0], began, frame["room"])
            self._time(key.partition(" ")[0], began, error="not answered")
            self._reset()
        if not self._open:
            raise Gone

    def _send(self, frame: dict[str, Any]) -> None:
        if self._ws is None or not self._open:
            raise Gone
        self._recorder.add(history.Sent(self._recorder.now(), self.name, self._conn, frame))
        try:
            self._ws.send(msgspec.json.encode(frame), text=True)
        except ConnectionClosed as error:
            raise Gone from error

    @contextmanager
    def _timed(self, name: str, due: float) -> Iterator[None]:
        """What was due then is done here; if it is refused or not answered, that is noted."""
        before, self._under_way = self._under_way, (name, due)
        try:
            yield
        except Gone:
            if self._cut != self._conn:
                self._recorder.never[name].append(due)
            raise
        finally:
            self._under_way = before

    def _time(self, name: str, due: float, error: str | None = None) -> None:
        seconds = self._recorder.now() - due
        if error is None:
            self._recorder.timings[name].extend((due, seconds))
        self._measure(name, seconds, 0, error)

    def _give_up(self, wanted: str, began: float, room: str = "") -> None:
        now = self._recorder.now()
        self._recorder.add(history.GaveUp(now, self.name, self._conn, wanted, round(now - began, 1), room))


def _how_it_ended(ws: ClientConnection) -> tuple[str, int, str]:
    """Who ended a connection, by which code, and for what reason: see `Closed`."""
    violation, more = violation_of(ws.protocol.parser_exc, ws.connection_exc)
    if violation:
        sent = ws.protocol.close_sent
        return "kit", sent.code if sent else 1006, f"{violation} {more}".strip()
    return "server", ws.close_code or 1006, ws.close_reason or ""


def _message(room: str, content: str, id: str) -> dict[str, Any]:
    return {"type": "message", "data": {"room": room, "content": content, "id": id}}
