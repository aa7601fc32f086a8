"""Reduces a failure to the fewest clients, messages and faults that still fail by the same anomaly.

The method is simple: random scenes of growing size are played, some of each, until one fails in the same way
(MacIver and Donaldson, ECOOP 2020, also shrink by generating smaller cases). Then each act is left out in
turn.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from itertools import islice, product
from random import Random

from msgspec import Struct
from msgspec.structs import replace

from harness.judged.targets import Target, reference
from harness.running.fork_pool import ForkPool, SimJob
from harness.running.run import Case, Run
from harness.running.tasks import side_by_side
from harness.scenarios import script
from harness.scenarios.catalogue import SCENARIOS
from harness.scenarios.script import Script
from harness.verdict.outcome import Outcome

SCENES = 20
"""Scenes of each size that are tried."""
MOST = 600
"""Scenes that are tried in all."""
MOST_SECONDS = 4.0
"""Seconds in which they are tried, if the cores do nothing else, unless more are given."""
_BUSY_MACHINE = 3.0
"""How many times as long it may take where other programs have a share, or a server sleeps."""
AT_ONCE = 10
"""Scenes that one child plays."""


def anomalies_of(run: Run) -> list[str]:
    """The names of the anomalies in a run, those of its first failed step first.

    Without those that only direct calls have shown: no scene can reproduce them.
    """
    failed = [step for step in run.steps if step.outcome is Outcome.FAILED]
    found = [anomaly for step in failed for anomaly in step.anomalies if not anomaly.is_of_a_contract]
    return list(dict.fromkeys(anomaly.name for anomaly in found))


async def shrink(
    pool: ForkPool,
    target: Target,
    run: Run,
    progress: Callable[[int], None] = lambda scenes: None,
    seconds: float = MOST_SECONDS,
) -> Run | None:
    """The smallest run found that fails as this one does, with its history; None if no small scene does.

    `progress` is called with the number of scenes played so far. After so many seconds, the smallest one that
    was found by then is enough. What is counted is what the plays cost (`ForkPool.spent`), so that other
    programs on the machine seldom have a say in which scene is found.
    """
    names = [name for name in anomalies_of(run) if name != "not_reached"]
    if not names or names[0] == "no_start":  # nothing is smaller than a start
        return None
    search = _Search(pool, target, run, names, pool.spent + seconds)
    try:
        async with asyncio.timeout(seconds * _BUSY_MACHINE):
            await search.over_sizes(progress)
            await search.without_acts()
    except TimeoutError:
        pool.drop_all()
    return await pool.recall(target, search.smallest, search.digest) if search.smallest else None


class _Search(Struct):
    """The search for a small scene that fails by one of these anomalies, if possible by the first."""

    pool: ForkPool
    target: Target
    run: Run
    names: list[str]
    until: float
    """What the pool may have spent by then."""
    smallest: Case | None = None
    """The smallest case found so far."""
    digest: str = ""
    """That of its history."""
    name: str = ""
    """The anomaly by which it fails."""

    async def over_sizes(self, progress: Callable[[int], None]) -> None:
        """Find a scene that fails by the first of the anomalies, or if there is none, by another one."""
        played = 0
        for people, messages, faults in islice(_sizes(self.run.exercise), MOST // SCENES):
            runs = await self._play(
                [_case(self.run, people, messages, faults, number) for number in range(SCENES)]
            )
            played += len(runs)
            progress(played)
            for each in runs:
                found = anomalies_of(each)
                shared = [name for name in self.names if name in found]
                is_better = self.smallest is None or self.names[0] in shared
                if shared and is_better and await self._is_fair(each):
                    self._take(each, shared[0])
                    if shared[0] == self.names[0]:
                        return

    async def without_acts(self) -> None:
        """Leave out all that the smallest case does not need."""
        while self.smallest is not None:
            fewer = [replace(self.smallest, script=less, until=None) for less in _less(self.smallest)]
            for each in await self._play(fewer):
                if self.name in anomalies_of(each) and await self._is_fair(each):
                    self._take(each, self.name)
                    break
            else:
                return

    def _take(self, run: Run, name: str) -> None:
        self.smallest, self.digest, self.name = run.case, run.digest, name

    async def _is_fair(self, run: Run) -> bool:
        """Whether the reference server passes the scene: if not, the scene is wrong, not the server."""
        assert run.case is not None
        (other,) = await self.pool.play(SimJob(reference(), [replace(run.case, until=None)]))
        return not anomalies_of(other)

    async def _play(self, cases: list[Case]) -> list[Run]:
        """Play them; raises TimeoutError if the search has taken its time."""
        if self.pool.spent >= self.until:
            raise TimeoutError
        parts = [cases[start : start + AT_ONCE] for start in range(0, len(cases), AT_ONCE)]
        runs = await side_by_side(*(self.pool.play(SimJob(self.target, part)) for part in parts))
        return [run for part in runs for run in part]


def _sizes(exercise: int) -> Iterator[tuple[int, int, int]]:
    """From small to large; a third client is the last resort, since scenes of two are easiest to read."""
    scenes = SCENARIOS[exercise].SCENES
    sizes = product(scenes.people, scenes.messages, scenes.faults)
    return iter(sorted(sizes, key=lambda size: (size[0] > 2, sum(size), size)))


def _case(run: Run, people: int, messages: int, faults: int, number: int) -> Case:
    seed = f"{run.seed}/{people}-{messages}-{faults}-{number}"
    scenes = SCENARIOS[run.exercise].SCENES
    return Case(run.exercise, seed, script=script.plan(Random(seed), scenes, people, messages, faults))


def _less(case: Case) -> list[Script]:
    """The script with one thing less: an act, a wait, or a client that does nothing."""
    whole = case.script
    assert whole is not None
    fewer = [replace(whole, acts=whole.acts[:n] + whole.acts[n + 1 :]) for n in range(len(whole.acts))]
    if whole.intervals:
        fewer.append(replace(whole, intervals=0))
    idle = set(range(len(whole.users))) - {act.who for act in whole.acts}
    fewer += [_without(whole, number) for number in sorted(idle) if len(whole.users) > 1]
    return fewer


def _without(whole: Script, number: int) -> Script:
    def moved(who: int) -> int:
        return who - (who > number)

    return replace(
        whole,
        users=whole.users[:number] + whole.users[number + 1 :],
        inside=[moved(who) for who in whole.inside if who != number],
        acts=[replace(act, who=moved(act.who)) for act in whole.acts],
    )
