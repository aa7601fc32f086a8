"""One save, judged in three ways: each is surer than the one before, and takes longer.

    quick    direct calls, and a few small simulated plays: under a second
    more     a large simulated play, and more small ones: some seconds
    live     real processes and sockets, as `chatlab check` does

The next way is taken while nothing is found to be wrong. What cannot be simulated is called directly, as far
as that goes, and then judged live.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from enum import StrEnum
from random import SystemRandom

from msgspec import Struct

from harness.contracts.result import Played
from harness.history.events import Event
from harness.judged import targets
from harness.judged.problems import BadTarget
from harness.judged.targets import Target
from harness.reports.summary import worst_of
from harness.running.direct_calls import add_contract, called_directly, known_directly
from harness.running.fork_pool import ForkPool, SimJob
from harness.running.play import play
from harness.running.run import Case, Run
from harness.running.tasks import side_by_side
from harness.scenarios.common import MODEST, SMALL
from harness.verdict.outcome import Outcome

QUICK_PLAYS = 2
"""Small plays of the quick way."""
MORE_PLAYS = 12
"""Small plays of the second one."""
_SEED = "1"
"""The simulated plays are the same each time: what has failed there fails until it is corrected."""
_PLAYS_TOO = 0.5
"""Seconds for which what direct calls have found waits for what plays find."""
_PART = 4
"""Plays of one process."""


class Way(StrEnum):
    """How something was judged; its value is a key of the texts."""

    QUICK = "quick"
    MORE = "more"
    LIVE = "live"


class Verdict(Struct):
    """What came of one way; without steps, it says nothing yet."""

    way: Way
    run: Run


class Judge:
    """Judges what is saved. Use it as an async context: it keeps processes ready that have all imported."""

    def __init__(self) -> None:
        self._pool: ForkPool | None = None

    async def __aenter__(self) -> Judge:
        await self._open()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._close()

    async def warm_up(self) -> None:
        """Have everything imported before something is saved."""
        if self._pool is not None:
            await self._pool.play(SimJob(targets.reference(), [Case(1, _SEED, 1)]))

    async def judge(
        self,
        exercise: int,
        target: Target,
        tell: Callable[[Verdict], None],
        on_step: Callable[[Event], None],
    ) -> None:
        """Tell the verdict by each way, until something is wrong; `on_step` is called with live steps."""
        if self._pool is not None and self._pool.has_ended:
            await self._close()
            await self._open()
        pool, contract = self._pool, None
        if pool is not None:
            quick, contract = await self._quick(pool, exercise, target, tell)
            tell(Verdict(Way.QUICK, quick))
            if _is_wrong(quick):
                return
            if quick.outcome is Outcome.PASSED and quick.case is not None:
                more = await self._more(pool, exercise, target, contract)
                tell(Verdict(Way.MORE, more))
                if _is_wrong(more):
                    return
        seed = str(SystemRandom().randrange(1_000_000))
        live = await play(exercise, target, seed, contract=contract, progress=on_step)
        tell(Verdict(Way.LIVE, live))

    def drop(self) -> None:
        """End what is simulated: its file was saved again."""
        if self._pool is not None:
            self._pool.drop_all()

    async def _open(self) -> None:
        if hasattr(os, "fork"):
            self._pool = await ForkPool(os.cpu_count() or 1).__aenter__()

    async def _close(self) -> None:
        if self._pool is not None:
            pool, self._pool = self._pool, None
            await pool.__aexit__(None, None, None)

    async def _quick(
        self, pool: ForkPool, exercise: int, target: Target, tell: Callable[[Verdict], None]
    ) -> tuple[Run, Played | None]:
        """What direct calls and small plays show. If plays take long, what calls have found is told first."""
        small = [Case(exercise, str(int(_SEED) + number), SMALL) for number in range(QUICK_PLAYS)]
        job = SimJob(target, small, lean=False, with_calls=True)
        async with asyncio.TaskGroup() as tasks:
            playing = tasks.create_task(pool.play(job)) if _is_simulated(target) else None
            contract = await called_directly(pool, exercise, target)
            known = known_directly(exercise, target, contract or Played(""), _SEED, "sim")
            if playing is not None and known.steps:
                await asyncio.wait([playing], timeout=_PLAYS_TOO)
                if not playing.done():
                    tell(Verdict(Way.QUICK, known))
        if playing is None:
            return known, contract
        run = worst_of(playing.result())
        add_contract(run, contract)
        return run, contract

    async def _more(self, pool: ForkPool, exercise: int, target: Target, contract: Played | None) -> Run:
        first = int(_SEED) + QUICK_PLAYS
        cases = [Case(exercise, str(number), SMALL) for number in range(first, first + MORE_PLAYS)]
        parts = [cases[at : at + _PART] for at in range(0, MORE_PLAYS, _PART)]
        parts.insert(0, [Case(exercise, _SEED, MODEST)])  # it takes longest, so it goes first
        found: dict[int, list[Run]] = {}

        async def some(number: int, part: list[Case]) -> None:
            found[number] = await pool.play(SimJob(target, part))

        await side_by_side(*(some(*each) for each in enumerate(parts)))
        run = worst_of([run for number in sorted(found) for run in found[number]])
        if run.outcome is not Outcome.PASSED and run.digest and run.case is not None:
            run = await pool.recall(target, run.case, run.digest)
        add_contract(run, contract)
        return run


def _is_wrong(run: Run) -> bool:
    return run.outcome is Outcome.FAILED or bool(run.defect)


def _is_simulated(target: Target) -> bool:
    try:
        targets.check_simulated(target)
    except BadTarget:
        return False
    return True
