"""Whether a program that did not start again does start in a new process, on the same data.

A simulated restart runs a program again in the same Python process. What it did to the standard library is
undone (`process_state.py`), and its own modules are imported anew (`modules.py`); what installed packages
and C code keep is not. So a program that fails at a later start may be right: it has a counter, say, that
can be registered once in a process. It is then started once more, on what it had found, in a simulation in
a new Python process. If it does not start there either, that is its own fault: a torn file, say. If it
does, the restart is not simulated. It costs a second, and only where the play is over anyhow.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import msgspec
from msgspec import Struct

from harness.worlds.targets import Target

SECONDS = 10.0
"""Real seconds that a program has for it."""
_FAILED = 3


class FirstStart(Struct):
    """A program that is to be started, where its data lies, and the time of day."""

    target: Target
    exercise: int
    data: str
    now: float
    heartbeat_interval: float
    offline_timeout: float


def starts_elsewhere(job: FirstStart) -> bool:
    """Whether it starts in a new process, or does there what is not simulated."""
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "harness.worlds.sim.first_start"],
            input=msgspec.json.encode(job),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def main() -> None:
    """Do what standard input says, and exit with 0 if the program starts, or is refused."""
    from harness.worlds.sim import modules
    from harness.worlds.sim.simulator import Simulator
    from harness.worlds.sim.world import SimWorld

    job = msgspec.json.decode(sys.stdin.buffer.read(), type=FirstStart)
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
