"""The happened-before order of a history, in Lamport's logical time (1978).

Each client is a lane, and so is the server. The moments on a lane follow one another, and a message is sent
before it arrives; every moment gets the lowest number that is above those of all moments before it. These
numbers are independent of clock time: two runs with the same causes and effects give the same numbers.

The server is only seen from outside. The arrival of a frame at the server and the sending of one are separate
moments; their order follows from what the clients saw, and from the sequence numbers where that leaves it
open.

A fault comes from outside, from the play. So it happens after everything that was seen before it, and before
everything that was seen after it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from harness.history import events as history
from harness.history import frames
from harness.history.events import History
from harness.history.frames import tag_in
from harness.history.index import ENDS
from harness.reports.excerpt import Excerpt, Fold
from harness.reports.server_calls import calls_for_lane, done_by
from harness.reports.svg import shorten
from harness.texts import Texts, texts
from lab.protocol import SYSTEM, Message

SERVER = ""
"""The name of the server's lane."""
SHOWN = ("join", "message", "notice", "replay")
"""What is shown by default."""
EVERYTHING = (*SHOWN, "presence", "heartbeat")
"""All that every history can show."""
CALLS = "calls"
"""Shows what the server does between two frames, where the calls between its components were recorded."""
MOST = 150
"""Moments of clients that are shown; the rest of a longer history is only counted."""
_ASKED_AS = {"leave": "join", "history": "replay"}
"""Types of frames that are shown when another type is."""


@dataclass(eq=False)
class Moment:
    """Something that happens on a lane. `rank` is its logical time, from 0; `odd` marks what is wrong."""

    lane: str
    label: str
    order: tuple[int, int, str] = (0, 0, "")
    """Orders moments of the server that are concurrent otherwise."""
    after: list[Moment] = field(default_factory=list)
    if_possible_after: list[Moment] = field(default_factory=list)
    rank: int = -1
    odd: bool = False
    heard: bool = False
    """Whether a frame arrives here at a client."""
    fold: bool = False
    """Whether something is left out here."""
    at: float | None = None
    """When it was seen, in seconds since the run began; None if it is only inferred."""
    event: history.Event | Fold | None = None
    """What was being read when it was found: what was seen, or followed from that."""
    mark: str = ""
    """What is odd about a message, as the end of its label."""

    @property
    def unmarked(self) -> str:
        """Its label without the mark."""
        return self.label.removesuffix(self.mark)


@dataclass(frozen=True)
class Arrow:
    """A frame from sender to receiver; `replay` if it holds earlier messages."""

    start: Moment
    end: Moment
    replay: bool = False


@dataclass
class Band:
    """A period in which a lane is broken, until `end`, or for good if that is None."""

    start: Moment
    end: Moment | None = None


@dataclass
class Causality:
    """The moments of a history in their logical order. `left_out` counts those beyond MOST."""

    lanes: list[str]
    moments: list[Moment]
    arrows: list[Arrow]
    bands: list[Band]
    left_out: int = 0


def causality(
    events: History | Excerpt, show: Collection[str] = SHOWN, language: Texts | None = None
) -> Causality:
    """Read a history; inconsistent events are shown as well as possible.

    In a whole history, this module decides what is odd. In an excerpt, that is what the checkers have blamed,
    since a part of a history is not enough to decide. Raises ValueError if there is no such thing to `show`.
    """
    said = language or texts()
    for each in show:
        if each not in (*EVERYTHING, CALLS):
            raise ValueError(said.say("diagram.cannot_show", what=each, all=", ".join((*EVERYTHING, CALLS))))
    excerpt = events if isinstance(events, Excerpt) else None
    builder = _Builder(show, said, excerpt)
    for event in events.events if isinstance(events, Excerpt) else calls_for_lane(events):
        builder.take(event)
    return builder.finish()


def without_tag(content: str) -> str:
    """What a message says, without the tag that those of the harness begin with."""
    tag = tag_in(content)
    found = content.lower().find(f"{tag}. ") if tag else -1
    return content if found < 0 else content[found + len(f"{tag}. ") :]


class _Builder:
    def __init__(self, show: Collection[str], language: Texts, excerpt: Excerpt | None) -> None:
        self.show = show
        self.texts = language
        self.excerpt = excerpt
        self._guilty = {id(event) for event in excerpt.guilty} if excerpt else set()
        self._now: history.Event | Fold | None = None  # the event that is being read
        self.suffix = ""
        self.lanes: dict[str, list[Moment]] = {}
        self.server: list[Moment] = []
        self.arrows: list[Arrow] = []
        self.bands: list[Band] = []
        self.left_out = 0
        self._names: dict[str, str] = {}  # the client of each user
        self._arrived: dict[tuple[str, str], Moment] = {}  # by client and kind, and by tag
        self._arrival: Moment | None = None  # the newest of all
        self._causes: dict[str, Moment] = {}  # the last moment of a client of which others are informed
        self._published: dict[tuple[str, int], Moment] = {}
        self._copies: Counter[tuple[str, str]] = Counter()
        self._sent_to: dict[str, Moment] = {}  # the last sending of the server to each client
        self._newest: dict[tuple[str, str], int] = {}
        self._heard: set[str] = set()
        self._broken: dict[str, Band] = {}
        self._asks_since: dict[str, bool] = {}
        self._gone: set[tuple[str, str]] = set()  # clients and the rooms that they have left
        self._repeated: Counter[tuple[str, str]] = Counter()  # how often a client said the message with a tag
        self._contents: dict[tuple[str, str, int], str] = {}
        self._begun: set[int] = set()  # the numbers of the calls whose begin is a moment of its own
        self._call: Moment | None = None  # the last moment that a call is
        self._publishing: dict[str, Moment] = {}  # by tag, a call of `publish` that nobody has heard yet
        self._done: dict[str, Moment] = {}  # by tag, what was last done with a message; by user, what changed
        self._down: Moment | None = None
        self._barrier: Moment | None = None  # the newest fault, or its end

    # --- reading ----------------------------------------------------------------------------------

    def take(self, event: history.Event | Fold) -> None:
        self._now = event
        match event:
            case Fold(count=count, seconds=seconds):
                label = self._say("fold", count=count, seconds=f"{seconds:.2f}")
                self._barrier = self._at_server(label, (2, 0, ""), self._everything())
                self._barrier.fold = True
            case history.Began(nonce=nonce):
                self.suffix = f"-{nonce}" if nonce else ""
            case history.Opened(client=client, user=user, second=False):
                self._names[user] = client
                self.lanes.setdefault(client, [])
                if client in self._broken:
                    self._broken.pop(client).end = self._on(client, self._say("comes_back"))
            case history.GaveUp(client=client, wanted=wanted) if self._is_odd(False):
                self._on(client, self._say("gave_up", wanted=wanted.split(" ")[0]))
            case history.Called() if CALLS in self.show:
                self._calls(event)
            case history.Left(client=client, room=room):
                self._gone.add((client, room))
            case history.Sent():
                self._sends(event)
            case history.Received():
                self._receives(event)
            case history.Fault(client=client, fault=fault, kind=kind) if kind.heals:
                if client in self._broken:
                    self._broken.pop(client).end = self._on(client, self._say(fault))
            case history.Fault(client=client, fault=fault, kind=kind) if kind.drawn:
                self._breaks(client, self._say(fault))
            case history.Closed(client=client, by="server" | "kit") if client not in self._broken:
                self._breaks(client, "" if self._down else self._say("disconnected"))
            case history.Server(what=what, second=False) if what in ENDS and self._down is None:
                label = self._say(what if what in ("asked_to_stop", "killed") else "ends")
                self._down = self._barrier = self._at_server(label, (2, 0, ""), self._everything())
                self._broken[SERVER] = Band(self._down)
                self.bands.append(self._broken[SERVER])
            case history.Server(what="torn"):
                self._barrier = self._at_server(self._say("torn"), (2, 0, ""), self._everything())
            case history.Server(what="ready", second=False) if self._down:
                self._barrier = self._at_server(self._say("ready"), (2, 0, ""), self._everything())
                self._broken.pop(SERVER).end = self._barrier
                self._down = None

    def _calls(self, event: history.Called) -> None:
        """A moment of the server that a call shows: after the last one, and the frame that led to it."""
        done = done_by(event, has_begun=event.number in self._begun)
        if event.result is None:
            self._begun.add(event.number)
        if done is None or done.kind not in self.show:
            return
        about = self._about(done.users)
        said = [self._arrived.get(("tag", tag)) for tag in done.tags]
        label = self._say(done.key, what=self._clean(done.what))
        self._call = self._at_server(label, (2, 0, ""), [self._call, *said, *about])
        self._done |= dict.fromkeys([*done.tags, *done.users], self._call)
        if done.key == "publishes":
            self._publishing |= dict.fromkeys(done.tags, self._call)

    def _say(self, key: str, **params: Any) -> str:
        return self.texts.say(f"diagram.{key}", **params)

    def _everything(self) -> list[Moment]:
        """All moments so far: a fault comes after them."""
        return [*(lane[-1] for lane in self.lanes.values() if lane), *self.server]

    def _on(
        self, client: str, label: str, after: Collection[Moment | None] = (), *, odd: bool = False
    ) -> Moment:
        lane = self.lanes.setdefault(client, [])
        moment = Moment(client, label, odd=self._is_odd(odd), at=self._seen(), event=self._now)
        moment.after = [each for each in (*lane[-1:], *after, self._barrier) if each is not None]
        if sum(map(len, self.lanes.values())) < MOST:
            lane.append(moment)
        else:
            self.left_out += 1
        return moment

    def _at_server(self, label: str, order: tuple[int, int, str], after: Collection[Moment | None]) -> Moment:
        moment = Moment(SERVER, label, order, event=self._now)
        if label:
            moment.at, moment.odd = self._seen(), self._is_odd(False)
        moment.after = [each for each in (*after, self._barrier) if each is not None]
        self.server.append(moment)
        return moment

    def _is_odd(self, seems: bool) -> bool:
        """Whether the current event is odd: `seems`, but in an excerpt whether it is blamed."""
        return seems if self.excerpt is None else id(self._now) in self._guilty

    def _seen(self) -> float | None:
        return None if self._now is None or isinstance(self._now, Fold) else self._now.at

    def _breaks(self, client: str, label: str) -> None:
        moment = self._on(client, label, after=self._everything() if label else [])
        if label:
            self._barrier = moment
        self._causes[client] = moment
        if client not in self._broken:
            self._broken[client] = Band(moment)
            self.bands.append(self._broken[client])

    # --- to the server ----------------------------------------------------------------------------

    def _sends(self, event: history.Sent) -> None:
        client, frame = event.client, _object(event.frame)
        kind, label = self._label_of(event)
        if kind == "join":
            self._asks_since[client] = frame.get("since") is not None
        if not label or _ASKED_AS.get(kind, kind) not in self.show:
            return
        arrival = self._arrow_to_server(client, label)
        self._arrived[client, kind] = arrival
        tag = tag_in(str(_object(frame.get("data")).get("content"))) if event.bad is None else None
        if kind == "message" and tag is not None:
            self._arrived["tag", tag] = arrival
            self._repeated[client, tag] += 1
        if kind == "history":
            self._arrived[client, "join"] = arrival  # it is answered by a page, as a join is
        if kind in ("join", "leave"):
            self._gone.discard((client, str(frame.get("room"))))
            self._causes[client] = arrival

    def _label_of(self, event: history.Sent) -> tuple[str, str]:
        """The type that a frame is drawn as, and its label; empty if it is not drawn."""
        frame = _object(event.frame)
        kind, content = str(frame.get("type")), _object(frame.get("data")).get("content")
        if event.bad is not None:
            bad = f"bad.{event.bad}"
            what = self.texts.say(bad) if self.texts.has(bad) else event.bad
            return "message", self._say("nonsense", what=shorten(what, 22))
        room = self._clean(frame.get("room"))
        match kind:
            case "message" if isinstance(content, str):
                return kind, self._say("says", content=self._said(content))
            case "join":
                since = frame.get("since")
                how = "joins" if since is None else "joins_since" if since else "joins_from_start"
                return kind, self._say(how, room=room, since=since)
            case "leave":
                return kind, self._say("leaves", room=room)
            case "heartbeat":
                return kind, self._say("heartbeat")
            case "history" | "presence" if self.excerpt:
                return kind, self._say("asks", what=kind, room=room)
        return kind, ""

    def _arrow_to_server(self, client: str, label: str) -> Moment:
        """Draw a frame from a client to the server; returns the moment of its arrival."""
        start = self._on(client, label)
        arrival = self._at_server("", (0, len(self.arrows), ""), [start])
        if self._arrival is not None:  # we assume that frames arrive in the order in which they were sent
            arrival.if_possible_after.append(self._arrival)
        if self._call is not None:
            arrival.if_possible_after.append(self._call)
        self._arrival = arrival
        self.arrows.append(Arrow(start, arrival))
        return arrival

    # --- from the server --------------------------------------------------------------------------

    def _receives(self, event: history.Received) -> None:
        client = event.client
        match frames.read(event.frame, event.size).meaning:
            case Message(user=user) as message if user == SYSTEM:
                about = self._about([name for name in self._names if name in message.content])
                self._hears(client, "notice", self._clean(message.content), message.room, 0, about)
            case Message() as message:
                self._hears_message(client, message)
            case frames.History() as page:
                self._hears_page(client, page)
            case frames.PresenceFrame(full=full) as presence_frame if not full or self.excerpt:
                shown = ", ".join(
                    f"{self._clean(user)} {presence_frame.users[user].status}"
                    for user in presence_frame.users
                )
                causes = self._about(list(presence_frame.users))
                if full:
                    shown = self._say("list", users=shown or "–")
                    causes = [self._arrived.get((client, "presence"))]
                self._hears(client, "presence", shorten(shown, 30), presence_frame.room, 0, causes)
            case frames.Error(code=code):
                asked = self._arrived.get((client, "message"))
                self._hears(
                    client, "message", self._say("error", code=code or "").strip(), client, 0, [asked]
                )
            case frames.Heartbeat():
                self._hears(client, "heartbeat", self._say("heartbeat"), client, 0, [])
            case _ if self._is_odd(False):
                kind = event.frame.get("type") if isinstance(event.frame, dict) else None
                self._hears(client, "other", shorten(str(kind or "?")), client, 0, [])

    def _hears_page(self, client: str, page: frames.History) -> None:
        asked = self._arrived.get((client, "join"))
        numbers = [message.sequence for message in page.messages]
        tags = [tag_in(message.content) or "" for message in page.messages]
        self._heard.update(tags)
        place = f"{client} {page.room}"
        if numbers:
            self._newest[client, page.room] = max(numbers)
            span = f"#{numbers[0]}" + (f" – #{numbers[-1]}" if len(numbers) > 1 else "")
            before = [asked, *(self._arrived.get(("tag", tag)) for tag in tags)]
            self._hears(client, "replay", self._say("replay", numbers=span), place, 0, before)
        elif self._asks_since.get(client) or self.excerpt:
            self._hears(client, "replay", self._say("replay_nothing"), place, 0, [asked])

    def _hears_message(self, client: str, message: Message) -> None:
        tag, number = tag_in(message.content) or "", message.sequence
        self._heard.add(tag)
        known = self._contents.setdefault((client, message.room, number), message.content)
        what = f"{message.room} {number} {message.content}"
        newest = self._newest.get((client, message.room), 0)
        self._newest[client, message.room] = max(newest, number)
        wrong = ""
        if (client, message.room) in self._gone:
            wrong = "after_leaving"
        elif known != message.content:
            wrong = "number_taken"
        elif self._copies[client, f"message {what}"]:
            wrong = "again"
        elif number < newest:
            wrong = "late"
        asked_for = wrong == "again" and self._repeated[client, tag] > 1
        is_odd = self._is_odd(bool(wrong) and not asked_for)
        marked = wrong and (is_odd or self.excerpt is None)
        quoted = self.texts.say("event.quoted", text=self._said(message.content))
        mark = f" {self._say(wrong)}" if marked else ""
        label = f"#{number} {quoted}{mark}"
        said = self._arrived.get(("tag", tag))
        # After a retry, it may be the answer to the retry, which goes to one client alone.
        times = sum(count for (_, other), count in self._repeated.items() if other == tag)
        is_copy = self._copies[client, f"message {what}"] > 0
        is_retried = times > 1 and (self.excerpt is not None or is_copy)
        before = [said, self._done.get(tag)]
        end = self._hears(
            client, "message", label, what, number, before, odd=is_odd, alone=is_retried, tag=tag
        )
        if end is not None:
            end.mark = mark

    def _hears(
        self,
        client: str,
        kind: str,
        label: str,
        what: str,
        number: int,
        after: Collection[Moment | None],
        *,
        odd: bool = False,
        alone: bool = False,
        tag: str = "",
    ) -> Moment | None:
        """A client receives something; unless `alone`, all its receivers share one moment of sending.

        That is the call of `publish` for the message with this tag, if there was one.
        """
        if kind not in self.show and not self._is_odd(False):
            return None
        what = f"{kind} {what} {label if kind != 'message' else ''}"
        self._copies[client, what.strip()] += 1
        copy = (f"{what} {client}" if alone else what, self._copies[client, what.strip()])
        sent = self._published.get(copy)
        if sent is None:
            order = (1, number, f"{what} {copy[1]}")
            sent = self._publishing.pop(tag, None) or self._at_server("", order, after)
            self._published[copy] = sent
        before = self._sent_to.get(client)
        if before is not None and before is not sent:
            sent.if_possible_after.append(before)
        self._sent_to[client] = sent
        end = self._on(client, label, after=[sent], odd=odd)
        end.heard = True
        self.arrows.append(Arrow(sent, end, replay=kind == "replay"))
        return end

    def _about(self, users: list[str]) -> list[Moment | None]:
        """The moments that may have changed something about these users."""
        causes = [self._causes.get(self._names.get(user, "")) for user in users]
        return [*causes, *(self._done.get(user) for user in users)]

    def _clean(self, text: Any) -> str:
        text = str(text)
        return shorten(text.replace(self.suffix, "") if self.suffix else text, 24)

    def _said(self, content: str) -> str:
        """A message's content, without the tag that it begins with."""
        return shorten(self._clean(without_tag(content)), 16)

    # --- numbers ----------------------------------------------------------------------------------

    def finish(self) -> Causality:
        for (where, tag), arrival in self._arrived.items():
            if (
                where == "tag"
                and tag not in self._heard
                and (not self.excerpt or tag in self.excerpt.unheard)
            ):
                arrival.label, arrival.odd = self._say("unheard"), True
        clients = [moment for lane in self.lanes.values() for moment in lane]
        kept = {id(moment) for moment in clients}
        arrows = [
            arrow
            for arrow in self.arrows
            if all(end.lane == SERVER or id(end) in kept for end in (arrow.start, arrow.end))
        ]
        used = {id(end) for arrow in arrows for end in (arrow.start, arrow.end)}
        moments = [
            *clients,
            *(each for each in self.server if id(each) in used or each.order[0] == 2),
        ]
        _number(moments)
        # In an order that does not depend on the order of reading.
        place = {lane: number for number, lane in enumerate((SERVER, *self.lanes))}
        arrows.sort(key=lambda a: (a.start.rank, place[a.start.lane], a.end.rank, place[a.end.lane]))
        bands = [band for band in self.bands if band.start.rank >= 0]
        for band in bands:
            if band.end is not None and band.end.rank < 0:
                band.end = None
        bands.sort(key=lambda band: (band.start.rank, place[band.start.lane]))
        return Causality(list(self.lanes), moments, arrows, bands, self.left_out)


def _number(moments: list[Moment]) -> None:
    """Give each moment its rank; no two moments of the server have the same."""
    among = {id(moment) for moment in moments}
    waiting = list(moments)
    busy = -1  # the rank of the server's last moment

    def ranked(before: list[Moment]) -> bool:
        return all(each.rank >= 0 for each in before if id(each) in among)

    def earliest(moment: Moment) -> int:
        return 1 + max((each.rank for each in moment.after), default=-1)

    while waiting:
        ready = [moment for moment in waiting if ranked(moment.after)] or waiting[:1]
        at_once = [moment for moment in ready if moment.lane != SERVER]
        for moment in at_once:
            moment.rank = earliest(moment)
        if not at_once:
            moment = min(
                ready, key=lambda each: (not ranked(each.if_possible_after), earliest(each), each.order)
            )
            moment.rank = busy = max(earliest(moment), busy + 1)
        waiting = [moment for moment in waiting if moment.rank < 0]


def _object(value: Any) -> dict[str, Any]:
    """A JSON object; an empty one in place of anything else."""
    return value if isinstance(value, dict) else {}
