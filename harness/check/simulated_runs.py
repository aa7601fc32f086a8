"""A check in the simulated world: many runs, and of what fails in them, the smallest scene."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from harness.check.files import write_replay
from harness.check.one_world import OneWorld
from harness.contracts.result import Played
from harness.history.events import shortened
from harness.minimize.shrink import anomalies_of, shrink
from harness.reports.summary import Scene, worst_of
from harness.running.fork_pool import ForkPool, SimJob
from harness.running.play import add_contract, played_directly
from harness.running.run import Case, Run
from harness.running.tasks import side_by_side
from harness.scenarios.catalogue import SCENARIOS
from harness.scenarios.common import MODEST, SMALL
from harness.verdict.outcome import Outcome, overall

SHOWN_FAILURES = 3
"""Ways to fail that are shown in full, if there are many."""
SHOWN_SEEDS = 8
"""Seeds of the others that are named."""
_PART = 10
"""Plays that one simulating process does before it makes room for a fresh one."""


class Simulated(OneWorld):
    """All runs in the simulated world; of each exercise, the first that failed is made small."""

    world = "sim"

    async def play(self) -> list[list[Run]]:
        """The runs; those that are worth it are shown when all were played."""
        async with ForkPool(self.options.jobs) as pool:
            with self.terminal.waiting(self._progress(0)) as tell:
                played = await self._all_runs(pool, lambda done: tell(self._progress(done)))
            self._show_some(played)
            for exercise in self.options.chosen:
                runs = [run for run_of_all in played for run in run_of_all if run.exercise == exercise]
                failed = [run for run in runs if anomalies_of(run)]
                if failed:
                    await self._explain(pool, failed[0])
                shown = worst_of(runs)
                if self.options.is_worth_a_page(shown.outcome):
                    await self._recall(pool, shown)
        return played

    async def _recall(self, pool: ForkPool, run: Run) -> None:
        """Play a run again to have its history, which is not kept of so many."""
        assert run.case is not None
        again = await pool.recall(self.options.chosen[run.exercise], run.case, run.digest)
        if again.digest == run.digest:
            run.history = shortened(again.history)

    def _show_some(self, played: list[list[Run]]) -> None:
        """The first run in full, and of the others those that failed in a way not shown yet."""
        shown: list[set[str]] = []
        alike: list[int] = []
        for number, runs in enumerate(played):
            way = {name for run in runs for name in (*anomalies_of(run), run.outcome)}
            if number == 0 or not (_passed(runs) or way in shown or len(shown) > SHOWN_FAILURES):
                self.show(number, runs)
                shown.append(way)
            elif not _passed(runs):
                alike.append(self.options.seed + number)
        if alike:
            seeds = ", ".join(map(str, alike[:SHOWN_SEEDS])) + (", …" if len(alike) > SHOWN_SEEDS else "")
            self.terminal.block(self.terminal.texts.say("ui.alike", count=len(alike), seeds=seeds), 2)
            self.terminal.line()

    def _progress(self, done: int) -> str:
        all_of_them = self.options.runs * len(self.options.chosen)
        return self.terminal.texts.say("ui.simulated", done=done, n=all_of_them)

    async def _all_runs(self, pool: ForkPool, tell: Callable[[int], None]) -> list[list[Run]]:
        done = 0

        async def some(exercise: int, numbers: range) -> list[Run]:
            nonlocal done
            cases = [self._case(exercise, number) for number in numbers]
            job = SimJob(self.options.chosen[exercise], cases)
            runs = await pool.play(job)
            done += len(runs)
            tell(done)
            return runs

        # The largest plays go first, so that none of them is left alone at the end.
        order = sorted(self.options.chosen, key=lambda exercise: -SCENARIOS[exercise].WEIGHT)
        parts = [
            range(1),
            *(range(at, min(at + _PART, self.options.runs)) for at in range(1, self.options.runs, _PART)),
        ]
        both: list[Any] = await side_by_side(
            side_by_side(*(played_directly(*each) for each in self.options.chosen.items())),
            side_by_side(*(some(exercise, part) for part in parts for exercise in order)),
        )
        contracts: list[Played | None] = both[0]
        found: list[list[Run]] = both[1]
        by_exercise = {
            exercise: [run for runs in found for run in runs if run.exercise == exercise]
            for exercise in self.options.chosen
        }
        for runs, contract in zip(by_exercise.values(), contracts, strict=True):
            for run in runs:
                add_contract(run, contract)
        return [list(runs) for runs in zip(*by_exercise.values(), strict=True)]

    def _case(self, exercise: int, number: int) -> Case:
        size = SMALL if number or self.options.small else MODEST
        return Case(exercise, str(self.options.seed + number), size)

    async def _explain(self, pool: ForkPool, run: Run) -> None:
        """Make a failure small, show it, and write it down to be played again."""
        say = self.terminal.texts.say
        target = self.options.chosen[run.exercise]
        names = anomalies_of(run)
        with self.terminal.waiting(say("ui.shrinking", scenes=0)) as tell:
            small = await shrink(pool, target, run, lambda scenes: tell(say("ui.shrinking", scenes=scenes)))
            if small is None:
                assert run.case is not None
                run = await pool.recall(target, run.case, run.digest)
        found = anomalies_of(small) if small else names
        name = next((each for each in names if each in found), "")
        if not name:
            self.terminal.block(say("ui.not_again", exercise=run.exercise, seed=run.seed), 2, "yellow")
            return
        self.terminal.small(run.exercise, name, small)
        path = write_replay(small or run, target, name, run.seed, self.terminal)
        if small is not None:
            self.scenes.append(Scene(run.exercise, name, small, path))


def _passed(runs: list[Run]) -> bool:
    return overall([run.outcome for run in runs]) is Outcome.PASSED
