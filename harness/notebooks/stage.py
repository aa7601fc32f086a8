"""The stage of a notebook: plays scenes, draws what happened, asks for predictions, and checks components.

stage = Stage(exercise=2)
right = await stage.perform(scene, store="slow_disk.py")
stage.spacetime(right, "The reference sequencer on a slow disk", show=("message",))
"""

from __future__ import annotations

import ast
import asyncio
import os
import shlex
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from harness.history.events import History
from harness.history.index import HistoryIndex
from harness.judged.targets import ROOT, Target, whole_server
from harness.notebooks.apart import SECONDS, Late, Sentence, apart
from harness.notebooks.html import Question, Shown, folded, with_fallback
from harness.notebooks.scenes import Scene, Setting, played_live, simulated
from harness.reports import charts
from harness.reports.causality import CALLS, SHOWN
from harness.reports.scrubber import script, scrubber, style
from harness.reports.spacetime import spacetime
from harness.reports.svg import Drawing
from harness.reports.words import Words
from harness.running.play import play
from harness.running.run import Case
from harness.running.simulate import simulate
from harness.scenarios.common import SMALL
from harness.texts import texts
from harness.verdict.outcome import Outcome
from harness.verdict.steps import COMPONENTS
from harness.worlds.client import Client
from lab.legible import text_of
from lab.protocol import Status

FOLDER = ROOT / "notebooks"
"""Where the notebooks are, and the components that they show."""
SEED = "7"
"""Which plan the kit's own verdicts play."""
RUNS = "10"
"""How often your own component is played."""
WIDTH = 100
"""Characters of a line of text."""
_MARKS = {Outcome.PASSED: "✓", Outcome.FAILED: "✗", Outcome.INCONCLUSIVE: "?", Outcome.SKIPPED: "-"}


class Stage:
    """One notebook's stage: `exercise` says which calls between components are recorded.

    `language` is that of all that is shown. Scenes are played in the simulated world, unless `live`.
    """

    def __init__(self, exercise: int, language: str = "en", *, live: bool = False) -> None:
        self._said = texts(language)
        self._setting = Setting(exercise)
        self._is_live = live or not hasattr(os, "fork")
        self._asked: dict[str, Question] = {}
        if self._is_live and not live:
            print(self._said.say("notebook.no_fork"))

    # --- playing ----------------------------------------------------------------------------------

    async def perform(
        self,
        scene: Scene,
        *,
        live: bool | None = None,
        intervals: tuple[float, float] | None = None,
        **components: str,
    ) -> History:
        """Start a server, play a scene on it, end it, and return what happened.

        `components` are files that replace the reference's: `sequencer="defects/sequencer.py"`. `intervals`
        are the seconds between heartbeats, and of the timeout. Raises a Sentence if a file is not there, or
        if the server does not start, or ends before its time.
        """
        target = self.server(**components)
        setting = self._setting
        if intervals is not None:
            heartbeat, timeout = intervals
            setting = msgspec.structs.replace(setting, heartbeat=heartbeat, timeout=timeout)
        if self._is_live if live is None else live:
            return await played_live(scene, target, setting, self._said)
        try:
            return await simulated(scene, target, setting, self._said)
        except Late:
            raise self._sentence("late", seconds=f"{SECONDS:g}") from None

    def server(self, **components: str) -> Target:
        """The reference server; each of `components` is replaced by a file. Raises a Sentence."""
        words = [sys.executable, "-P", "-m", "lab", "--log-level", "warning"]
        for component, file in components.items():
            if component not in COMPONENTS.values():
                listed = ", ".join(COMPONENTS.values())
                raise self._sentence("not_a_component", given=component, all=listed)
            words += ["--use", f"{component}={self.found(file)}"]
        return whole_server(shlex.join(words), label=" and ".join(components.values()) or "reference")

    def found(self, file: str) -> Path:
        """A file that a notebook names: beside the notebooks, here, or in the kit. Raises a Sentence."""
        for folder in (FOLDER, Path.cwd(), ROOT):
            if (folder / file).is_file():
                return (folder / file).resolve()
        raise self._sentence("no_file", file=file, folders=f"{FOLDER}, {ROOT}")

    def _sentence(self, key: str, **params: object) -> Sentence:
        return Sentence(self._said.say(f"notebook.{key}", **params))

    @contextmanager
    def _sentences(self) -> Iterator[None]:
        """What is wrong with arguments is told as a sentence."""
        try:
            yield
        except ValueError as error:
            raise Sentence(str(error)) from None

    # --- judging ----------------------------------------------------------------------------------

    async def verdict(self, anomaly: str, component: str, **components: str) -> None:
        """Play a small exercise as `chatlab check` does; print its steps, and what it says of one anomaly."""
        target = msgspec.structs.replace(self.server(**components), component=component)
        case = Case(self._setting.exercise, SEED, SMALL)
        if self._is_live:
            run = await play(case.exercise, target, SEED)
        else:
            run = await apart(lambda: simulate(case, target))
        words = Words(self._said, run.nonce, component)
        for step in run.steps:
            print(f"{_MARKS[step.outcome]} {step.step}  {words.step(step.step)}")
        hit = next((each for step in run.steps for each in step.anomalies if each.name == anomaly), None)
        if hit is None:
            print(f"\n{self._said.say('notebook.found_nothing', anomaly=anomaly)}")
            return
        print(f"\n{words.title(hit)}  ({hit.name})")
        for label, text in (("ui.cause", words.cause(hit)), ("ui.look", words.rule(hit))):
            print(textwrap.fill(f"{self._said.say(label)} {text}", WIDTH))

    async def check(self) -> None:
        """Check your own component in the simulated world, and by calling it; prints the command, too."""
        world = ("--world", "sim", "--runs", RUNS) if hasattr(os, "fork") else ()
        given = ["check", str(self._setting.exercise), *world, "--lang", self._said.language]
        print(f"$ chatlab {shlex.join(given)}", flush=True)
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "harness.cli.main", *given),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        try:
            assert child.stdout is not None
            async for line in child.stdout:
                print(text_of(line), end="", flush=True)
            await child.wait()
        finally:
            if child.returncode is None:
                child.terminate()
                await child.wait()

    # --- asking -----------------------------------------------------------------------------------

    def ask(self, name: str, question: str, *options: object) -> Shown:
        """Ask what will happen, with some options; `reveal` tells."""
        asked = Question(
            f"chatlab-{self._setting.exercise}-{name}", question, [str(each) for each in options]
        )
        self._asked[name] = asked
        return asked.shown()

    def reveal(self, *shown: Drawing | Shown, **answers: object) -> Shown:
        """Fold something away until somebody opens it; then also tell what became of each question asked."""
        for name in answers:
            if name not in self._asked:
                raise self._sentence("not_asked", name=name)
        told = [(self._asked[name], str(was)) for name, was in answers.items()]
        return folded(shown, told, self._said)

    # --- drawing ----------------------------------------------------------------------------------

    def spacetime(self, events: History, title: str, show: Sequence[str] = SHOWN) -> Drawing:
        """A space-time diagram; `show` names types of frames, as in `harness/reports/causality.py`."""
        with self._sentences():
            return spacetime(events, title, (*show, CALLS), self._said)

    def numbers(self, events: History, room: str, title: str) -> Drawing:
        """For each client, the numbers of a room in order of arrival."""
        return charts.numbers_by_arrival(events, room, title, self._said)

    def presence(
        self, events: History, watcher: str, room: str, users: Sequence[str], heartbeats: int, title: str
    ) -> Drawing:
        """Who was shown to `watcher` as what, for so many heartbeats after each user's fault."""
        return charts.presence_timeline(events, watcher, room, users, heartbeats, title, self._said)

    def scrubber(self, events: History, title: str, show: Sequence[str] = SHOWN) -> Shown:
        """The same diagram, which can be stepped through where scripts run, and is a picture elsewhere."""
        words = Words(self._said, HistoryIndex(events).began.nonce)
        with self._sentences():
            made = scrubber(events, title, (*show, CALLS), words)
        name, fitted = made.drawing.name, made.drawing.fitted
        fits = f"div.{name} .chatlab-scrubber svg {{ {fitted} }}"
        html = f'<style>\n{style()}{fits}\n</style>\n<div class="{name}">{made.fragment}</div>'
        return with_fallback(made.drawing, html, script())

    def offline_after(self, events: History, watcher: str, room: str, user: str) -> str:
        """After how many whole heartbeats since a user's fault `watcher` was shown that user as offline."""
        shown = charts.shown_after_fault(HistoryIndex(events), watcher, room, user)
        offline = [each.heartbeats for each in shown if each.status is Status.OFFLINE]
        return str(offline[0]) if offline else self._said.say("notebook.never")

    def source(self, file: str, *methods: str) -> None:
        """Print methods of a class in a file, as they stand there. Raises a Sentence if one is not there."""
        text = self.found(file).read_text(encoding="utf-8")
        functions = {
            node.name: node
            for node in ast.walk(ast.parse(text))
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        }
        for name in methods:
            if name not in functions:
                raise self._sentence("no_method", file=file, name=name)
            node = functions[name]
            lines = text.splitlines()[node.lineno - 1 : node.end_lineno]
            print(textwrap.dedent("\n".join(lines)), end="\n\n")


def heard(events: History, client: str) -> list[int]:
    """The numbers of the messages that a client received, by replay too, in the order in which they came."""
    return [each.message.sequence for each in HistoryIndex(events).heard if each.client == client]


async def say(client: Client, room: str, text: str, id: str | None = None) -> None:
    """Say something in a room (its full name), and do not wait for anything."""
    await client.say(room, f"{client.world.tag()}. {text}", id)


async def settle(*clients: Client) -> None:
    """Wait until the server has done all that these clients asked for, and each has heard what that led to.

    Answers come in order. So once everybody's question is answered, everything before it was done; and once
    everybody's second question is answered, everything that was sent to them has come.
    """
    for _ in range(2):
        await asyncio.gather(*(client.fence() for client in clients if client.is_open and not client.is_mute))
