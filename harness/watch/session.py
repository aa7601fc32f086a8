"""Watches: judges what is saved, answers keys, and shows both until it is ended."""

from __future__ import annotations

import asyncio
import os
import sys
import time
import traceback
import webbrowser
from pathlib import Path

from msgspec import Struct

from harness.check.files import LAST_PAGE, make_ours
from harness.check.interruption import interruptible
from harness.check.progress import Progress, digests, home_of, most_points
from harness.history.events import Event, Step
from harness.judged import targets
from harness.judged.problems import BadTarget
from harness.judged.targets import own_file, own_folder
from harness.judged.tracks import TYPESCRIPT
from harness.posix import on_return
from harness.reports.findings import notes_of
from harness.reports.summary import Summary
from harness.reports.words import Words
from harness.texts import Texts, defect
from harness.texts.console import echo
from harness.verdict.outcome import Outcome
from harness.verdict.steps import EXERCISES
from harness.watch.keys import Keys
from harness.watch.rounds import Judge, Verdict, Way
from harness.watch.saved import Saved
from harness.watch.screen import Screen, View, is_sure

TICK = 0.05
"""Seconds between two looks at the files and the keyboard."""
_LETTING_GO = 0.5
"""Seconds for which a new round waits until a live play of the one before has ended."""


class Asked(Struct, frozen=True):
    """What was asked for: the first exercise (None: the first that has not passed), and the track."""

    exercise: int | None
    track: str
    verbose: bool = False


async def watch(asked: Asked, texts: Texts) -> int:
    """Watch until `q`, Ctrl-C or SIGTERM; returns the exit code. Raises BadTarget."""
    home = home_of(own_folder(asked.track))
    with Keys() as keys:
        session = Session(asked, texts, home, keys)
        with interruptible(session.say_goodbye):
            async with Judge() as judge:
                await session.run(judge)
    session.say_goodbye()
    return 0


class Session:
    """What is known while we watch."""

    def __init__(self, asked: Asked, texts: Texts, home: Path, keys: Keys) -> None:
        self._texts, self._keys, self._track = texts, keys, asked.track
        self._progress = Progress(home, self._set_aside)
        self._screen = Screen(texts, keys.are_there)
        self._view = View(asked.exercise or self._first_open(), is_verbose=asked.verbose)
        self._round: asyncio.Task[None] | None = None
        self._ending: set[asyncio.Task[None]] = set()
        self._is_over = self._is_goodbye_said = False

    async def run(self, judge: Judge) -> None:
        """Watch until a key ends it."""
        saved = Saved(self._folders(), ".ts" if self._track == TYPESCRIPT else ".py")
        self._listen_for_return()
        self._show(doing=self._texts.say("watch.starting"))
        await judge.warm_up()
        await self._begin(judge)
        try:
            while not self._is_over:
                await asyncio.sleep(TICK)
                changed = saved.changed()
                if changed:
                    self._follow(changed)
                    await self._begin(judge)
                elif key := self._keys.pressed():
                    await self._answer(key, judge)
                elif self._screen.is_resized:
                    self._show(is_news=True)
        finally:
            await self._let_go(judge, wait=None)

    def say_goodbye(self) -> None:
        """Tell what is known at the end, once."""
        if self._is_goodbye_said:
            return
        self._is_goodbye_said = True
        echo("")
        verdict = self._view.verdict
        if verdict is not None and verdict.run.steps:
            points = sum(step.points for step in verdict.run.steps)
            of = most_points(verdict.run)
            echo(self._texts.say("watch.last", exercise=self._view.exercise, points=points, of=of))
        echo(self._texts.say("watch.goodbye"))

    # --- what is watched --------------------------------------------------------------------------

    def _folders(self) -> list[Path]:
        return list(dict.fromkeys(own_file(number, self._track).parent for number in EXERCISES))

    def _first_open(self) -> int:
        """The first exercise that has not passed."""
        return self._open_after(0) or min(EXERCISES)

    def _open_after(self, exercise: int) -> int:
        """The next exercise that has not passed, or the first one before; 0 if all others have."""
        kept = self._progress.read()
        known = {number: kept.of(number, self._track) for number in EXERCISES}
        left = [n for n, each in known.items() if n != exercise and (each is None or not each.has_passed)]
        return next((number for number in left if number > exercise), min(left, default=0))

    def _follow(self, changed: list[Path]) -> None:
        """Turn to the exercise whose file was saved, or in whose own folder something was."""
        has_own_folder = len(self._folders()) > 1
        for exercise in EXERCISES:
            file = own_file(exercise, self._track)
            if file in changed or (has_own_folder and any(path.parent == file.parent for path in changed)):
                if exercise != self._view.exercise:
                    self._view = View(exercise, is_verbose=self._view.is_verbose)
                return

    def _set_aside(self, path: Path) -> None:
        echo(self._texts.say("progress.set_aside", path=path), err=True)

    # --- a round ----------------------------------------------------------------------------------

    async def _begin(self, judge: Judge) -> None:
        """Judge what is there now, and nothing else any more."""
        began = time.monotonic()
        await self._let_go(judge, wait=_LETTING_GO)
        self._view.saved_at = time.strftime("%H:%M:%S")
        self._view.told, self._view.hints, self._view.passed, self._view.seconds = "", 0, False, 0.0
        self._view.is_old, self._view.notes = True, []
        if self._view.verdict is not None:
            steps = self._view.verdict.run.steps
            self._view.was = {step.step: step.outcome for step in steps} or self._view.was
        self._round = asyncio.create_task(self._judge(judge, began))
        self._round.add_done_callback(self._see_defect)

    async def _let_go(self, judge: Judge, wait: float | None) -> None:
        """End the round that goes on, and wait for so long until it is over (None: as long as it takes)."""
        if self._round is not None and not self._round.done():
            self._round.cancel()
            judge.drop()
            self._ending.add(self._round)
            self._round.add_done_callback(self._ending.discard)
        self._round = None
        if self._ending:
            await asyncio.wait(self._ending, timeout=wait)

    async def _judge(self, judge: Judge, began: float) -> None:
        exercise, say = self._view.exercise, self._texts.say
        self._show(doing=say("watch.doing_quick"))
        try:
            target = await asyncio.to_thread(targets.choose, exercise, track=self._track)
        except BadTarget as problem:
            said = [problem.said_in(self._texts)]
            if not own_file(exercise, self._track).exists():
                said.append(say("watch.missing", exercise=exercise))
            self._view.problem, self._view.verdict, self._view.doing = "\n".join(said), None, ""
            self._show(is_news=True)
            return
        self._view.problem, self._view.file, self._view.track = "", target.label, target.track
        self._view.path = own_file(exercise, self._track)
        judged = digests({exercise: target})

        def tell(verdict: Verdict) -> None:
            if verdict.run.steps or verdict.way is not Way.QUICK:
                self._view.seconds = self._view.seconds or time.monotonic() - began
                self._view.verdict, self._view.passed, self._view.is_old = verdict, is_sure(verdict), False
                self._progress.note([verdict.run], judged)
                self._view.following = self._open_after(exercise)
            if verdict.run.outcome is Outcome.PASSED:
                told = notes_of(verdict.run, Words.of(verdict.run, self._texts))
                self._view.notes += [note for note in told if note not in self._view.notes]
            self._show(is_news=True, doing=self._next_of(verdict))

        await judge.judge(exercise, target, tell, self._tell_step)

    def _see_defect(self, task: asyncio.Task[None]) -> None:
        """Tell where the kit itself has failed: the next save is judged nevertheless."""
        if task.cancelled() or not (error := task.exception()):
            return
        trace = "".join(traceback.format_exception(error))
        self._view.problem, self._view.verdict = defect.told(trace, self._texts), None
        self._show(is_news=True, doing="")

    def _next_of(self, verdict: Verdict) -> str:
        """What comes after a verdict."""
        if verdict.way is Way.LIVE or verdict.run.outcome is Outcome.FAILED or verdict.run.defect:
            return ""
        is_simulated = verdict.way is Way.QUICK and verdict.run.case is not None
        return self._texts.say("watch.doing_more" if is_simulated else "watch.doing_live")

    def _tell_step(self, event: Event) -> None:
        match event:
            case Step(step=step, done=False):
                title = self._texts.say(f"step.{step.replace('.', '-')}")
                self._show(doing=f"{self._texts.say('watch.doing_live')} {step} {title}")

    def _show(self, *, is_news: bool = False, doing: str | None = None) -> None:
        if doing is not None:
            self._view.doing = doing
        if not self._is_goodbye_said:
            try:
                self._screen.show(self._view, is_news=is_news)
            except BrokenPipeError:  # as of `chatlab watch | head`: nobody reads it any more
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
                self._is_over = True

    # --- keys -------------------------------------------------------------------------------------

    async def _answer(self, key: str, judge: Judge) -> None:
        """Do what a key stands for; others do nothing."""
        self._view.told = ""
        match key:
            case "q":
                self._is_over = True
                return
            case "h":
                most = len(self._texts.list(f"hints.{self._view.exercise}"))
                self._view.hints = (self._view.hints + 1) % (most + 1)
            case "v":
                self._view.is_verbose, self._view.hints = not self._view.is_verbose, 0
            case "p":
                await self._open_page()
            case "r":
                await self._begin(judge)
            case "n":
                following = self._open_after(self._view.exercise)
                await self._turn_to(following or self._view.exercise % len(EXERCISES) + 1, judge)
            case number if number.isdecimal() and int(number) in EXERCISES:
                await self._turn_to(int(number), judge)
            case _:
                return
        self._show(is_news=True)

    async def _turn_to(self, exercise: int, judge: Judge) -> None:
        self._view = View(exercise)
        await self._begin(judge)

    async def _open_page(self) -> None:
        """Write the page of what is shown, and open it where there is a browser to do so."""
        verdict, say = self._view.verdict, self._texts.say
        if verdict is None:
            self._view.told = say("watch.no_page")
            return
        from harness.reports.page import page  # late: most need none of it

        run = verdict.run
        again = f"chatlab check {run.exercise} --seed {run.named_seed}"
        summary = Summary(run.named_seed, run.world, run.target, run.seconds, [[run]], [], [])
        place = LAST_PAGE.absolute()
        try:
            make_ours()
            text = await asyncio.to_thread(page, [summary], self._texts, again)
            place.write_text(text, encoding="utf-8", errors="backslashreplace")
        except OSError as error:
            self._view.told = say("ui.not_written", path=place, why=error.strerror)
            return
        opened = _can_open() and await asyncio.to_thread(webbrowser.open, place.as_uri())
        self._view.told = say("watch.page_opened" if opened else "watch.page", path=place)

    # --- being stopped and continued --------------------------------------------------------------

    def _listen_for_return(self) -> None:
        """After Ctrl-Z and `fg`, take the keyboard again and show everything."""

        def again() -> None:
            self._keys.take()
            self._show(is_news=True)

        on_return(again)


def _can_open() -> bool:
    """Whether a browser with windows can be opened here: one of text would take our terminal."""
    if os.environ.get("SSH_CONNECTION"):
        return False
    has_windows = sys.platform in ("darwin", "win32")
    return has_windows or any(os.environ.get(each) for each in ("DISPLAY", "WAYLAND_DISPLAY"))
