"""What `chatlab check`, `replay` and `doctor` do: they play what was asked for, and report."""

from __future__ import annotations

import asyncio
import io
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from msgspec import Struct

from harness.contracts.result import Played
from harness.doctor import show as examined
from harness.doctor.examine import Examination, examine
from harness.history.events import shortened
from harness.minimize import replay_file as replay
from harness.minimize.shrink import anomalies_of, shrink
from harness.reports.jsonreport import report
from harness.reports.outfile import write_out
from harness.reports.summary import Scene, Summary, worst_of
from harness.reports.terminal import Terminal
from harness.running.fork_pool import CrashError, ForkPool, ForkPoolError, SimJob
from harness.running.play import add_contract, play, played_directly
from harness.running.run import Case, Run
from harness.running.tasks import side_by_side
from harness.running.worker import Job, cancel_on_sigterm, run_in_process
from harness.scenarios.catalogue import SCENARIOS
from harness.scenarios.common import MODEST, SMALL
from harness.texts import texts
from harness.verdict.outcome import EXIT_CODES, EXIT_DEFECT, Outcome, overall
from harness.verdict.steps import EXERCISES
from harness.worlds.targets import Target
from lab.command import EXIT_INTERRUPTED

REPLAYS = Path("replays")
"""The folder that replay files are written to."""
LAST_PAGE = Path("chatlab-report.html")
"""Where a failure is written as a page, unless --html says another place."""
SHOWN_FAILURES = 3
"""Ways to fail that are shown in full, if there are many."""
SHOWN_SEEDS = 8
"""Seeds of the others that are named."""
_PART = 10
"""Plays that one simulating process does before it makes room for a fresh one."""


class Options(Struct, frozen=True):
    """What was asked for: see the help of `chatlab check`."""

    chosen: dict[int, Target]
    seed: int
    world: str
    runs: int
    jobs: int
    small: bool
    skip_slow: bool
    lang: str
    verbose: bool
    json_file: str | None
    html_file: str | None
    command: str
    """What plays the same again, as it is typed."""
    hints: bool

    @property
    def quiet(self) -> bool:
        """Whether standard output belongs to the JSON report."""
        return self.json_file == "-"

    def is_worth_a_page(self, outcome: Outcome) -> bool:
        """Whether what came out like this is shown on a page: if one was asked for, or after a failure."""
        return self.html_file is not None or (outcome is Outcome.FAILED and not self.quiet)


def check(options: Options) -> int:
    """Play, report, and return the exit code."""
    nowhere = io.StringIO() if options.quiet else None
    terminal = Terminal(texts(options.lang), verbose=options.verbose, out=nowhere)
    worlds: dict[str, list[type[_Check]]] = {"live": [_Live], "sim": [_Sim], "both": [_Live, _Sim]}
    kinds = worlds[options.world]
    try:
        summaries = asyncio.run(_all_of(kinds, options, terminal))
    except (KeyboardInterrupt, asyncio.CancelledError):
        click.echo(terminal.texts.say("ui.interrupted"), err=True)
        return EXIT_INTERRUPTED
    except ForkPoolError as error:
        return _tell_defect(error, terminal)
    if len(summaries) > 1:
        terminal.agreement(summaries)
    _write_json(summaries, options, terminal)
    _write_page(summaries, options, terminal)
    defect = any(summary.defect for summary in summaries)
    return EXIT_DEFECT if defect else EXIT_CODES[overall([summary.outcome for summary in summaries])]


def _tell_defect(error: ForkPoolError, terminal: Terminal) -> int:
    """A process that plays has died: if no signal has ended it, that says nothing of the server."""
    if isinstance(error, CrashError):
        click.echo(str(error), err=True)
        return EXIT_CODES[Outcome.INCONCLUSIVE]
    click.echo(f"{terminal.texts.say('ui.defect')}\n{error}", err=True)
    return EXIT_DEFECT


async def _all_of(kinds: list[type[_Check]], options: Options, terminal: Terminal) -> list[Summary]:
    cancel_on_sigterm()
    return [await kind(options, terminal).summary() for kind in kinds]


def _write_json(summaries: list[Summary], options: Options, terminal: Terminal) -> None:
    if options.json_file is None:
        return
    reports = [report(summary, terminal.texts) for summary in summaries]
    whole = reports[0] if len(reports) == 1 else {"worlds": reports}
    text = json.dumps(whole, indent=2, ensure_ascii=False) + "\n"
    if options.quiet:
        sys.stdout.write(text)
    else:
        write_out(options.json_file, text, terminal.texts)


def _write_page(summaries: list[Summary], options: Options, terminal: Terminal) -> None:
    """Write the page that was asked for; after a failure, write one also if none was, and name it."""
    if not options.is_worth_a_page(overall([summary.outcome for summary in summaries])):
        return
    from harness.reports.page import page  # late: a check that passes needs none of it

    path, words = options.html_file or LAST_PAGE, terminal.texts
    if write_out(path, page(summaries, words, options.command), words):
        terminal.line(words.say("ui.page", path=path))


class _Check:
    """All runs in one world."""

    world = ""

    def __init__(self, options: Options, terminal: Terminal) -> None:
        self.options = options
        self.terminal = terminal
        self.scenes: list[Scene] = []
        self._shown: dict[int, Run] = {}  # by exercise, the run that a page would show

    async def summary(self) -> Summary:
        """Play everything, show it, and sum it up."""
        began = time.monotonic()
        if self.options.world == "both":
            self.terminal.line(self.terminal.texts.say(f"ui.world_{self.world}"), "bold")
        played = await self.play()
        labels = dict.fromkeys(target.label for target in self.options.chosen.values())
        seconds = time.monotonic() - began
        summary = Summary(self.options.seed, self.world, ", ".join(labels), seconds, played, self.scenes)
        self.terminal.summary(summary, hints=self.options.hints)
        return summary

    async def play(self) -> list[list[Run]]:
        """The runs, each with its exercises; whatever is worth showing is shown."""
        raise NotImplementedError

    def forget(self, runs: list[Run]) -> None:
        """Drop the histories of runs that no page will show."""
        for run in runs:
            before = self._shown.get(run.exercise)
            self._shown[run.exercise] = shown = worst_of([before, run]) if before else run
            for each in (before, run):
                if each is not None and (each is not shown or not self.options.is_worth_a_page(each.outcome)):
                    each.history = []

    def show(self, number: int, runs: list[Run]) -> None:
        """One run in full."""
        if self.options.runs > 1:
            say = self.terminal.texts.say
            self.terminal.line(say("ui.runs", number=number + 1, n=self.options.runs), "bold")
        for run in runs:
            self.terminal.run(run)


class _Live(_Check):
    """In the live world: one exercise after the other, or each in a process of its own."""

    world = "live"

    async def play(self) -> list[list[Run]]:
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


class _Sim(_Check):
    """In the simulated world: all runs in processes that are forked from one. A failure is made small."""

    world = "sim"

    async def play(self) -> list[list[Run]]:
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
        path = REPLAYS / f"{EXERCISES[run.exercise]}-{name}-{run.seed}.json"
        is_kept = self._keep(small or run, name, path)
        if small is not None:
            self.scenes.append(Scene(run.exercise, name, small, str(path) if is_kept else ""))

    def _keep(self, run: Run, name: str, path: Path) -> bool:
        """Write a failure down to be played again; returns whether that went well."""
        say = self.terminal.texts.say
        try:
            replay.write(replay.of(run, self.options.chosen[run.exercise], name), path)
        except OSError as error:
            self.terminal.line(say("ui.no_replay", path=path, why=error.strerror), "yellow")
            return False
        self.terminal.line(f"  {say('ui.replay', path=path)}")
        self.terminal.line()
        return True


def _passed(runs: list[Run]) -> bool:
    return overall([run.outcome for run in runs]) is Outcome.PASSED


def play_again(kept: replay.Replay, terminal: Terminal) -> int:
    """What `chatlab replay` does: play a case again, and say whether the same happened."""

    async def one() -> Run:
        async with ForkPool(1) as pool:
            return await pool.recall(kept.target, kept.case, kept.digest)

    try:
        run = asyncio.run(one())
    except KeyboardInterrupt:
        click.echo(terminal.texts.say("ui.interrupted"), err=True)
        return EXIT_INTERRUPTED
    except ForkPoolError as error:
        return _tell_defect(error, terminal)
    terminal.replayed(kept, run)
    return EXIT_DEFECT if run.defect else EXIT_CODES[run.outcome]


def look_at(target: Target, terminal: Terminal, command: str) -> int:
    """What `chatlab doctor` does: ask, show, and return the exit code. `command` judges the same server."""

    async def asked() -> Examination:
        cancel_on_sigterm()
        return await examine(target)

    say = terminal.texts.say
    try:
        with terminal.waiting(say("doctor.asking", server=target.label)):
            found = asyncio.run(asked())
    except (KeyboardInterrupt, asyncio.CancelledError):
        click.echo(say("ui.interrupted"), err=True)
        return EXIT_INTERRUPTED
    examined.show(found, terminal, command)
    return EXIT_CODES[Outcome.PASSED if found.is_right else Outcome.FAILED]
