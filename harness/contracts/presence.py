"""PresenceManager: each call returns exactly what changed, and `in_room` lists who is present.

The model keeps the rooms and the last sign of life of each connection, and works out who is present. Two
things are left to the component: whether it shows `away` (after one and a half intervals), and what it does
at the very moment of a timeout. So no connection is ever silent for exactly the timeout here.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from random import Random
from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace

from harness.contracts.base import Plan, Stage
from harness.history.calls import quoted, raised
from lab.interfaces import Change
from lab.protocol import Presence, Status

STEPS = {
    "in_room": "3.1",
    **dict.fromkeys(("connected", "joined"), "3.2"),
    **dict.fromkeys(("left", "lost"), "3.3"),
    **dict.fromkeys(("seen", "sweep", "is_connected"), "3.4"),
}
"""The step that each method's result belongs to."""
_GLUE = ("-", ".", "_")
"""What may stand between a room and a user in a key, though both may have it in them."""
SIZES = range(1, 17)
PLAYS = 40

BEGAN = 1_767_225_600.0
"""When each play begins, in seconds since the Unix epoch."""
INTERVALS = ((30.0, 60.0), (20.0, 50.0), (10.0, 45.0))
"""Seconds between heartbeats, and of silence after which a user is offline."""
CONNECTIONS = {"c1": 0, "c2": 1, "c3": 0, "c4": 2, "c5": 0}
"""Each connection's user, as an index into `ALIKE`; the first has three. Others have users of their own."""
ALIKE = (
    *((("ann", f"x{by}ann", "cem"), ("red", f"red{by}x")) for by in (".", "-", "_", "")),
    (("ann", "Ann", "cem"), ("red", "Red")),
    (("Éve", "E\u0301ve", "cem"), ("É", "E\u0301")),
    (("ann", "ann ", "cem"), ("ﬁn", "fin")),
    (("__proto__", "constructor", "toString"), ("__proto__", "constructor")),
)
"""Users, and rooms, that look alike; `red.x.ann` is ambiguous where names are joined into one key."""
_PROTO = len(ALIKE) - 1
"""Those that every object in JavaScript has."""
PAUSES = (0.0137, 0.1713, 0.4831, 0.7613, 1 - 1e-4, 1 + 1e-4, 1.2651)
"""Parts of the timeout; no sum of a few of them is 1."""
_WEIGHTS = {
    "connected": 4,
    "joined": 6,
    "seen": 3,
    "left": 3,
    "lost": 3,
    "pass": 5,
    "in_room": 3,
    "is_connected": 1,
}


class Act(Struct, frozen=True):
    """A call for a connection and a room; or `pass`, after which the server sweeps; or `another` instance.

    `seconds` are parts of the timeout. With `looks`, `in_room` is called just before the sweep.
    """

    what: str
    connection: str = ""
    room: str = ""
    seconds: float = 0.0
    looks: bool = False
    intervals: tuple[float, float] = INTERVALS[0]
    alike: int = 0
    """Of `intervals`: which names of `ALIKE` are used."""


def plan(rng: Random, size: int) -> Plan:
    """Some connect and join; then so many calls. A call that makes no sense at its turn is skipped."""
    groups = (("c1",), ("c1", "c2"), ("c1", "c3"), ("c1", "c2", "c3"), ("c1", "c3", "c5"), tuple(CONNECTIONS))
    people, intervals = rng.choice(groups), rng.choice(INTERVALS)
    alike = rng.choice((0, 0, *range(_PROTO)))
    rooms = ALIKE[alike][1][: rng.randint(1, 2)]
    acts = [Act("intervals", intervals=intervals, alike=alike)]
    for name in people[:size]:
        acts.append(Act("connected", name))
        if rng.random() < 0.8:
            acts.append(Act("joined", name, rng.choice(rooms)))
    for _ in range(size):
        what = rng.choices(list(_WEIGHTS), list(_WEIGHTS.values()))[0]
        looks = rng.random() < 0.3
        acts.append(Act(what, rng.choice(people), rng.choice(rooms), rng.choice(PAUSES), looks))
    # The last call shows the effect of the others: without it, a play shows little.
    last = rng.choice(("in_room", "in_room", "pass", "is_connected", "lost"))
    return Plan("", [*acts, Act(last, rng.choice(people), rng.choice(rooms), PAUSES[-1])])


def _arrive(connections: list[str], rooms: list[str]) -> list[Act]:
    """They connect, and join these rooms."""
    return [
        act
        for name in connections
        for act in (Act("connected", name), *(Act("joined", name, room) for room in rooms))
    ]


_MANY = [f"c{number}" for number in range(11, 161)]
_TABS = [f"tab{number}" for number in range(1, 13)]
ALWAYS = [
    Plan(
        "", [*_arrive(["c1", "c4"], ["red"]), Act("another"), Act("in_room", room="red"), Act("lost", "c1")]
    ),
    # Many that fall silent at the same moment.
    Plan("", [*_arrive(_MANY, ["red"]), Act("in_room", room="red"), Act("pass", seconds=PAUSES[-1])]),
    # One user with many connections, of which the first and the last stay.
    Plan(
        "",
        [
            *_arrive(_TABS, ["red"]),
            Act("is_connected", _TABS[0]),
            *(Act("lost", name) for name in _TABS[1:-1]),
            Act("in_room", room="red"),
            Act("lost", _TABS[-1]),
            Act("in_room", room="red"),
        ],
    ),
    # Both connections of a user fall silent, and the one that was seen last is not the one that came last.
    Plan(
        "",
        [
            *_arrive(["c1", "c3"], ["red"]),
            Act("pass", seconds=PAUSES[0]),
            Act("seen", "c1"),
            Act("pass", seconds=PAUSES[-1]),
        ],
    ),
    # Names that every object in JavaScript has.
    Plan(
        "",
        [
            Act("intervals", alike=_PROTO),
            *(Act("in_room", room=room) for room in ALIKE[_PROTO][1]),
            *_arrive(["c1", "c2", "c4"], [*ALIKE[_PROTO][1]]),
            *(Act("in_room", room=room) for room in ALIKE[_PROTO][1]),
            Act("lost", "c1"),
            Act("pass", seconds=PAUSES[-1]),
        ],
    ),
    # One connection in many rooms.
    Plan("", [*_arrive(["c1"], [f"room{number}" for number in range(60)]), Act("lost", "c1")]),
]


def less(act: Act) -> list[Act]:
    """Variants of an act with less in it."""
    smaller = [replace(act, seconds=PAUSES[-1])] if act.what == "pass" and act.seconds != PAUSES[-1] else []
    return smaller + ([replace(act, looks=False)] if act.looks else [])


async def play(plan: Plan, stage: Stage) -> None:
    """Make all calls, and compare their results with the model."""
    one = _Play(plan, stage)
    one.all()
    await one.stays()


class _Known(Struct):
    """What the model knows of a connection: when it was seen last, and its rooms."""

    user: str
    seen: float
    rooms: set[str]
    again: set[str] = field(default_factory=set)
    """Those of its rooms that it has joined more than once."""


class _Play:
    """One play. `_shown` is the last status that the component returned for each user in each room."""

    def __init__(self, plan: Plan, stage: Stage) -> None:
        self._acts: list[Act] = plan.acts
        self._stage = stage
        self._now = BEGAN
        self._known: dict[str, _Known] = {}
        self._ever: set[str] = set()
        self._seen_ever: dict[str, float] = {}  # by user
        self._ended: dict[str, float] = {}
        """When each user has lost a connection last, which may count as a sign of life, too."""
        self._shown: dict[tuple[str, str], Status] = {}
        self._is_over = False
        self._was_known = False  # whether the connection of this act was known when it began
        self._silent: list[str] = []  # the connections that the last sweep had to forget
        self._forgotten: dict[str, float] = {}
        """Connections that a sweep had to forget, and their last sign of life."""
        chosen = [act for act in self._acts if act.what == "intervals"] or [Act("intervals")]
        self._intervals, self._users = chosen[0].intervals, ALIKE[chosen[0].alike][0]
        self._rooms = {act.room for act in self._acts if act.room}
        self._touched: set[str] = set()
        """Users for whose connections a method was called since the last sweep."""

    def all(self) -> None:
        """Play to the end, or until a call raises."""
        interval, self._timeout = self._intervals
        self._away_after = 1.5 * interval
        self._stage.calls.begin(self._stage.calls.written("PresenceManager", self._intervals))
        self._manager: Any = self._stage.make("3.2", interval, self._timeout)
        for act in self._acts if self._manager is not None else ():
            self._one(act)
            if self._is_over:
                return

    async def stays(self) -> None:
        """Wait, in which time nothing is called: then nothing has changed. It has no timer."""
        if self._is_over or self._manager is None or self._stage.host is None or self._stage.breaches:
            return
        await asyncio.sleep(2 * self._timeout)
        for name in sorted(self._known):
            self._is_connected(name, "timer")

    def _one(self, act: Act) -> None:
        name, known = act.connection, self._known.get(act.connection)
        self._was_known = known is not None
        match act.what:
            case "connected" if name not in self._ever:
                self._ever.add(name)
                self._known[name] = _Known(self._user(name), self._now, set())
                self._sign_of_life(name)
                self._change("connected", name, self._user(name))
            case "seen" if name in self._ever:
                if known is not None:
                    self._sign_of_life(name)
                    known.seen = self._now
                self._change("seen", name)
            case "joined" if name in self._ever:
                if known is not None:
                    self._see(name)  # as the server does with each frame
                    (known.again.add if act.room in known.rooms else known.again.discard)(act.room)
                    known.rooms.add(act.room)
                self._change("joined", name, act.room)
            case "left" if name in self._ever and (known is None or act.room in known.rooms):
                if known is not None:
                    self._see(name)
                    known.rooms.discard(act.room)
                here = [_Known(known.user, known.seen, {act.room}, known.again)] if known is not None else []
                self._change("left", name, act.room, ended=here)
            case "lost":
                self._known.pop(name, None)
                if known is not None:
                    self._ended[known.user] = self._now
                self._change("lost", name, ended=[known] if known is not None else [])
            case "pass":
                self._pass(act.seconds * self._timeout, act.room if act.looks else None)
            case "in_room":
                self._in_room(act.room)
            case "is_connected" if name in self._ever:
                self._is_connected(name)
            case "another":
                self._make_another()

    def _user(self, connection: str) -> str:
        """The user of a connection."""
        if connection.startswith("tab"):
            return "tab"
        place = CONNECTIONS.get(connection)
        return f"u{connection}" if place is None else self._users[place]

    def _make_another(self) -> None:
        """A second instance of the same class must share no state with the first."""
        first = self._manager
        self._manager = self._stage.another("3.1", first, *self._intervals)
        if self._manager is None:
            self._is_over = True
            return
        for room in sorted(self._rooms):
            call = self._written("in_room", (room,))
            if (got := self._call("in_room", (room, self._now), call)) != [] and not self._is_over:
                shown = {"call": call, "got": self._stage.calls.shown(got), "owed": "[]"}
                self._wrong_answer("3.1", "in_room", "shared", shown)
                self._is_over = True
        self._manager = first
        self._stage.calls.begin("# 1")

    def _see(self, name: str) -> None:
        known = self._known.get(name)
        if known is not None and known.seen == self._now:
            return  # a second sign of life at the same moment adds nothing
        if known is not None:
            known.seen = self._now
            self._sign_of_life(name)
        self._change("seen", name)

    def _sign_of_life(self, name: str) -> None:
        self._seen_ever[self._known[name].user] = self._now

    def _pass(self, seconds: float, room: str | None) -> None:
        """Let time pass, then sweep. With `room`, call `in_room` just before; its result is not judged."""
        self._now += seconds
        if room is not None:
            self._call("in_room", (room, self._now), self._written("in_room", (room,)))
        silent = [name for name, known in self._known.items() if self._now - known.seen > self._timeout]
        self._silent = silent
        ended = [self._known.pop(name) for name in silent]
        self._forgotten |= {name: known.seen for name, known in zip(silent, ended, strict=True)}
        self._change("sweep", ended=ended)
        if not self._is_over:
            self._check_connected()

    def _is_kept(self, user: str) -> bool:
        """Whether the component still knows a connection of this user that the sweep had to forget."""
        with suppress(Exception):
            return any(self._manager.is_connected(n) for n in self._silent if self._user(n) == user)
        return False

    def _check_connected(self) -> None:
        """Compare `is_connected`: losing a connection that is in no room would show much later, elsewhere."""
        for name in sorted(self._ever):
            try:
                is_right = bool(self._manager.is_connected(name)) == (name in self._known)
            except Exception:
                is_right = False
            if not is_right:
                self._is_connected(name)
                self._is_over = True
                return

    # --- what should be ---------------------------------------------------------------------------

    def _present(self) -> dict[tuple[str, str], float]:
        """Who is present where, and the last sign of life on one of the user's connections there."""
        found: dict[tuple[str, str], float] = {}
        for known in self._known.values():
            for room in known.rooms:
                key = room, known.user
                found[key] = max(found.get(key, 0.0), known.seen)
        return found

    def _change(self, method: str, *names: str, ended: Sequence[_Known] = ()) -> None:
        """Call a method, which ends these connections, and compare the changes that it returns."""
        args = (*names, self._now)
        call = self._written(method, names)
        self._touched = self._touched | {self._user(name) for name in names[:1]} if names else set()
        got = self._call(method, args, call)
        if self._is_over:
            return
        if not isinstance(got, list) or not all(
            isinstance(each, Change) and isinstance(each.room, str) and _is_presence(each.presence)
            for each in got
        ):
            variant = "none" if got is None else "no_changes"
            shown = {"call": call, "got": self._stage.calls.shown(got), "owed": "[]"}
            self._stage.breach(STEPS[method], "wrong_answer", f"PresenceManager.{method}", variant, **shown)
            got = []
        self._compare(method, call, got, ended)

    def _compare(self, method: str, call: str, got: list[Change], ended: Sequence[_Known]) -> None:
        present = self._present()
        shown = {key: status for key, status in self._shown.items() if status != Status.OFFLINE}
        told = Counter((change.room, change.presence.user) for change in got)
        for key in present.keys() - shown.keys():
            if not told[key]:
                alike = self._alike(key)
                self._wrong_change(method, "no_online_alike" if alike else "no_online", call, key, got, alike)
        for key in shown.keys() - present.keys():
            if not told[key]:
                is_kept = method == "sweep" and self._is_kept(key[1])
                is_again = any(each.user == key[1] and key[0] in each.again for each in ended)
                variant = "no_offline_joined_twice" if is_again else "no_offline"
                self._wrong_change(method, "no_offline_kept" if is_kept else variant, call, key, got)
        for change in got:
            key = change.room, change.presence.user
            if told[key] > 1:
                self._wrong_change(method, "told_twice", call, key, got)
            else:
                self._one_change(method, call, change, key, present, got, ended)
        # Each mistake is reported once: from here on, what should have been shown counts as shown.
        for key in {*self._shown, *present, *told}:
            status = self._shown.get(key, Status.OFFLINE)
            for change in got:
                if (change.room, change.presence.user) == key:
                    status = change.presence.status
            is_shown = status != Status.OFFLINE
            if is_shown != (key in present):
                status = Status.ONLINE if key in present else Status.OFFLINE
            self._shown[key] = status

    def _one_change(
        self,
        method: str,
        call: str,
        change: Change,
        key: tuple[str, str],
        present: dict[tuple[str, str], float],
        got: list[Change],
        ended: Sequence[_Known],
    ) -> None:
        status, before = change.presence.status, self._shown.get(key, Status.OFFLINE)
        if status == Status.OFFLINE and key in present:
            self._wrong_change(method, "still_here", call, key, got)
        elif status != Status.OFFLINE and key not in present:
            self._wrong_change(method, "not_here", call, key, got)
        elif status == before:
            self._wrong_change(method, "same", call, key, got)
        elif status == Status.AWAY and self._now - present[key] < self._away_after:
            self._wrong_change(method, "away_early", call, key, got)
        else:
            self._last_seen(STEPS[method], method, call, change.presence, key, present, ended)

    def _wrong_change(
        self,
        method: str,
        variant: str,
        call: str,
        key: tuple[str, str],
        got: list[Change],
        alike: tuple[str, str] | None = None,
    ) -> None:
        room, user = key
        other = {"other_room": alike[0], "other_user": alike[1]} if alike else {}
        self._stage.breach(
            STEPS[method],
            "wrong_change",
            f"PresenceManager.{method}",
            variant,
            call=call,
            user=user,
            room=room,
            got=self._stage.calls.shown(got),
            **other,
        )
        self._is_over = self._is_over or self._has_wrong_state()

    def _alike(self, key: tuple[str, str]) -> tuple[str, str] | None:
        """Another room and user present, that give the same text if they are joined by some character."""
        others = (each for each in self._present() if each != key)
        return next((each for each in others for glue in _GLUE if glue.join(each) == glue.join(key)), None)

    def _has_wrong_state(self) -> bool:
        """Whether the component's state differs from the model: later mistakes may only follow from that.

        If it has only returned something wrong, the play goes on.
        """
        try:
            listed = {
                (room, each.user)
                for room in self._rooms
                for each in self._manager.in_room(room, self._now)
                if each.status != Status.OFFLINE
            }
            connected = {name for name in self._ever if self._manager.is_connected(name)}
        except Exception:
            return True
        return listed != self._present().keys() or connected != self._known.keys()

    def _last_seen(
        self,
        step: str,
        method: str,
        call: str,
        presence: Presence,
        key: tuple[str, str],
        present: dict[tuple[str, str], float],
        ended: Sequence[_Known],
    ) -> None:
        """Check `last_seen`: the last sign of life in this room, or on any of the user's connections."""
        room, user = key
        latest = max(self._seen_ever.get(user, 0.0), self._ended.get(user, 0.0))
        if key in present:
            earliest = present[key]
        else:
            earliest = max(
                (each.seen for each in ended if each.user == user and room in each.rooms), default=0.0
            )
            if method in ("left", "lost"):  # the end of a connection may count as its last sign of life
                latest = self._now
        seen: Any = presence.last_seen
        is_whole = isinstance(seen, int) and not isinstance(seen, bool)
        if not is_whole or not 1000 * earliest - 1.5 <= seen <= 1000 * latest + 1.5:
            variant = _likely_mistake(seen, is_whole, earliest, latest)
            self._stage.breach(
                step,
                "wrong_last_seen",
                f"PresenceManager.{method}",
                variant,
                call=call,
                user=user,
                room=room,
                got=seen,
                owed=int(1000 * earliest),
                now=f"{earliest - BEGAN:g}",
                began=f"{BEGAN:.0f}",
            )

    # --- questions --------------------------------------------------------------------------------

    def _in_room(self, room: str) -> None:
        call = self._written("in_room", (room,))
        got = self._call("in_room", (room, self._now), call)
        if self._is_over:
            return
        owed = sorted(user for where, user in self._present() if where == room)
        shown = {"call": call, "got": self._stage.calls.shown(got), "owed": ", ".join(owed) or "–"}
        if not isinstance(got, list) or not all(map(_is_presence, got)):
            self._wrong_answer("3.1", "in_room", "none" if got is None else "no_presences", shown)
            return
        listed = Counter(each.user for each in got if each.status != Status.OFFLINE)
        if extra := sorted(listed.keys() - set(owed)):
            elsewhere = any(user == extra[0] for _, user in self._present())
            step, variant = ("3.1", "other_room") if elsewhere else ("3.3", "still_listed")
            if self._shown.get((room, extra[0])) is not None:
                step, variant = "3.3", "still_listed"
            self._wrong_answer(step, "in_room", variant, shown)
        elif max(listed.values(), default=1) > 1:
            self._wrong_answer("3.1", "in_room", "user_listed_twice", shown)
        elif set(owed) - listed.keys():
            self._wrong_answer("3.1", "in_room", "not_listed", shown)
        elif any(each.status == Status.OFFLINE for each in got):
            self._wrong_answer("3.1", "in_room", "offline_listed", shown)
        else:
            for each in got:
                self._listed(call, each, room, shown)

    def _listed(self, call: str, each: Presence, room: str, shown: dict[str, Any]) -> None:
        key, present = (room, each.user), self._present()
        may_be_away = self._now - present[key] >= self._away_after
        if each.status == Status.AWAY and not may_be_away:
            self._wrong_answer("3.4", "in_room", "away_early", shown)
        elif each.status != self._shown.get(key) and self._should_agree(each):
            self._wrong_answer("3.4", "in_room", "away_unlike", shown)
        else:
            self._last_seen("3.1", "in_room", call, each, key, present, ())

    def _should_agree(self, each: Presence) -> bool:
        """Whether the last change must have the same status: `away` is only listed if a sweep returned it."""
        return each.status == Status.ONLINE or each.user not in self._touched

    def _is_connected(self, name: str, why: str = "not_connected") -> None:
        call, owed = self._written("is_connected", (name,), at=False), name in self._known
        got = self._call("is_connected", (name,), call)
        if not self._is_over and bool(got) != owed:
            shown = {"call": call, "got": self._stage.calls.shown(got), "owed": str(owed)}
            variant = "connected" if got else why
            if got and name in self._forgotten:
                seen, user = self._forgotten[name], self._user(name)
                later = [n for n, known in self._known.items() if self._user(n) == user and known.seen > seen]
                variant = "connected_silent_other" if later else "connected_silent"
                silent = {"silent": f"{seen - BEGAN:g}", "timeout": f"{self._timeout:g}"}
                shown |= {"connection": quoted(name), "other": quoted("".join(later[:1])), **silent}
            self._wrong_answer("3.4", "is_connected", variant, shown)

    def _wrong_answer(self, step: str, method: str, variant: str, shown: dict[str, Any]) -> None:
        self._stage.breach(step, "wrong_answer", f"PresenceManager.{method}", variant, **shown)

    # --- calls ------------------------------------------------------------------------------------

    def _call(self, method: str, args: tuple[Any, ...], call: str) -> Any:
        """Call a method. If it raises, the play is over."""
        calls = self._stage.calls
        number = calls.begin(call)
        try:
            got = getattr(self._manager, method)(*args)
        except (Exception, SystemExit) as error:
            calls.end(number, call, raised(error))
            self._stage.raised(
                STEPS[method], f"PresenceManager.{method}", call, error,
                unknown=self._unknown(method, args[0]),
                owed="False" if method == "is_connected" else "[]",
            )  # fmt: skip
            self._is_over = True
            return None
        calls.end(number, call, calls.shown(got))
        return got

    def _unknown(self, method: str, name: Any) -> list[object]:
        """What such a call was given and is not known: a connection, or a room that nobody is in."""
        if method == "in_room":
            return [] if any(name == room for room, _ in self._present()) else [name]
        is_known = name in self._known if method == "is_connected" else self._was_known
        return [] if is_known or method in ("connected", "sweep") else [name]

    def _written(self, method: str, names: tuple[str, ...], *, at: bool = True) -> str:
        """A call as Python code, with the seconds since the play began as `now`."""
        args = [f'"{name}"' for name in names] + ([f"now={self._now - BEGAN:g}"] if at else [])
        return f"{method}({', '.join(args)})"


def _is_presence(value: Any) -> bool:
    """Whether it is a Presence with a valid status; a plain string such as `online` will do."""
    return (
        isinstance(value, Presence)
        and isinstance(value.user, str)
        and isinstance(value.status, str)
        and value.status in tuple(Status)
    )


_FAR = 3_600_000
"""Milliseconds that are more than any silence in a play."""


def _likely_mistake(seen: Any, is_whole: bool, earliest: float, latest: float) -> str:
    """The most likely mistake behind a wrong `last_seen`."""
    if not is_whole:
        return "no_whole_number"
    if earliest - 1 <= seen <= latest + 1:
        return "seconds"
    if seen % 1000 == 0 and abs(seen - 1000 * earliest) < 1000:
        return "whole_seconds"
    if not 1000 * earliest - _FAR <= seen <= 1000 * latest + _FAR:
        return "far"
    return "later" if seen > 1000 * latest else "earlier"
