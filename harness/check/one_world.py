"""What a check does in either world: play, show what is worth showing, and sum it up."""

from __future__ import annotations

import time

from harness.check.options import Options
from harness.reports.summary import Scene, Summary, worst_of
from harness.reports.terminal import Terminal
from harness.running.run import Run


class OneWorld:
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
