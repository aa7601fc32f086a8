"""A chat written as load processes would record it, at times that the test chooses."""

from __future__ import annotations

import json
from typing import Any

from harness.history.events import Closed, Fault, Joined, Left, Opened, Sent
from harness.load.record import Recorder

ROOM = "room1-run"


class Timed(Recorder):
    """A recorder whose clock shows the time set by the test, in seconds."""

    at = 100.0

    def now(self) -> float:
        """The test's time."""
        return self.at


class Story:
    """Clients in one room, divided among processes; each has a number from 0."""

    def __init__(self, people: int, processes: int = 1) -> None:
        self.recorders = [Timed(f"process{n}", "host") for n in range(processes)]
        self.conns: dict[int, int] = {}
        self.clock = 100.0
        self.sequence = 0
        for person in range(people):
            self.come(person)

    def recorder(self, person: int) -> Timed:
        """The recorder of a client's process, a moment later than what was last recorded anywhere."""
        self.clock += 0.001
        recorder = self.recorders[person % len(self.recorders)]
        recorder.at = self.clock
        return recorder

    def come(self, person: int, since: int | None = None, replay: list[dict[str, Any]] | None = None) -> None:
        """Connect, and join the room."""
        recorder = self.recorder(person)
        conn = self.conns[person] = recorder.next_conn()
        name = f"user{person}"
        recorder.add(Opened(self.clock, name, conn, name, name, 10.0, 30.0))
        frame: dict[str, Any] = {"type": "join", "room": ROOM}
        if since is not None:
            frame["since"] = since
        recorder.add(Sent(self.clock, name, conn, frame))
        if replay is not None:
            data = {"room": ROOM, "messages": replay, "last": self.sequence, "more": False}
            self.hear(person, {"type": "history", "data": data})
        self.recorder(person).add(Joined(self.clock, name, conn, ROOM))

    def cut(self, person: int) -> None:
        """Lose the connection."""
        recorder, name, conn = self.recorder(person), f"user{person}", self.conns[person]
        recorder.add(Fault(self.clock, "reset", name, conn))
        recorder.add(Closed(self.clock, name, conn, "client", 1006, ""))

    def leave(self, person: int) -> None:
        """Leave the room, and stay connected."""
        recorder, name, conn = self.recorder(person), f"user{person}", self.conns[person]
        recorder.add(Sent(self.clock, name, conn, {"type": "leave", "room": ROOM}))
        self.recorder(person).add(Left(self.clock, name, conn, ROOM))

    def notice(self, person: int, hearers: list[int], what: str = "joined") -> None:
        """These clients receive a notice that another one came or left."""
        data = {"id": "n", "room": ROOM, "user": "system", "content": f"user{person} {what}"}
        frame = {"type": "message", "data": {**data, "sequence": self.sequence, "timestamp": 0}}
        for hearer in hearers:
            self.hear(hearer, frame)

    def say(self, person: int, hearers: list[int], tag: str | None = None) -> dict[str, Any]:
        """Send a message that these clients receive; returns it. With a `tag` it is sent again."""
        recorder, name = self.recorder(person), f"user{person}"
        again = tag is not None
        self.sequence += not again
        tag = tag or f"hostab{person}-{self.sequence}"
        words = {"room": ROOM, "content": f"{tag}. hello", "id": tag}
        recorder.add(Sent(self.clock, name, self.conns[person], {"type": "message", "data": words}))
        data = {**words, "user": name, "sequence": self.sequence, "timestamp": 1767225600000}
        for hearer in hearers:
            self.hear(hearer, {"type": "message", "data": data})
        return data

    def hear(self, person: int, frame: dict[str, Any]) -> None:
        """Receive a frame."""
        self.recorder(person).hear(f"user{person}", self.conns[person], json.dumps(frame))

    def pass_time(self, seconds: float) -> None:
        """Let time pass in all processes."""
        self.clock += seconds
