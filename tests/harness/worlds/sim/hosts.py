"""Programs on simulated hosts, as functions and as files."""

from __future__ import annotations

import asyncio
import textwrap
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from harness.worlds.sim import modules
from harness.worlds.sim.host import Host
from harness.worlds.sim.simulator import Simulator
from tests.harness.worlds.simulations import PAST, simulate

LONG = 100_000.0
"""Seconds of virtual time in which everything ends that ever does."""


def start(simulator: Simulator, main: Callable[[], object], **environ: str) -> Host:
    """Start a program on a new host."""
    host = simulator.host("program")
    host.start(main, environ)
    return host


def running(main: Callable[..., Coroutine[Any, Any, Any]], *args: Any) -> Callable[[], object]:
    """Return the main part of a program that runs a coroutine."""
    return lambda: asyncio.run(main(*args))


async def ended(host: Host) -> int:
    """Wait until a host has ended; returns its exit code."""
    nap = 0.01
    async with asyncio.timeout(2 * LONG):
        while host.exit_code is None:
            await asyncio.sleep(nap)
            nap = min(2 * nap, 100.0)
    return host.exit_code


def run_host(main: Callable[[], object], seed: str = "seed", **environ: str) -> Host:
    """Run a program on a host to its end."""

    async def play(simulator: Simulator) -> Host:
        host = start(simulator, main, **environ)
        await ended(host)
        return host

    host: Host = simulate(play, seed)
    return host


class Code:
    """Programs in files, since servers are files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def main(self, text: str, name: str = "server.py") -> Callable[[], object]:
        """The main part of a program with this text."""
        path = self.folder / name
        path.write_text(textwrap.dedent(text))

        def main() -> None:
            PAST[-1].hosts[-1].keep(modules.forget_own("lab"))
            modules.run_file(path, [])

        return main

    def run(self, text: str, seed: str = "seed", **environ: str) -> Host:
        """Run a program with this text on a host to its end."""
        return run_host(self.main(text), seed, **environ)


class DestructorTrace:
    """Records that its destructor has run."""

    def __init__(self, traces: list[str], what: str) -> None:
        self.traces = traces
        self.what = what

    def __del__(self) -> None:
        self.traces.append(self.what)


async def waits_in_many_ways(traces: list[str]) -> None:
    """Wait, with cleanup code of every kind: `finally`, `except`, context managers, generators."""

    @asynccontextmanager
    async def manager() -> AsyncIterator[None]:
        try:
            yield
        finally:
            traces.append("context")

    async def numbers() -> AsyncIterator[int]:
        try:
            yield 1
            await asyncio.sleep(LONG)
        finally:
            traces.append("generator")

    traced = DestructorTrace(traces, "destructor")
    try:
        async with manager(), asyncio.timeout(LONG / 2):
            async for _ in numbers():
                await asyncio.sleep(LONG)
    except BaseException:
        traces.append("except")
    finally:
        traces.append("finally")
        del traced
