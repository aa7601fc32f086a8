"""Calls a component directly, beside its play in a server: breaches of its contract are in the verdict."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping

from msgspec.structs import replace

from harness.contracts.result import ENDED, Played
from harness.judged.environment import of_server
from harness.judged.targets import Target
from harness.posix import CAN_FORK
from harness.running.fork_pool import ContractJob, ForkPool, PoolSetting
from harness.running.run import Run, nothing_known
from harness.running.tasks import side_by_side
from harness.verdict.causes import with_contract
from harness.verdict.judge import explain_by_first
from harness.verdict.outcome import Outcome, StepResult, Text
from harness.verdict.steps import BREAKABLE, COMPONENTS, points_for


async def called_directly(pool: ForkPool, exercise: int, target: Target) -> Played | None:
    """The result of calling the exercise's component directly; None if a whole server is judged."""
    component = COMPONENTS[exercise]
    where = target.uses.get(component)
    if not where or (target.build is not None and target.build.is_refused):
        return None
    if target.build is not None:
        where = target.build.compiled(component)
    return await pool.call(ContractJob(component, where, of_server(target.env, target.passed)))


async def called_alone(exercise: int, target: Target) -> Played | None:
    """The same in a process that is started for it."""
    return (await all_called_directly({exercise: target}))[exercise]


async def all_called_directly(
    chosen: Mapping[int, Target],
    at_once: int = 1,
    tell: Callable[[int, Played | None], None] = lambda exercise, played: None,
    setting: PoolSetting | None = None,
) -> Mapping[int, Played | None]:
    """The results for these exercises, `at_once` at a time; `tell` is called with each when it is there.

    The `setting` is that of the processes in which they are called.

    Systems without `os.fork`, which cannot simulate either (see `--world sim`), are not supported.
    """
    found: dict[int, Played | None] = dict.fromkeys(chosen)
    components = [
        each for each, target in chosen.items() if target.uses and target.uses.get(COMPONENTS[each])
    ]
    if not CAN_FORK:
        lacking = {
            each: Played(COMPONENTS[each], lacking="system", where=sys.platform) for each in components
        }
        return found | lacking
    if not components:
        return found

    async def one(exercise: int) -> None:
        found[exercise] = await called_directly(pool, exercise, chosen[exercise])
        tell(exercise, found[exercise])

    async with ForkPool(at_once, setting=setting or PoolSetting()) as pool:
        await side_by_side(*(one(exercise) for exercise in components))
    return found


def add_contract(run: Run, contract: Played | None) -> None:
    """Add the contract's breaches to the verdict. They are the same for each run of a component."""
    if contract is None:
        return
    if contract.problem:  # mostly, starting the server reports the same problem, and no step has passed
        _leave_open(run.steps, contract, Text("calls_unloaded", {"why": contract.problem}))
        return
    run.contract = contract
    run.defect = run.defect or contract.defect
    _with_contract(run.steps, contract, run.component)
    explain_by_first(run.steps)
    run.causes = with_contract(run.causes, [each.anomaly() for each in contract.found])
    has_slept = any(note.key == "slept" for note in run.notes)
    run.notes += [Text(*note) for note in contract.notes if not (has_slept and note[0] == "sleeps")]
    if any(each.is_wrong_time for each in contract.found):  # what is a finding is not tolerated
        run.notes[:] = [note for note in run.notes if note.key != "lenient.seconds"]
    if contract.lacking == ENDED:
        _leave_open(run.steps, contract, Text("calls_ended", {"where": contract.where}))
    elif contract.lacking:
        run.notes.append(Text("contract_open", {"where": contract.where}))
    if run.defect:
        run.gives_up(run.defect)


def _leave_open(results: list[StepResult], contract: Played, why: Text) -> None:
    """Give no points for what could not be called directly: else that would hide what this had found."""
    for number, result in enumerate(results):
        if result.step in BREAKABLE[contract.component] and result.outcome is Outcome.PASSED:
            results[number] = replace(result, outcome=Outcome.INCONCLUSIVE, points=0, receipt=why)


def known_directly(exercise: int, target: Target, contract: Played, seed: str, world: str) -> Run:
    """A run of which nothing is known but what direct calls have shown."""
    component = target.component
    broken = dict.fromkeys(each.step for each in contract.found)
    steps = [StepResult(step, Outcome.FAILED, 0, points_for(step, component), None) for step in broken]
    run = nothing_known(exercise, target, seed, world)
    run.steps = steps
    add_contract(run, contract)
    return run


def _with_contract(results: list[StepResult], played: Played, component: str | None) -> None:
    """Put the breaches of a component's contract into the verdict on the steps.

    A breach is certain, whatever else happened in the step, and has the smallest evidence: so it comes first.
    """
    found = {each.step: each.anomaly() for each in played.found}
    for number, result in enumerate(results):
        if result.step not in found:
            continue
        anomalies = [found[result.step], *(each for each in result.anomalies if each.name != "not_reached")]
        of = points_for(result.step, component)
        results[number] = StepResult(
            result.step, Outcome.FAILED, 0, of, None, result.notes, anomalies, result.lag
        )
