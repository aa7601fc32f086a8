"""What a check does in either world: play, show what is worth showing, and sum it up."""

from __future__ import annotations

import time
import traceback

from harness.check.options import Options
from harness.contracts.result import Played
from harness.reports.alike import Alike
from harness.reports.summary import Scene, Summary, worst_of
from harness.reports.terminal import Terminal
from harness.running.direct_calls import known_directly
from harness.running.run import Run
from harness.verdict.steps import steps_of


class OneWorld:
    """All runs in one world."""

    world = ""

    def __init__(self, options: Options, terminal: Terminal) -> None:
        self.options = options
        self.terminal = terminal
        self.scenes: list[Scene] = []
        self.large: list[Run] = []  # played on top of what was asked for: see Summary
        self._began = time.monotonic()
        self._known: dict[tuple[int, int], Run] = {}  # by number and exercise
        self._contracts: dict[int, Played | None] = {}
        self._offered: set[tuple[int, int]] = set()  # those of them that `show` has had
        self._shown: dict[int, Run] = {}  # by exercise, the run that a page would show
        self._alike = Alike()
        self._told_alike = False
        self._headed: int | None = None  # the run whose heading was printed last

    async def summary(self) -> Summary:
        """Play everything, show it, and sum it up."""
        self._began = time.monotonic()
        if self.options.world == "both":
            self.terminal.line(self.terminal.texts.say(f"ui.world_{self.world}"), "bold")
        played = await self.play()
        summary = self._summed_up(played)
        self.terminal.summary(summary, hints=self.options.is_own)
        return summary

    def interrupted(self) -> Summary:
        """Show what is known in the middle of a play, and sum it up."""
        for (number, _), run in sorted(self._known.items()):
            self.show(number, run)
        self.show_alike()
        whole = [self._known_of(number) for number in range(self.options.runs)]
        unfinished = [run for runs in whole if len(runs) < len(self.options.chosen) for run in runs]
        for now in self.certain_now():
            heading = "ui.partly" if now.seconds else "ui.only_called"
            self.terminal.block(self.terminal.texts.say(heading, exercise=now.exercise), 0, "bold")
            self.terminal.run(now)
            unfinished.append(now)
        summary = self._summed_up([runs for runs in whole if len(runs) == len(self.options.chosen)])
        summary.unfinished, summary.is_interrupted = unfinished, True
        asked = sum(len(steps_of(exercise)) for exercise in self.options.chosen)
        self.terminal.interrupted(summary, asked, self.options.runs)
        return summary

    def _summed_up(self, runs: list[list[Run]]) -> Summary:
        labels = dict.fromkeys(target.label for target in self.options.chosen.values())
        return Summary(
            seed=self.options.named_seed(self.world),
            world=self.world,
            target=", ".join(labels),
            seconds=time.monotonic() - self._began,
            runs=runs,
            scenes=self.scenes,
            large=self.large,
        )

    def _known_of(self, number: int) -> list[Run]:
        """What is known of a run, exercise by exercise."""
        found = (self._known.get((number, exercise)) for exercise in self.options.chosen)
        return [run for run in found if run is not None]

    def certain_now(self) -> list[Run]:
        """What is certain of exercises of which no run is over: what direct calls have shown."""
        known = {exercise for _, exercise in self._known}
        return [
            known_directly(exercise, target, contract, str(self.options.seed), self.world)
            for exercise, target in self.options.chosen.items()
            if (contract := self._contracts.get(exercise)) and contract.found and exercise not in known
        ]

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

    def show(self, number: int, run: Run) -> None:
        """One exercise of a run in full, unless it was shown already, or an earlier run is like it."""
        if (number, run.exercise) in self._offered:
            return
        self._offered.add((number, run.exercise))
        if not self._alike.is_new(run):
            return
        if self.options.runs > 1 and self._headed != number:
            self._headed = number
            self.terminal.line(f"{self.title(number)}   [{self._seed_of(run)}]", "bold")
        try:
            self.terminal.run(run)
        except Exception:  # what a server sent may be more than a report can show: the others are judged
            run.gives_up(traceback.format_exc())
            self.terminal.run(run)

    def show_alike(self) -> None:
        """What was not shown since it is like something that was."""
        if self._told_alike:
            return
        self._told_alike = True
        sentences = self._alike.folded(self.terminal.texts)
        for sentence in sentences:
            self.terminal.block(sentence, 0)
        if sentences:
            self.terminal.line()

    def title(self, number: int) -> str:
        """Which run it is, of several."""
        return self.terminal.texts.say("ui.runs", number=number + 1, n=self.options.runs)

    def _seed_of(self, run: Run) -> str:
        return self.terminal.texts.say("ui.seed", seed=run.named_seed)
