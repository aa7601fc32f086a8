"""Plays one exercise in the simulated world, in this process."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from harness.history import Server, digest
from harness.play import Case, Run, judged, piece_of, piece_of_script, play_in
from harness.targets import Target
from harness.worlds.sim import modules
from harness.worlds.sim.simulator import Simulator
from harness.worlds.sim.watchdog import watching
from harness.worlds.sim.world import NEW_YEAR, SimWorld
from lab import command as _  # noqa: F401 - the reference server is imported once, and not in every run


def simulate(
    case: Case, target: Target, *, skip_slow: bool = False, stuck: Callable[[Run], None] = lambda run: None
) -> Run:
    """Play a case: the same case and target give the same history.

    If the server's code never comes back, `stuck` is called with the run up to then, in the middle of it.
    """
    if case.script is not None:
        piece = piece_of_script(case.script)
    else:
        piece = piece_of(case.exercise, case.seed, case.size, target.component)
    simulator = Simulator(f"{case.seed}/{case.exercise}", NEW_YEAR)
    world: SimWorld | None = None

    async def main() -> Run:
        nonlocal world
        world = SimWorld(simulator, target, case.exercise, case.seed)
        world.skip_slow = skip_slow
        return await play_in(world, piece)

    def hung(where: str) -> None:
        assert world is not None
        world.record(Server(world.now(), "hung", {"output": [where]}))
        stuck(_signed(judged(world, piece), case))

    with modules.restored(), contextlib.chdir(target.cwd), watching(simulator, hung):
        return _signed(simulator.run(main()), case)


def _signed(run: Run, case: Case) -> Run:
    run.case, run.digest = case, digest(run.history)
    return run
