"""How long a small scene is searched for."""

from __future__ import annotations

import asyncio
from typing import cast
from unittest.mock import Mock

from harness.judged import targets
from harness.minimize.shrink import MOST, SCENES, shrink
from harness.running.fork_pool import ForkPool, SimJob
from harness.running.run import Case
from tests.harness.check.checks import MadeUpPool, made_up


def scenes_in(seconds: float, costs: float) -> int:
    """How many scenes are played, if each costs so much and none of them fails."""
    pool = MadeUpPool(lambda case: "passed")
    pool.costs, pool.drop_all = costs, Mock()  # type: ignore[attr-defined]
    failed = made_up(2, "1", "lost", Case(2, "1"))
    asyncio.run(shrink(cast(ForkPool, pool), targets.reference(), failed, seconds=seconds))
    return len(pool.cases)


def test_the_search_ends_by_what_its_plays_cost() -> None:
    """So that a machine that does other things as well finds the same scene, a little later."""
    assert scenes_in(3.0 * SCENES, costs=1.0) == 3 * SCENES
    assert scenes_in(3.5 * SCENES, costs=1.0) == 4 * SCENES
    assert scenes_in(1000.0, costs=0.0) == MOST


def test_what_plays_have_cost_is_known() -> None:
    """It is processor time of children that have ended, divided by how many play at once."""

    async def spent(at_once: int) -> list[float]:
        async with ForkPool(at_once) as pool:
            found = [pool.spent]
            for _ in range(2):
                await pool.play(SimJob(targets.reference(), [Case(1, "1")]))
                found.append(pool.spent)
            return found

    one, two = asyncio.run(spent(1)), asyncio.run(spent(2))
    for nothing, first, second in (one, two):
        assert nothing == 0.0
        assert 0.0 < first < second
