"""Whether a program that did not start again does start in a new process, on the same data.

A simulated restart runs a program again in the same Python process. What it did to the standard library is
undone (`process_state.py`), and its own modules are imported anew (`modules.py`); what installed packages
and C code keep is not. So a program that fails at a later start may be right: it may have a counter
that can be registered once in a process. It is then started once more, on the data that it found, in a
simulation in a new Python process. If it does not start there either, that is its own fault, such as a torn
file. If it does, the restart is not simulated. It costs a second, and only where the run is over anyway.
"""

from __future__ import annotations

import subprocess
import sys

from msgspec import Struct

from harness.history.as_json import to_json
from harness.judged.targets import Target

SECONDS = 10.0
"""Real seconds that a program has to start."""


class FirstStart(Struct):
    """A program that is to be started, where its data lies, and the time of day."""

    target: Target
    exercise: int
    data: str
    now: float
    heartbeat_interval: float
    offline_timeout: float


def starts_elsewhere(job: FirstStart) -> bool:
    """Whether it starts in a new process (see `start_once.py`), or uses there what is not simulated."""
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "harness.worlds.sim.start_once"],
            input=to_json(job),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0
