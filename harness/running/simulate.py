"""Plays one exercise in the simulated world, in this process."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from random import Random

from harness.history.events import Called, Server, digest
from harness.judged.targets import Target, python_program
from harness.running.play import judged, play_in, prepared_exercise, prepared_script
from harness.running.run import Case, Run
from harness.scenarios.common import MODEST
from harness.worlds.served import QUICK_INTERVAL, QUICK_TIMEOUT
from harness.worlds.sim import modules
from harness.worlds.sim.latency_model import CAMPUS, LatencyModel
from harness.worlds.sim.observed import observed
from harness.worlds.sim.simulator import Simulator
from harness.worlds.sim.watchdog import watching
from harness.worlds.sim.world import NEW_YEAR, SimWorld
from lab import command as _  # noqa: F401 - the reference server is imported once, and not in every run

QUICK = 1 / 3
"""The share of small plays with short heartbeat intervals, in which one second is already slow."""


def simulate(
    case: Case,
    target: Target,
    *,
    stuck: Callable[[Run], None] = lambda run: None,
    with_calls: bool = False,
) -> Run:
    """Play a case: the same case and target give the same history.

    With `with_calls`, it contains the calls between the components, if the reference server runs them.
    If the server's code never returns, `stuck` is called with the run so far, in the middle of it.
    """
    if case.script is not None:
        prepared = prepared_script(case.script)
    else:
        prepared = prepared_exercise(case.exercise, case.seed, case.size, target.component)
    seed = f"{case.seed}/{case.exercise}"
    may_be_quick = case.script is None and case.size < MODEST
    is_quick = may_be_quick and Random(f"{seed}/intervals").random() < QUICK
    # With slow networks, timeouts as short as these could not be judged.
    latency = LatencyModel(Random(f"{seed}/weather"), CAMPUS) if is_quick else None
    simulator = Simulator(seed, NEW_YEAR, latency)
    world: SimWorld | None = None

    def called(event: Called) -> None:
        assert world is not None
        world.timeline.aside(event)

    def just_now() -> float:
        return world.timeline.just_now if world else 0.0

    def signed(run: Run) -> Run:
        run.case, run.digest = case, digest(run.history)
        return run

    async def main() -> Run:
        nonlocal world
        world = SimWorld(simulator, target, case.exercise, case.seed)
        if is_quick:
            world.heartbeat_interval, world.offline_timeout = QUICK_INTERVAL, QUICK_TIMEOUT
        return await play_in(world, prepared)

    def hung(where: str) -> None:
        assert world is not None
        world.record(Server(world.now(), "hung", {"output": [where]}))
        stuck(signed(judged(world, prepared)))

    with contextlib.ExitStack() as stack:
        stack.enter_context(modules.restored())
        stack.enter_context(contextlib.chdir(target.cwd))
        stack.enter_context(watching(simulator, hung))
        if with_calls and _runs_components(target):
            stack.enter_context(observed(case.exercise, called, just_now))
        return signed(simulator.run(main()))


def _runs_components(target: Target) -> bool:
    return (python_program(target.command or ("",)) or [])[:2] == ["-m", "lab"]
