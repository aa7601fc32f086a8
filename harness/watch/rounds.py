"""One save, judged in three ways: each is surer than the one before, and takes longer.

    quick    direct calls, and a few small simulated plays: under a second
    more     a large simulated play, and more small ones: some seconds
    live     real processes and sockets, as `chatlab check` does

The next way is taken while nothing is found to be wrong. What cannot be simulated is called directly, as far
as that goes, and then judged live.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
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

QUICK_PLAYS = 3
"""Small plays of the quick way."""
MORE_PLAYS = 12
"""Small plays of the second one."""
_SEED = "1"
"""The simulated plays are the same each time: what has failed there fails until it is corrected."""
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

    async def verdicts(
        self, exercise: int, target: Target, on_step: Callable[[Event], None]
    ) -> AsyncIterator[Verdict]:
        """The verdict by each way, until something is wrong; `on_step` is told of live steps."""
        if self._pool is not None and self._pool.has_ended:
            await self._close()
            await self._open()
        pool, contract = self._pool, None
        if pool is not None:
            quick, contract = await self._quick(pool, exercise, target)
            yield Verdict(Way.QUICK, quick)
            if _is_wrong(quick):
                return
            if _is_simulated(target):
                more = await self._more(pool, exercise, target, contract)
                yield Verdict(Way.MORE, more)
                if _is_wrong(more):
                    return
        seed = str(SystemRandom().randrange(1_000_000))
        live = await play(exercise, target, seed, contract=contract, progress=on_step)
        yield Verdict(Way.LIVE, live)

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

    async def _quick(self, pool: ForkPool, exercise: int, target: Target) -> tuple[Run, Played | None]:
        if not _is_simulated(target):
            contract = await called_directly(pool, exercise, target)
            known = contract or Played("")
            return known_directly(exercise, target, known, _SEED, "sim"), contract
        small = [Case(exercise, str(int(_SEED) + number), SMALL) for number in range(QUICK_PLAYS)]
        played: list[Run] = []
        contracts: list[Played | None] = []

        async def call() -> None:
            contracts.append(await called_directly(pool, exercise, target))

        async def simulate() -> None:
            played.extend(await pool.play(SimJob(target, small, lean=False, with_calls=True)))

        await side_by_side(call(), simulate())
        run = worst_of(played)
        add_contract(run, contracts[0])
        return run, contracts[0]

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
