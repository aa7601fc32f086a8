"""Plays animals against the exercises, and says for each step whether its verdict is as expected."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from enum import StrEnum
from pathlib import Path

from msgspec import Struct, field
from msgspec.structs import replace

from harness.judged import targets
from harness.judged.targets import Target
from harness.judged.tracks import TYPESCRIPT
from harness.running.direct_calls import add_contract, called_alone, called_directly
from harness.running.fork_pool import ForkPool, SimJob
from harness.running.run import Case, Run
from harness.running.tasks import side_by_side
from harness.running.worker import Job, run_in_process
from harness.scenarios.common import MODEST
from harness.verdict.outcome import Outcome, StepResult
from harness.verdict.steps import EXERCISES
from harness.zoo import typescript
from harness.zoo.animal import Animal
from harness.zoo.single_file import PLAIN


class Cell(StrEnum):
    """The verdict of a step on a server, compared with the expected one."""

    PASSED = "passed"
    CAUGHT = "caught"
    """It fails by the anomaly of the defect."""
    OTHER = "other"
    """It fails by another anomaly."""
    MISSED = "missed"
    """It passes, and should not."""
    ALSO = "also"
    """It fails too, which is allowed; or the play ended before it."""
    STRAY = "stray"
    """It fails, but has nothing to do with the defect."""
    OPEN = "open"
    """It is inconclusive or skipped, for example because the machine was too slow."""


WRONG = frozenset({Cell.OTHER, Cell.MISSED, Cell.STRAY})


class Row(Struct):
    """The results of one server in one world: a cell for each step that was played."""

    name: str
    world: str
    cells: dict[str, Cell]
    found: dict[str, list[str]]
    """The anomalies of each step that failed."""
    runs: list[Run] = field(default_factory=list)
    """What was played, without the histories of simulated plays."""

    @property
    def outcome(self) -> Outcome:
        """Passed if all is as expected. If an animal is caught, other steps may be inconclusive."""
        cells = set(self.cells.values())
        if cells & WRONG:
            return Outcome.FAILED
        is_open = Cell.OPEN in cells and Cell.CAUGHT not in cells
        return Outcome.INCONCLUSIVE if is_open else Outcome.PASSED


class Play(Struct, frozen=True):
    """One server in one world, with the target for each exercise. `animal` is None for a correct server."""

    name: str
    world: str
    targets: dict[int, Target]
    animal: Animal | None = None


def right_servers(world: str) -> dict[str, dict[int, Target]]:
    """Servers that must pass everything in a world, for each exercise."""
    solutions = targets.find_folder("solutions")
    found = {
        "the reference": dict.fromkeys(EXERCISES, targets.reference()),
        "the model answers": {n: targets.submission(solutions, n, together=False) for n in EXERCISES},
        "the single file": dict.fromkeys(EXERCISES, targets.at_file(str(PLAIN))),
        "the single file with a journal": dict.fromkeys(EXERCISES, _in_zoo("journal")),
    }
    if world == "live" and typescript.is_ready():
        found["the reference in TypeScript"] = dict.fromkeys(EXERCISES, targets.reference(TYPESCRIPT))
    return found


def _in_zoo(name: str) -> Target:
    return Target(name, (sys.executable, "-P", "-m", "harness.zoo", name))


def plan_of_cluster(animals: Sequence[Animal], nodes: int, *, everything: bool, right: bool) -> list[Play]:
    """The same for clusters of so many chat nodes: those animals that live there, and the reference."""
    found = plan(
        [each for each in animals if each.lives_in_cluster], ["live"], everything=everything, right=False
    )
    if right:
        found.insert(0, Play("the reference", "live", dict.fromkeys(EXERCISES, targets.reference())))
    return [
        replace(play, targets={n: replace(each, nodes=nodes) for n, each in play.targets.items()})
        for play in found
    ]


def plan(animals: Sequence[Animal], worlds: Sequence[str], *, everything: bool, right: bool) -> list[Play]:
    """What to play: in the live world, only the exercise that an animal belongs to, unless `everything`.

    With `right`, the correct servers come first.
    """
    plays = []
    for world in worlds:
        if right:
            plays += [Play(name, world, servers) for name, servers in right_servers(world).items()]
        for animal in animals:
            if world in animal.worlds:
                is_whole = not animal.component and (everything or world == "sim")
                chosen = EXERCISES if is_whole else (animal.exercise,)
                servers = dict.fromkeys(chosen, _in_zoo(animal.name))
                plays.append(Play(animal.name, world, servers, animal))
    return plays


async def play_all(plays: Sequence[Play], jobs: int, seed: int, told: Callable[[Row], None]) -> list[Row]:
    """Play everything, `jobs` exercises at a time; call `told` with each row when it is complete."""
    places = asyncio.Semaphore(jobs)
    async with AsyncExitStack() as stack:
        pool = None
        if any(play.world == "sim" for play in plays):
            pool = await stack.enter_async_context(ForkPool(min(jobs, os.cpu_count() or 1)))

        async def run_of(play: Play, exercise: int, target: Target) -> Run:
            with tempfile.TemporaryDirectory(prefix="chatlab-zoo-") as folder:
                if play.animal is not None:
                    target = _alone(play.animal, target, Path(folder))
                async with places:
                    if pool is not None and play.world == "sim":
                        contract = await called_directly(pool, exercise, target)
                        case = Case(exercise, str(seed), MODEST)
                        (run,) = await pool.play(SimJob(target, [case]))
                        add_contract(run, contract)
                        return run
                    contract = await called_alone(exercise, target)
                    job = Job(exercise, target, str(seed), skip_slow=False, contract=contract)
                    return await run_in_process(job)

        async def row_of(play: Play) -> Row:
            runs = await side_by_side(*(run_of(play, *each) for each in play.targets.items()))
            row = judged(play, runs)
            told(row)
            return row

        return await side_by_side(*(row_of(play) for play in plays))


def _alone(animal: Animal, target: Target, folder: Path) -> Target:
    """An animal in an empty folder, since some leave files there. A component is written to the folder."""
    if animal.file:
        return replace(typescript.target(animal, folder), cwd=str(folder))
    if not animal.component:
        return replace(target, cwd=str(folder))
    path = folder / EXERCISES[animal.exercise] / f"{animal.component}.py"
    path.parent.mkdir()
    path.write_text(animal.source, encoding="utf-8")
    found = targets.submission(folder, animal.exercise, together=False, label=animal.name)
    return replace(found, cwd=str(folder))


def judged(play: Play, runs: Sequence[Run]) -> Row:
    """The row for the runs of a server. Raises RuntimeError if the kit itself failed in one."""
    for run in runs:
        if run.defect:
            raise RuntimeError(f"{play.name}, exercise {run.exercise}, {play.world}: {run.defect}")
    steps = [step for run in runs for step in run.steps]
    found = {
        step.step: list(dict.fromkeys(each.name for each in step.anomalies))
        for step in steps
        if step.outcome is Outcome.FAILED
    }
    cells = {step.step: _cell(step, play.animal) for step in steps}
    if Cell.CAUGHT in cells.values():  # if it can be caught at several steps, one is enough
        enough = {Cell.OTHER: Cell.ALSO, Cell.MISSED: Cell.PASSED}
        cells = {step: enough.get(cell, cell) for step, cell in cells.items()}
    return Row(play.name, play.world, cells, found, list(runs))


def _cell(step: StepResult, animal: Animal | None) -> Cell:
    if step.outcome in (Outcome.INCONCLUSIVE, Outcome.SKIPPED):
        return Cell.OPEN
    passed = step.outcome is Outcome.PASSED
    if animal is None or step.step not in animal.steps:
        if passed:
            return Cell.PASSED
        stopped = {each.name for each in step.anomalies} == {"not_reached"}
        return Cell.ALSO if animal is not None and (stopped or step.step in animal.also) else Cell.STRAY
    if passed:
        return Cell.MISSED
    caught = animal.anomaly in {each.name for each in step.anomalies}
    return Cell.CAUGHT if caught else Cell.OTHER
