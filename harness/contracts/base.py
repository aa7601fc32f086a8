"""What the contracts of the four components have in common: a plan, a play of it, and the breaches found.

A contract is a module with

    STEPS                             the course's step that each of its methods belongs to
    SIZES, PLAYS                      the sizes of its plans; plays of each size
    plan(rng, size) -> Plan           what is called, as data
    ALWAYS                            plans that are always played, last: large ones and rare cases
    less(act) -> [act]                all variants of an act with one thing less in it
    async play(plan, stage)           makes the calls, and reports each breach to the stage

A breach belongs to one of the course's steps. Each step keeps its smallest one.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable
from os import getpid  # the real one: a simulated host has a number of its own
from pathlib import Path
from random import Random
from typing import Any, Protocol

from msgspec import Struct

from harness.contracts.node.errors import NodeError
from harness.contracts.result import Breach
from harness.history.calls import Calls, said_by
from harness.history.events import Called
from harness.history.frames import INTEGERS
from harness.worlds.sim.host import Host
from harness.worlds.sim.source_locations import raised_where, waits_where
from lab.legible import both_ends
from lab.protocol import Message

NEVER = 600.0
"""Simulated seconds after which a call counts as hanging: all that it waits for takes milliseconds."""
NEVER_REALLY = 15.0
"""The same, in seconds of real time."""
PROTO = ("__proto__", "constructor")
"""Names that every object in JavaScript has: rooms, users and ids may have them."""


PROMISE, OF_ANOTHER = "promise", "of_another"
_ERRORS = (
    ("changed", re.compile("changed size during iteration|mutated during iteration")),
    ("plain_with", re.compile("'Lock' object does not support the context manager protocol")),
    (PROMISE, re.compile("returned a promise: it must not be `async`$")),
)
"""Exceptions that have one usual reason, by their texts: the variant that tells it."""


class Plan(Struct, frozen=True):
    """What is called: a list of acts, whose meaning the contract defines, and a seed for all delays."""

    seed: str
    acts: list[Any]


class Stage:
    """One play: makes the component, records the calls, and gathers the breaches.

    `fresh` imports the component's file again and returns the class; `now` returns the seconds since the play
    began.
    """

    def __init__(
        self, fresh: Callable[[], type], now: Callable[[], float], host: Host | None, folder: Path
    ) -> None:
        self.fresh = fresh
        self.now = now
        self.host = host
        """The simulated host that it is played on."""
        self.folder = folder
        """Where files can be made; the caller removes it."""
        self.pid = getpid()
        """The process that the component runs in."""
        self.before_call: Callable[[], None] = lambda: None
        """Called when a call begins, and is in the history."""
        self.never = NEVER_REALLY if host is None else NEVER
        self.history: list[Called] = []
        self.breaches: list[Breach] = []
        self.notes: list[tuple[str, dict[str, Any]]] = []
        """Keys of notes' texts, and their parameters."""
        self._names: dict[int, str] = {}
        self._named: list[object] = []  # keeps named objects alive, so that no other gets their `id()`
        self.calls = Calls(self._record, lambda: self.now(), lambda value: self._names.get(id(value)))

    @property
    def is_apart(self) -> bool:
        """Whether that is another process than this one."""
        return self.pid != getpid()

    def _record(self, event: Called) -> None:
        self.history.append(event)
        if event.result is None:
            self.before_call()

    def name(self, thing: object, name: str) -> None:
        """Show an object by this name in the recorded calls."""
        self._names[id(thing)] = name
        self._named.append(thing)

    def make(self, step: str, *args: Any) -> Any:
        """A new instance of the component; None if its constructor raises, which is a breach."""
        return self._instance(step, self.fresh(), args)

    def another(self, step: str, first: Any, *args: Any) -> Any:
        """A second instance of the first one's class, shown in the history; None if it raises."""
        self.calls.begin(f"{self.calls.written(type(first).__name__, args)}  # 2")
        return self._instance(step, type(first), args)

    def _instance(self, step: str, kind: type, args: tuple[Any, ...]) -> Any:
        self.before_call()
        call, duty = self.calls.written(kind.__name__, args), f"{kind.__name__}.__init__"
        try:
            made = kind(*args)
        except (Exception, SystemExit) as error:
            self.raised(step, duty, call, error)
            return None
        hidden = _hidden_method(made)
        if hidden:
            self.breach(
                step, "method_hidden", duty, call=call, attribute=hidden, got=repr(getattr(made, hidden))[:80]
            )
            return None
        return made

    def call(self, method: str, function: Callable[..., Any], args: tuple[Any, ...]) -> Any:
        """Call a method of the component; the calls that it makes are recorded as made by that method."""

        def inside(*given: Any) -> Any:
            with self.calls.on_behalf_of(method):
                return function(*given)

        return self.calls.call(method, inside, args)

    def breach(self, step: str, name: str, duty: str, variant: str = "", **params: Any) -> None:
        """Record something that the component should have done by now. The first of each kind counts."""
        self.breach_in(self.history, step, name, duty, variant, **params)

    def breach_in(
        self, events: list[Called], step: str, name: str, duty: str, variant: str = "", **params: Any
    ) -> None:
        """The same, shown by the given events instead of all up to now."""
        found = Breach(step, name, variant, duty, params, list(events))
        if all(each.kind != found.kind for each in self.breaches):
            self.breaches.append(found)

    def raised(
        self,
        step: str,
        duty: str,
        call: str,
        error: BaseException,
        variant: str = "",
        *,
        unknown: Iterable[object] = (),
        owed: str = "",
    ) -> None:
        """Record that a call raised what it must not.

        `unknown` is what the call was given and is not there, so that it has nothing to do but return `owed`.
        """
        shown = self.calls.raised(error)
        where = "" if variant == OF_ANOTHER else self._raised_where(error)
        variant = variant or next((key for key, text in _ERRORS if text.search(shown)), "")
        if isinstance(error, NodeError) and any(f'"{name}"' in call for name in PROTO):
            variant = variant or "proto"
        params = {"call": call, "error": shown, "where": where}
        if variant == PROMISE:  # nothing was thrown: it is what was returned
            self.breach(step, "wrong_answer", duty, variant, call=call)
            return
        missed = next((each for each in unknown if _is_missed(error, each)), None)
        if missed is not None:
            variant = "unknown_returns" if owed else "unknown"
            params |= {"unknown": self.calls.shown(missed), "owed": owed}
        self.breach(step, "call_raised", duty, variant, **params)

    def _raised_where(self, error: BaseException) -> str:
        """The place in the component's code; empty if what raised it is ours."""
        if not self.is_apart:
            return raised_where(error)
        return error.place if isinstance(error, NodeError) else ""

    def hangs(
        self,
        step: str,
        duty: str,
        call: str,
        pending: Iterable[asyncio.Task[None]],
        variant: str = "",
        **params: Any,
    ) -> None:
        """Record that these tasks never return from their calls."""
        places = () if self.is_apart else (waits_where(task.get_coro())[0] for task in pending)
        where = next(filter(None, places), "")
        variant = variant if where else "unknown"
        self.breach(step, "call_hangs", duty, variant, call=call, where=where, **params)


def _hidden_method(instance: object) -> str:
    """The name of a method that an attribute of the same name hides; empty if there is none."""
    for name, value in getattr(instance, "__dict__", {}).items():
        if callable(getattr(type(instance), name, None)) and not callable(value):
            return str(name)
    return ""


def _is_missed(error: BaseException, thing: object) -> bool:
    """Whether it was raised because this is not in a dictionary, a set or a list."""
    if isinstance(error, NodeError):
        return error.is_of_undefined
    if isinstance(error, KeyError):
        return len(error.args) == 1 and type(error.args[0]) is type(thing) and error.args[0] == thing
    return said_by(error) == "list.remove(x): x not in list" and not isinstance(thing, str)


def is_message(value: object) -> bool:
    """Whether it is a message with a number that can be compared and written; all else may be anything."""
    if not isinstance(value, Message):
        return False
    number = value.sequence
    return number in INTEGERS if isinstance(number, int) else isinstance(number, float | str | None)


def one_line(error: BaseException) -> str:
    """An exception in one line."""
    return both_ends(f"{type(error).__name__}: {said_by(error)}").rstrip(": ")


class Contract(Protocol):
    """The interface of the modules in this package that hold a component's contract."""

    STEPS: dict[str, str]
    SIZES: range
    PLAYS: int
    ALWAYS: list[Plan]

    def plan(self, rng: Random, size: int) -> Plan:
        """A random plan."""

    def less(self, act: Any) -> list[Any]:
        """Variants of an act with one thing less in it."""

    async def play(self, plan: Plan, stage: Stage) -> None:
        """Make the calls of a plan, and report breaches to the stage."""
