"""Run coroutines in each kind of event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from harness.worlds.sim.simulator import Simulator
from tests.harness.worlds.simulations import LONG, simulate

Main = Callable[[], Coroutine[Any, Any, Any]]
Run = Callable[[Main], Any]


def run_in_sim(main: Main) -> Any:
    """Run it in the loop of the harness, in a simulation."""
    return simulate(lambda simulator: main())


def run_on_host(main: Main) -> Any:
    """Run it by `asyncio.run` in the main part of a simulated program."""
    results, errors = [], []

    def program() -> None:
        try:
            results.append(asyncio.run(main()))
        except BaseException as error:
            errors.append(error)
            raise

    async def wait(simulator: Simulator) -> None:
        host = simulator.host("program")
        host.start(program, {})
        async with asyncio.timeout(LONG):
            while host.exit_code is None:
                await asyncio.sleep(0.1)

    simulate(wait)
    if errors:
        raise errors[0]
    return results[0]
