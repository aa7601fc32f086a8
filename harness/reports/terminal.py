"""The verdict in a terminal: steps with ticks and receipts, then what failed and why."""

from __future__ import annotations

import os
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from harness.checkers.catalogue import Anomaly
from harness.history.events import Began, Called, Event, History, Noted, Received, Sent, Step, seen_outside
from harness.minimize.replay_file import Replay, changes, first_difference
from harness.reports.calls import joined_calls
from harness.reports.counts import frequency
from harness.reports.excerpt import Fold, contents, excerpt, is_telling
from harness.reports.findings import (
    CAUSES,
    KINDS,
    MARKS,
    are_several,
    by_kind,
    first_causes,
    is_not_reached,
    named_in,
    notes_of,
)
from harness.reports.jsonreport import receipt
from harness.reports.malformed import pointed_at
from harness.reports.summary import Summary
from harness.reports.words import Words
from harness.running.run import Run
from harness.texts import MARK, Texts, defect
from harness.texts.console import echo
from harness.verdict.causes import Cause
from harness.verdict.outcome import Outcome, StepResult, overall
from lab.legible import legible, one_line, text_of

if TYPE_CHECKING:
    from rich.console import Console, OverflowMethod, RenderableType

STYLES = {
    Outcome.PASSED: "green",
    Outcome.FAILED: "bold red",
    Outcome.INCONCLUSIVE: "yellow",
    Outcome.SKIPPED: "dim",
}
_OF_TARGET = ("installed_copy", "unread_keys", "unread_build", "found_by_class")
"""Notes on what was judged, which stand at the head of a report."""
WIDTH = 100
"""Characters of a line of text, unless the terminal has fewer."""
EVIDENCE = 6
"""Events that are shown of each finding."""
_CALLS = 24
"""Calls that are shown of a component that was called directly."""
_AROUND = 1
"""Events that are shown before and after each of them."""
_ROWS = 120
"""Events that are shown in a table."""


class Terminal:
    """Writes a report, with colour and progress on a terminal, else as plain text.

    With `crops`, a line that a terminal has no room for is cut off.
    It goes to standard output, to `out` (a file or a buffer of text), or to a `console`.
    """

    def __init__(
        self,
        texts: Texts,
        *,
        verbose: bool = False,
        out: TextIO | None = None,
        console: Console | None = None,
        width: int = WIDTH,
        crops: bool = False,
    ) -> None:
        self.texts = texts
        self.verbose = verbose
        self._out = out
        self._console = console
        self._width = min(width, WIDTH)
        self._crops = crops
        if out is None and console is None and sys.stdout.isatty():
            from rich.console import Console  # late: it costs 50 ms, and a pipe does not need it

            self._console = Console(highlight=False, soft_wrap=True)

    # --- lines ------------------------------------------------------------------------------------

    def line(self, text: str = "", style: str = "") -> None:
        """One line of the report."""
        text = one_line(text.expandtabs())
        if self._console is not None:
            overflow: OverflowMethod | None = "ellipsis" if self._crops else None
            self._console.print(_styled(text, style), no_wrap=self._crops or None, overflow=overflow)
        elif self._out is not None:
            print(text, file=self._out)
        else:
            echo(text)

    def link(self, key: str, path: Path) -> None:
        """A line that names a file; in a terminal, a click on its name opens it."""
        if self._console is None:
            self.line(self.texts.say(key, path=path))
            return
        before, _, after = self.texts.say(key).partition("{path}")
        name = one_line(text_of(os.fsencode(path)))
        link = _styled(name, f"link {path.absolute().as_uri()}")
        self._console.print(_styled(before), link, _styled(after), sep="")

    def block(self, text: str, indent: int, style: str = "") -> None:
        """Text of several lines, each wrapped."""
        for paragraph in text.splitlines():
            for each in _wrapped(paragraph, self._width - indent):
                self.line(" " * indent + each, style)

    @contextmanager
    def progress(self, exercise: int, run: str = "") -> Iterator[Callable[[Event], None]]:
        """Show which step is being played, and of which run; yields a function to call with each event."""
        title = self.texts.say("ui.exercise", number=exercise, title=self.texts.say(f"exercise.{exercise}"))
        title = f"{run} · {title}" if run else title
        if self._console is None:

            def tell(event: Event) -> None:
                if isinstance(event, Noted) and event.what == "long_wait":
                    self.line(self.texts.say("ui.long_wait", seconds=round(event.value)))

            yield tell
            return
        with self._status(title) as change:

            def show(event: Event) -> None:
                match event:
                    case Step(step=step, done=False):
                        name = self.texts.say(f"step.{step.replace('.', '-')}")
                        change(f"{title} · {step} {name}")
                    case Noted(what="long_wait", value=value):
                        self.line(self.texts.say("ui.long_wait", seconds=round(value)), "yellow")

            yield show

    @contextmanager
    def waiting(self, text: str) -> Iterator[Callable[[str], None]]:
        """Show that something takes a while; yields a function that changes the text."""
        if self._console is None:
            yield lambda text: None
            return
        with self._status(text) as change:
            yield change

    @contextmanager
    def _status(self, text: str) -> Iterator[Callable[[str], None]]:
        """A line with a spinner at the end of the report; yields a function that changes its text."""
        assert self._console is not None, "there is a terminal"
        spinner = "dots" if self._console.encoding.startswith("utf") else "line"
        with self._console.status(_styled(legible(text)), spinner=spinner) as status:
            yield lambda text: status.update(_styled(legible(text)))

    # --- the report -------------------------------------------------------------------------------

    def run(self, run: Run) -> None:
        """One exercise: its steps, and below them what failed."""
        words = Words.of(run, self.texts)
        title = self.texts.say(
            "ui.exercise", number=run.exercise, title=self.texts.say(f"exercise.{run.exercise}")
        )
        unit = "ui.simulated_seconds" if run.case is not None else "ui.seconds"
        seconds = self.texts.say(unit, seconds=f"{run.seconds:.1f}")
        self.line(f"{title}   [{run.target}, {seconds}]", "bold")
        for note in run.notes:
            if note.key in _OF_TARGET:
                self.block(words.text("note", note), 2, "yellow")
        if run.defect:
            self.block(defect.told(run.defect, self.texts), 2, "bold red")
            return
        for step in run.steps:
            self._step(step, words)
        self._explain(run, run.steps, words)
        self._notes(run, words)
        if run.contract is not None and not run.contract.lacking:
            told = self.texts.say("ui.contract", plays=run.contract.plays, calls=run.contract.calls)
            self.block(told, 2, "dim")
        if run.stall > 1.0:
            self.line(f"  {self.texts.say('ui.stall', seconds=run.stall)}", "dim")
        elif self.verbose and run.case is None:
            self.line(f"  {self.texts.say('ui.lag', milliseconds=f'{1000 * run.lag:.0f}')}", "dim")
        self.line()

    def _notes(self, run: Run, words: Words) -> None:
        """The notes of a run; after a failure they may say the cause."""
        style = "dim" if run.outcome is Outcome.PASSED else ""
        for note in notes_of(run, words, but=_OF_TARGET):
            self.block(f"{self.texts.say('ui.note')} {note}", 2, style)

    def step(self, run: Run, step: StepResult) -> None:
        """A single step of an exercise, and the reasons for its outcome."""
        words = Words.of(run, self.texts)
        if not step.anomalies or is_not_reached(step):
            self._step(step, words)
        self._explain(run, [step], words)

    def anomalies(
        self, found: list[Anomaly], nonce: str, component: str | None = None, history: History | None = None
    ) -> None:
        """Anomalies of a history that is not an exercise's. With the history, each is shown in it."""
        told: set[str] = set()
        words = Words(self.texts, nonce, component)
        for alike in by_kind(found):
            self._anomaly(alike[0], len(alike) - 1, words, told, history or [])

    def _explain(self, run: Run, steps: list[StepResult], words: Words) -> None:
        """What failed in these steps and why, with what the server printed."""
        told: set[str] = set()
        self._first_causes(first_causes(run, steps), words, told)
        for step in steps:
            self._failures(step, words, told, run.history)
        if are_several(steps):
            self.line()
            self.block(self.texts.say("ui.together"), 2, "dim")
        passed = overall([step.outcome for step in steps]) is Outcome.PASSED
        if run.output and (self.verbose or (not passed and "output" not in told)):
            self.line()
            self.output(run.output)

    def _first_causes(self, causes: list[Cause], words: Words, told: set[str]) -> None:
        """What the judged code did by itself, before what followed from it."""
        for cause in causes[:CAUSES]:
            self.line()
            self.block(words.first_cause(cause), 2, "bold red")
            if cause.source:
                self.line(f"      {words.clean(cause.source)}", "cyan")
            told.add("output")
        if len(causes) > CAUSES:
            self.block(self.texts.say("first.more", count=len(causes) - CAUSES), 2, "dim")

    def output(self, lines: list[str]) -> None:
        """The last lines that a server printed."""
        self.line(f"  {self.texts.say('ui.output')}", "bold")
        for each in lines[-12:]:
            self.line(f"    {MARK}{each}", "dim")

    def _step(self, step: StepResult, words: Words) -> None:
        mark, style = MARKS[step.outcome], STYLES[step.outcome]
        worth = self.texts.say("ui.points", points=step.points, of=step.of)
        if step.of == 0 and step.outcome is not Outcome.SKIPPED:
            worth = self.texts.say("ui.no_points")
        self.line(f"  {mark} {step.step}  {words.step(step.step):<58}{worth:>12}", style)
        proof = words.message(step.anomalies[0]) if is_not_reached(step) else receipt(step, words)
        if proof:
            self.block(proof, 9, "dim")

    def _failures(self, step: StepResult, words: Words, told: set[str], history: History) -> None:
        if not step.anomalies or is_not_reached(step):
            return
        mark, style = MARKS[step.outcome], STYLES[step.outcome]
        self.line()
        self.line(f"  {mark} {step.step}  {words.step(step.step)}", style)
        kinds = by_kind(step.anomalies)
        shown = kinds if self.verbose else kinds[:KINDS]
        for alike in shown:
            self._anomaly(alike[0], len(alike) - 1, words, told, history)
        also = [alike[0] for alike in kinds if alike not in shown]
        if also:
            known = {alike[0].name for alike in shown}
            names = ", ".join(
                dict.fromkeys(f"{words.title(each)} ({each.name})" for each in also if each.name not in known)
            )
            if names:
                self.block(self.texts.say("ui.also", names=names), 4)

    def _anomaly(self, anomaly: Anomaly, more: int, words: Words, told: set[str], history: History) -> None:
        if anomaly.params.get("output"):
            told.add("output")
        self.line(f"    {words.title(anomaly)}  ({anomaly.name})", "bold")
        whole = repr(anomaly)
        if whole in told:  # a step may fail by what an earlier one has failed by
            self.block(self.texts.say("ui.as_above"), 6)
            return
        told.add(whole)
        self.block(words.message(anomaly), 6)
        if more:
            self.block(self.texts.say("ui.more", count=more), 6, "dim")
        if anomaly.is_of_a_contract:
            self._calls(anomaly, words)
        else:
            self._evidence(anomaly, words, history)
        for line in pointed_at(anomaly):
            self.line(f"        {line}", "cyan")
        for sentence in words.explained(anomaly):
            if sentence not in told:
                told.add(sentence)
                self.block(sentence, 6)
        cause = words.cause(anomaly)
        if cause not in told:  # the same advice only once
            told.add(cause)
            self.block(f"{self.texts.say('ui.cause')} {cause}", 6)
            look = words.look(anomaly)
            if look not in told:
                told.add(look)
                self.block(f"{self.texts.say('ui.look')} {look}", 6, "dim")

    def _calls(self, anomaly: Anomaly, words: Words) -> None:
        """The calls, one a line; the last one shows what is wrong."""
        shown = words.calls(anomaly)
        width = max((len(line.who) for line in shown), default=0)
        for line in shown[-_CALLS:]:
            mark, style = (">", "cyan") if line is shown[-1] else (" ", "dim")
            who = f"{line.who:<{width}}  " if width else ""
            self.line(f"      {mark} {who}{'    ' * line.depth}{line.what}", style)

    def _evidence(self, anomaly: Anomaly, words: Words, history: History) -> None:
        """The blamed events; if the history is known, with those just before and after them."""
        evidence = anomaly.evidence[:EVIDENCE]
        found = excerpt(history, evidence, named=named_in(anomaly), around=_AROUND, others=False)
        guilty = {id(event) for event in found.guilty}
        for event in joined_calls(found.events or evidence):
            if isinstance(event, Fold):
                text = self.texts.say("diagram.fold", count=event.count, seconds=f"{event.seconds:.2f}")
                self.line(f"                     {text}", "dim")
            elif not isinstance(event, Began):
                at, who, what = words.event(event)
                is_guilty = id(event) in guilty or not found.events
                mark, style = (">", "cyan") if is_guilty else (" ", "dim")
                self.line(f"      {mark} {self.texts.number(f'{at:8.3f}')} s  {who:<10} {what}", style)

    def small(self, exercise: int, name: str, run: Run | None) -> None:
        """The smallest scene that was found to fail in the same way; None if there is none."""
        say = self.texts.say
        title = say(f"anomaly.{name}.title")
        if run is None or run.case is None or run.case.script is None:
            self.block(say("ui.not_small", exercise=exercise, title=title, name=name), 2, "bold")
            return
        script = run.case.script
        says = sum(act.what == "say" for act in script.acts)
        text = say("ui.small", title=title, name=name, people=len(script.users), messages=says)
        self.block(text, 2, "bold")
        self.table(run)

    def table(self, run: Run) -> None:
        """What happened in a run: when, who, what. The blamed events are marked."""
        words = Words.of(run, self.texts)
        # Compared by `repr`: in a run from another process, the evidence consists of copies of the events.
        guilty = {repr(event) for step in run.steps for each in step.anomalies for event in each.evidence}
        heartbeats = any(each.name == "missing_heartbeat" for step in run.steps for each in step.anomalies)
        shown = [event for event in run.history if is_telling(event) or (heartbeats and _is_heartbeat(event))]
        lines = joined_calls(shown)
        ids: set[tuple[str, str]] = set()
        width = max([8, *(len(words.event(event)[1]) for event in lines[:_ROWS])])
        for event in lines[:_ROWS]:
            at, who, what = words.event(event)
            if _is_said_again(event, ids):
                what = f"{what}   {self.texts.say('event.again')}"
            is_guilty = repr(event) in guilty
            style = "red" if is_guilty else "" if isinstance(event, Called) else "cyan"
            seconds = self.texts.number(f"{at:9.4f}")
            self.line(f"  {'>' if is_guilty else ' '} {seconds} s  {who:<{width}} {what}", style)
        if len(lines) > _ROWS:
            self.line(f"    … {len(lines) - _ROWS}", "dim")

    def replayed(self, kept: Replay, run: Run) -> None:
        """The report on a replay: whether the same happened, and what."""
        say = self.texts.say
        if run.digest == kept.digest:
            self.block(
                say("ui.same", events=len(seen_outside(run.history)), digest=run.digest[:16]), 0, "bold"
            )
        else:
            self._changed(kept, run)
        self.line()
        if kept.case.script is None or run.defect:
            self.run(run)
            return
        self.table(run)
        self.line()
        found = [anomaly for step in run.steps for anomaly in step.anomalies]
        words = Words.of(run, self.texts)
        self._first_causes(first_causes(run, run.steps), words, set())
        # The table has shown all the calls already.
        self.anomalies(found, run.nonce, run.component, seen_outside(run.history))
        self._notes(run, words)
        if not found:
            title = say(f"anomaly.{kept.anomaly}.title")
            self.block(say("ui.mended", title=title, name=kept.anomaly), 0, "green")

    def _changed(self, kept: Replay, run: Run) -> None:
        """What has changed since the replay was written, and where the histories differ first."""
        say = self.texts.say
        self.block(say("ui.differs"), 0, "bold yellow")
        changed = changes(kept)
        for name, was, now in changed:
            self.line(f"  {say('ui.changed', name=name, was=was, now=now)}")
        if not changed:
            self.block(say("ui.nothing_changed"), 2)
        words = Words.of(run, self.texts)
        different = first_difference(kept.history, run.history) if kept.history else ()
        for key, event in zip(("was", "now"), different, strict=False):
            at, who, what = words.event(event) if event is not None else (0.0, "–", "–")
            self.line(f"  {say(f'ui.{key}')} {self.texts.number(f'{at:9.4f}')} s  {who:<8} {what}")

    def agreement(self, summaries: list[Summary]) -> None:
        """For each step, whether the verdicts in two worlds agree."""
        say = self.texts.say
        both = [
            (one, next((other for other in summaries[1].steps if other.step == one.step), None))
            for one in summaries[0].steps
            if one.outcome is not Outcome.SKIPPED
        ]
        differ = [(one, other) for one, other in both if other is None or one.outcome is not other.outcome]
        if not differ:
            self.line(say("ui.agree", steps=len(both)), "green")
        for one, other in differ:
            outcomes = [say(f"outcome.{each.outcome}") if each else "–" for each in (one, other)]
            self.line(say("ui.disagree", step=one.step, live=outcomes[0], sim=outcomes[1]), "yellow")

    def summary(self, summary: Summary, *, hints: bool) -> None:
        """The last lines: the overall result."""
        say = self.texts.say
        steps = summary.steps
        counts = {outcome: sum(step.outcome is outcome for step in steps) for outcome in Outcome}
        asked = len(steps) - counts[Outcome.SKIPPED]
        text = say("ui.passed", passed=counts[Outcome.PASSED], all=asked)
        if len(steps) != counts[Outcome.PASSED]:
            rest = {str(outcome): number for outcome, number in counts.items()}
            text += f" ({say('ui.summary', **rest)})"
        points, of = summary.points
        seconds = say("ui.seconds_in_all", seconds=f"{summary.seconds:.1f}")
        text += f", {say('ui.score', points=points, of=of)}, {seconds}"
        self.line(f"{text}   [{say('ui.seed', seed=summary.seed)}]", STYLES[summary.outcome])
        for exercise in summary.not_judged:
            self.line(say("ui.not_judged", exercise=exercise), "bold red")
        for sentence in frequency(summary, self.texts):
            self.line(sentence)
        if summary.outcome is Outcome.FAILED:
            failed = [int(step.step[0]) for step in steps if step.outcome is Outcome.FAILED]
            if hints:
                self.line(say("ui.hint", exercise=failed[0]))
            if summary.world == "live":
                self.line(say("ui.again", seed=summary.seeds(Outcome.FAILED)[0]))

    def interrupted(self, summary: Summary, asked: int, runs: int) -> None:
        """The last lines of a check that was interrupted, of which so many steps and runs were asked for."""
        counts = {str(each): sum(step.outcome is each for step in summary.steps) for each in Outcome}
        left = max(asked - len(summary.steps), 0)
        is_all_known = len(summary.runs) == runs and not left
        key = "ui.interrupted_later" if is_all_known else "ui.so_far"
        text = self.texts.say(key, all=asked, left=left, **counts)
        self.line(f"{text}   [{self.texts.say('ui.seed', seed=summary.seed)}]", "yellow")
        if len(summary.runs) < runs > 1:
            self.line(self.texts.say("ui.runs_so_far", done=len(summary.runs), n=runs))
        for sentence in frequency(summary, self.texts):
            self.line(sentence)


def _wrapped(paragraph: str, width: int) -> list[str]:
    """Lines of a paragraph, broken at spaces only: `x-t-elle` and `--world` stay whole.

    What a program has printed stays marked.
    """
    mark = MARK if paragraph.startswith(MARK) else ""
    return textwrap.wrap(
        paragraph, width, subsequent_indent=mark, break_long_words=False, break_on_hyphens=False
    ) or [""]


def _styled(text: str, style: str = "") -> RenderableType:
    """A text for a rich console, in which `[red]` and `:smile:` are no markup."""
    from rich.text import Text

    return Text(text, style)


def _is_heartbeat(event: Event) -> bool:
    """Whether a client received a heartbeat."""
    return isinstance(event, Received) and contents(event)[0].get("type") == "heartbeat"


def _is_said_again(event: Event, ids: set[tuple[str, str]]) -> bool:
    """Whether a client sends a message with an id that it has used before; `ids` has those so far."""
    id = contents(event)[1].get("id") if isinstance(event, Sent) else None
    if not isinstance(event, Sent) or not isinstance(id, str):
        return False
    again = (event.client, id) in ids
    ids.add((event.client, id))
    return again
