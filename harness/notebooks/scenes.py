"""Plays a scene in either world.

A scene is an `async` function of a world (`harness/worlds/base.py`): it makes clients, and has them act one
after the other. So what happens is the same each time; in the simulated world, when it happens is, too.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Awaitable, Callable
from random import Random

from msgspec import Struct

from harness.history.events import Called, Closed, GaveUp, History, Server, Stalled
from harness.judged.process import in_memory
from harness.judged.targets import Target
from harness.notebooks.apart import Sentence, apart
from harness.reports.words import Words
from harness.texts import Texts
from harness.worlds.base import World
from harness.worlds.live import LiveWorld
from harness.worlds.served import QUICK_INTERVAL, QUICK_TIMEOUT, ServedWorld
from harness.worlds.sim import modules
from harness.worlds.sim.latency_model import CAMPUS, LatencyModel
from harness.worlds.sim.observed import observed
from harness.worlds.sim.simulator import Simulator
from harness.worlds.sim.world import NEW_YEAR, SimWorld
from harness.worlds.surroundings import PlayStopped
from lab import command as imported  # noqa: F401 - the reference server is imported once, and not in every play

Scene = Callable[[World], Awaitable[None]]
TRIES = 5
"""How often a scene is played live at the most."""


class Setting(Struct, frozen=True):
    """How a scene is played: the exercise whose calls are recorded, a seed, and the server's intervals.

    `heartbeat` and `timeout` are in seconds.
    """

    exercise: int
    seed: str = "7"
    heartbeat: float = QUICK_INTERVAL
    timeout: float = QUICK_TIMEOUT


class NotPlayed(Sentence):
    """A scene came to no end, because the server did not start, or ended; it says what was seen last."""


async def simulated(scene: Scene, target: Target, setting: Setting, said: Texts) -> History:
    """Play a scene in virtual time, in a process of its own. Two plays have the same history.

    It contains the calls between components. Raises NotPlayed, Late,
    and Failed if the scene raises an exception.
    """
    with tempfile.TemporaryDirectory(prefix="chatlab-scene-", dir=in_memory()) as folder:

        def play() -> History:
            SimWorld.disk = folder
            return _in_virtual_time(scene, target, setting, said)

        return await apart(play)


def _in_virtual_time(scene: Scene, target: Target, setting: Setting, said: Texts) -> History:
    seed = f"{setting.seed}/{setting.exercise}"
    simulator = Simulator(seed, NEW_YEAR, LatencyModel(Random(f"{seed}/weather"), CAMPUS))
    world: SimWorld

    async def main() -> History:
        nonlocal world
        world = SimWorld(simulator, target, setting.exercise, setting.seed)
        return await _played(scene, world, setting, said)

    def called(event: Called) -> None:
        world.timeline.aside(event)

    with contextlib.ExitStack() as stack:
        stack.enter_context(modules.restored())
        stack.enter_context(contextlib.chdir(target.cwd))
        if target.is_our_server:
            stack.enter_context(observed(setting.exercise, called, lambda: world.timeline.just_now))
        return simulator.run(main())


async def played_live(scene: Scene, target: Target, setting: Setting, said: Texts) -> History:
    """Play a scene on a real server.

    If this machine had no time for us meanwhile, it is played again: then even a right server may have taken
    somebody for absent. Raises NotPlayed.
    """
    for _ in range(TRIES):
        events = await _played(scene, LiveWorld(target, setting.exercise, setting.seed), setting, said)
        if not any(isinstance(event, Stalled) for event in events):
            break
    return events


async def _played(scene: Scene, world: ServedWorld, setting: Setting, said: Texts) -> History:
    world.heartbeat_interval, world.offline_timeout = setting.heartbeat, setting.timeout
    try:
        await world.start_server()
        await scene(world)
        return world.timeline.with_asides()
    except PlayStopped as stopped:
        raise NotPlayed(_last_words(world, said)) from stopped
    finally:
        await world.close()


def _last_words(world: ServedWorld, said: Texts) -> str:
    """What went wrong last, as far as anybody saw it, and what the server printed."""
    ends = (Closed, GaveUp, Server)
    last = next((event for event in reversed(world.history) if isinstance(event, ends)), world.history[-1])
    at, who, what = Words(said, world.nonce).event(last)
    sentence = said.say("notebook.not_played", seconds=f"{at:.1f}", who=who, what=what)
    return "\n".join([sentence, *world.output()])
