"""What the contracts of the four components have in common: a plan, its play, and what it found.

A contract is a module with

    STEPS                             the course's step that each of its methods belongs to
    SIZES, PLAYS                      the sizes of its plans; plays of each size
    plan(rng, size) -> Plan           what is called, as data
    ALWAYS                            plans that are played last, always: crowds, and what is rare
    less(act) -> [act]                an act with one thing less in it, in each way that there is
    async play(plan, stage)           calls it, and tells the stage of each breach

A breach belongs to one of the course's steps. Each step keeps its smallest one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from pathlib import Path
from random import Random
from typing import Any, Protocol

from msgspec import Struct

from harness.contracts.result import Breach
from harness.history.calls import Calls
from harness.history.events import Called
from harness.worlds.sim.host import Host
from harness.worlds.sim.source_locations import raised_where, waits_where

NEVER = 600.0
"""Simulated seconds after which a call never returns: all that it waits for takes milliseconds."""
NEVER_REALLY = 15.0
"""Seconds in real time, likewise."""


class Plan(Struct, frozen=True):
    """What is called: a list of acts, whose meaning is the contract's, and a seed for all delays."""

    seed: str
    acts: list[Any]


class Stage:
    """One play: makes the component, records the calls, and gathers the breaches.

    `fresh` imports the component's file anew and returns the class; `now` tells the seconds since the play
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
        """Where files can be made; whoever plays removes it."""
        self.never = NEVER_REALLY if host is None else NEVER
        self.history: list[Called] = []
        self.breaches: list[Breach] = []
        self.notes: list[tuple[str, dict[str, Any]]] = []
        """Texts of notes, and what they are filled with."""
        self._names: dict[int, str] = {}
        self._named: list[object] = []  # what has a name is kept, so that no other gets its address
        self.calls = Calls(self.history.append, lambda: self.now(), lambda value: self._names.get(id(value)))

    def name(self, thing: object, name: str) -> None:
        """Have a thing be shown by this name."""
        self._names[id(thing)] = name
        self._named.append(thing)

    def make(self, step: str, *args: Any) -> Any:
        """A new instance of the component; None, and a breach, if its constructor raises."""
        return self._instance(step, self.fresh(), args)

    def another(self, step: str, first: Any, *args: Any) -> Any:
        """A second instance of the class of the first one, which is shown; None, and a breach, likewise."""
        self.calls.begin(f"{self.calls.written(type(first).__name__, args)}  # 2")
        return self._instance(step, type(first), args)

    def _instance(self, step: str, kind: type, args: tuple[Any, ...]) -> Any:
        try:
            return kind(*args)
        except (Exception, SystemExit) as error:
            call = self.calls.written(kind.__name__, args)
            self.raised(step, f"{kind.__name__}.__init__", call, error)
            return None

    def call(self, method: str, function: Callable[..., Any], args: tuple[Any, ...]) -> Any:
        """Call a method of the component; what it calls itself is told as done by that method."""

        def inside(*given: Any) -> Any:
            with self.calls.on_behalf_of(method):
                return function(*given)

        return self.calls.call(method, inside, args)

    def breach(self, step: str, name: str, duty: str, variant: str = "", **params: Any) -> None:
        """Note something that is owed, and was not done by now. The first of each kind counts."""
        self.breach_in(self.history, step, name, duty, variant, **params)

    def breach_in(
        self, events: list[Called], step: str, name: str, duty: str, variant: str = "", **params: Any
    ) -> None:
        """The same, shown by other events than all up to now."""
        found = Breach(step, name, variant, duty, params, list(events))
        if all(each.kind != found.kind for each in self.breaches):
            self.breaches.append(found)

    def raised(self, step: str, duty: str, call: str, error: BaseException) -> None:
        """A call raised what it must not."""
        where = raised_where(error)
        variant = "changed_meanwhile" if "changed size during iteration" in str(error) else ""
        self.breach(step, "call_raised", duty, variant, call=call, error=told(error), where=where)

    def hangs(self, step: str, duty: str, call: str, pending: Iterable[asyncio.Task[None]]) -> None:
        """These tasks never come back from their calls."""
        where = next((place for task in pending if (place := waits_where(task.get_coro())[0])), "")
        self.breach(step, "call_hangs", duty, "" if where else "unknown", call=call, where=where)


def told(error: BaseException) -> str:
    """An exception in a line."""
    return f"{type(error).__name__}: {error}"[:200].rstrip(": ")


class Contract(Protocol):
    """A module of this package that has a component's contract."""

    STEPS: dict[str, str]
    SIZES: range
    PLAYS: int
    ALWAYS: list[Plan]

    def plan(self, rng: Random, size: int) -> Plan:
        """What is called."""

    def less(self, act: Any) -> list[Any]:
        """An act with one thing less in it."""

    async def play(self, plan: Plan, stage: Stage) -> None:
        """Call it."""
