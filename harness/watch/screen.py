"""What is shown: the steps, what has changed since the last save, and the first cause, on one screen."""

from __future__ import annotations

import io
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from msgspec import Struct, field
from msgspec.structs import replace

from harness.judged.problems import BadTarget
from harness.judged.targets import find_folder
from harness.reports.dialect import Dialect
from harness.reports.findings import MARKS, first_causes, is_not_reached
from harness.reports.terminal import STYLES, Terminal
from harness.reports.words import Words
from harness.running.run import Run
from harness.texts import Texts
from harness.texts.console import echo
from harness.verdict.outcome import Outcome, StepResult, Text
from harness.watch.own_line import own_line
from harness.watch.rounds import Verdict, Way

_STOPS = ("call_hangs", "call_ends", "no_start", "server_hung", "server_died")
"""Findings from which others follow."""
_CLEAR_REST = "\x1b[K"
_HOME, _CLEAR, _CLEAR_BELOW = "\x1b[H", "\x1b[2J\x1b[3J\x1b[H", "\x1b[J"


class View(Struct):
    """All that is shown."""

    exercise: int
    file: str = ""
    """The judged file, as whoever watches knows it."""
    path: Path = Path()
    track: str = ""
    verdict: Verdict | None = None
    was: dict[str, Outcome] = field(default_factory=dict)
    """The outcomes of the steps before the last save."""
    saved_at: str = ""
    seconds: float = 0.0
    """From the save to the first verdict on it."""
    doing: str = ""
    """What is going on."""
    problem: str = ""
    """Why nothing can be judged."""
    is_old: bool = False
    """Whether the verdict is that on the save before."""
    notes: list[str] = field(default_factory=list)
    """What the ways have noted of this save that found nothing wrong."""
    told: str = ""
    """What the last key has brought."""
    hints: int = 0
    is_verbose: bool = False
    following: int = 0
    """An exercise that has not passed yet; 0 if there is none."""
    passed: bool = False
    """Whether it has passed by the surest way."""


class Screen:
    """Shows a view: as one screen of a terminal, else as lines below those that are there."""

    def __init__(self, texts: Texts, has_keys: bool) -> None:
        self._texts, self._has_keys = texts, has_keys
        self._is_terminal = sys.stdout.isatty()
        self._size = os.terminal_size((0, 0))
        self._is_long = False

    @property
    def is_resized(self) -> bool:
        """Whether the terminal has another size than what was shown last."""
        return self._is_terminal and not self._is_long and self._size != shutil.get_terminal_size()

    def show(self, view: View, *, is_news: bool) -> None:
        """Show it; `is_news` if there is a verdict, or a key was pressed, and not only progress."""
        if not self._is_terminal:
            if is_news and (view.verdict is not None or view.problem):
                for line in self._lines(view, 100):
                    echo(line)
            return
        if self._is_long and not is_news:
            return  # it would scroll away what is being read
        self._size = shutil.get_terminal_size()
        width, height = self._size
        lines = self._lines(view, width)
        self._is_long = view.is_verbose and len(lines) > height
        start = _CLEAR if self._is_long or is_news else _HOME
        shown = lines if self._is_long else lines[:height]
        sys.stdout.write(start + "\n".join(f"{line}{_CLEAR_REST}" for line in shown) + _CLEAR_BELOW)
        sys.stdout.flush()

    def _lines(self, view: View, width: int) -> list[str]:
        head = self._part(width, self._head, view)
        body = self._part(width, self._body, view)
        foot = self._part(width, self._foot, view)
        room = self._size.lines - len(head) - len(foot) - 2
        if self._is_terminal and not view.is_verbose and len(body) > room:
            body = [*body[: max(room - 1, 0)], f"  {self._texts.say('watch.cut')}"]
        return [*head, "", *body, *([""] if body else []), *foot]

    def _part(self, width: int, write: Callable[[Terminal, View], None], view: View) -> list[str]:
        """What `write` writes, in lines of this width."""
        buffer = io.StringIO()
        if self._is_terminal:
            from rich.console import Console  # late: it costs 50 ms, and a pipe does not need it

            console = Console(file=buffer, force_terminal=True, width=width, highlight=False)
            verbose, crops = view.is_verbose, not view.is_verbose
            write(Terminal(self._texts, verbose=verbose, console=console, width=width, crops=crops), view)
        else:
            write(Terminal(self._texts, verbose=view.is_verbose, out=buffer), view)
        text = buffer.getvalue().strip("\n")
        return text.split("\n") if text else []

    def write(self, terminal: Terminal, view: View) -> None:
        """Write all of a view."""
        for part in (self._head, self._body, self._foot):
            if part != self._head:
                terminal.line()
            part(terminal, view)

    # --- the parts --------------------------------------------------------------------------------

    def _head(self, terminal: Terminal, view: View) -> None:
        say = self._texts.say
        title = say("ui.exercise", number=view.exercise, title=say(f"exercise.{view.exercise}"))
        when = f"   {view.saved_at}" if view.saved_at else ""
        terminal.line(f"{title}   {view.file}{when}", "bold")
        run = view.verdict.run if view.verdict else None
        if view.is_old and run is not None:
            terminal.line(f"  {say('watch.old')}", "yellow")
        if run is None or (view.is_verbose and run.steps):
            return
        words = Words.of(run, self._texts)
        for step in run.steps:
            terminal.line(self._step(step, view.was.get(step.step), words), STYLES[step.outcome])

    def _step(self, step: StepResult, was: Outcome | None, words: Words) -> str:
        worth = self._texts.say("ui.points", points=step.points, of=step.of) if step.of else ""
        news = ""
        if step.outcome is Outcome.PASSED and was is Outcome.FAILED:
            news = self._texts.say("watch.now_passes")
        elif step.outcome is Outcome.FAILED and was is Outcome.PASSED:
            news = self._texts.say("watch.no_longer")
        return f"  {MARKS[step.outcome]} {step.step}  {words.step(step.step)}  {worth}  {news}".rstrip()

    def _body(self, terminal: Terminal, view: View) -> None:
        run = view.verdict.run if view.verdict else None
        if view.problem:
            terminal.block(view.problem, 2, "yellow")
        elif view.hints:
            self._hints(terminal, view)
        elif run is None:
            return
        elif view.is_verbose or run.defect:
            terminal.run(run)
        elif view.passed:
            key = "passed_and_compare" if _has_solutions() else "passed"
            terminal.block(self._texts.say(f"watch.{key}", exercise=view.exercise), 2, "green")
            if view.following:
                terminal.block(self._texts.say("watch.go_on", next=view.following), 2)
            for note in view.notes:
                terminal.block(f"{self._texts.say('ui.note')} {note}", 2, "dim")
        elif run.outcome is Outcome.FAILED:
            self._first(terminal, view, run)
        elif run.outcome is Outcome.INCONCLUSIVE:
            step = next(each for each in run.steps if each.outcome is Outcome.INCONCLUSIVE)
            terminal.step(run, step)

    def _first(self, terminal: Terminal, view: View, run: Run) -> None:
        """What to correct first: what ends or holds up all else; what direct calls have shown; the rest."""
        failed = [step for step in run.steps if step.outcome is Outcome.FAILED and step.anomalies]
        stops = [step for step in failed if step.anomalies[0].name in _STOPS]
        called = [step for step in failed if step.anomalies[0].is_of_a_contract]
        reached = [step for step in failed if not is_not_reached(step)]
        if not failed:
            return
        step = [*stops, *called, *reached, *failed][0]
        first = replace(step, anomalies=step.anomalies[:1])
        line = own_line(step.anomalies[0], view.path, run.track) if not first_causes(run, [first]) else None
        if line is not None:
            key = "own_line" if line.is_call else "own_method"
            where = Words.of(run, self._texts).text("watch", Text(key, {"where": line.place}))
            terminal.block(where, 2, "bold")
            terminal.line(f"      {line.source}", "cyan")
        terminal.step(run, first)
        more = sum(len(each.anomalies) for each in failed) - 1
        if more:
            terminal.block(self._texts.say("watch.more", count=more), 6, "dim")

    def _hints(self, terminal: Terminal, view: View) -> None:
        say, dialect = self._texts.say, Dialect(self._texts, view.track)
        terminal.line(say("ui.hints", number=view.exercise, title=say(f"exercise.{view.exercise}")), "bold")
        hints = self._texts.list(f"hints.{view.exercise}")
        for number, each in enumerate(hints[: view.hints], start=1):
            terminal.block(f"{number}. {dialect.said(each)}", 2)
        terminal.line("  " + say("watch.hint_next" if view.hints < len(hints) else "watch.hint_back"), "dim")

    def _foot(self, terminal: Terminal, view: View) -> None:
        say = self._texts.say
        if view.told:
            terminal.block(view.told, 2, "yellow")
        parts = []
        if view.verdict is not None and view.seconds:
            is_called = view.verdict.way is Way.QUICK and view.verdict.run.case is None
            way = say("watch.by_calls" if is_called else f"watch.by_{view.verdict.way}")
            parts.append(say("watch.judged", way=way, seconds=f"{view.seconds:.1f}"))
        if view.doing:
            parts.append(view.doing)
        terminal.line("  " + " · ".join(parts or [say("watch.waiting")]), "dim")
        if self._has_keys:
            terminal.line("  " + say("watch.keys"), "dim")


def _has_solutions() -> bool:
    try:
        return find_folder("solutions").is_dir()
    except BadTarget:
        return False


def is_sure(verdict: Verdict) -> bool:
    """Whether a verdict says that all has passed, by the surest way."""
    return verdict.way is Way.LIVE and verdict.run.outcome is Outcome.PASSED
