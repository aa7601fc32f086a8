"""PubSub: each member of exactly this room gets a frame once, even if others subscribe or leave meanwhile.

The model is a dictionary from rooms to members. While a frame is being published, a member that receives it
may subscribe and unsubscribe others: these may receive the frame or not, all other members must.
"""

from __future__ import annotations

from collections import Counter
from itertools import cycle
from random import Random
from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace

from harness.contracts.base import Plan, Stage
from harness.history.calls import quoted
from lab.protocol import Heartbeat, Message, Presence, PresenceFrame, ServerFrame, Status

STEPS = {"subscribe": "1.3", "members": "1.3", "rooms": "1.3", "publish": "1.4", "unsubscribe": "1.5"}
SIZES = range(1, 13)
PLAYS = 75

ROOMS = ("red", "Red", "blue", "É", "E\u0301", "ﬁn", "fin", "__proto__", "constructor")
"""Different rooms, even where their names look alike; the last ones every object in JavaScript has."""
_PROTO = 7
"""The first of these."""
_ALIKE = ((0, 1, 2), (0, 1, 2), (3, 4), (5, 6))
MEMBERS = ("ann", "bob", "cem", "dan", "eva", "fox")
FRAMES = ("hello", "hi", "hey", "ahoy", "salut", "ciao", "hola", "servus", "moin", "tag", "hej", "yo", "oi")
_KINDS = ("message", "message", "long", "presence", "heartbeat")
"""Kinds of published frames; a pub/sub passes on any of them."""
_WEIGHTS = {"subscribe": 6, "unsubscribe": 3, "publish": 6, "members": 2, "rooms": 2, "change": 1}


class Act(Struct, frozen=True):
    """A call; or `another`, a second instance.

    Of a `publish`: which `kind` of frame, and what members do `during` it, when it reaches them.
    With `again`, the frame that was published last is published again.
    """

    what: str
    room: int = 0
    member: int = 0
    during: list[Reaction] = field(default_factory=list)
    kind: str = "message"
    again: bool = False


class Reaction(Struct, frozen=True):
    """When `who` is sent the frame, it subscribes or unsubscribes `member`."""

    who: int
    what: str
    member: int


def plan(rng: Random, size: int) -> Plan:
    """Some subscriptions; then so many calls, of all kinds, on a few rooms and members."""
    alike, members = rng.choice(_ALIKE), rng.choice((1, 2, 3, 4, 4, len(MEMBERS)))
    rooms = alike[: rng.randint(1, len(alike))]
    acts = []
    if rng.random() < 0.6:
        acts += [Act("subscribe", rooms[0], number) for number in range(members)][:size]
    for _ in range(size):
        what = rng.choices(list(_WEIGHTS), list(_WEIGHTS.values()))[0]
        room, during = rng.choice(rooms), []
        if what == "publish" and rng.random() < 0.5:
            during = [_reaction(rng, members) for _ in range(rng.choice((1, 1, 2, 3)))]
        again = rng.random() < 0.15
        acts.append(Act(what, room, rng.randrange(members), during, rng.choice(_KINDS), again))
    # The last call shows the effect of the others: without it, a play shows little.
    acts.append(Act(rng.choice(("publish", "members", "rooms")), rng.choice(rooms)))
    return Plan("", acts)


_CROWD = 300
_ALL_LEAVE = [Reaction(who, "unsubscribe", member) for who in range(3) for member in range(3)]
ALWAYS = [
    Plan(
        "", [*(Act("subscribe", 0, n) for n in range(3)), Act("publish", 0, during=_ALL_LEAVE), Act("rooms")]
    ),
    Plan(
        "", [Act("subscribe", 0, 0), Act("subscribe", 1, 1), Act("another"), Act("publish", 0), Act("rooms")]
    ),
    Plan(
        "",
        [
            *(Act("subscribe", number, number % len(MEMBERS)) for number in range(_CROWD)),
            *(Act("publish", number) for number in range(_CROWD)),
            Act("rooms"),
        ],
    ),
    *(
        Plan(
            "",
            [
                Act("members", room),
                Act("publish", room),
                *(Act("subscribe", room, number) for number in range(2)),
                Act("publish", room),
                Act("rooms"),
                *(Act("unsubscribe", room, number) for number in range(2)),
                Act("rooms"),
            ],
        )
        for room in (_PROTO, _PROTO + 1)
    ),
]


def _reaction(rng: Random, members: int) -> Reaction:
    what = rng.choice(("unsubscribe", "unsubscribe", "subscribe"))
    return Reaction(rng.randrange(members), what, rng.randrange(members))


def less(act: Act) -> list[Act]:
    """Variants of an act with less in it."""
    return [replace(act, during=act.during[:n] + act.during[n + 1 :]) for n in range(len(act.during))]


class Member:
    """A member that receives frames, and may react to them."""

    def __init__(self, name: str, stage: Stage) -> None:
        self.name = name
        self.heard: list[ServerFrame] = []
        self.reactions: list[tuple[str, Member]] = []
        self.play: _Play | None = None
        self._stage = stage

    def send(self, frame: ServerFrame) -> None:
        """Receive a frame."""
        self._stage.calls.begin(self._stage.calls.written(f"{self.name}.send", (frame,)))
        self.heard.append(frame)
        reactions, self.reactions = self.reactions, []
        if reactions:
            with self._stage.calls.on_behalf_of(f"{self.name}.send"):
                for what, member in reactions:
                    assert self.play is not None
                    self.play.react(what, member)

    async def drain(self) -> None:
        """Return at once: everything was read already."""

    def __repr__(self) -> str:
        return "a connection"  # the same for all: a component must not tell members apart by their `repr`


async def play(plan: Plan, stage: Stage) -> None:
    """Make all calls, and compare their results with the model."""
    _Play(plan, stage).all()


class _Play:
    """One play, with its model: who is in which room."""

    def __init__(self, plan: Plan, stage: Stage) -> None:
        self._acts: list[Act] = plan.acts
        self._stage = stage
        self._members = [Member(name, stage) for name in MEMBERS]
        for each in self._members:
            stage.name(each, each.name)
        self._model: dict[str, dict[Member, None]] = {}
        self._kept: list[tuple[str, Any, list[Any]]] = []  # returned lists, and a copy of each
        self._room = ""
        self._pubsub: Any = None
        self._touched: set[Member] = set()
        self._failed: tuple[str, tuple[Any, ...]] | None = None
        """The method that raised in the middle of a `publish`, and its arguments."""
        self._last: tuple[ServerFrame, str] | None = None

    def all(self) -> None:
        """Play to the end, or until a call raises: after that nothing can be judged."""
        self._pubsub = self._stage.make("1.3")
        if self._pubsub is None:
            return
        names = cycle(FRAMES)
        for act in self._acts:
            if not self._one(act, next(names)):
                return
        for call, got, was in self._kept:
            if list(got) != was:
                shown, then = self._stage.calls.shown(got), self._stage.calls.shown(was)
                self._breach("1.3", "live", _method(call), call=call, got=shown, owed=then)

    def _one(self, act: Act, frame: str) -> bool:
        room = ROOMS[act.room] if act.room < len(ROOMS) else f"room{act.room}"
        member = self._members[act.member]
        match act.what:
            case "subscribe":
                if not self._call("subscribe", room, member)[0]:
                    return False
                self._model.setdefault(room, {})[member] = None
            case "unsubscribe":
                if not self._call("unsubscribe", room, member)[0]:
                    return False
                self._leave(room, member)
            case "publish":
                return self._publish(room, act, frame)
            case "members" | "rooms":
                return self._ask(act.what, room)
            case "another":
                return self._make_another(room, member)
            case "change":
                return self._change_result(room)
        return True

    def _make_another(self, room: str, member: Member) -> bool:
        """A second instance of the same class must share no state with the first."""
        first, self._pubsub = self._pubsub, self._stage.another("1.3", self._pubsub)
        if self._pubsub is None:
            return False
        for method, args in (("rooms", ()), ("members", (room,))):
            returned, got = self._call(method, *args)
            if not returned:
                return False
            if got != []:
                shown = {"call": self._stage.calls.written(method, args), "got": self._stage.calls.shown(got)}
                self._breach("1.3", "shared", method, **shown, owed="[]")
                return False
        if not self._call("subscribe", f"{room}2", member)[0]:
            return False
        self._pubsub = first
        self._stage.calls.begin("# 1")
        return True

    def _call(self, method: str, *args: Any) -> tuple[bool, Any]:
        """Call a method; returns whether it returned, and its result."""
        try:
            return True, self._stage.call(method, getattr(self._pubsub, method), args)
        except (Exception, SystemExit) as error:
            name, inside = (self._failed if method == "publish" else None) or (method, args)
            is_meanwhile = method == name == "publish" and bool(self._touched)
            variant = "changed_meanwhile" if is_meanwhile and "during iteration" in str(error) else ""
            self._stage.raised(
                STEPS[method], f"PubSub.{name}", self._stage.calls.written(name, inside), error, variant,
                unknown=() if is_meanwhile else self._unknown(name, *inside),
                owed="[]" if name == "members" else "",
            )  # fmt: skip
            return False, None

    def _unknown(self, method: str, room: str = "", member: Member | None = None) -> list[object]:
        """What such a call was given and is not there: the room, or the member that is to go from it."""
        if method not in ("unsubscribe", "publish", "members"):
            return []
        members = self._model.get(room, {})
        is_stranger = method == "unsubscribe" and member not in members
        return [*([] if members else [room]), *([member] if is_stranger else [])]

    def _leave(self, room: str, member: Member) -> None:
        members = self._model.get(room, {})
        members.pop(member, None)
        if not members:
            self._model.pop(room, None)

    # --- publish ----------------------------------------------------------------------------------

    def react(self, what: str, member: Member) -> None:
        """Subscribe or unsubscribe a member in the middle of a `publish`."""
        self._touched.add(member)
        getattr(self, "_" + what)(member)

    def _subscribe(self, member: Member) -> None:
        self._react("subscribe", self._pubsub.subscribe, member)
        self._model.setdefault(self._room, {})[member] = None

    def _unsubscribe(self, member: Member) -> None:
        self._react("unsubscribe", self._pubsub.unsubscribe, member)
        self._leave(self._room, member)

    def _react(self, method: str, function: Any, member: Member) -> None:
        """Call a method in the middle of a `publish`: if it raises, the fault is its own."""
        args = self._room, member
        try:
            self._stage.calls.call(method, function, args)
        except (Exception, SystemExit):
            self._failed = method, args
            raise

    def _publish(self, room: str, act: Act, name: str) -> bool:
        if not act.again or self._last is None:
            self._last = _frame(act.kind, name, room), name
            self._stage.name(*self._last)
        frame, name = self._last
        before = list(self._model.get(room, {}))
        self._room, self._touched, self._failed = room, set(), None
        for each in self._members:
            each.heard, each.reactions, each.play = [], [], self
        for reaction in act.during:
            self._members[reaction.who].reactions.append((reaction.what, self._members[reaction.member]))
        returned, _ = self._call("publish", room, frame)
        for each in self._members:
            each.reactions = []
        if not returned:
            return False
        for each in self._members:
            least = int(each in before and each not in self._touched)
            most = int(each in before or each in self._touched)
            if each.heard and any(heard != frame for heard in each.heard):
                shown = self._stage.calls.shown(each.heard[0])
                self._wrong_delivery("1.4", "changed", each, name, room, shown)
            elif not least <= len(each.heard) <= most:
                self._wrong_count(each, name, room, len(each.heard))
        return True

    def _wrong_count(self, member: Member, frame: str, room: str, heard: int) -> None:
        if heard > 1:
            call = f"subscribe({quoted(room)}, {member.name})"
            joins = sum(event.what == call for event in self._stage.history)
            variant = "twice_meanwhile" if self._touched else "twice" if joins > 1 else "often"
            self._wrong_delivery("1.4", variant, member, frame, room, heard)
        elif heard and self._was_ever_in(room, member):
            self._wrong_delivery("1.5", "gone", member, frame, room, heard)
        elif heard:
            self._wrong_delivery("1.4", "other_room", member, frame, room, heard)
        else:
            variant = "missed_left" if self._somebody_left([room]) else "missed"
            self._wrong_delivery("1.4", "skipped" if self._touched else variant, member, frame, room, heard)

    def _was_ever_in(self, room: str, member: Member) -> bool:
        call = self._stage.calls.written("subscribe", (room, member))
        return any(event.what == call for event in self._stage.history)

    def _wrong_delivery(
        self, step: str, variant: str, member: Member, frame: str, room: str, got: object
    ) -> None:
        self._stage.breach(
            step,
            "wrong_delivery",
            "PubSub.publish",
            variant,
            who=member.name,
            frame=frame,
            room=room,
            got=got,
        )

    # --- members and rooms ------------------------------------------------------------------------

    def _ask(self, method: str, room: str) -> bool:
        args = (room,) if method == "members" else ()
        returned, got = self._call(method, *args)
        if not returned:
            return False
        self._compare(method, self._stage.calls.written(method, args), room, got)
        return True

    def _compare(self, method: str, call: str, room: str, got: Any) -> None:
        owed: list[Any] = list(self._model.get(room, {})) if method == "members" else list(self._model)
        shown = {"call": call, "got": self._stage.calls.shown(got), "owed": self._stage.calls.shown(owed)}
        if not isinstance(got, list):
            self._breach("1.3", "none" if got is None else "no_list", method, **shown)
            return
        self._kept.append((call, got, list(got)))
        keys = id if method == "members" else self._stage.calls.shown
        if Counter(map(keys, got)) == Counter(map(keys, owed)):
            return
        extra = [each for each in got if each not in owed]
        if extra and self._is_past(method, room, extra[0]):
            self._breach("1.5", "empty_room" if method == "rooms" else "still_there", method, **shown)
        elif len(got) > len(set(map(keys, got))) and not extra:
            self._breach("1.3", "listed_twice", method, **shown)
        elif not extra and self._somebody_left([room] if room else [r for r in owed if r not in got]):
            self._breach("1.3", "missing_left", method, **shown)
        elif method == "rooms" and extra and all(each in got for each in owed) and self._is_named(extra[0]):
            self._breach("1.3", "extra_nobody", method, **shown)
        elif method == "rooms" and not extra and set(owed[len(owed) - len(got) :]) == set(got) != set():
            self._breach("1.3", "dropped", method, **shown, count=len(got), of=len(owed))
        else:
            self._breach("1.3", "extra" if extra else "missing", method, **shown)

    def _somebody_left(self, rooms: list[str]) -> bool:
        """Whether `unsubscribe` was called for one of these rooms: it may have removed too much."""
        calls = tuple(f"unsubscribe({quoted(room)}," for room in rooms)
        return any(event.what.startswith(calls) for event in self._stage.history)

    def _is_named(self, room: Any) -> bool:
        """Whether a call was given this room. Nobody was ever in it: else it would be past."""
        calls = [f"{method}({quoted(str(room))}" for method in ("publish", "unsubscribe", "members")]
        return any(event.what.startswith(tuple(calls)) for event in self._stage.history)

    def _is_past(self, method: str, room: str, extra: Any) -> bool:
        if method == "rooms":
            return any(
                event.what.startswith(f"subscribe({quoted(str(extra))}") for event in self._stage.history
            )
        return isinstance(extra, Member) and self._was_ever_in(room, extra)

    def _change_result(self, room: str) -> bool:
        """Changing a list that was returned must not change what the next call returns."""
        for method in ("members", "rooms"):
            args = (room,) if method == "members" else ()
            returned, got = self._call(method, *args)
            if not returned:
                return False
            if not isinstance(got, list):
                self._compare(method, self._stage.calls.written(method, args), room, got)
                continue
            call = self._stage.calls.written(method, args)
            self._stage.calls.begin(f"{call}.clear()")
            before = list(got)
            got.clear()
            returned, again = self._call(method, *args)
            if not returned:
                return False
            if before and again != before:
                shown, owed = self._stage.calls.shown(again), self._stage.calls.shown(before)
                self._breach("1.3", "own", method, call=call, got=shown, owed=owed)
                return False
        return True

    def _breach(self, step: str, variant: str, method: str, **params: Any) -> None:
        self._stage.breach(step, "wrong_answer", f"PubSub.{method}", variant, **params)


def _frame(kind: str, text: str, room: str) -> ServerFrame:
    match kind:
        case "presence":
            return PresenceFrame(room, [Presence(text, Status.ONLINE, 0)])
        case "heartbeat":
            return Heartbeat()
    return Message(text, room, "eve", text if kind == "message" else text * 5000, 1, 0)


def _method(call: str) -> str:
    return call.partition("(")[0]
