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
"""Seconds in which they are tried, unless more are given."""
AT_ONCE = 10
"""Scenes that one child plays."""


def anomalies_of(run: Run) -> list[str]:
    """The names of the anomalies in a run, those of its first failed step first.

    Without those that only direct calls have shown: no scene can reproduce them.
    """
    failed = [step for step in run.steps if step.outcome is Outcome.FAILED]
    found = [anomaly for step in failed for anomaly in step.anomalies if not anomaly.is_of_a_contract]
    return list(dict.fromkeys(anomaly.name for anomaly in found))


class _Smallest(Struct):
    """The smallest case found so far that fails by the anomaly `name`, and the digest of its history."""

    case: Case | None = None
    digest: str = ""
    name: str = ""

    def take(self, run: Run, name: str) -> None:
        """Take a run in its place."""
        self.case, self.digest, self.name = run.case, run.digest, name


async def shrink(
    pool: ForkPool,
    target: Target,
    run: Run,
    progress: Callable[[int], None] = lambda scenes: None,
    seconds: float = MOST_SECONDS,
) -> Run | None:
    """The smallest run found that fails as this one does, with its history; None if no small scene does.

    `progress` is called with the number of scenes played so far. After so many seconds, the smallest one that
    was found by then is enough.
    """
    names = [name for name in anomalies_of(run) if name != "not_reached"]
    if not names or names[0] == "no_start":  # nothing is smaller than a start
        return None
    smallest = _Smallest()
    try:
        async with asyncio.timeout(seconds):
            await _search(pool, target, run, names, progress, smallest)
            await _without_acts(pool, target, smallest)
    except TimeoutError:
        pool.drop_all()
    return await pool.recall(target, smallest.case, smallest.digest) if smallest.case else None


async def _search(
    pool: ForkPool,
    target: Target,
    run: Run,
    names: list[str],
    progress: Callable[[int], None],
    smallest: _Smallest,
) -> None:
    """Find a scene that fails by the first of these anomalies, or if there is none, by another one."""
    played = 0
    for people, messages, faults in islice(_sizes(run.exercise), MOST // SCENES):
        cases = [_case(run, people, messages, faults, number) for number in range(SCENES)]
        runs = await _play(pool, target, cases)
        played += len(runs)
        progress(played)
        for each in runs:
            found = anomalies_of(each)
            shared = [name for name in names if name in found]
            is_better = smallest.case is None or names[0] in shared
            if shared and is_better and await _is_fair(pool, each):
                smallest.take(each, shared[0])
                if shared[0] == names[0]:
                    return


async def _is_fair(pool: ForkPool, run: Run) -> bool:
    """Whether the reference server passes the scene: if not, the scene is wrong, not the server."""
    assert run.case is not None
    (other,) = await pool.play(SimJob(reference(), [replace(run.case, until=None)]))
    return not anomalies_of(other)


def _sizes(exercise: int) -> Iterator[tuple[int, int, int]]:
    """From small to large; a third client is the last resort, since scenes of two are easiest to read."""
    scenes = SCENARIOS[exercise].SCENES
    sizes = product(scenes.people, scenes.messages, scenes.faults)
    return iter(sorted(sizes, key=lambda size: (size[0] > 2, sum(size), size)))


def _case(run: Run, people: int, messages: int, faults: int, number: int) -> Case:
    seed = f"{run.seed}/{people}-{messages}-{faults}-{number}"
    scenes = SCENARIOS[run.exercise].SCENES
    return Case(run.exercise, seed, script=script.plan(Random(seed), scenes, people, messages, faults))


async def _play(pool: ForkPool, target: Target, cases: list[Case]) -> list[Run]:
    parts = [cases[start : start + AT_ONCE] for start in range(0, len(cases), AT_ONCE)]
    runs = await side_by_side(*(pool.play(SimJob(target, part)) for part in parts))
    return [run for part in runs for run in part]


async def _without_acts(pool: ForkPool, target: Target, smallest: _Smallest) -> None:
    """Leave out all that the smallest case does not need."""
    while smallest.case is not None:
        fewer = [replace(smallest.case, script=less, until=None) for less in _less(smallest.case)]
        for each in await _play(pool, target, fewer):
            if smallest.name in anomalies_of(each) and await _is_fair(pool, each):
                smallest.take(each, smallest.name)
                break
        else:
            return


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
