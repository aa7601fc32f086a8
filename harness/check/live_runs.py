"""A check in the live world: one exercise after the other, or each in a process of its own."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from itertools import product

from harness.check.one_world import OneWorld
from harness.contracts.result import Played
from harness.history.events import shortened
from harness.running.direct_calls import all_called_directly
from harness.running.play import SoFar, play
from harness.running.run import Run
from harness.running.tasks import side_by_side
from harness.running.worker import Job, run_in_process


class Live(OneWorld):
    """All runs in the live world, `jobs` at a time."""

    world = "live"
    _playing: SoFar | None = None

    async def play(self) -> list[list[Run]]:
        """The runs; each exercise is shown as soon as it and those before it are over."""
        await self._call_directly()
        if self.options.jobs > 1:
            found = await self._side_by_side()
        else:
            found = [await self._one_run(number) for number in range(self.options.runs)]
        self.show_alike()
        return found

    async def _call_directly(self) -> None:
        """Call all components, before anything is played: nothing runs beside a live play."""

        def called(exercise: int, played: Played | None) -> None:
            self._contracts[exercise] = played
            tell(say("ui.calling", done=len(self._contracts), n=n))

        say, n = self.terminal.texts.say, len(self.options.chosen)
        with self.terminal.waiting(say("ui.calling", done=0, n=n)) as tell:
            await all_called_directly(self.options.chosen, os.cpu_count() or 1, called)

    async def _one_run(self, number: int) -> list[Run]:
        """All exercises once, one after the other."""
        which = self.title(number) if self.options.runs > 1 else ""
        for exercise, target in self.options.chosen.items():
            with self.terminal.progress(exercise, which) as tell:
                seed = str(self.options.seed + number)
                run = await play(
                    exercise,
                    target,
                    seed,
                    contract=self._contracts.get(exercise),
                    skip_slow=self.options.skip_slow,
                    progress=tell,
                    begun=self._begin,
                )
            self._playing = None
            self._known[number, exercise] = run
            self.show(number, run)
            self.forget([run])
            run.history = shortened(run.history)
        return self._known_of(number)

    async def _side_by_side(self) -> list[list[Run]]:
        """All exercises of all runs, `jobs` at a time; they are shown in order."""
        places = asyncio.Semaphore(self.options.jobs)
        order = list(product(range(self.options.runs), self.options.chosen))
        found, waiting = self._known, list(order)

        async def one(number: int, exercise: int) -> None:
            async with places:
                target, seed = self.options.chosen[exercise], str(self.options.seed + number)
                keep = self.options.html_file is not None
                job = Job(exercise, target, seed, self.options.skip_slow, self._contracts.get(exercise), keep)
                found[number, exercise] = await run_in_process(job)
            tell(self._progress(len(found)))
            while waiting and waiting[0] in found:
                self.show(waiting[0][0], found[waiting[0]])
                self.forget([found[waiting.pop(0)]])

        with self.terminal.waiting(self._progress(0)) as tell:
            await side_by_side(*(one(*each) for each in order))
        return [self._known_of(number) for number in range(self.options.runs)]

    def certain_now(self) -> list[Run]:
        """What is certain of the exercise that is being played, and of those that come later."""
        playing: list[Run] = []
        with suppress(Exception):  # it was made for a whole history, and it is not worth a traceback
            playing = [run for run in [self._playing()] if run.steps] if self._playing else []
        others = super().certain_now()
        return playing + [run for run in others if run.exercise not in {each.exercise for each in playing}]

    def _begin(self, so_far: SoFar) -> None:
        self._playing = so_far

    def _progress(self, done: int) -> str:
        n = self.options.runs * len(self.options.chosen)
        return self.terminal.texts.say("ui.played", done=done, n=n)
