"""What happened: a history is a list of events, in the order in which the harness saw them.

Events are plain data. They can be written to a file and read back, and a test can write a history down
as a literal. Times (`at`) are seconds since the run began, on the harness's own clock.
"""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec
from msgspec import Struct, field

from harness.history.faults import FaultKind, kind_of


class Began(Struct, frozen=True, gc=False, tag="began"):
    """The first event: what is played. `nonce` is part of every room, user and message of the run."""

    at: float
    exercise: int
    seed: str
    nonce: str
    world: str
    clock: float
    """The time of day at the start, in seconds since the Unix epoch."""


class Opened(Struct, frozen=True, gc=False, tag="opened"):
    """A connection was answered by `connected`. `user` is the name that the server gave it."""

    at: float
    client: str
    conn: int
    user: str
    asked: str
    heartbeat: float
    timeout: float
    second: bool = False
    """Whether it is a connection to the second server, on a copy of the data."""


class Sent(Struct, frozen=True, gc=False, tag="sent"):
    """A client sent a frame: `frame` is its JSON value, or None if `text` is not JSON."""

    at: float
    client: str
    conn: int
    frame: Any
    text: str | None = None
    bad: str | None = None
    """Which rule the frame breaks on purpose; None for a good one."""


class Received(Struct, frozen=True, gc=False, tag="received"):
    """A client received a frame of `size` bytes; `frame` and `text` are as in `Sent`."""

    at: float
    client: str
    conn: int
    frame: Any
    size: int
    text: str | None = None


class Closed(Struct, frozen=True, gc=False, tag="closed"):
    """A connection ended; `by` is "client" where the client ended it on purpose, else "server".

    Without a closing frame (code 1006), `reason` says what came instead: `reset`, or `eof` (end of file).
    It is "kit" where the client had to end it, because the server broke the WebSocket protocol: `code` is
    what the client sent, and `reason` has the violation, by its name in the texts, and what shows it.
    """

    at: float
    client: str
    conn: int
    by: str
    code: int
    reason: str


class Joined(Struct, frozen=True, gc=False, tag="joined"):
    """The server has done everything that a `join` asked for: the client is a member."""

    at: float
    client: str
    conn: int
    room: str


class Left(Struct, frozen=True, gc=False, tag="left"):
    """The server has done everything that a `leave` asked for."""

    at: float
    client: str
    conn: int
    room: str


class GaveUp(Struct, frozen=True, gc=False, tag="gave_up"):
    """A client waited `seconds` for something that did not come; `wanted` may end with why, as a key."""

    at: float
    client: str
    conn: int
    wanted: str
    seconds: float
    room: str = ""


class Fault(Struct, frozen=True, gc=False, tag="fault"):
    """The harness broke something on purpose: `fault` names an entry of the catalogue in faults.py."""

    at: float
    fault: str
    client: str
    conn: int

    @property
    def kind(self) -> FaultKind:
        """Its entry in the catalogue."""
        return kind_of(self.fault)


class Server(Struct, frozen=True, gc=False, tag="server"):
    """The server process changed its state.

    `what` is one of started, ready, asked_to_stop, stopped, killed, torn (the end of what it was writing),
    died, hung, blocked (nobody hears anything, again and again), slow (little comes of what is due),
    unbounded (it took too much memory), not_ready, flooding (it sent too much to be read), outlived (some
    of it goes on after its end), not_simulated (it did what the simulated world does not have), limit (this
    machine lacks something for it); `second`: whether it is the second server, on a copy of the data.
    """

    at: float
    what: str
    detail: dict[str, Any] = field(default_factory=dict)
    second: bool = False


class Step(Struct, frozen=True, gc=False, tag="step"):
    """One of the course's steps begins (`done` false), or was played to its end."""

    at: float
    step: str
    done: bool


class Noted(Struct, frozen=True, gc=False, tag="noted"):
    """Something that a scenario counted or measured, for the receipt."""

    at: float
    what: str
    value: Any


class Stalled(Struct, frozen=True, gc=False, tag="stalled"):
    """The harness itself was held up for `seconds`, until `at`."""

    at: float
    seconds: float


class Called(Struct, frozen=True, gc=False, tag="called"):
    """A call between components: it begins (`result` is None), or ends with that result.

    `who` made it: `accept#2` is the second `accept` of the run, it is empty for the server. The two events
    of a call share their `number`. `what` and `result` are written as in source code.
    """

    at: float
    number: int
    who: str
    what: str
    result: str | None = None


class Printed(Struct, frozen=True, gc=False, tag="printed"):
    """What the server printed or logged: one line; a traceback, or a warning of Python's, as a whole.

    With `more`, `text` is empty: so many characters that came after the last one are left out.
    """

    at: float
    text: str
    second: bool = False
    more: int = 0


Event = (
    Began
    | Called
    | Printed
    | Opened
    | Sent
    | Received
    | Closed
    | Joined
    | Left
    | GaveUp
    | Fault
    | Server
    | Step
    | Noted
    | Stalled
)
History = list[Event]


LONG = 300
"""Characters that are kept of a text in a history that is only displayed."""
MANY = 2_000
"""Values that are kept of a frame there: a page of history has some hundreds."""


def shortened(history: History) -> History:
    """The same history with long texts cut, for display: megabytes of chat show nothing more.

    Of texts that are longer, both ends are kept, since an `error` may say at its end what is wrong.
    """
    return [
        msgspec.structs.replace(event, frame=cut(event.frame), text=cut(event.text))
        if isinstance(event, Sent | Received)
        else event
        for event in history
    ]


def cut(value: Any) -> Any:
    """A frame with its long texts cut, and without its last values if there are very many, for display."""
    left = iter(range(MANY))

    def of(value: Any) -> Any:
        match value:
            case str() if len(value) > LONG:
                return f"{value[: LONG // 2]}…{value[-LONG // 2 :]}"
            case dict():  # a value is taken first: what ends with the shorter one loses nothing
                return {of(key): of(each) for _, (key, each) in zip(left, value.items(), strict=False)}
            case list():
                return [of(each) for _, each in zip(left, value, strict=False)]
        return value

    return of(value)


def digest(history: History) -> str:
    """A hash that two histories share only if they are the same, byte for byte.

    Calls between components do not count, since they are recorded only where a history is displayed; nor what
    was printed, which may hold addresses of memory.
    """
    encode, found = msgspec.json.Encoder().encode, hashlib.sha256()
    for event in history:  # one at a time: together they may be a hundred megabytes
        if not isinstance(event, Called | Printed):
            found.update(encode(event))
    return found.hexdigest()


def seen_outside(history: History) -> History:
    """The history as clients see it: without calls between components, and what the server printed."""
    return [event for event in history if not isinstance(event, Called | Printed)]
