"""Of many runs: which are shown, how they are counted, and with which seeds they are played again."""

from __future__ import annotations

import asyncio
from pathlib import Path
from unittest.mock import AsyncMock

import pytest

from harness.check import live_runs, simulated_runs
from harness.check.live_runs import Live
from harness.check.simulated_runs import Simulated
from harness.judged import targets
from harness.reports.counts import frequency, seeds_in_words
from harness.reports.jsonreport import report
from harness.reports.summary import Summary
from harness.running.fork_pool import ForkPool, SimJob
from harness.running.run import Case
from harness.running.worker import Job
from harness.scenarios.common import MODEST, SMALL
from harness.texts import texts
from harness.texts.seed import read
from tests.harness.check.checks import MadeUpPool, Verdict, made_up, options, terminal


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a check writes goes into a folder of the test."""
    monkeypatch.chdir(tmp_path)


async def simulated(
    monkeypatch: pytest.MonkeyPatch, verdict: Verdict, language: str = "en", **more: object
) -> tuple[Summary, str, list[Case]]:
    """The summary, the output, and the cases of a check whose plays are made up."""
    pool = MadeUpPool(verdict)
    monkeypatch.setattr(simulated_runs, "ForkPool", pool)
    monkeypatch.setattr(simulated_runs, "called_directly", AsyncMock(return_value=None))
    monkeypatch.setattr(simulated_runs, "shrink", AsyncMock(return_value=None))
    shown, out = terminal(language)
    summary = await Simulated(options(**more), shown).summary()
    return summary, out.getvalue(), pool.cases


async def live(monkeypatch: pytest.MonkeyPatch, verdicts: dict[str, str], **more: object) -> str:
    """The output of a live check in which a run with a seed has this verdict; the others pass."""

    async def played(exercise: int, target: object, seed: str, **_: object) -> object:
        return made_up(exercise, seed, verdicts.get(seed, "passed"))

    async def in_process(job: Job) -> object:
        await asyncio.sleep(0.01 * (job.seed == "12"))  # the first is the last to be ready
        return await played(job.exercise, job.target, job.seed)

    monkeypatch.setattr(live_runs, "play", played)
    monkeypatch.setattr(live_runs, "run_in_process", in_process)
    shown, out = terminal()
    await Live(options(world="live", **more), shown).summary()
    return out.getvalue()


async def test_inconclusive_runs_are_not_called_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Passed, failed and inconclusive are counted apart, each with the seeds that are to be looked at."""
    verdicts = {"15": "lost", "18": "lost", "30": "inconclusive"}
    summary, out, _ = await simulated(monkeypatch, lambda case: verdicts.get(case.seed, "passed"), runs=20)
    assert "20 runs: 17 passed, 2 failed (seeds 15s, 18s), 1 inconclusive (seed 30s)" in out
    assert "Exercise 2: 1 more alike (failed), seed 18s." in out
    assert "did not pass" not in out
    told = report(summary, texts())
    assert told["runs"] == {"n": 20, "passed": 17, "failed": 2, "inconclusive": 1}
    assert told["seeds"] == {"failed": ["15s", "18s"], "inconclusive": ["30s"]}


async def test_in_french_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """The counts agree with whatever number they are."""
    verdicts = {"15": "lost", "30": "inconclusive"}
    _, out, _ = await simulated(monkeypatch, lambda case: verdicts.get(case.seed, "passed"), "fr", runs=20)
    assert "Sur 20 essais, réussis : 18, échoués : 1 (graine 15s), non concluants : 1 (graine 30s)" in out


async def test_only_inconclusive_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are one block; nothing is called failed."""
    summary, out, _ = await simulated(monkeypatch, lambda case: "inconclusive", runs=5)
    assert summary.outcome == "inconclusive"
    assert "5 runs: 5 inconclusive (seeds 12, 13s to 16s)" in out
    assert out.count("? 2.2") == 1
    assert "failed" not in out.replace("0 failed", "")


@pytest.mark.parametrize("jobs", [1, 3])
async def test_live_runs_that_are_alike_are_one_block(monkeypatch: pytest.MonkeyPatch, jobs: int) -> None:
    """The first is shown in full, the others are counted, with seeds; a different one is shown as well."""
    out = await live(monkeypatch, {"15": "lost"}, runs=10, jobs=jobs)
    assert out.count("Exercise 2: Message ordering") == 2
    assert out.index("Run 1 of 10   [seed 12]") < out.index("Run 4 of 10   [seed 15]")
    assert "Exercise 2: 8 more alike (passed), seeds 13, 14, 16 to 21." in out
    assert "10 runs: 9 passed, 1 failed (seed 15)" in out
    assert "To repeat the same plan: --seed 15" in out


async def test_each_exercise_is_folded_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """A failure in one exercise does not show the others again."""
    _, out, _ = await simulated(
        monkeypatch,
        lambda case: "lost" if (case.exercise, case.seed) == (2, "13") else "passed",
        exercises=(1, 2),
        runs=3,
    )
    assert out.count("Exercise 1: Basic chat") == 1
    assert out.count("Exercise 2: Message ordering") == 2
    assert "Exercise 1: 2 more alike (passed), seeds 13s, 14s." in out
    assert "Exercise 2: 1 more alike (passed), seed 14s." in out


async def test_exercises_of_which_the_same_is_told_share_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Right code is told little."""
    _, out, _ = await simulated(monkeypatch, lambda case: "passed", exercises=(1, 2, 3), runs=5)
    assert out.count("more alike") == 1
    assert "Exercise 1, 2, 3: 4 more alike (passed), seeds 13s to 16s." in out


async def test_not_too_many_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of many runs that differ, some are shown, and the others counted."""
    names = ["lost", "duplicate", "reorder", "slow_stop", "stored_twice", "not_kept"]
    _, out, _ = await simulated(monkeypatch, lambda case: names[int(case.seed) - 12], runs=6)
    assert out.count("Exercise 2: Message ordering") == 4
    assert "Exercise 2: 2 more with other findings (failed), seeds 16s, 17s." in out


async def test_a_mistake_of_the_large_play_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """If the first run fails, which plays much, and few others, more of its size are played and counted."""
    _, out, cases = await simulated(
        monkeypatch, lambda case: "lost" if case.size == MODEST else "passed", runs=20
    )
    assert [case.seed for case in cases if case.size == MODEST] == ["12", "13", "14"]
    assert "20 runs: 19 passed, 1 failed (seed 12)" in out
    assert "2 more large runs were played (seeds 13, 14): 3 of 3 large runs failed, and 0 of 19 small" in out


@pytest.mark.parametrize("more", [{"small": True, "runs": 5}, {"runs": 1}, {"runs": 5}])
async def test_else_no_more_are_played(monkeypatch: pytest.MonkeyPatch, more: dict[str, object]) -> None:
    """No more if all are small, if there is one run, or if small ones fail as well."""
    _, out, cases = await simulated(monkeypatch, lambda case: "lost", **more)
    assert len(cases) == more["runs"]
    assert "large" not in out


def test_seeds_in_a_row_are_a_range() -> None:
    """Three or more; a large and a small play do not follow one another; a long list ends early."""
    assert seeds_in_words(["7"], texts()) == "seed 7"
    assert seeds_in_words(["7", "8s", "9s", "11s", "12s", "13s"], texts()) == "seeds 7, 8s, 9s, 11s to 13s"
    assert seeds_in_words([str(n) for n in range(0, 40, 2)], texts()).endswith("12, 14, …")


def test_one_run_is_not_counted() -> None:
    """A sum of one says nothing."""
    assert frequency(Summary(1, "live", "x", 1.0, [[made_up(2, "1", "lost")]]), texts()) == []


@pytest.mark.xdist_group("sim")
async def test_a_printed_seed_plays_that_very_run() -> None:
    """The seed that is printed of a run, large or small, is the same run as `--seed` alone, byte for byte."""
    shown, _ = terminal()
    runs = await Simulated(options((1,), runs=2), shown).play()
    seeds = [run.named_seed for (run,) in runs]
    assert seeds == ["12", "13s"]
    for seed, (run,) in zip(seeds, runs, strict=True):
        number, is_small = read(seed)
        ((again,),) = await Simulated(options((1,), seed=number, small=is_small), terminal()[0]).play()
        assert again.case == run.case
        assert again.digest == run.digest


@pytest.mark.xdist_group("sim")
async def test_size_matters() -> None:
    """The large and the small play of a number are different runs."""
    cases = [Case(1, "13", MODEST), Case(1, "13", SMALL)]
    async with ForkPool(1) as pool:
        large, small = await pool.play(SimJob(targets.reference(), cases))
    assert large.digest != small.digest
    assert (large.named_seed, small.named_seed) == ("13", "13s")
