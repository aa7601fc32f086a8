"""A check in the simulated world: many runs, and of what fails in them, the smallest scene."""

from __future__ import annotations

from collections.abc import Callable

from harness.check.files import write_replay
from harness.check.one_world import OneWorld
from harness.check.options import Options
from harness.minimize.shrink import MOST_SECONDS, anomalies_of, shrink
from harness.reports.summary import Scene, Summary, worst_of
from harness.reports.terminal import Terminal
from harness.running.direct_calls import add_contract, called_directly
from harness.running.fork_pool import ForkPool, SimJob
from harness.running.run import Case, Run
from harness.running.tasks import side_by_side
from harness.scenarios.catalogue import SCENARIOS
from harness.scenarios.common import MODEST, SMALL
from harness.verdict.outcome import Outcome

LARGE_RUNS = 3
"""Large runs that are played of an exercise whose small ones seldom fail, to say how often those do."""
_PART = 10
"""Plays that one simulating process does before it makes room for a fresh one."""


class Simulated(OneWorld):
    """All runs in the simulated world; of each exercise, the first that failed is made small."""

    world = "sim"

    def __init__(self, options: Options, terminal: Terminal) -> None:
        super().__init__(options, terminal)
        self._for_a_scene = MOST_SECONDS

    async def play(self) -> list[list[Run]]:
        """The runs; those that are worth it are shown when all were played."""
        async with ForkPool(self.options.jobs) as pool:
            with self.terminal.waiting(self._progress(0)) as tell:
                played = await self._all_runs(pool, lambda done: tell(self._progress(done)))
                for exercise in self.options.chosen:
                    await self._play_large(pool, _of(exercise, played))
            # The search for a small scene may take as long as it took to find the failure.
            self._for_a_scene = max(MOST_SECONDS, pool.spent / len(self.options.chosen))
            for number, runs in enumerate(played):
                for run in runs:
                    self.show(number, run)
            self.show_alike()
            for exercise in self.options.chosen:
                runs = _of(exercise, played)
                failed = [run for run in runs if anomalies_of(run)]
                if failed:
                    await self._explain(pool, failed[0])
                shown = worst_of(runs)
                if self.options.is_worth_a_page(shown.outcome):
                    await self._recall(pool, shown)
        return played

    async def _play_large(self, pool: ForkPool, runs: list[Run]) -> None:
        """Play more large runs of an exercise, if its first one, which is large, fails, and few others do."""
        first, *small = runs
        failed = sum(run.outcome is Outcome.FAILED for run in small)
        if self.options.small or first.outcome is not Outcome.FAILED or 2 * failed >= len(small):
            return
        seeds = (str(self.options.seed + more) for more in range(1, LARGE_RUNS))
        cases = [Case(first.exercise, seed, MODEST) for seed in seeds]
        jobs = [SimJob(self.options.chosen[first.exercise], [case]) for case in cases]
        self.large += [run for (run,) in await side_by_side(*(pool.play(job) for job in jobs))]

    async def _recall(self, pool: ForkPool, run: Run) -> None:
        """Play a run again to have its history, which is not kept of so many."""
        if not run.digest:
            return  # its process has died
        assert run.case is not None
        again = await pool.recall(self.options.chosen[run.exercise], run.case, run.digest)
        if again.digest == run.digest:
            run.history = again.history

    def _progress(self, done: int) -> str:
        all_of_them = self.options.runs * len(self.options.chosen)
        return self.terminal.texts.say("ui.simulated", done=done, n=all_of_them)

    async def _all_runs(self, pool: ForkPool, tell: Callable[[int], None]) -> list[list[Run]]:
        async def some(exercise: int, numbers: range) -> None:
            cases = [self._case(exercise, number) for number in numbers]
            job = SimJob(self.options.chosen[exercise], cases)
            for number, run in zip(numbers, await pool.play(job), strict=True):
                self._known[number, exercise] = run
            tell(len(self._known))

        async def directly(exercise: int) -> None:
            self._contracts[exercise] = await called_directly(pool, exercise, self.options.chosen[exercise])

        # The largest plays go first, so that none of them is left alone at the end.
        order = sorted(self.options.chosen, key=lambda exercise: -SCENARIOS[exercise].WEIGHT)
        parts = [
            range(1),
            *(range(at, min(at + _PART, self.options.runs)) for at in range(1, self.options.runs, _PART)),
        ]
        await side_by_side(
            *(directly(exercise) for exercise in self.options.chosen),
            *(some(exercise, part) for part in parts for exercise in order),
        )
        self._add_contracts()
        return [self._known_of(number) for number in range(self.options.runs)]

    def _add_contracts(self) -> None:
        """Add what direct calls have shown to all that is known."""
        for run in self._known.values():
            if run.contract is None:
                add_contract(run, self._contracts.get(run.exercise))

    def interrupted(self) -> Summary:
        """Show what is known in the middle of a play, and sum it up."""
        self._add_contracts()
        return super().interrupted()

    def _case(self, exercise: int, number: int) -> Case:
        size = SMALL if number or self.options.small else MODEST
        return Case(exercise, str(self.options.seed + number), size)

    async def _explain(self, pool: ForkPool, run: Run) -> None:
        """Make a failure small, show it, and write it down to be played again."""
        say = self.terminal.texts.say
        target = self.options.chosen[run.exercise]
        names = anomalies_of(run)
        with self.terminal.waiting(say("ui.shrinking", scenes=0)) as tell:
            small = await shrink(
                pool, target, run, lambda scenes: tell(say("ui.shrinking", scenes=scenes)), self._for_a_scene
            )
            if small is None:
                assert run.case is not None
                run = await pool.recall(target, run.case, run.digest)
        found = anomalies_of(small) if small else names
        name = next((each for each in names if each in found), "")
        if not name:
            self.terminal.block(say("ui.not_again", exercise=run.exercise, seed=run.named_seed), 2, "yellow")
            return
        self.terminal.small(run.exercise, name, small)
        path = write_replay(small or run, target, name, run.named_seed, self.terminal)
        if small is not None:
            self.scenes.append(Scene(run.exercise, name, small, path))


def _of(exercise: int, played: list[list[Run]]) -> list[Run]:
    """The runs of one exercise."""
    return [run for runs in played for run in runs if run.exercise == exercise]
