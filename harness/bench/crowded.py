"""Makes the record of a large chat, as a load process would write it, to measure how long judging takes."""

from __future__ import annotations

import json
from typing import Any

from harness.history.events import Closed, Fault, Joined, Opened, Sent
from harness.load.record import Recorder, Recording

ROOMS, PEOPLE, MESSAGES = 10, 100, 1000
"""Rooms, people in each, and messages in each: a million deliveries."""
_HOST = "host"
_CUT_EVERY, _AWAY = 10, 5
"""After so many messages a user loses its connection, for so many messages."""
_STEP = 0.0001
"""Seconds between two events."""


class _Clocked(Recorder):
    """A recorder whose clock advances by _STEP at each reading."""

    clock = 100.0

    def now(self) -> float:
        """Advance the clock, and return it in seconds."""
        self.clock += _STEP
        return self.clock


class _Room:
    """A correct room: all members receive all messages in order, live or by a join with `since`."""

    def __init__(self, recorder: _Clocked, number: int, people: int) -> None:
        self.recorder = recorder
        self.name = f"room{number}-run"
        self.said: list[dict[str, Any]] = []
        self.conns: dict[str, int] = {}
        self.seen: dict[str, int] = {}
        for person in range(people):
            self.come(f"user{number}.{person}")

    def come(self, user: str) -> None:
        """Connect and join, with `since` after the first time."""
        recorder, since = self.recorder, self.seen.get(user)
        conn = recorder.next_conn()
        join = {"type": "join", "room": self.name} | ({} if since is None else {"since": since})
        recorder.add(Opened(recorder.now(), user, conn, user, user, 10.0, 30.0))
        recorder.add(Sent(recorder.now(), user, conn, join))
        data = {"room": self.name, "messages": self.said[since or 0 :], "last": len(self.said), "more": False}
        recorder.hear(user, conn, json.dumps({"type": "history", "data": data}))
        recorder.add(Joined(recorder.now(), user, conn, self.name))
        self.conns[user] = conn

    def cut(self, user: str) -> None:
        """Lose the connection."""
        recorder, conn = self.recorder, self.conns.pop(user)
        self.seen[user] = len(self.said)
        recorder.add(Fault(recorder.now(), "reset", user, conn))
        recorder.add(Closed(recorder.now(), user, conn, "client", 1006, ""))

    def say(self, number: int) -> None:
        """One member says a message, and all members receive it."""
        recorder = self.recorder
        user = list(self.conns)[number % len(self.conns)]
        tag = f"{_HOST}{user.replace('.', 'x')}-{number}"
        words = {"room": self.name, "content": f"{tag}. hello", "id": tag}
        recorder.add(Sent(recorder.now(), user, self.conns[user], {"type": "message", "data": words}))
        self.said.append({**words, "user": user, "sequence": len(self.said) + 1, "timestamp": 1767225600000})
        frame = json.dumps({"type": "message", "data": self.said[-1]})
        for hearer, conn in self.conns.items():
            recorder.hear(hearer, conn, frame)


def recording(rooms: int = ROOMS, people: int = PEOPLE, messages: int = MESSAGES) -> Recording:
    """The record of one process; about `rooms` * `people` * `messages` deliveries."""
    recorder = _Clocked("process", _HOST)
    chat = [_Room(recorder, number, people) for number in range(rooms)]
    away: list[tuple[_Room, str]] = []
    for number in range(messages):
        for room in chat:
            room.say(number)
            if number % _CUT_EVERY == 0:
                user = next(iter(room.conns))
                room.cut(user)
                away.append((room, user))
        if number % _CUT_EVERY == _AWAY:
            for room, user in away:
                room.come(user)
            away.clear()
    for room, user in away:
        room.come(user)
    return recorder.finish()
