"""Ctrl-C in the middle of a check: what is known is told at once, and nothing is left behind."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest.mock import AsyncMock

import pytest

from harness.check import live_runs, simulated_runs
from harness.check.worlds_asked import check
from harness.contracts.result import Breach, Played
from harness.running.fork_pool import SimJob
from harness.running.play import Begun
from harness.running.run import Run
from tests.harness.check.checks import MadeUpPool, made_up, options

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals are sent to this process")


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a check writes goes into a folder of the test; afterwards, signals mean what they meant."""
    monkeypatch.chdir(tmp_path)
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


async def interrupted_here(number: signal.Signals = signal.SIGINT) -> None:
    """Send the signal to this process, and wait to be cancelled."""
    os.kill(os.getpid(), number)
    await asyncio.Event().wait()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_live_what_is_known_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], number: signal.Signals
) -> None:
    """What was shown stays, what is certain of the exercise that is being played follows, and the counts."""

    async def played(exercise: int, target: object, seed: str, *, begun: Begun, **_: object) -> Run:
        if exercise == 2:
            now = made_up(2, seed, "reorder")
            now.steps = now.steps[:2]
            begun(lambda: now)
            await interrupted_here(number)
        return made_up(exercise, seed, "passed")

    monkeypatch.setattr(live_runs, "play", played)
    assert check(options((1, 2, 3), world="live", json_file="verdict.json")) == 130
    out, err = capsys.readouterr()
    assert out.count("Exercise 1: Basic chat") == 1
    assert "Exercise 2 was being played. What is certain of it so far:" in out
    assert "✓ 2.1" in out
    assert "(reorder)" in out
    assert "So far 6 of 13 steps passed, 1 failed, 0 inconclusive, 0 skipped, 6 not judged." in out
    assert err == "interrupted\n"
    told = json.loads(Path("verdict.json").read_text())
    assert (told["interrupted"], told["verdict"], told["runs"]["n"]) == (True, "failed", 0)
    assert [step["step"] for step in told["steps"]][-2:] == ["2.1", "2.2"]


def test_of_a_play_that_cannot_be_judged_yet_nothing_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Checks that were made for a whole history may fail on a part of it: no traceback, and no defect."""

    async def played(exercise: int, target: object, seed: str, *, begun: Begun, **_: object) -> Run:
        begun(lambda: made_up(99, seed, "passed"))
        await interrupted_here()
        raise AssertionError

    monkeypatch.setattr(live_runs, "play", played)
    assert check(options((2,), world="live")) == 130
    out, _ = capsys.readouterr()
    assert "So far 0 of 4 steps passed, 0 failed, 0 inconclusive, 0 skipped, 4 not judged." in out


def test_simulated_runs_and_contracts_are_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The runs that are over, with what direct calls have shown, and how many they are of how many."""

    class Slow(MadeUpPool):
        async def play(self, job: SimJob) -> list[Run]:
            if int(job.cases[0].seed) > 22:
                await interrupted_here()
            return await super().play(job)

    contract = Played("sequencer", plays=5, calls=70)
    monkeypatch.setattr(simulated_runs, "ForkPool", Slow(lambda case: "passed"))
    monkeypatch.setattr(simulated_runs, "called_directly", AsyncMock(return_value=contract))
    assert check(options(runs=21)) == 130
    out, _ = capsys.readouterr()
    assert out.count("Exercise 2: Message ordering") == 1
    assert "Also called directly: 5 short scenarios, 70 calls." in out
    assert "Exercise 2: 10 more alike (passed), seeds 13s to 22s." in out
    assert "So far 4 of 4 steps passed" in out
    assert "11 of 21 runs were complete." in out


def test_what_direct_calls_have_shown_is_told_of_a_simulation_that_hangs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Even if no run is over."""

    class Hanging(MadeUpPool):
        async def play(self, job: SimJob) -> list[Run]:
            await interrupted_here()
            raise AssertionError

    breach = Breach("2.2", "published_unsaved", "", "accept", {}, [])
    contract = Played("sequencer", plays=5, calls=70, found=[breach])
    monkeypatch.setattr(simulated_runs, "ForkPool", Hanging(lambda case: "passed"))
    monkeypatch.setattr(simulated_runs, "called_directly", AsyncMock(return_value=contract))
    assert check(options()) == 130
    out, _ = capsys.readouterr()
    assert "(published_unsaved)" in out
    assert "So far 0 of 4 steps passed, 1 failed, 0 inconclusive, 0 skipped, 3 not judged." in out


def test_live_what_direct_calls_have_shown_is_told_of_exercises_that_were_not_begun(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """All components are called before the first exercise is played."""

    async def called(chosen: object, at_once: int, tell: Callable[[int, Played | None], None]) -> None:
        breach = Breach("2.2", "published_unsaved", "", "accept", {}, [])
        tell(2, Played("sequencer", plays=5, calls=70, found=[breach]))

    async def played(*_: object, **__: object) -> None:
        await interrupted_here()

    monkeypatch.setattr(live_runs, "all_called_directly", called)
    monkeypatch.setattr(live_runs, "play", played)
    assert check(options((1, 2), world="live")) == 130
    out, _ = capsys.readouterr()
    assert "Exercise 2 was not played to its end. What direct calls of its component have shown:" in out
    assert "(published_unsaved)" in out


def test_while_a_failure_is_made_smaller_everything_is_known(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is shown twice, and the counts are complete."""

    async def shrink(*_: object) -> None:
        await interrupted_here()

    monkeypatch.setattr(simulated_runs, "ForkPool", MadeUpPool(lambda case: "lost"))
    monkeypatch.setattr(simulated_runs, "called_directly", AsyncMock(return_value=None))
    monkeypatch.setattr(simulated_runs, "shrink", shrink)
    assert check(options(runs=3)) == 130
    out, _ = capsys.readouterr()
    assert out.count("Exercise 2: Message ordering") == 1
    assert "Interrupted while a smaller scenario was looked for. 3 of 4 steps passed, 1 failed" in out
    assert "3 runs: 3 failed (seeds 12, 13s, 14s)" in out


@pytest.mark.live
def test_the_second_one_ends_at_once(tmp_path: Path) -> None:
    """Even if what is to be told, or the end of everything, takes long."""
    code = (
        "import asyncio, time\n"
        "from harness.check.interruption import interruptible\n"
        "async def main():\n"
        "    with interruptible(lambda: (print('told', flush=True), time.sleep(60))):\n"
        "        print('ready', flush=True)\n"
        "        await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    process = subprocess.Popen([sys.executable, "-P", "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in ("ready\n", "told\n"):
        assert process.stdout.readline() == line
        process.send_signal(signal.SIGINT)
    began = time.monotonic()
    process.communicate(timeout=30)
    assert process.returncode == 130
    assert time.monotonic() - began < 20
