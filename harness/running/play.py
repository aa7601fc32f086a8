"""Plays one exercise against one target and judges it: the sentence that orders the house, as code.

A scenario, played in a world, leaves a history; checkers turn the history into a verdict.
"""

from __future__ import annotations

import asyncio
import importlib
import traceback
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from random import Random
from types import ModuleType

from msgspec import Struct

from harness.contracts.process import Job, play_directly
from harness.contracts.result import Played
from harness.history.events import Event, History, Step
from harness.history.index import HistoryIndex
from harness.scenarios import script
from harness.scenarios.common import FULL, MODEST
from harness.scenarios.script import Script
from harness.verdict.judge import judge, leniencies, with_contract
from harness.verdict.outcome import Outcome, StepResult, Text, overall
from harness.verdict.steps import COMPONENTS, EXERCISES
from harness.worlds.base import World
from harness.worlds.live import LiveWorld
from harness.worlds.served import ServedWorld
from harness.worlds.surroundings import PlayStopped
from harness.worlds.targets import Target

MAX_SECONDS = 150.0
"""No exercise takes longer, not counting the waiting for a server's own long time-outs."""


class Case(Struct, frozen=True):
    """What is played in the simulated world: with the target, all that a run follows from.

    `size` says how much of the exercise (`harness.scenarios.common`). A `script` is played instead of it.
    """

    exercise: int
    seed: str
    size: int = MODEST
    script: Script | None = None


class Run(Struct):
    """One play of one exercise, judged."""

    exercise: int
    seed: str
    world: str
    target: str
    seconds: float
    steps: list[StepResult]
    notes: list[Text]
    output: list[str]
    stall: float
    history: History
    defect: str = ""
    """A traceback, if the kit itself failed; nothing is then said of the server."""

    nonce: str = ""
    """What names of this run end with."""
    component: str | None = None
    """The component that is judged, if it is one alone."""

    case: Case | None = None
    """What was played, in the simulated world."""
    digest: str = ""
    """A digest of the history, likewise: the same case has the same."""

    contract: Played | None = None
    """What came of calling the component directly, if there is one."""

    @property
    def lag(self) -> float:
        """Seconds by which the harness was late at the most."""
        return max((step.lag for step in self.steps), default=0.0)

    @property
    def outcome(self) -> Outcome:
        """The verdict on the exercise."""
        return overall([step.outcome for step in self.steps])


@dataclass(frozen=True)
class PreparedRun:
    """What is done in a world, and what is said of it afterwards."""

    play: Callable[[World], Awaitable[None]]
    judge: Callable[[HistoryIndex], list[StepResult]]
    intervals: int = 0
    """Heartbeats for which it watches: it may take so much longer."""


def scenario_of(exercise: int) -> ModuleType:
    """The module that holds an exercise's scenario."""
    return importlib.import_module(f"harness.scenarios.{EXERCISES[exercise]}")


def prepared_exercise(exercise: int, seed: str, size: int, component: str | None) -> PreparedRun:
    """An exercise, as the seed plans it."""
    scenario = scenario_of(exercise)
    plan = scenario.plan(Random(f"{seed}/{exercise}"), size)
    return PreparedRun(
        partial(scenario.play, plan), lambda index: judge(exercise, scenario, plan, index, component)
    )


def prepared_script(played: Script) -> PreparedRun:
    """A script, which is judged as a whole: one step, named `script`."""

    def verdict(index: HistoryIndex) -> list[StepResult]:
        found = script.check(index)
        return [
            StepResult("script", Outcome.FAILED if found else Outcome.PASSED, 0, 0, None, anomalies=found)
        ]

    return PreparedRun(partial(script.play, played), verdict, played.intervals)


async def play(
    exercise: int,
    target: Target,
    seed: str,
    *,
    skip_slow: bool = False,
    progress: Callable[[Event], None] | None = None,
) -> Run:
    """Call the component directly, and play an exercise in the live world.

    `progress` is told of each step as it begins and ends.
    """
    contract = await played_directly(exercise, target)
    world = LiveWorld(target, exercise, seed)
    world.skip_slow = skip_slow
    if progress:
        world.on_step = progress
    run = await play_in(world, prepared_exercise(exercise, seed, FULL, target.component))
    add_contract(run, contract)
    return run


async def played_directly(exercise: int, target: Target) -> Played | None:
    """What comes of calling the exercise's component directly; None if a whole server is judged."""
    component = COMPONENTS[exercise]
    where = target.uses.get(component)
    return await play_directly(Job(component, where)) if where else None


def add_contract(run: Run, contract: Played | None) -> None:
    """Make the contract's breaches a part of the verdict. The same for each run of a component."""
    if contract is None or contract.problem:  # whoever starts the server is told the problem
        return
    run.contract = contract
    run.defect = run.defect or contract.defect
    with_contract(run.steps, contract, run.component)
    run.notes += [Text(key, params) for key, params in contract.notes]
    if contract.lacking:
        run.notes.append(Text("contract_open", {"where": contract.where}))


async def play_in(world: ServedWorld, prepared: PreparedRun) -> Run:
    """Play a prepared in a world, judge what happened, and close the world."""
    defect = ""
    try:
        try:
            await _with_limit(prepared, world)
        except PlayStopped:
            with suppress(PlayStopped):
                await world.check_end()  # perhaps that is why
        except Exception:
            defect = traceback.format_exc()
        return judged(world, prepared, defect)
    finally:
        await world.close()


def judged(world: ServedWorld, prepared: PreparedRun, defect: str = "") -> Run:
    """The verdict on what has happened in a world."""
    output = world.output()
    index = HistoryIndex(world.history, world.readings)
    steps = [] if defect else prepared.judge(index)
    for step in steps:
        step.lag = round(world.lags.get(step.step, 0.0), 4)
    notes = [*leniencies(index), *world.remarks(overall([step.outcome for step in steps]))]
    if index.notes["printed_much"]:
        notes.append(Text("printed_much", {"mebibytes": max(index.notes["printed_much"]) // 2**20}))
    return Run(
        exercise=index.began.exercise,
        seed=index.began.seed,
        world=world.kind,
        target=world.target.label,
        seconds=world.now(),
        steps=steps,
        notes=notes,
        output=output,
        stall=index.longest_stall(),
        history=world.history,
        defect=defect,
        nonce=world.nonce,
        component=world.target.component,
    )


async def _with_limit(prepared: PreparedRun, world: ServedWorld) -> None:
    """Play until the end, or until it has taken absurdly long for this server's intervals."""

    async def all_of_it() -> None:
        await prepared.play(world)
        await world.settle()

    task = asyncio.create_task(all_of_it(), name="plays")
    try:
        while not task.done():
            await asyncio.wait({task}, timeout=1.0)
            most = MAX_SECONDS + 8 * world.timeout + prepared.intervals * world.heartbeat
            if world.now() > most:
                raise PlayStopped
        await task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def begins(event: Event) -> bool:
    """Whether an event is the beginning of a step."""
    return isinstance(event, Step) and not event.done
