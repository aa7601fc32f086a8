"""Run programs to their end, as processes and on simulated hosts."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from harness.worlds.sim import modules
from harness.worlds.sim.simulator import Simulator
from tests.harness.worlds.simulations import LONG, simulate


class Ended(NamedTuple):
    """How a program ended, and what it printed."""

    code: int
    lines: list[str]


def run_live(path: Path, number: int) -> Ended:
    """Run a program as a process; if a signal is given, send it when the program prints "ready"."""
    env = {**os.environ, "PYTHONUNBUFFERED": "1", "PLACE": str(path.parent)}
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    command = [sys.executable, str(path)]
    with subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, text=True, **pipes) as process:
        lines = []
        for line in process.stdout or ():
            lines.append(line.rstrip("\n"))
            if number and lines == ["ready"]:
                process.send_signal(number)
    return Ended(process.returncode, lines)


def run_sim(path: Path, number: int) -> Ended:
    """Run a program on a simulated host, with the same arguments."""

    async def main(simulator: Simulator) -> Ended:
        host = simulator.host("program")
        host.start(lambda: modules.run_file(path, []), {"PLACE": str(path.parent)})
        async with asyncio.timeout(LONG):
            while host.exit_code is None:
                if number and host.lines() == ["ready"]:
                    host.send_signal(number)
                await asyncio.sleep(0.1)
        assert host.refused is None, str(host.refused)
        return Ended(host.exit_code, host.lines())

    ended: Ended = simulate(main)
    return ended


Program = Callable[..., Ended]
