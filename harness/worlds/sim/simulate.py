"""Plays one exercise in the simulated world, in this process."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from random import Random

from harness.history import Server
from harness.play import Run, judged, play_in, scenario_of
from harness.scenarios.common import MODEST
from harness.targets import Target
from harness.worlds.sim import modules
from harness.worlds.sim.simulator import Simulator
from harness.worlds.sim.watchdog import watching
from harness.worlds.sim.world import NEW_YEAR, SimWorld

_past: list[Simulator] = []
"""Worlds that are over: what was killed in them must not be tidied up while the next one runs."""


def simulate(
    exercise: int,
    target: Target,
    seed: str,
    *,
    size: int = MODEST,
    skip_slow: bool = False,
    stuck: Callable[[Run], None] = lambda run: None,
) -> Run:
    """Play an exercise, of which `size` says how much. The same arguments give the same history.

    If the server's code never comes back, `stuck` is called with the run up to then, in the middle of it.
    """
    scenario = scenario_of(exercise)
    plan = scenario.plan(Random(f"{seed}/{exercise}"), size)
    simulator = Simulator(f"{seed}/{exercise}", NEW_YEAR)
    _past.append(simulator)
    world: SimWorld | None = None

    async def main() -> Run:
        nonlocal world
        world = SimWorld(simulator, target, exercise, seed)
        world.skip_slow = skip_slow
        return await play_in(world, scenario, plan)

    def hung(where: str) -> None:
        assert world is not None
        world.record(Server(world.now(), "hung", {"output": [where]}))
        stuck(judged(world, scenario, plan))

    with modules.restored(), contextlib.chdir(target.cwd), watching(simulator, hung):
        return simulator.run(main())
