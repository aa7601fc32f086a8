"""Plays one exercise in the simulated world, in this process."""

from __future__ import annotations

import contextlib
from random import Random

from harness.history.events import Called, Server, digest
from harness.judged.bounds import FEW_EVENTS, MORE_EVENTS, PLAY_MEMORY, PROCESSES, WRITTEN
from harness.judged.targets import Target
from harness.running.play import judged, play_in, prepared_exercise, prepared_script
from harness.running.run import Case, Run
from harness.scenarios.common import MODEST
from harness.worlds.served import QUICK_INTERVAL, QUICK_TIMEOUT, READY_SECONDS
from harness.worlds.sim import modules
from harness.worlds.sim.latency_model import CAMPUS, LatencyModel
from harness.worlds.sim.observed import observed
from harness.worlds.sim.simulator import MOST_WAITING, Endless, Simulator, TurnReached
from harness.worlds.sim.watchdog import Stuck, Turns
from harness.worlds.sim.world import NEW_YEAR, SimWorld
from lab import command as _  # noqa: F401 - the reference server is imported once, and not in every run

QUICK = 1 / 3
"""The share of small plays with short heartbeat intervals, in which one second is already slow."""


def simulate(
    case: Case,
    target: Target,
    *,
    with_calls: bool = False,
    watched: Turns | None = None,
) -> Run:
    """Play a case: the same case and target give the same history.

    With `with_calls`, it contains the calls between the components, if the reference server runs them.
    Turns are counted in `watched`.
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
        if case.size < MODEST or case.script is not None:
            world.timeline.most_events = FEW_EVENTS + MORE_EVENTS * prepared.intervals
        if is_quick:
            world.heartbeat_interval, world.offline_timeout = QUICK_INTERVAL, QUICK_TIMEOUT
        return await play_in(world, prepared)

    if watched is not None:
        simulator.on_turn = watched.count
    if case.until is not None:
        simulator.most = case.until.turn
    with contextlib.ExitStack() as stack:
        stack.enter_context(modules.restored())
        stack.enter_context(contextlib.chdir(target.cwd))
        if with_calls and target.is_our_server:
            stack.enter_context(observed(case.exercise, called, just_now))
        stuck = case.until
        try:
            return signed(simulator.run(main()))
        except TurnReached:
            assert stuck is not None, "else there is no such turn"
        except Endless as error:
            stuck = Stuck(simulator.handled, "waiting", error.where)
    assert world is not None, "the first turns are our own"
    world.timeline.record(_end_of(stuck, world))
    return signed(judged(world, prepared))


def _end_of(stuck: Stuck, world: SimWorld) -> Server:
    """What is recorded of a server that was stuck."""
    now, starts = world.now(), [each.what for each in world.history if isinstance(each, Server)]
    match stuck.why:
        case "ended":
            return Server(now, "died", {"code": stuck.code, "output": []})
        case "waiting":
            return Server(now, "unbounded", {"waiting": MOST_WAITING, "output": [stuck.where]})
        case "memory":
            return Server(now, "unbounded", {"mebibytes": PLAY_MEMORY // 2**20, "output": [stuck.where]})
        case "files":
            return Server(now, "unbounded", {"written": WRITTEN // 2**20, "output": [stuck.where]})
        case "processes":
            return Server(now, "unbounded", {"processes": PROCESSES, "output": [stuck.where]})
    if starts[-1:] == ["started"]:
        why = {"why": "not_listening", "seconds": READY_SECONDS, "output": [stuck.where]}
        return Server(now, "not_ready", why)
    return Server(now, "hung", {"output": [stuck.where]})
