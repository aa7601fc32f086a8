"""Plays one exercise against one target and judges it.

A scenario, played in a world, leaves a history; checkers turn the history into a verdict.
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from math import inf
from random import Random

from harness.contracts.result import Played
from harness.history.events import Event, Step
from harness.history.index import HistoryIndex
from harness.judged.bounds import (
    CERTAIN_SECONDS,
    HURRIED_READY_SECONDS,
    HURRIED_SECONDS,
    LONGEST_TIMEOUT,
    PLAY_SECONDS,
)
from harness.judged.machine_limits import AT_THE_END, limit_of
from harness.judged.targets import Target
from harness.judged.typescript import floating
from harness.running.direct_calls import add_contract
from harness.running.limit import limited
from harness.running.run import Run, kit_failed
from harness.scenarios import script
from harness.scenarios.catalogue import scenario_of
from harness.scenarios.common import FULL
from harness.scenarios.scenario import P, Scenario
from harness.scenarios.script import Script
from harness.verdict.any_history import leniencies
from harness.verdict.causes import with_floating
from harness.verdict.judge import judge, without_verdict
from harness.verdict.outcome import Outcome, StepResult, Text, overall
from harness.verdict.steps import CLUSTER
from harness.worlds.base import World
from harness.worlds.clustered import ClusterWorld
from harness.worlds.live import LiveWorld
from harness.worlds.served import ServedWorld
from harness.worlds.surroundings import PlayStopped

SoFar = Callable[[], Run]
"""What is certain in the middle of a play."""
Begun = Callable[[SoFar], None]
"""Is called once when a play has begun."""


@dataclass(frozen=True)
class PreparedRun:
    """What is done in a world, and how it is judged afterwards."""

    play: Callable[[World], Awaitable[None]]
    judge: Callable[[HistoryIndex], list[StepResult]]
    intervals: int = 0
    """Heartbeat intervals for which it watches: it may take that much longer."""
    timeouts: int = 0
    """Timeouts of the server, likewise."""


def prepared_exercise(exercise: int, seed: str, size: int, component: str | None) -> PreparedRun:
    """An exercise, with the plan for this seed."""
    return _prepared(scenario_of(exercise), exercise, Random(f"{seed}/{exercise}"), size, component)


def _prepared(
    scenario: Scenario[P], exercise: int, rng: Random, size: int, component: str | None
) -> PreparedRun:
    plan = scenario.plan(rng, size)

    def verdict(index: HistoryIndex) -> list[StepResult]:
        return judge(exercise, scenario.check(plan, index), index, component)

    return PreparedRun(partial(scenario.play, plan), verdict, timeouts=scenario.TIMEOUTS)


def prepared_script(played: Script) -> PreparedRun:
    """A script: it is judged as a single step, named `script`."""

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
    contract: Played | None = None,
    skip_slow: bool = False,
    is_hurried: bool = False,
    progress: Callable[[Event], None] | None = None,
    begun: Begun | None = None,
) -> Run:
    """Play an exercise in the live world; `contract` is what direct calls of its component have shown.

    Where another exercise of the same server came to nothing, less is waited for (`is_hurried`).

    `progress` is called with an event when a step begins and ends; `begun` once, with what tells the verdict
    on the steps that are over, for as long as it goes on.
    """
    try:
        world = _live_world(target, exercise, seed)
        world.skip_slow, world.is_hurried = skip_slow, is_hurried
        if is_hurried:
            world.slow_seconds /= 2
            world.patience /= 2
            world.longest_wait = HURRIED_READY_SECONDS
        world.is_broken = contract is not None and bool(contract.found)
        if progress:
            world.on_step = progress
        prepared = prepared_exercise(exercise, seed, FULL, target.component)
        if begun:
            begun(partial(_so_far, world, prepared, contract))
        run = await play_in(world, prepared)
        add_contract(run, contract)
        if run.outcome is Outcome.FAILED:
            run.causes = with_floating(run.causes, await asyncio.to_thread(floating, target))
        return run
    except Exception as error:
        if limit_of(error):
            raise  # it is this machine that lacks something
        return kit_failed(exercise, target, seed, LiveWorld.kind, traceback.format_exc())


def _live_world(target: Target, exercise: int, seed: str) -> LiveWorld:
    if target.nodes:
        return ClusterWorld(target, exercise, seed, has_ways=exercise == CLUSTER)
    return LiveWorld(target, exercise, seed)


def _so_far(world: ServedWorld, prepared: PreparedRun, contract: Played | None) -> Run:
    """What is certain in the middle of a play: of the steps that are over, and what direct calls have shown.

    What did not come in time may still come, so a step that would fail by that has no verdict yet.
    """
    run = judged(world, prepared)
    add_contract(run, contract)
    over = {event.step for event in world.history if isinstance(event, Step) and event.done}
    for step in run.steps:
        step.anomalies = [
            each
            for each in step.anomalies
            if each.is_of_a_contract or (step.step in over and not each.kind.timed)
        ]
    run.steps = [
        step
        for step in run.steps
        if (step.outcome is Outcome.FAILED and step.anomalies)
        or (step.outcome is Outcome.PASSED and step.step in over)
    ]
    return run


async def play_in(world: ServedWorld, prepared: PreparedRun) -> Run:
    """Play a prepared run in a world, judge what happened, and close the world."""
    defect = ""
    try:
        try:
            await limited(_all_of_it(prepared, world), world, partial(_most_seconds, world, prepared))
        except PlayStopped:
            with suppress(PlayStopped):
                await world.check_end()  # the server's end may be the reason
        except Exception:
            defect = traceback.format_exc()
        run = _judged_or_not(world, prepared, defect)
    finally:
        await world.close()
    if world.left:
        run.notes.append(Text("left_running", {"left": world.left}))
    return run


def _judged_or_not(world: ServedWorld, prepared: PreparedRun, defect: str) -> Run:
    """The verdict; where judging itself fails, a run that has none, and says so."""
    try:
        return judged(world, prepared, defect)
    except Exception:
        began = HistoryIndex(world.history[:1]).began
        return kit_failed(
            began.exercise, world.target, began.seed, world.kind, defect or traceback.format_exc()
        )


def judged(world: ServedWorld, prepared: PreparedRun, defect: str = "") -> Run:
    """The verdict on what has happened in a world."""
    output = world.output()
    with suppress(PlayStopped):
        world.check_disk(AT_THE_END)
    index = HistoryIndex(world.history, world.readings)
    component, exercise = world.target.component, index.began.exercise
    steps = without_verdict(exercise, component) if defect else prepared.judge(index)
    for step in steps:
        step.lag = round(world.lags.get(step.step, 0.0), 4)
    notes = [*leniencies(index), *world.remarks(overall([step.outcome for step in steps]))]
    if index.notes["printed_much"]:
        notes.append(Text("printed_much", {"mebibytes": max(index.notes["printed_much"]) // 2**20}))
    return Run(
        exercise=exercise,
        seed=index.began.seed,
        world=world.kind,
        target=world.target.label,
        seconds=world.now(),
        steps=steps,
        notes=notes,
        output=output,
        stall=index.longest_stall(),
        history=world.timeline.with_asides(),
        defect=defect,
        nonce=world.nonce,
        component=component,
        track=world.target.track,
        causes=world.causes(),
    )


async def _all_of_it(prepared: PreparedRun, world: ServedWorld) -> None:
    await prepared.play(world)
    await world.settle()


def _most_seconds(world: ServedWorld, prepared: PreparedRun) -> tuple[float, bool]:
    """How long a play may take, and whether that is news: its server's own timeouts may be long."""
    is_certain = world.most_vain < inf and (world.vain > 0 or world.is_broken)
    if is_certain and world.is_hurried:
        return HURRIED_SECONDS, False
    most = CERTAIN_SECONDS if is_certain else PLAY_SECONDS
    own = prepared.timeouts * min(world.timeout, LONGEST_TIMEOUT) + prepared.intervals * world.heartbeat
    return most + own + world.not_its_own, not is_certain
