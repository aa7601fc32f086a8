"""Plays a component's contract, from small plans to large ones, and minimizes each plan that fails.

All plays of a component take place on one simulated host, in virtual time. A component that does something
that cannot be simulated, such as starting a thread, is played in real time instead, for some seconds.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from dataclasses import replace as replace_in
from functools import partial
from pathlib import Path
from random import Random
from time import perf_counter, process_time  # the real ones, also on a simulated host
from unittest import mock

from msgspec.structs import replace

from harness.contracts import disk
from harness.contracts.base import Contract, Plan, Stage
from harness.contracts.component import Component
from harness.contracts.node.channel import Channel
from harness.contracts.node.component import NodeComponent
from harness.contracts.node.errors import Ended, NodeError
from harness.contracts.result import Breach, Played
from harness.history.events import Called
from harness.judged.bounds import CONTRACT_MEMORY, PROCESSES, WRITTEN
from harness.typescript.tools import find_node
from harness.verdict.causes import LONG_BLOCK
from harness.verdict.steps import BREAKABLE
from harness.worlds.sim.host import Host
from harness.worlds.sim.simulator import MOST_WAITING, Endless, Simulator, collect_much_garbage
from harness.worlds.sim.source_locations import is_library, place_of, waits_where
from harness.worlds.sim.watchdog import Stuck
from harness.worlds.sim.world import NEW_YEAR
from lab.loader import INTERFACES, ComponentError

CONTRACTS = ("pubsub", "sequencer", "presence", "store")
"""The components that have a contract, each in the module of this name."""
MOST_SECONDS = 6.0
"""Seconds of processor time for all plays of a component: after that, no further plan is played."""
REAL_SECONDS = 4.0
"""The same for plays in real time."""
MORE_SECONDS = 2.0
"""The same once a breach was found: it is certain, and more of them help little."""
MOST_CALLS = 100_000
"""Calls in one play, those of others included, after which one of them counts as an endless loop."""
SHOWN_CALLS = 12
"""Calls that are shown of so many."""
_CONTRACTS = f"{Path(__file__).parent}{os.sep}"
_KIT = f"{Path(__file__).parents[1]}{os.sep}"
_REAL_TURNS = 1 << 60
"""The first turn of plays in real time: no simulation has so many."""
MOST_TRIES = 400
"""Plays that may be spent on minimizing one failure."""


def contract_of(component: str) -> Contract:
    """The module with a component's contract."""
    module: Contract = importlib.import_module(f"harness.contracts.{component}")
    return module


@dataclass(frozen=True)
class Watched:
    """How a series of plays is watched from outside (see `watchdog.py`): turns and calls are its turns.

    `until` is where it was stuck before: there, it calls `answer` with the result, which never returns.
    """

    count: Callable[[int, bool], None] = lambda turn, is_judged: None
    until: Stuck | None = None
    answer: Callable[[Played], None] = lambda played: None


_UNWATCHED = Watched()


@dataclass(frozen=True)
class Subject:
    """What is played: the component in the file `where`, with files in `folder`, from a seed."""

    component: str
    where: str
    folder: Path
    seed: str = ""
    watched: Watched = _UNWATCHED
    channel: Channel | None = None
    """The Node process that runs it; None if it is in Python."""


def play_contract(
    component: str,
    where: str,
    folder: Path,
    seed: str = "",
    *,
    watched: Watched = _UNWATCHED,
) -> Played:
    """Play the contract of a component in a file: in virtual time if that is possible, else in real time.

    Files are made in `folder`, and not always removed. The same file and seed give the same result.
    """
    subject = Subject(component, where, folder, seed, watched)
    if where.endswith(".js"):
        return _play_in_node(subject)
    played = play_in_virtual_time(subject)
    is_race_hidden = played.threads > 1 and not played.found
    if is_race_hidden or (played.lacking not in ("", "crash") and not played.found):
        played = play_in_real_time(subject)
    return played


def _play_in_node(subject: Subject) -> Played:
    """Play a compiled component, in a Node process of its own."""
    channel = Channel(find_node() or "node", Path(subject.where).parent)
    try:
        return play_in_virtual_time(replace_in(subject, channel=channel))
    finally:
        channel.close()


def play_in_virtual_time(subject: Subject) -> Played:
    """Play it on a simulated host. If the component does what is not simulated, the result is `lacking`."""
    began = perf_counter()
    simulator = Simulator(f"contract/{subject.component}/{subject.seed}", NEW_YEAR)
    channel = subject.channel
    most = MOST_SECONDS * (2 if channel else 1)  # two processes that wait for each other
    series = _Series(subject, lambda: process_time() + (channel.cpu if channel else 0.0), most)

    async def main() -> Host:
        host = series.host = simulator.host("component")
        host.start(series.run, {})
        while host.is_alive:
            await asyncio.sleep(3600.0)
        return host

    simulator.on_turn = lambda turn, is_judged: series.next_turn(is_judged=is_judged)
    result = series.result
    try:
        host = simulator.run(main())
    except Endless as error:
        series.ended("call_hangs", "waiting", error.where)
        return result
    if host.refused is not None:
        result.lacking, result.where = host.refused.what, host.refused.where
    elif not series.is_over:
        series.ended("call_ends", "", "")
    result.threads = host.most_threads
    result.output = [*host.lines(), *(channel.printed() if channel else [])][-12:]
    result.seconds = perf_counter() - began
    return result


def play_in_real_time(subject: Subject) -> Played:
    """The same on an ordinary event loop, with real threads, for a few seconds."""
    began = perf_counter()
    series = _Series(subject, perf_counter, REAL_SECONDS)
    series.turn = _REAL_TURNS
    with _hearing_sleep(series.blocked):
        series.run()
    series.result.seconds = perf_counter() - began
    return series.result


@contextmanager
def _hearing_sleep(blocked: Callable[[str, float], None]) -> Iterator[None]:
    """Tell of each `time.sleep` of an event loop's thread, by the seconds that it was asked for.

    So a slow machine makes no difference.
    """
    real = time.sleep

    def sleep(seconds: float) -> None:
        if asyncio._get_running_loop() is not None:
            blocked(place_of(sys._getframe(1)), seconds)
        real(seconds)

    with mock.patch.object(time, "sleep", sleep):
        yield


class _Series:
    """The plays of one contract, one after the other."""

    def __init__(self, subject: Subject, clock: Callable[[], float], most: float) -> None:
        self._subject, self._watched = subject, subject.watched
        self._contract = contract_of(subject.component)
        self._clock, self._deadline = clock, clock() + most
        self.host: Host | None = None
        self._steps = BREAKABLE[subject.component]
        self._stage: Stage | None = None
        self._blocked: tuple[tuple[int, str], float] = (0, ""), 0.0  # the last call, and for how long so far
        self._found: dict[str, Breach] = {}
        self._slept: dict[str, None] = {}
        """Where the event loop was blocked, for however short a time."""
        self.result = Played(subject.component)
        self.is_over = self._hangs = False
        self._modules = set(sys.modules)
        self.turn = 0

    def run(self) -> None:
        """Play until each step has a breach, all plans were played, or the time is over."""
        try:
            self._component = self._loaded()
        except ComponentError as error:
            self.result.problem = str(error)
            self.is_over = True
            return
        except Ended as ended:
            self._has_ended(ended)
            self.is_over = True
            return
        try:
            for plan in self._plans():
                self._one(plan)
                is_late = self._clock() > self._deadline
                if is_late or self._hangs or all(step in self._found for step in self._steps):
                    return
        except Exception:
            if self._modules <= sys.modules.keys():
                self.result.defect = traceback.format_exc()
            else:  # the component has removed what we need ourselves
                self.result.lacking, self.result.where = "crash", "sys.modules"
        finally:
            self.is_over = True
            told = [str(each.params.get("where")) for each in self._found.values()]
            places = [where for where in self._slept if where not in told]
            self.result.notes += [("sleeps", {"where": where}) for where in places[:1]]

    def _loaded(self) -> Component | NodeComponent:
        """The component. Raises ComponentError, or Ended."""
        name, where, channel = self.result.component, self._subject.where, self._subject.channel
        if channel is None:
            return Component(name, where)
        channel.on_unhandled, channel.on_wrote = self._unhandled, disk.was_told
        channel.on_blocked = self.blocked
        channel.play(self._subject.seed, self._subject.folder)
        return NodeComponent(channel, name, where)

    def _plans(self) -> Iterator[Plan]:
        for size in self._contract.SIZES:
            for number in range(self._contract.PLAYS):
                seed = f"{self._subject.seed}/{size}/{number}"
                yield replace(self._contract.plan(Random(seed), size), seed=seed)
        for number, plan in enumerate(self._contract.ALWAYS):
            yield replace(plan, seed=f"{self._subject.seed}/always/{number}")

    def _one(self, plan: Plan) -> None:
        stage = self._play(plan)
        for breach in stage.breaches:
            if breach.step not in self._found:
                self._keep(self._smaller(plan, breach))
        known = {key for key, _ in self.result.notes}
        self.result.notes += [note for note in stage.notes if note[0] not in known]

    def _play(self, plan: Plan) -> Stage:
        self._stage = stage = Stage(self._component.fresh, lambda: 0.0, self.host, self._subject.folder)
        stage.before_call = self.next_turn
        self.next_turn()
        self._blocked = (0, ""), 0.0
        if self.host is not None:
            self.host.on_block = self.blocked
        channel = self._subject.channel

        async def in_a_loop() -> None:
            loop = asyncio.get_running_loop()
            began = loop.time()
            stage.now = lambda: loop.time() - began
            play = asyncio.create_task(self._contract.play(plan, stage))
            await asyncio.wait([play], timeout=2 * stage.never)
            if play.done():
                play.result()
            else:  # in a call that the contract itself does not limit
                where, _ = waits_where(play.get_coro())
                self.ended("call_hangs", "" if where else "unknown", where)
                self._hangs = True
            if channel is not None:
                channel.end_turn()  # what comes after the last result belongs to this play

        try:
            if channel is not None:
                self._begin_in_node(channel, plan, stage)
            asyncio.run(in_a_loop())
        except Exception as error:
            # After a breach, the contract itself may fail; and errors from the component's code are its own.
            if _is_from_component(error) and not stage.breaches:
                last = stage.history[-1].what if stage.history else self._subject.where
                stage.raised(self._steps[0], INTERFACES[self.result.component].__name__, last, error)
            elif not stage.breaches and _is_from_contract(error):
                raise
            elif not stage.breaches:
                self.ended("call_ends", "loop", "")  # who else would stop our event loop, or close it?
        except asyncio.CancelledError:
            self.ended("call_ends", "loop", "")
        except Ended:
            pass  # what is known of it is told below, also where only a task has met it
        if channel is not None and channel.ended is not None:
            stage.breaches.clear()
            self._has_ended(channel.ended)
        self.result.plays += 1
        self.result.calls += stage.calls.made
        collect_much_garbage()
        return stage

    def _begin_in_node(self, channel: Channel, plan: Plan, stage: Stage) -> None:
        if channel.ended is not None:
            return
        stage.pid, host = channel.pid, stage.host
        if host is not None:
            channel.on_spent = self._spent
            channel.on_synced = lambda inode, size: host.synced.update({inode: size})
        channel.play(plan.seed, stage.folder)

    def _spent(self, seconds: float, place: str) -> None:
        """A call of the component has waited busily: meanwhile nothing else happens."""
        if self.host is not None:
            self.host.busy_until = max(self.host.busy_until, self.host.simulator.now) + seconds
        self.blocked(place, seconds, is_asleep=False)

    def _has_ended(self, ended: Ended) -> None:
        """Node runs no more: nothing else is played."""
        self._hangs = True
        if ended.why == "lacking":
            self.result.lacking, self.result.where = "process", ended.by
            return
        if self._stage is not None:  # what came after the calls under way is not its own
            history = self._stage.history
            cut = next((at for at, each in enumerate(history) if _is_cut_off(each)), len(history))
            del history[cut:]
        if ended.why == "ended":
            self.ended("call_ends", "", ended.place)
        else:
            variant = "memory" if ended.why == "memory" else "" if ended.place else "unknown"
            self.ended("call_hangs", variant, ended.place)

    def _unhandled(self, error: BaseException) -> None:
        """Record that nobody handles a rejection: it ends a server."""
        if self._stage is not None:
            call, step, duty = self._last_call()
            where = error.place if isinstance(error, NodeError) else ""
            params = {"call": call, "where": where, "error": self._stage.calls.raised(error)}
            variant = "unhandled" if where else "unhandled_unknown"
            self._stage.breach(step, "call_ends", duty, variant, **params)

    def _smaller(self, plan: Plan, breach: Breach) -> Breach:
        """The same breach, in a minimal play; what is not needed for it is no part of its variant either."""
        tries = MOST_TRIES
        for candidates in (_without_acts, partial(_with_less, self._contract)):
            waiting = list(candidates(plan))
            while waiting and tries and self._clock() < self._deadline:
                tries -= 1
                fewer = waiting.pop()
                found = self._play(fewer).breaches
                same = next((each for each in found if each.is_no_more_than(breach)), None)
                if same is not None:
                    plan, breach, waiting = fewer, same, list(candidates(fewer))[: len(waiting) + 1]
        return breach

    def _keep(self, breach: Breach) -> None:
        if not self._found:
            self._deadline = min(self._deadline, self._clock() + MORE_SECONDS)
        self._found[breach.step] = breach
        self.result.found = [self._found[step] for step in self._steps if step in self._found]

    def next_turn(self, *, is_judged: bool = True) -> None:
        """Count a turn of the simulation or a call of the component, which begins; where it was stuck before,
        record that instead.
        """
        self.turn += 1
        self._watched.count(self.turn, is_judged)
        stuck = self._watched.until
        if self._stage is not None and len(self._stage.history) > MOST_CALLS:
            self._stage.history[:] = self._stage.history[:SHOWN_CALLS]
            self.ended("call_hangs", "calls", "")
        elif stuck is None or self.turn != stuck.turn:
            return
        elif stuck.why == "ended":
            self.ended("call_ends", "", "")
        else:
            taken = stuck.why if stuck.why in ("memory", "processes", "files") else ""
            variant = taken or ("" if stuck.where else "unknown")
            self.ended("call_hangs", variant, stuck.where)
        self._watched.answer(self.result)

    def blocked(self, place: str, seconds: float, *, is_asleep: bool = True) -> None:
        """Record that a call keeps the event loop from running, if it does so for long.

        It sleeps, or it waits busily: for less than a millisecond, that is how to get a time of its own.
        """
        if self._stage is None:
            return
        if is_asleep:
            self._slept[place] = None
        call, step, duty = self._last_call()
        this = self._stage.calls.made, call
        self._blocked = this, seconds + (self._blocked[1] if self._blocked[0] == this else 0.0)
        if self._blocked[1] >= LONG_BLOCK:
            params = {"call": call, "where": place, "seconds": round(self._blocked[1], 1)}
            self._stage.breach(step, "call_blocks", duty, "", **params)

    def _last_call(self) -> tuple[str, str, str]:
        """The last call of the component, and not one that it has made of a neighbour; its step and duty."""
        history = self._stage.history if self._stage else []
        calls = [event.what for event in history if _method(event.what) in self._contract.STEPS]
        call = calls[-1] if calls else Path(self._subject.where).name.replace(".js", ".ts")
        method, duty = _method(call), INTERFACES[self.result.component].__name__
        duty += f".{method}" if calls else ""
        return call, self._contract.STEPS.get(method, self._steps[0]), duty

    def ended(self, name: str, variant: str, place: str) -> None:
        """Record that the last call never returned, or ended the process. Nothing after it is judged."""
        history = list(self._stage.history) if self._stage else []
        call, step, duty = self._last_call()
        if step not in self._found:
            self.result.plays += 1  # this one, which does not come to its end
            self.result.calls += self._stage.calls.made if self._stage else 0
            counts = {"mebibytes": CONTRACT_MEMORY // 2**20, "calls": MOST_CALLS, "waiting": MOST_WAITING}
            counts |= {"processes": PROCESSES, "written": WRITTEN // 2**20}
            params = {"call": call, "where": place, **counts}
            self._keep(Breach(step, name, variant, duty, params, history))


def _is_cut_off(event: Called) -> bool:
    return str(event.result).startswith(f"{Ended.__name__}: ")


def _method(call: str) -> str:
    return call.partition("(")[0]


def _without_acts(plan: Plan) -> Iterator[Plan]:
    """The plan without one of its acts, for each act."""
    for at in range(len(plan.acts)):
        yield replace(plan, acts=plan.acts[:at] + plan.acts[at + 1 :])


def _with_less(contract: Contract, plan: Plan) -> Iterator[Plan]:
    """The plan with one of its acts made smaller, for each act."""
    for at, act in enumerate(plan.acts):
        for smaller in contract.less(act):
            yield replace(plan, acts=[*plan.acts[:at], smaller, *plan.acts[at + 1 :]])


def _is_from_contract(error: BaseException) -> bool:
    """Whether a contract raised it, and not the loop that runs it, which a component may stop or close."""
    frames = [frame.filename for frame in traceback.extract_tb(error.__traceback__)]
    own = [file for file in frames if file.startswith(_KIT)]
    return own[-1].startswith(_CONTRACTS) and own[-1] != __file__


def _is_from_component(error: BaseException) -> bool:
    """Whether the traceback contains code that is neither a library's nor the harness's."""
    return isinstance(error, NodeError) or any(
        not is_library(frame.filename) for frame in traceback.extract_tb(error.__traceback__)
    )
