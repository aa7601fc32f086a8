"""A right server and its clients, as a small model: it plays random actions and writes the history.

Every client has an inbox (what it sent and the server has not handled yet) and a queue (what the server sent
and it has not received yet). The server handles inboxes and the clients empty their queues at random moments,
so that everything that a right server may do happens: bursts in flight when a connection is cut or the server
is killed, joins during bursts, retries of what was or was not accepted.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

from hypothesis import strategies as st

from lab.protocol import NEWEST
from tests.harness.stories import Json, Line, Person, Story

ROOMS = ("red", "blue")
NAMES = ("alice", "bob", "carol", "alice")
"""The first user has two connections."""

Op = tuple[str, int, int, int]
"""What is done, by whom, in which room, and how much of it."""

KINDS = (
    "say", "say", "burst", "burst", "handle", "handle", "deliver", "deliver", "join", "leave", "cut",
    "come_back", "retry", "restart", "wait", "read",
)  # fmt: skip

PROLOGUE: list[Op] = [
    *(("join", who, room, who) for room in (0, 1) for who in (0, 1, 2)),
    *(("burst", who, room, 2) for who in (0, 1) for room in (0, 1)),
    ("wait", 0, 0, 0),
    ("retry", 0, 0, 0),
    ("wait", 0, 0, 0),
]
EPILOGUE: list[Op] = [
    *(("come_back", who, 0, 2) for who in range(4)),
    *(("join", who, room, 2) for who in (0, 1, 2) for room in (0, 1)),
    ("burst", 0, 0, 3),
    ("cut", 2, 0, 1),
    ("burst", 1, 0, 3),
    ("come_back", 2, 0, 2),
    ("burst", 1, 0, 3),
    ("leave", 1, 1, 0),
    ("burst", 0, 1, 2),
    ("wait", 0, 0, 0),
    ("burst", 0, 0, 2),
    ("restart", 0, 0, 3),
    *(("burst", who, room, 2) for who in (0, 2) for room in (0, 1)),
    ("read", 3, 0, 4),
    ("wait", 0, 0, 0),
]
"""After these, there is something of everything in a history, and somebody who stays to the end."""


@dataclass(frozen=True)
class Style:
    """How a right server may differ from another."""

    own_ids: bool = False
    hints: bool = True
    cap: int = 100
    roster_first: bool = False
    empty_pages: bool = True
    seconds: bool = False
    tells_again: bool = False
    """Whether a second join is answered by the history too."""


@dataclass
class Mate:
    """A client: its own state, and the server's state about it."""

    person: Person
    inbox: list[Callable[[], None]] = field(default_factory=list)
    queue: list[Json] = field(default_factory=list)
    rooms: set[str] = field(default_factory=set)
    newest: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    said: list[Line] = field(default_factory=list)
    online: bool = True


class Model:
    """The server, its clients, and the history of what they do."""

    def __init__(self, style: Style) -> None:
        self.style = style
        self.story = Story()
        self.story.server("ready")
        self.store: dict[str, list[Json]] = {room: [] for room in ROOMS}
        self.known: dict[tuple[str, str, str], Json] = {}
        self.mates = [Mate(self.story.client(f"{name}{n}", name)) for n, name in enumerate(NAMES)]
        self.outsider = self.story.client("outsider")

    def play(self, ops: list[Op]) -> None:
        """Do all of it; at the end a new client joins and a reader reads everything."""
        for kind, who, where, amount in ops:
            getattr(self, f"do_{kind}")(self.mates[who], ROOMS[where], amount)
        self.settle()
        self.story.passes(2)
        newcomer, reader = (Mate(self.story.client(name)) for name in ("newcomer", "reader"))
        for room in ROOMS:
            self.do_join(newcomer, room, 1)
            self.do_read(reader, room, 7)
            self.do_read(reader, room, 100)

    # --- actions ----------------------------------------------------------------------------------

    def do_say(self, mate: Mate, room: str, amount: int) -> None:
        """Send one message, with an id or without."""
        if mate.online and room in mate.rooms:
            number = self.story.next_line()
            line = mate.person.says(room, f"text {number}", f"id-{number}" if amount % 2 else None)
            mate.said.append(line)
            mate.inbox.append(lambda: self._accept(mate, line))

    def do_burst(self, mate: Mate, room: str, amount: int) -> None:
        """Send several messages at once."""
        for number in range(amount + 1):
            self.do_say(mate, room, number)

    def do_handle(self, mate: Mate, room: str, amount: int) -> None:
        """The server handles a part of what a client sent."""
        for _ in range(min(amount + 1, len(mate.inbox))):
            mate.inbox.pop(0)()

    def do_deliver(self, mate: Mate, room: str, amount: int) -> None:
        """A client receives a part of what the server sent."""
        for _ in range(min(amount + 1, len(mate.queue))):
            self._receive(mate, mate.queue.pop(0))

    def do_join(self, mate: Mate, room: str, amount: int) -> None:
        """Join, mostly with `since`, while others go on; also a room in which it is a member."""
        if not mate.online:
            return
        since = None if amount == 1 else mate.newest[room] + (1000 if amount == 5 else 0)
        if amount == 5 and self.store[room]:
            since = max(since or 0, len(self.store[room]))
        mate.person.asks_to_join(room, since)
        mate.inbox.append(lambda: self._join(mate, room, since))
        for turn in range(2):
            for other in self.mates:
                if other is not mate:
                    self.do_handle(other, room, amount % 3)
            if turn == 0:
                self._handle_all(mate)
        self._deliver_all(mate)
        mate.person.is_member(room)

    def do_leave(self, mate: Mate, room: str, amount: int) -> None:
        """Leave, and receive the last messages."""
        if mate.online and room in mate.rooms:
            mate.person.asks_to_leave(room)
            mate.inbox.append(lambda: self._leave(mate, room))
            self._handle_all(mate)
            self._deliver_all(mate)
            mate.person.has_left(room)

    def do_cut(self, mate: Mate, room: str, amount: int) -> None:
        """The connection is reset; a part of what was sent is handled all the same."""
        if mate.online:
            mate.person.is_cut()
            self.do_handle(mate, room, amount - 1)
            self._forget(mate)

    def do_come_back(self, mate: Mate, room: str, amount: int) -> None:
        """Connect again, and join the rooms again."""
        if not mate.online:
            mate.person.connects()
            mate.online = True
            for each in ROOMS:
                self.do_join(mate, each, amount)

    def do_retry(self, mate: Mate, room: str, amount: int) -> None:
        """Send the last messages that have an id again, whether they came back or not."""
        for line in [line for line in mate.said if line.id][-1 - amount :]:
            if mate.online and line.room in mate.rooms:
                mate.person.repeats(line)
                mate.inbox.append(lambda line=line: self._accept(mate, line))  # type: ignore[misc]

    def do_restart(self, mate: Mate, room: str, amount: int) -> None:
        """The server is stopped or killed during other actions, perhaps copied, and started again."""
        how = "asked_to_stop" if amount % 2 else "killed"
        for turn, each in enumerate(self.mates):
            self.do_handle(each, room, (amount + turn) % 4 - 1)
            self.do_deliver(each, room, (amount + turn) % 5)
        self.story.server(how)
        for each in self.mates:
            if each.online:
                self.do_deliver(each, room, amount % 3)  # it was in flight
                each.person.is_dropped(1001 if amount % 2 else 1006)
            self._forget(each)
        self.outsider.is_dropped(1006)
        if amount > 2:
            inspector = Mate(self.story.client("inspector", second=True))
            for each_room in ROOMS:
                self.do_read(inspector, each_room, 100)
        self.story.passes(0.5)
        self.story.server("ready")
        self.outsider.connects()
        for each in self.mates:
            self.do_come_back(each, room, 2 if each is not mate else amount)

    def do_wait(self, mate: Mate, room: str, amount: int) -> None:
        """Everything is handled and delivered, and time passes."""
        self.settle()
        self.story.passes(2)

    def do_read(self, mate: Mate, room: str, amount: int) -> None:
        """Read the whole history, in pages of some size."""
        since, limit = 0, amount + 1
        while mate.online:
            mate.person.asks_history(room, since, limit)
            mate.inbox.append(lambda since=since: self._tell(mate, room, since, limit))  # type: ignore[misc]
            self._handle_all(mate)
            page = mate.queue[-1]["data"]["messages"]
            self._deliver_all(mate)
            if not page:
                break
            since = page[-1]["sequence"]

    def settle(self) -> None:
        """The server handles everything, and all clients receive everything."""
        for mate in self.mates:
            self._handle_all(mate)
        for mate in self.mates:
            self._deliver_all(mate)

    # --- the server -------------------------------------------------------------------------------

    def _accept(self, mate: Mate, line: Line) -> None:
        key = (line.room, line.user, line.id or "")
        known = self.known.get(key) if line.id and not self.style.own_ids else None
        if known:
            mate.queue.append({"type": "message", "data": known})
            return
        number = len(self.store[line.room]) + 1
        message = line.numbered(number)
        if self.style.own_ids:
            message["id"] = f"own-{number}"
        if self.style.seconds:
            message["timestamp"] = line.timestamp / 1000
        self.store[line.room].append(message)
        self.known[key] = message
        for each in self.mates:
            if line.room in each.rooms:
                each.queue.append({"type": "message", "data": message})

    def _join(self, mate: Mate, room: str, since: int | None) -> None:
        presence_frame = {"type": "presence", "data": {"room": room, "users": [], "full": True}}
        if room in mate.rooms and not self.style.tells_again:
            mate.queue.append(presence_frame)
            return
        newest = self.store[room][-NEWEST:] if since is None else self.store[room][since:]
        pages = [newest[n : n + self.style.cap] for n in range(0, len(newest), self.style.cap)]
        if not pages and self.style.empty_pages:
            pages = [[]]
        history = [self._page(room, page) for page in pages]
        mate.queue += [presence_frame, *history] if self.style.roster_first else [*history, presence_frame]
        mate.rooms.add(room)
        self._announce(room, f"{mate.person.user} joined")

    def _leave(self, mate: Mate, room: str) -> None:
        mate.rooms.discard(room)
        self._announce(room, f"{mate.person.user} left")

    def _announce(self, room: str, content: str) -> None:
        data: Json = {"id": "n", "room": room, "user": "system", "content": content}
        data |= {"sequence": len(self.store[room]), "timestamp": 0}
        for each in self.mates:
            if room in each.rooms:
                each.queue.append({"type": "message", "data": data})

    def _tell(self, mate: Mate, room: str, since: int, limit: int) -> None:
        page = self.store[room][since : since + min(limit, self.style.cap)]
        mate.queue.append(self._page(room, page))

    def _page(self, room: str, page: list[Json]) -> Json:
        data: Json = {"room": room, "messages": page}
        if self.style.hints:
            last = len(self.store[room])
            data |= {"last": last, "more": bool(page) and page[-1]["sequence"] < last}
        return {"type": "history", "data": data}

    def _handle_all(self, mate: Mate) -> None:
        while mate.inbox:
            mate.inbox.pop(0)()

    def _deliver_all(self, mate: Mate) -> None:
        while mate.queue:
            self._receive(mate, mate.queue.pop(0))

    def _receive(self, mate: Mate, frame: Json) -> None:
        mate.person.gets(frame)
        data = frame["data"]
        for message in [data] if "sequence" in data else data.get("messages", []):
            mate.newest[message["room"]] = max(mate.newest[message["room"]], message["sequence"])

    def _forget(self, mate: Mate) -> None:
        mate.online = False
        mate.inbox.clear()
        mate.queue.clear()
        mate.rooms.clear()


styles = st.builds(
    Style,
    own_ids=st.booleans(),
    hints=st.booleans(),
    cap=st.sampled_from([100, 3]),
    roster_first=st.booleans(),
    empty_pages=st.booleans(),
    seconds=st.booleans(),
    tells_again=st.booleans(),
)
ops = st.lists(
    st.tuples(st.sampled_from(KINDS), st.integers(0, 3), st.integers(0, 1), st.integers(0, 5)), max_size=25
)


def played(style: Style, some: list[Op]) -> Story:
    """A story of a right server with all kinds of actions."""
    model = Model(style)
    model.play([*PROLOGUE, *some, *EPILOGUE])
    return model.story


plays = st.builds(played, styles, ops)
