"""A fuzzing campaign against one server: numbered attacks, a canary beside them, and their cost.

Attack number n of a seed is the same in each campaign, whatever happened before it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

from tests.stress.canary import Canary
from tests.stress.process import MIB, Measure, Server

Attack = Callable[[int, Random], Awaitable[None]]
"""Given the port and what its chance comes from. Raises AssertionError if it is answered wrongly."""

WARM_UP = 0.1
"""The share of the attacks after which growth is looked at."""
GROWTH = 12 * MIB
"""Bytes by which resident memory may grow after that. What leaks with each of 100,000 connections would be
more: a task or a session that is never let go has some kilobytes."""
REST_SECONDS = 20.0
"""Within which a server that is left alone has done with everybody: its own timeouts, and as much again."""
OPTIONS = ("--heartbeat-interval", "2", "--offline-timeout", "8")


@dataclass(frozen=True)
class Plan:
    """The attacks `first` to `last - 1`, some of them `at_once`."""

    name: str
    attack: Attack
    seed: int
    first: int
    last: int
    at_once: int


async def conduct(plan: Plan, folder: Path) -> str:
    """Run it; returns a line of figures. Raises AssertionError for whatever was wrong."""
    server = Server(folder, *OPTIONS)
    server.start()
    try:
        began = time.monotonic()
        numbers = iter(range(plan.first, plan.last))
        warm_up = max(1, int((plan.last - plan.first) * WARM_UP))
        async with Canary(server.port) as canary:
            alone = await asyncio.to_thread(server.measure)
            await _volley(plan, server, canary, numbers, warm_up)
            before = await rest(server, alone)
            await _volley(plan, server, canary, numbers, plan.last)
            after = await rest(server, before)
            await canary.final_check()
        assert not before.growth_to(after, GROWTH), f"before: {before}; after: {after}"
        assert await asyncio.to_thread(server.get, "/healthz") == "ok\n"
        assert server.stop() == 0
        assert not server.log(), server.log()[-5000:]
    except BaseException as error:
        error.add_note(f"CHATLAB_STRESS_SEED={plan.seed} repeats it; log: {server.log()[-5000:] or 'empty'}")
        raise
    finally:
        server.kill()
    took = time.monotonic() - began
    return (
        f"{plan.name}: {plan.last - plan.first} attacks in {took:.0f} s; after the warm-up {before}; "
        f"at the end {after}; the canary said {canary.said}, the slowest took {max(canary.took):.2f} s"
    )


async def rest(server: Server, until: Measure) -> Measure:
    """Wait until no figure of the server is above its value in `until`, or for REST_SECONDS."""
    deadline = time.monotonic() + REST_SECONDS
    while True:
        now = await asyncio.to_thread(server.measure)
        if not until.growth_to(now, float("inf")) or time.monotonic() > deadline:
            return now
        await asyncio.sleep(0.1)


async def _volley(plan: Plan, server: Server, canary: Canary, numbers: Iterator[int], count: int) -> None:
    """The next `count` attacks, or those that are left."""
    left = count

    async def attacker() -> None:
        nonlocal left
        while left > 0 and (number := next(numbers, None)) is not None:
            left -= 1
            try:
                await plan.attack(server.port, Random(f"{plan.name} {plan.seed} {number}"))
            except Exception as error:
                assert server.lives, "the server died"
                error.add_note(f"attack no. {number}: CHATLAB_FUZZ_FIRST={number} begins with it")
                raise
            canary.check()

    async with asyncio.TaskGroup() as group:
        for _ in range(plan.at_once):
            group.create_task(attacker())
