"""Sequencer: one order for all members, with neighbours that answer slowly.

A play has phases, with a restart between them: a new instance on the same store. In a phase, all calls of
`accept` and `attach` are concurrent, each begun at its own time. Then what was published, returned and sent
is compared with the content of the store.

Two things are left to the component: whether an empty page is sent, and whether it drains the last page of a
replay (the first hundred messages after a `drain` cost little, and the switch to live must not be delayed).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from random import Random
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from harness.contracts import neighbours
from harness.contracts.base import OF_ANOTHER, PROTO, Plan, Stage
from harness.contracts.neighbours import Member, Store
from harness.history.calls import in_short
from harness.history.events import Called
from lab.interfaces import Draft
from lab.protocol import MAX_PAGE, NEWEST, History, Message, ServerFrame

STEPS = {"accept": "2.1", "attach": "2.3", "history": "2.4"}
SIZES = range(1, 11)
PLAYS = 24

ROOMS = ("red", "Red")
USERS = ("ann", "bob")
SPREADS = (0.0, 0.0, 0.005, 0.03)
"""Seconds within which everything in a phase begins."""
STORED = (0, 0, 1, 3, NEWEST - 1, NEWEST, NEWEST + 1, MAX_PAGE, MAX_PAGE + 1, 150, 201, 360, 455, 999)
"""Messages that are in a room from the beginning, of two users who have used each `id` once."""
LATE = 0.3
"""Seconds after which there is one more message and one more join, when a reader has stopped."""
CLOCK_SLACK = 2.0
"""Seconds by which a timestamp may be off."""
_SHOWN = 12
"""How many numbers are shown at most, unless they are consecutive."""
MOST_UNDRAINED = 2 * MAX_PAGE
"""Messages that may be sent in pages without a `drain` between them."""


class Act(Struct, frozen=True):
    """Something that is done: say, join, ask, restart, or make another instance on another store.

    Or a setting of the store for the whole play: stored, refuse, slow.
    """

    what: str
    at: float = 0.0
    room: str = ROOMS[0]
    user: str = USERS[0]
    id: str | None = None
    count: int | None = None
    """Messages that are stored; the number of the save that fails or is slow; `since`."""
    limit: int = 0
    """Of a page: 0 for exactly what is stored; of a join: the page at which its reader stops, 0 if none."""


def plan(rng: Random, size: int) -> Plan:
    """A plan with so many messages, either with retries and failures of saves, or with joins among them."""
    spread = rng.choice(SPREADS)
    says = _talk(rng, size, spread)
    if rng.random() < 0.55:
        acts = [Act("stored", count=rng.choice((0, 0, 1, 3, 250))), *says]
        if rng.random() < 0.4:
            acts.insert(1, Act("refuse", count=rng.randint(1, size)))
            acts.append(Act("say", spread + 0.2, id=rng.choice((None, "after"))))
            acts += [replace(act, at=spread + 0.2) for act in says if act.id is not None]
        if rng.random() < 0.3:
            old = f"old-{rng.randint(0, 3)}"
            acts.append(Act("say", rng.uniform(0, spread), user=rng.choice(USERS), id=old))
        if rng.random() < 0.4:
            again = [act for act in says if act.id is not None][:1]
            acts += [Act("restart"), *again, *_talk(rng, 2, spread)]
    else:
        stored = rng.choice(STORED)
        if rng.random() < 0.3:
            says = [replace(act, at=act.at + LATE) for act in says]  # the joins come first
        sinces = (
            None,
            None,
            0,
            stored // 2,
            max(stored - MAX_PAGE, 0),
            max(stored - 1, 0),
            stored,
            stored + 5,
        )
        acts = [Act("stored", count=stored), *says]
        acts += [
            Act("join", rng.uniform(0, spread), count=rng.choice(sinces)) for _ in range(rng.randint(1, 2))
        ]
        if rng.random() < 0.4:
            acts.append(Act("join", 0.0, count=rng.choice((None, 0)), limit=rng.randint(1, 3)))
            acts += [Act("say", LATE), Act("join", LATE, count=stored)]
        if rng.random() < 0.6:
            places = (0, stored // 2, max(stored - 7, 0), max(stored - MAX_PAGE, 0), stored, stored + 5)
            since = rng.choice(places)
            acts.append(Act("ask", count=since, limit=rng.choice((0, 1, 7, MAX_PAGE))))
    return Plan("", acts)


_READERS = 12
ALWAYS = [
    Plan("", [Act("stored", count=3), Act("say"), Act("another"), Act("say", 0.1)]),
    # A slow save, with another message and a join meanwhile.
    Plan("", [Act("slow", count=1), Act("say"), Act("say", 0.5, user=USERS[1]), Act("join", 0.5, count=0)]),
    *(
        Plan("", [Act("stored", count=1), Act("refuse", count=n), *[Act("say", at / 5) for at in range(4)]])
        for n in (1, 2)
    ),
    # Many that join and stop reading, and one that does not.
    Plan(
        "",
        [
            Act("stored", count=250),
            *(Act("join", 0.0, count=0, limit=1) for _ in range(_READERS)),
            *(Act("say", LATE, room) for room in ROOMS),
            *(Act("join", LATE, room, count=None) for room in ROOMS),
        ],
    ),
    # A reader stops at a page, and more messages than a page holds are accepted until it reads on.
    *(
        Plan(
            "",
            [
                Act("stored", count=stored),
                Act("join", 0.0, count=0, limit=pages),
                *(Act("say", LATE + number / 1000) for number in range(MAX_PAGE + 30)),
            ],
        )
        for stored, pages in ((3, 1), (MAX_PAGE + 3, 2))
    ),
    # More messages than a page holds are accepted before it is a join's turn.
    Plan(
        "",
        [
            Act("stored", count=3),
            *(Act("say", user=USERS[number % 2]) for number in range(MAX_PAGE + 30)),
            *(Act("join", count=count) for count in (0, 3, None)),
        ],
    ),
    # Names that every object in JavaScript has.
    *(
        Plan(
            "",
            [
                Act("stored", room=name, count=3),
                *(Act("say", at, name, user=name, id=name) for at in (0.0, 0.1)),
                *(Act("say", at, name, user=name) for at in (0.0, 0.1)),
                *(Act("join", at, name, count=count) for at, count in ((0.0, 0), (0.2, None))),
            ],
        )
        for name in PROTO
    ),
    # Many messages without an id.
    Plan("", [Act("say", number / 1000, ROOMS[number % 2]) for number in range(400)]),
]


def _talk(rng: Random, count: int, spread: float) -> list[Act]:
    """So many messages, of which some repeat the `id` of an earlier one."""
    acts: list[Act] = []
    rooms = ROOMS[: rng.randint(1, len(ROOMS))]
    for number in range(count):
        again = [act for act in acts if act.id is not None]
        if again and rng.random() < 0.3:
            other = rng.choice(again)
            room, user = rng.choice(((other.room, other.user), (rng.choice(rooms), rng.choice(USERS))))
            acts.append(Act("say", rng.uniform(0, spread), room, user, other.id))
        else:
            id = f"{rng.choice(('id', 'ID'))}{number // 2}" if rng.random() < 0.5 else None
            acts.append(Act("say", rng.uniform(0, spread), rng.choice(rooms), rng.choice(USERS), id))
    return acts


def less(act: Act) -> list[Act]:
    """Variants of an act with less in it."""
    fewer = [act.count // 2, act.count - 1] if act.what == "stored" and act.count else []
    smaller = [replace(act, count=count) for count in fewer]
    return smaller + ([replace(act, at=0.0)] if act.at else [])


async def play(plan: Plan, stage: Stage) -> None:
    """Make all calls, and compare their results with the store."""
    await _Play(plan, stage).all()


class _Said(Struct):
    """One `accept`, and its result."""

    draft: Draft
    began: float
    ended: float = 0.0
    got: Any = None
    error: BaseException | None = None
    was_published: bool = False
    """Whether the returned message had been published by then."""


class _Joined(Struct):
    """One `attach`: the newest number when it began, and whether it has returned (`is_done`)."""

    member: Member
    room: str
    since: int | None
    newest: int
    name: str = ""
    """Its own, `attach#1`."""
    is_done: bool = False
    is_subscribed: bool = False


class _Published(Struct):
    """A message that was published, and how many events had happened by then."""

    message: Message
    at: int
    due: str
    """What had become of the number that was due: `saving`, `refused`, or nothing of both."""


class _Play:
    """One play. What is published is checked at that moment, all else after each phase."""

    def __init__(self, plan: Plan, stage: Stage) -> None:
        self._acts: list[Act] = plan.acts
        self._rooms = dict.fromkeys((*ROOMS, *(act.room for act in self._acts)))
        self._stage = stage
        self._rng = Random(plan.seed)
        self._store = Store(stage, self._rng, is_slow=self._rng.random() < 0.9)
        self._taken: list[tuple[Message, list[Called]]] = []
        """Messages whose number was given to another one before they were published, and what was called."""
        self._published: dict[str, list[_Published]] = {}
        self._first: dict[str, int] = {}  # the number that each room begins with
        self._ids: set[str] = set()
        self._texts: dict[tuple[str, str, str], str] = {}
        self._restarts: list[int] = []  # how many events had happened by then
        self._is_over = self._is_released = False

    async def all(self) -> None:
        """Play phase after phase."""
        clock = Random(0)
        for act in self._acts:
            if act.what == "stored":
                for number in range(1, (act.count or 0) + 1):
                    id, user, text = f"old-{number // 2}", USERS[number % 2], f"old {number}"
                    at = _now_ms() - clock.randint(1, 10**6)
                    self._texts[act.room, user, id] = text
                    self._store.put(Message(id, act.room, user, text, number, at))
            elif act.what == "slow":
                self._store.slow.add(act.count or 0)
            elif act.what == "refuse":
                self._store.refusals.add(act.count or 0)
        self._first = {room: self._store.newest_number(room) + 1 for room in self._rooms}
        phase: list[Act] = []
        for act in [*self._acts, Act("restart")]:
            if act.what != "restart":
                phase.append(act)
                continue
            await self._phase(phase)
            if self._is_over:
                return
            self._restarts.append(len(self._stage.history))
            phase = []

    async def _phase(self, acts: list[Act]) -> None:
        self._pubsub, self._is_released = neighbours.PubSub(self._stage, self._hear), False
        self._stage.name(self._store, "store")
        self._stage.name(self._pubsub, "pubsub")
        self._sequencer: Any = self._stage.make("2.1", self._store, self._pubsub)
        if self._sequencer is None:
            self._is_over = True
            return
        said: list[_Said] = []
        joined: list[_Joined] = []
        tasks: dict[asyncio.Task[None], str] = {}
        waiting: set[asyncio.Task[None]] = set()
        for act in acts:
            if act.what == "say":
                tasks[asyncio.create_task(self._say(act, said))] = "accept"
            elif act.what == "join":
                task = asyncio.create_task(self._join(act, joined))
                tasks[task] = "attach"
                if act.limit:
                    waiting.add(task)
        await self._wait_for({task: what for task, what in tasks.items() if task not in waiting}, joined)
        self._is_released = True
        for each in joined:
            each.member.read_on()
        if not self._is_over:
            await self._wait_for(tasks, joined)
        if not self._is_over:
            is_right = self._check_numbers()
            self._check_said(said)
            for each in joined if is_right else ():  # else their gaps only follow from the wrong numbers
                self._check_joined(each)
            for act in acts:
                if act.what == "ask" and not self._is_over and not self._store.is_saving:
                    await self._ask(act)
                elif act.what == "another" and not self._is_over:
                    await self._make_another()

    async def _make_another(self) -> None:
        """A second instance of the same class, on another store, must share no numbers with the first."""
        store = Store(self._stage, self._rng)
        pubsub = neighbours.PubSub(self._stage, lambda room, frame: None)
        self._stage.name(store, "store2")
        self._stage.name(pubsub, "pubsub2")
        another = self._stage.another("2.2", self._sequencer, store, pubsub)
        if another is None:
            return
        draft = Draft(ROOMS[0], USERS[0], "hello", None)
        call = self._stage.calls.written("accept", (draft,))
        try:
            got = await self._stage.calls.call("accept", another.accept, (draft,))
        except (Exception, SystemExit) as error:
            self._stage.raised("2.2", "Sequencer.accept", call, error)
            return
        if isinstance(got, Message) and got.sequence != 1:
            params = {"room": ROOMS[0], "got": got.sequence, "owed": 1, "previous": 0}
            self._stage.breach("2.2", "wrong_number", "Sequencer.accept", "shared", **params)

    async def _wait_for(self, tasks: dict[asyncio.Task[None], str], joined: list[_Joined]) -> None:
        """Wait for calls to return. One that never does may be waiting for a reader that has stopped."""
        if not tasks:
            return
        _, pending = await asyncio.wait(tasks, timeout=self._stage.never)
        if not pending:
            return
        self._is_over = True
        what = tasks[min(pending, key=lambda task: task.get_name())]
        slow = [each.member.name for each in joined if each.member.is_waited_for]
        if slow:
            # Whichever call is blocked, `attach` is what blocks it.
            variant = "several" if len(slow) > 1 else what
            params = {"who": slow[0], "call": what, "count": len(slow)}
            self._stage.breach("2.3", "reader_delays", "Sequencer.attach", variant, **params)
        else:
            step = "2.1" if what == "accept" else "2.3"
            early = self._ended_early()
            self._stage.hangs(step, f"Sequencer.{what}", what, pending, "early" if early else "", early=early)
        for task in tasks:
            task.cancel()

    def _ended_early(self) -> str:
        """An `accept` that has ended without publishing anything: what it had taken, it may still have."""
        ended = [each for each in self._stage.history if each.what.startswith("accept(") and each.result]
        published = {e.who for e in self._stage.history if e.what.startswith("pubsub.publish(")}
        return next((each.who for each in ended if each.who not in published), "")

    # --- what is called ---------------------------------------------------------------------------

    async def _say(self, act: Act, said: list[_Said]) -> None:
        await asyncio.sleep(act.at)
        # A message that repeats an id, by the same user in the same room, has the same content.
        number = len(said) + len(self._texts)
        text = f"w{number}" if number % 3 else f" w{number} "
        if act.id is not None:
            text = self._texts.setdefault((act.room, act.user, act.id), text)
        one = _Said(Draft(act.room, act.user, text, act.id), self._stage.now())
        said.append(one)
        with self._stage.calls.on_behalf_of("accept"):
            try:
                one.got = await self._stage.calls.call("accept", self._sequencer.accept, (one.draft,))
                published = self._published.get(act.room, [])
                one.was_published = any(each.message == one.got for each in published)
            except (Exception, SystemExit) as error:
                one.error = error
        one.ended = self._stage.now()

    async def _join(self, act: Act, joined: list[_Joined]) -> None:
        await asyncio.sleep(act.at)
        stops_at = act.limit if act.limit and not self._is_released else None
        newest = partial(self._store.newest_asked, act.room)
        member = Member(f"m{len(joined) + 1}", self._stage, self._rng, newest, stops_at)
        self._stage.name(member, member.name)
        one = _Joined(member, act.room, act.count, self._store.newest_number(act.room))
        joined.append(one)
        with self._stage.calls.on_behalf_of("attach") as one.name:
            try:
                args = (act.room, member, act.count)
                await self._stage.calls.call("attach", self._sequencer.attach, args)
                one.is_done = True
                one.is_subscribed = (act.room, member) in self._pubsub.subscribed
            except (Exception, SystemExit) as error:
                call = self._stage.calls.written("attach", args)
                self._stage.raised("2.3", "Sequencer.attach", call, error)

    async def _ask(self, act: Act) -> None:
        since = act.count or 0
        after, last = self._store.after(act.room, since), self._store.newest_number(act.room)
        limit = act.limit or min(max(len(after), 1), MAX_PAGE)
        call = self._stage.calls.written("history", (act.room, since, limit))
        try:
            got = await self._stage.calls.call("history", self._sequencer.history, (act.room, since, limit))
        except (Exception, SystemExit) as error:
            self._stage.raised("2.4", "Sequencer.history", call, error)
            return
        owed = History(act.room, after[:limit], last, more=len(after) > limit)
        if got != owed:
            shown = {"call": call, "got": self._stage.calls.shown(got), "owed": self._stage.calls.shown(owed)}
            variant = "none" if got is None else ""
            self._stage.breach("2.4", "wrong_answer", "Sequencer.history", variant, **shown)

    # --- what is published ------------------------------------------------------------------------

    def _hear(self, room: str, frame: ServerFrame) -> None:
        """Check a frame at the moment it is published."""
        if not isinstance(frame, Message) or not isinstance(frame.sequence, int):
            got = self._stage.calls.shown(frame)
            self._stage.breach("2.2", "wrong_publish", "Sequencer.accept", "no_message", got=got, room=room)
            return
        if frame.room != room:
            got = self._stage.calls.shown(frame)
            self._stage.breach("2.1", "wrong_publish", "Sequencer.accept", "other_room", got=got, room=room)
        saved = self._store.saved.get((frame.room, frame.sequence))
        if frame in self._store.replaced:
            self._taken.append((frame, list(self._stage.history)))
        elif saved != frame:
            self._published_unsaved(frame, self._why_unsaved(frame, saved), self._stage.history)
        published = self._published.setdefault(room, [])
        due = self._store.unsaved.get((room, self._first.get(room, 1) + len(published)), "")
        published.append(_Published(frame, len(self._stage.history), due))

    def _published_unsaved(self, frame: Message, why: str, shown: list[Called]) -> None:
        params = {"message": self._stage.calls.shown(frame), "number": frame.sequence}
        self._stage.breach_in(shown, "2.2", "published_unsaved", "Sequencer.accept", why, **params)

    def _why_unsaved(self, frame: Message, saved: Message | None) -> str:
        """The most likely mistake behind a message that was published and not saved."""
        if saved is not None and saved.id == frame.id:
            return "altered"
        refused = (message for _, messages in self._store.refused for message in messages)
        return "refused" if frame in refused else ""

    def _check_numbers(self) -> bool:
        """Whether the numbers published in each room rise by one: no gap, repetition, or step back."""
        is_right = True
        for room, published in self._published.items():
            owed = self._first.get(room, 1)
            for place, each in enumerate(published):
                if each.message.sequence != owed:
                    self._wrong_number(room, owed, published, place)
                    is_right = False
                    break
                owed += 1
        for frame, shown in self._taken if is_right else ():  # else its number was given twice
            self._published_unsaved(frame, "", shown)
        return is_right

    def _wrong_number(self, room: str, owed: int, published: list[_Published], place: int) -> None:
        number = published[place].message.sequence
        later = [each.message.sequence for each in published[place:]]
        due = published[place].due
        began = max((at for at in self._restarts if at < published[place].at), default=0)
        is_first = not any(each.at > began for each in published[:place])
        if number > owed and due == "saving":
            variant = "order_saving"
        elif number > owed and due == "refused" and owed not in later:
            variant = "refused_meanwhile" if (room, owed) in self._store.overlapping else "refused"
        elif number > owed and owed in later:
            variant = "order"
        elif is_first and owed == 1:
            variant = "first"
        elif is_first and number < owed:
            variant = "restart"
        else:
            variant = "gap" if number > owed else "twice"
        self._stage.breach_in(
            self._stage.history[: published[place].at], "2.2", "wrong_number", "Sequencer.accept", variant,
            room=room, got=number, owed=owed, previous=owed - 1,
        )  # fmt: skip

    # --- what is returned -------------------------------------------------------------------------

    def _check_said(self, said: list[_Said]) -> None:
        first: dict[tuple[str, str, str], Message] = {}
        for one in said:
            others = [each.error for each in said if each is not one and each.began <= one.began]
            message = self._returned(one, others)
            if message is None:
                continue
            key = one.draft.room, one.draft.user, one.draft.id or ""
            if one.draft.id is not None and first.setdefault(key, message) != message:
                self._retry_new(key, message, first[key])
            if one.draft.id is None and message.id in self._ids:
                self._stage.breach("2.1", "wrong_message", "Sequencer.accept", "same_id", got=message.id)
            self._ids.add(message.id)
        self._check_stored_once()

    def _returned(self, one: _Said, errors: Sequence[BaseException | None]) -> Message | None:
        """What an `accept` has returned, if it is a message that was saved. `errors` are those of others."""
        call = self._stage.calls.written("accept", (one.draft,))
        if one.error is not None:
            if not self._may_be_refused(one):
                variant = OF_ANOTHER if any(each is one.error for each in errors) else ""
                self._stage.raised("2.1", "Sequencer.accept", call, one.error, variant)
            return None
        if not isinstance(one.got, Message):
            variant = "none" if one.got is None else "no_message"
            got = self._stage.calls.shown(one.got)
            self._stage.breach("2.1", "wrong_message", "Sequencer.accept", variant, call=call, got=got)
            return None
        message: Message = one.got
        if message not in self._store.saved.values():  # its number may be anything, also no key
            variant = "refused" if self._was_refused(one) else "unsaved"
            got = self._stage.calls.shown(message)
            self._stage.breach("2.2", "wrong_message", "Sequencer.accept", variant, call=call, got=got)
            return None
        # A retry may find the message in the store just before it is published for the first time.
        heard = self._published.get(message.room, []) if one.draft.id is not None else []
        is_heard = one.was_published or any(each.message == message for each in heard)
        if not is_heard and not message.id.startswith("old-"):
            got = self._stage.calls.shown(message)
            self._stage.breach("2.1", "wrong_message", "Sequencer.accept", "unpublished", call=call, got=got)
        self._check_fields(one, message, call)
        return message

    def _was_refused(self, one: _Said) -> bool:
        return any(
            (each.room, each.content) == (one.draft.room, one.draft.content)
            for _, messages in self._store.refused
            for each in messages
        )

    def _may_be_refused(self, one: _Said) -> bool:
        """Whether a save in its room failed meanwhile: it may have been a batch with this message in it."""
        return any(
            one.began <= at <= one.ended and any(each.room == one.draft.room for each in messages)
            for at, messages in self._store.refused
        )

    def _check_fields(self, one: _Said, message: Message, call: str) -> None:
        draft = one.draft
        owed: dict[str, object] = {"room": draft.room, "user": draft.user, "content": draft.content}
        if draft.id is not None:
            owed["id"] = draft.id
        for name, value in owed.items():
            if getattr(message, name) != value:
                self._wrong_field(call, name, getattr(message, name), value)
        if draft.id is None and not (isinstance(message.id, str) and message.id):
            self._wrong_field(call, "id", message.id, "…")
        stamp: Any = message.timestamp
        now = _now_ms()
        is_whole = isinstance(stamp, int) and not isinstance(stamp, bool)
        ended = now - 1000 * (self._stage.now() - one.ended)
        if message.id.startswith("old-") and is_whole:
            return  # it is from an earlier run
        began = now - 1000 * (self._stage.now() - (0.0 if draft.id is not None else one.began))
        earliest = began - 1000 * CLOCK_SLACK  # a retried message may be as old as the play
        if not is_whole or not earliest <= stamp <= ended + 1000 * CLOCK_SLACK:
            variant = "timestamp" if is_whole else "timestamp_type"
            self._stage.breach(
                "2.1", "wrong_message", "Sequencer.accept", variant, call=call, got=stamp, owed=int(ended)
            )

    def _wrong_field(self, call: str, name: str, got: object, owed: object) -> None:
        shown = self._stage.calls.shown
        self._stage.breach(
            "2.1", "wrong_message", "Sequencer.accept", "field",
            call=call, field=name, got=shown(got), owed=shown(owed),
        )  # fmt: skip

    def _check_stored_once(self) -> None:
        """All messages of a user in a room with the same id must be stored as one message."""
        for room in self._rooms:
            stored: dict[tuple[str, str], Message] = {}
            for message in self._store.after(room, 0):
                other = stored.setdefault((message.user, message.id), message)
                if other is not message:
                    self._retry_new((room, message.user, message.id), message, other)

    def _retry_new(self, key: tuple[str, str, str], one: Message, other: Message) -> None:
        """A message was stored again: was its id looked up, and were both look-ups before the first save?"""
        answers = self._store.looked_up.get(key, [])
        variant = "" if any(answers) else "meanwhile" if len(answers) > 1 else "unasked"
        owed, got = map(self._stage.calls.shown, sorted((one, other), key=lambda each: each.sequence))
        if variant == "meanwhile" and self._went_on_meanwhile(owed, got):
            variant = "meanwhile_saving"
        self._stage.breach("2.3", "retry_new", "Sequencer.accept", variant, got=got, owed=owed, id=key[2])

    def _went_on_meanwhile(self, *messages: str) -> bool:
        """Whether the call that saved one of these went on after its look-up, while the other was saved.

        Then no lock is held until `save` has returned. If it did not, it may have waited for one.
        """
        saves = {f"store.save([{message}])" for message in messages}
        whose = {each.who for each in self._stage.history if each.what in saves}
        saving: list[str] = []
        for each in self._stage.history:
            is_further = not each.what.startswith(("accept(", "store.find("))
            if each.result is None and each.who in whose and is_further and {*saving} - {each.who}:
                return True
            if each.what in saves:
                saving = [*saving, each.who] if each.result is None else [w for w in saving if w != each.who]
        return False

    # --- what is sent on a join -------------------------------------------------------------------

    def _check_joined(self, one: _Joined) -> None:
        member = one.member
        if not one.is_done:
            return
        if not one.is_subscribed:
            self._wrong_join(one, "not_subscribed")
            return
        if member.most_undrained > MOST_UNDRAINED:
            self._wrong_join(one, "undrained", count=member.most_undrained)
        for page, newest in zip(member.pages, member.newest, strict=True):
            self._check_page(one, page, newest)
        kinds = [isinstance(frame, History) for frame in member.order]
        if any(later and not earlier for earlier, later in pairwise(kinds)):
            self._wrong_join(one, "live_first")
        self._check_seam(one)

    def _check_page(self, one: _Joined, page: History, newest_then: int) -> None:
        if page.room != one.room:
            self._wrong_page(one, page, "room")
        if len(page.messages) > MAX_PAGE:
            self._wrong_page(one, page, "long")
        stored = {each.sequence: each for each in self._store.after(one.room, 0)}
        if any(stored.get(each.sequence) != each for each in page.messages):
            self._wrong_page(one, page, "altered")
        end = page.messages[-1].sequence if page.messages else 0
        newest = max(stored, default=0)
        highest = min(newest, newest_then)
        if not isinstance(page.last, int) or not isinstance(page.more, bool):
            self._wrong_page(one, page, "")
        elif page.more and (not page.messages or end >= newest):
            self._wrong_page(one, page, "more")
        elif not page.more and page.messages and end < one.newest:
            self._wrong_page(one, page, "no_more")
        elif not max(one.newest, end) <= page.last <= highest:
            self._wrong_page(one, page, "last", newest=highest)

    def _check_seam(self, one: _Joined) -> None:
        """History and live messages together must be the room's messages, from a number to the end."""
        member, newest = one.member, self._store.newest_number(one.room)
        paged = [each.sequence for page in member.pages for each in page.messages]
        live = [each.sequence for each in member.live if isinstance(each, Message)]
        if one.since is None:
            if len([page for page in member.pages if page.messages]) > 1:
                self._wrong_page(one, member.pages[-1], "several")
                return
            end = paged[-1] if paged else 0
            owed = list(range(max(end - NEWEST, 0) + 1, end + 1))
            if paged != owed or end < one.newest:
                due = list(range(max(one.newest - NEWEST, 0) + 1, one.newest + 1))
                self._wrong_join(one, "not_newest", got=_numbers(paged), owed=_numbers(due))
                return
            begin = owed[0] if owed else 1
        elif one.since == 0 and len(paged) == NEWEST and paged[0] > 1:  # as without a `since`
            self._wrong_join(one, "zero", got=_numbers(paged), owed=_numbers([*range(1, paged[-1] + 1)]))
            return
        elif one.since > one.newest:  # a `since` beyond the end: nothing old may be sent
            if paged and min(paged) <= one.since:
                self._wrong_join(one, "too_early", number=min(paged), got=_numbers(paged), owed="–")
            return  # there is no history for live messages to join up with
        else:
            begin = one.since + 1
        owed = list(range(begin, newest + 1))
        got = [*paged, *live]
        if got == owed:
            return
        shown = {"got": _numbers(got), "owed": _numbers(owed)}
        missing, extra = sorted(set(owed) - set(got)), [n for n in got if n not in set(owed)]
        if len(set(got)) < len(got):
            twice = next(n for n in got if got.count(n) > 1)
            variant = "page_twice" if paged.count(twice) > 1 else "overlap"
            self._wrong_join(one, variant, number=twice, **shown)
        elif missing:
            self._wrong_join(one, self._why_hole(one, paged, missing[0]), number=missing[0], **shown)
        elif extra:
            self._wrong_join(one, "too_early", number=extra[0], **shown)
        else:
            self._wrong_join(one, "disorder", **shown)

    def _why_hole(self, one: _Joined, paged: list[int], missing: int) -> str:
        """The most likely mistake behind a message that was never sent: what do the pages tell?"""
        asked = self._stage.calls.written("store.page", (one.room, missing, 0)).removesuffix("0)")
        began = [each for each in self._stage.history if each.who == one.name and each.result is None]
        if not paged:
            return "hole_nothing" if missing <= one.newest else "hole"
        if missing < paged[-1] or any(each.what.startswith(asked) for each in began):
            return "hole_skipped"
        if one.member.pages[-1].more or missing <= one.newest:
            return "hole_more"
        return "hole"

    def _wrong_join(self, one: _Joined, variant: str, **params: Any) -> None:
        call = self._stage.calls.written("attach", (one.room, one.member, one.since))
        self._stage.breach(
            "2.3", "wrong_join", "Sequencer.attach", variant, call=call, who=one.member.name, **params
        )

    def _wrong_page(self, one: _Joined, page: History, variant: str, **params: Any) -> None:
        call = self._stage.calls.written("attach", (one.room, one.member, one.since))
        self._stage.breach(
            "2.4", "wrong_page", "Sequencer.attach", variant,
            call=call, who=one.member.name, page=self._stage.calls.shown(page),
            count=len(page.messages), **params,
        )  # fmt: skip


def _numbers(found: list[int]) -> str:
    return in_short(found, _SHOWN) or "–"


def _now_ms() -> int:
    return int(time.time() * 1000)
