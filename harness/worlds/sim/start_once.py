"""The other half of `first_start.py`: starts a program once, in a simulation in a process of its own."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

from harness.history.as_json import from_json
from harness.worlds.sim import modules
from harness.worlds.sim.first_start import FirstStart
from harness.worlds.sim.simulator import Simulator
from harness.worlds.sim.world import SimWorld

_FAILED = 3


def main() -> None:
    """Do the job on standard input, and exit with 0 if the program starts, or is refused."""
    job = from_json(sys.stdin.buffer.read(), FirstStart)
    simulator = Simulator("first start", job.now)

    async def start() -> bool:
        world = SimWorld(simulator, job.target, job.exercise, "first start")
        world.heartbeat_interval, world.offline_timeout = job.heartbeat_interval, job.offline_timeout
        return await world.starts_on(Path(job.data))

    with modules.restored(), contextlib.chdir(job.target.cwd):
        starts = simulator.run(start())
    os._exit(0 if starts else _FAILED)  # so that no destructor runs


if __name__ == "__main__":
    main()
