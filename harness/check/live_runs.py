"""A check in the live world: one exercise after the other, or each in a process of its own."""

from __future__ import annotations

import asyncio

from harness.check.one_world import OneWorld
from harness.history.events import shortened
from harness.running.play import play
from harness.running.run import Run
from harness.running.tasks import side_by_side
from harness.running.worker import Job, run_in_process


class Live(OneWorld):
    """All runs in the live world, `jobs` at a time."""

    world = "live"

    async def play(self) -> list[list[Run]]:
        """The runs; each exercise is shown as soon as it is over, or each run if there are several jobs."""
        if self.options.jobs > 1:
            return await self._side_by_side()
        return [await self._one_run(number) for number in range(self.options.runs)]

    async def _one_run(self, number: int) -> list[Run]:
        """All exercises once, one after the other."""
        self.show(number, [])
        found = []
        for exercise, target in self.options.chosen.items():
            with self.terminal.progress(exercise) as tell:
                seed = str(self.options.seed + number)
                run = await play(exercise, target, seed, skip_slow=self.options.skip_slow, progress=tell)
            found.append(run)
            self.terminal.run(run)
            self.forget([run])
            run.history = shortened(run.history)
        return found

    async def _side_by_side(self) -> list[list[Run]]:
        """All exercises of all runs, `jobs` at a time."""
        places = asyncio.Semaphore(self.options.jobs)

        async def one(number: int, exercise: int) -> Run:
            async with places:
                target, seed = self.options.chosen[exercise], str(self.options.seed + number)
                keep = self.options.html_file is not None
                return await run_in_process(Job(exercise, target, seed, self.options.skip_slow, keep))

        async def all_of(number: int) -> list[Run]:
            found = await side_by_side(*(one(number, exercise) for exercise in self.options.chosen))
            self.show(number, found)
            self.forget(found)
            return found

        return await side_by_side(*(all_of(number) for number in range(self.options.runs)))
