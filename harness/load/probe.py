"""The probe: what a few clients in a process of their own measure beside the crowd.

It does little, so that it is never late itself, and it does that by a schedule that nothing holds up: what is
due is done, whatever became of the last time, and its time counts from when it was due. It does what users
do, so that their figures can be compared with its own:

- RATE times a second a new client connects, joins a room that only the probe is in, says something there,
  hears it, and goes: `connect` and `echo`.
- In the busiest room of the users one client always listens, and one leaves and joins again every few
  seconds: the first and the last whom a server that goes through a list will send to. They hear what the
  users say, and two messages a second of their own: `delivery` and `join`.

It keeps a record as each load process does (`record.py`), which is judged with all others. Run as a program,
it prints a line of JSON each second and, when its standard input ends or has a line, its record.
"""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
import signal
import sys
import traceback
from collections.abc import Coroutine
from contextlib import suppress
from functools import partial
from typing import Any

import msgspec

from harness.history import events as history
from harness.history import frames
from harness.history.frames import tag_in
from harness.load.core import Core
from harness.load.figures import percentile
from harness.load.record import Recorder, pack, this_host
from harness.posix import end_with_parent
from harness.worlds.connection import Connection
from harness.worlds.dialling import connected_socket, dial
from harness.worlds.library_errors import NotOpened
from lab.protocol import HEARTBEAT_INTERVAL, OFFLINE_TIMEOUT, SYSTEM, Message

RATE = 5.0
"""New clients a second."""
NAMES = 16
"""Names that these clients take in turn: a server may keep a user for ever."""
REJOIN = 2.0
"""Seconds between two joins of the busy room."""
TALK = 0.5
"""Seconds between two messages of the probe in the busy room."""
PATIENCE = 15.0
"""Seconds to wait for an answer."""
_LINGER = 5.0
"""Seconds at the end for what is under way."""
_CANCEL = 1.0
"""Seconds more for connections to be closed."""
_TICK = 0.02
_BEAT = 1.0


class Gone(Exception):  # noqa: N818 - it says what happened to the connection
    """The connection was not opened, was lost, or does not answer."""


class Caller:
    """A client with one connection."""

    def __init__(self, probe: Probe, name: str, run: str) -> None:
        self.name = name
        self.user = f"{name}-{run}"
        self._probe = probe
        self._recorder = probe.recorder
        self._conn = 0
        self._ws: Connection | None = None
        self._waiting: dict[str, asyncio.Future[None]] = {}
        self._closing = False

    async def connect(self, due: float) -> None:
        """Open the connection, which was due then, and wait for `connected`. Raises Gone."""
        recorder = self._recorder
        self._conn, began = recorder.next_conn(), recorder.now()
        try:
            self._ws = ws = await dial(self._probe.address, self.user, PATIENCE, connected_socket)
        except NotOpened as error:
            self._give_up(f"connection {error.why}", began)
            raise Gone from error
        connected = self._waits("connected")
        ws.listen(self._hear, partial(self._ended, ws))
        await self._until(connected, "connected", began)
        self._probe.time("connect", due)

    async def join(self, room: str, since: int | None = None) -> None:
        """Join a room, and wait until that is done. Raises Gone."""
        frame: dict[str, Any] = {"type": "join", "room": room}
        await self._send(frame if since is None else frame | {"since": since})
        await self._fence()
        self._recorder.add(history.Joined(self._recorder.now(), self.name, self._conn, room))

    async def leave(self, room: str) -> None:
        """Leave a room, and wait until that is done. Raises Gone."""
        await self._send({"type": "leave", "room": room})
        await self._fence()
        self._recorder.add(history.Left(self._recorder.now(), self.name, self._conn, room))

    async def say(self, room: str, due: float, row: str) -> None:
        """Say a message that was due then, and wait until it is back: that is timed as `row`. Raises Gone."""
        recorder = self._recorder
        tag = f"{recorder.host}{recorder.process}p{self._conn}-{round(due * 1e9)}"
        recorder.dues[tag] = due
        back, began = self._waits(tag), recorder.now()
        data = {"room": room, "content": f"{tag}. probe", "id": tag}
        await self._send({"type": "message", "data": data})
        await self._until(back, "message", began, room)
        self._probe.live[row].append(recorder.now() - due)

    async def close(self) -> None:
        """Close the connection, if it is open."""
        if self._ws is None or self._ws.is_lost:
            return
        self._closing = True
        self._recorder.add(history.Fault(self._recorder.now(), "close", self.name, self._conn))
        with suppress(Exception):
            await self._ws.close()

    async def _fence(self) -> None:
        """Wait until all that was sent before is done: frames are answered in order."""
        room = f"fence-{self.user}"
        answered, began = self._waits(room), self._recorder.now()
        await self._send({"type": "presence", "room": room})
        await self._until(answered, "presence", began, room)

    def _waits(self, key: str) -> asyncio.Future[None]:
        found = self._waiting[key] = asyncio.get_running_loop().create_future()
        return found

    async def _until(self, answer: asyncio.Future[None], wanted: str, began: float, room: str = "") -> None:
        try:
            await asyncio.wait_for(answer, PATIENCE)
        except TimeoutError:
            self._give_up(wanted, began, room)
            raise Gone from None

    def _give_up(self, wanted: str, began: float, room: str = "") -> None:
        now = self._recorder.now()
        event = history.GaveUp(now, self.name, self._conn, wanted, round(now - began, 1), room)
        self._recorder.add(event)

    async def _send(self, frame: dict[str, Any]) -> None:
        if self._ws is None or self._ws.is_lost:
            raise Gone
        self._recorder.add(history.Sent(self._recorder.now(), self.name, self._conn, frame))
        try:
            await self._ws.send(msgspec.json.encode(frame).decode())
        except Exception as error:
            raise Gone from error

    def _hear(self, text: str | bytes) -> None:
        meaning = self._recorder.hear(self.name, self._conn, text)
        key = ""
        match meaning:
            case Message() as message if message.user != SYSTEM:
                key = tag_in(message.content) or ""
            case frames.PresenceFrame() as presence:
                key = presence.room
            case frames.Heartbeat():
                self._probe.spawn(self._send({"type": "heartbeat"}))
            case frames.Connected() as connected:
                beat = connected.heartbeat or HEARTBEAT_INTERVAL
                limit = connected.timeout or OFFLINE_TIMEOUT
                now, conn = self._recorder.now(), self._conn
                self._recorder.add(
                    history.Opened(now, self.name, conn, connected.user, self.user, beat, limit)
                )
                key = "connected"
        waiting = self._waiting.pop(key, None)
        if waiting is not None and not waiting.done():
            waiting.set_result(None)

    def _ended(self, ws: Connection) -> None:
        violation, more = ws.violation
        by = "client" if self._closing else "kit" if violation else "server"
        reason = f"{violation} {more}".strip() if violation else ws.close_reason or ""
        self._recorder.add(
            history.Closed(self._recorder.now(), self.name, self._conn, by, ws.end_code, reason)
        )
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(Gone())
                waiting.exception()  # so that nobody complains if it is not awaited


class Probe:
    """All clients of the probe. `run` is the name of the test, which is part of all names."""

    def __init__(self, address: str, run: str, busy_room: str) -> None:
        self.address = address
        self.recorder = Recorder(secrets.token_hex(3), this_host())
        self.recorder.busy_room = busy_room
        self.live: dict[str, list[float]] = {"connect": [], "echo": [], "delivery": []}
        """What was timed since the last line."""
        self._run = run
        self._over = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    def time(self, name: str, due: float) -> None:
        """Note what was due then, and is done now."""
        seconds = self.recorder.now() - due
        self.recorder.timings[name].extend((due, seconds))
        self.live[name].append(seconds)

    def spawn(self, what: Coroutine[Any, Any, None]) -> None:
        """Do something beside all else; it may find its connection gone."""

        async def run() -> None:
            with suppress(Gone):
                await what

        task = asyncio.create_task(run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def stop(self) -> None:
        """Do nothing new."""
        self._over.set()

    async def run(self) -> None:
        """Measure until it is stopped, then wait for what is under way, but not for a server that is mute."""
        watch = asyncio.create_task(self._watch())
        over: asyncio.Future[Any] = asyncio.create_task(self._over.wait())
        measuring: asyncio.Future[Any] = asyncio.create_task(self._measures())
        await asyncio.wait([measuring, over], return_when=asyncio.FIRST_COMPLETED)
        await asyncio.wait([measuring, *self._tasks], timeout=_LINGER)
        if measuring.done():
            measuring.result()  # raises what went wrong in it
        left = [each for each in (watch, over, measuring, *self._tasks) if not each.done()]
        for each in left:
            each.cancel()
        await asyncio.wait(left, timeout=_CANCEL)

    async def _measures(self) -> None:
        await asyncio.gather(self._calls(), self._in_busy_room())

    async def _until(self, due: float) -> bool:
        """Wait until something is due; whether it still should be done."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._over.wait(), max(due - self.recorder.now(), 0.0))
        return not self._over.is_set()

    async def _calls(self) -> None:
        """New clients by their schedule."""
        due, number = self.recorder.now() + 1 / RATE, 0
        while await self._until(due):
            number += 1
            self.spawn(self._call(Caller(self, f"probe{number % NAMES + 3}", self._run), due))
            due += 1 / RATE

    async def _call(self, caller: Caller, due: float) -> None:
        room = f"probe-{self._run}"
        try:
            await caller.connect(due)
            await caller.join(room)
            await caller.say(room, self.recorder.now(), "echo")
        finally:
            await caller.close()

    async def _in_busy_room(self) -> None:
        """Listen and talk in the users' busiest room, and join it again and again."""
        await asyncio.gather(
            self._stays(Caller(self, "probe1", self._run), self._talks, TALK),
            self._stays(Caller(self, "probe2", self._run), self._joins, REJOIN),
        )

    async def _stays(self, caller: Caller, does: Any, every: float) -> None:
        """Be in the busy room, and do something there by a schedule, as long as the connection lasts."""
        try:
            await caller.connect(self.recorder.now())
            await caller.join(self.recorder.busy_room)
            due = self.recorder.now() + every
            while await self._until(due):
                await does(caller, due)
                due += every
        except Gone:
            await self._over.wait()  # what the others measure is as good without it
        finally:
            await caller.close()

    async def _talks(self, caller: Caller, due: float) -> None:
        self.spawn(caller.say(self.recorder.busy_room, due, "delivery"))

    async def _joins(self, caller: Caller, due: float) -> None:
        await caller.leave(self.recorder.busy_room)
        await caller.join(self.recorder.busy_room)

    async def _watch(self) -> None:
        """Note how late, and how busy, this process is, and print a line each second."""
        loop, recorder = asyncio.get_running_loop(), self.recorder
        core = Core()
        while True:
            before = loop.time()
            await asyncio.sleep(_TICK)
            now = loop.time()
            recorder.lags.append(now - before - _TICK)
            if core.age >= _BEAT:
                recorder.beat(*core.shares())
                tell({"probe": self.live, "lag": percentile(sorted(recorder.lags[-50:]), 99)})
                self.live = {name: [] for name in self.live}


def tell(what: dict[str, Any]) -> None:
    """Print a line for the process that has started us."""
    print(json.dumps(what), flush=True)


async def measure(address: str, run: str, busy_room: str) -> None:
    """Measure until standard input has a line or ends, then print the record."""
    probe, loop = Probe(address, run, busy_room), asyncio.get_running_loop()
    loop.run_in_executor(None, lambda: (sys.stdin.readline(), loop.call_soon_threadsafe(probe.stop)))
    try:
        await probe.run()
    except Exception:
        probe.recorder.defect = traceback.format_exc()
    for piece in pack(probe.recorder.finish()):
        tell({"piece": base64.b64encode(piece).decode()})
    tell({"done": True})


if __name__ == "__main__":
    end_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes of a terminal; we are told
    asyncio.run(measure(*sys.argv[1:4]))
