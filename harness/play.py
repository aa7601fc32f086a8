"""Plays one exercise against one target and judges it: the sentence that orders the house, as code.

A scenario, played in a world, leaves a history; checkers turn the history into a verdict.
"""

from __future__ import annotations

import asyncio
import importlib
import traceback
from collections.abc import Callable
from contextlib import suppress
from random import Random
from types import ModuleType
from typing import Any

from msgspec import Struct

from harness.client import PlayStopped
from harness.history import Event, History, Step
from harness.judge import judge, leniencies
from harness.log import Log
from harness.steps import EXERCISES
from harness.targets import Target
from harness.verdict import Outcome, StepResult, Text, overall
from harness.worlds.live import LiveWorld
from harness.worlds.served import ServedWorld

MAX_SECONDS = 150.0
"""No exercise takes longer, not counting the waiting for a server's own long time-outs."""


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

    @property
    def outcome(self) -> Outcome:
        """The verdict on the exercise."""
        return overall([step.outcome for step in self.steps])


def scenario_of(exercise: int) -> ModuleType:
    """The module that holds an exercise's scenario."""
    return importlib.import_module(f"harness.scenarios.{EXERCISES[exercise]}")


async def play(
    exercise: int,
    target: Target,
    seed: str,
    *,
    skip_slow: bool = False,
    progress: Callable[[Event], None] | None = None,
) -> Run:
    """Play an exercise in the live world. `progress` is told of each step as it begins and ends."""
    world = LiveWorld(target, exercise, seed)
    world.skip_slow = skip_slow
    if progress:
        world.on_step = progress
    scenario = scenario_of(exercise)
    return await play_in(world, scenario, scenario.plan(Random(f"{seed}/{exercise}")))


async def play_in(world: ServedWorld, scenario: ModuleType, plan: Any) -> Run:
    """Play a plan of a scenario in a world, judge what happened, and close the world."""
    defect = ""
    try:
        try:
            await _with_limit(scenario, plan, world)
        except PlayStopped:
            with suppress(PlayStopped):
                world.check_server()  # perhaps that is why
        except Exception:
            defect = traceback.format_exc()
        return judged(world, scenario, plan, defect)
    finally:
        await world.close()


def judged(world: ServedWorld, scenario: ModuleType, plan: Any, defect: str = "") -> Run:
    """The verdict on what has happened in a world."""
    log = Log(world.history, world.readings)
    began = log.began
    target = world.target
    steps = [] if defect else judge(began.exercise, scenario, plan, log, target.component)
    notes = [*leniencies(log), *world.remarks()]
    if log.notes["printed_much"]:
        notes.append(Text("printed_much", {"mebibytes": max(log.notes["printed_much"]) // 2**20}))
    return Run(
        exercise=began.exercise,
        seed=began.seed,
        world=world.kind,
        target=target.label,
        seconds=world.now(),
        steps=steps,
        notes=notes,
        output=world.output(),
        stall=log.longest_stall(),
        history=world.history,
        defect=defect,
        nonce=world.nonce,
        component=target.component,
    )


async def _with_limit(scenario: ModuleType, plan: object, world: ServedWorld) -> None:
    """Play until the end, or until it has taken absurdly long for this server's intervals."""

    async def all_of_it() -> None:
        await scenario.play(plan, world)
        await world.settle()

    task = asyncio.create_task(all_of_it(), name=f"plays {scenario.__name__}")
    try:
        while not task.done():
            await asyncio.wait({task}, timeout=1.0)
            if world.now() > MAX_SECONDS + 8 * world.timeout:
                raise PlayStopped
        await task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def begins(event: Event) -> bool:
    """Whether an event is the beginning of a step."""
    return isinstance(event, Step) and not event.done
