"""Tells a player of the hunt where he is, what his check has caught, and what it was."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from harness.checkers.catalogue import Anomaly
from harness.hunt.check_file import CheckFile
from harness.hunt.judging import Judgement, NeverEnds, Tally
from harness.hunt.levels import LEVELS
from harness.hunt.play import Failure
from harness.hunt.progress import Progress
from harness.reports.terminal import Terminal
from harness.reports.words import Words
from harness.verdict.outcome import Text
from harness.zoo.right import RIGHT
from harness.zoo.servers import SERVERS

_PRINTED = 12
"""Lines that are shown of what a check prints."""


class Show:
    """Writes to a terminal, in the player's language."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self._say = terminal.texts.say

    def line(self, key: str, indent: int = 0, style: str = "", **params: object) -> None:
        """A text of the table `hunt`, wrapped."""
        self._terminal.block(self._say(f"hunt.{key}", **params), indent, style)

    def _gap(self) -> None:
        self._terminal.line()

    def title(self, number: int) -> str:
        """The title of a level."""
        return self._say(f"hunt.level_{number}.title")

    # --- where one is -----------------------------------------------------------------------------

    def overview(self, progress: Progress) -> None:
        """All levels, and what comes next."""
        self.line("head")
        self._gap()
        for number, level in LEVELS.items():
            done = progress.of(number)
            kind = "solved" if done.solved else "begun" if done.started else "open"
            self.line(
                f"row_{kind}",
                style="green" if done.solved else "",
                number=number,
                title=self.title(number),
                name=level.quarry,
                kin=len(done.kin),
                of=len(level.kin),
                checks=done.checks,
                hints=done.hints,
            )
        self._gap()
        self.next(progress)

    def next(self, progress: Progress) -> None:
        """Which level comes next."""
        number = progress.next_level
        if number is None:
            self.line("all_solved")
        else:
            self.line("next", number=number)

    def level(self, number: int, path: str, *, is_new: bool, handout: str) -> None:
        """What a level is about, and what to do."""
        self.line("level", style="bold", number=number, title=self.title(number))
        self._gap()
        self.line("asks")
        self.line("quoted", 2, complaint=self._say(f"hunt.level_{number}.complaint"))
        self._gap()
        self.line("written" if is_new else "there", path=path)
        if handout:
            self.line("handout", path=handout)
        self._gap()
        for key in ("try_it", "check_it", "hint_it"):
            self.line(key, 2, number=number)

    def hints(self, number: int, count: int) -> None:
        """The first hints for a level."""
        hints = self._terminal.texts.list(f"hunt.level_{number}.hints")
        self.line("hints", number=number, title=self.title(number))
        for place, each in enumerate(hints[:count], start=1):
            self._terminal.block(f"{place}. {each}", 2)
        if count < len(hints):
            self.line("hint_more", number=number, next=count + 1, count=len(hints))

    @contextmanager
    def playing(self) -> Iterator[Callable[[int, int], None]]:
        """Show that a check is being played; yields what is told how many plays are over."""
        with self._terminal.waiting(self._say("hunt.playing", done=0, of="…")) as change:
            yield lambda done, of: change(self._say("hunt.playing", done=done, of=of))

    # --- what a check has caught ------------------------------------------------------------------

    def judgement(self, number: int, check: CheckFile, found: Judgement) -> None:
        """What came of a check."""
        self.line(
            "head_check",
            number=number,
            title=self.title(number),
            path=check.path,
            tests=len(check.tests),
            plays=LEVELS[number].plays,
        )
        self._gap()
        if found.fails_always:
            self._terminal.line(f"  ✗ {self._say('hunt.fails_always')}", "bold red")
            self.failure(found.right[0].failures[0])
        else:
            self._quarry(found.quarry)
            self._right(found.right)
        self._printed(found.quarry)
        if not found.is_solved:
            self._gap()
            self._terminal.line(f"→ {self._say(f'hunt.{self._advice(found)}')}", "bold")

    def _quarry(self, tally: Tally) -> None:
        count = len(tally.failures)
        key = "caught" if tally.is_caught else "partly" if count else "missed"
        mark, style = ("✓", "green") if tally.is_caught else ("✗", "bold red")
        said = self._say(f"hunt.{key}", count=count, of=tally.of)
        self._terminal.line(f"  {mark} {said}", style)
        if count:
            self.failure(tally.failures[0])

    def _right(self, tallies: Sequence[Tally]) -> None:
        wrong = [each for each in tallies if not each.passes]
        if not wrong:
            said = self._say("hunt.right_pass", of=len(tallies))
            self._terminal.line(f"  ✓ {said}", "green")
            return
        said = self._say("hunt.right_fails", count=len(wrong), of=len(tallies))
        self._terminal.line(f"  ✗ {said}", "bold red")
        shown: list[tuple[int, Text]] = []
        for tally in wrong:
            names = {"server": self._say(f"hunt.right.{tally.server}")}
            self.line("right_server", 6, habit=self._say(f"hunt.habit.{tally.server}"), **names)
            failure = tally.failures[0]
            if (failure.line, failure.why) not in shown:
                shown.append((failure.line, failure.why))
                self.failure(failure)

    def failure(self, failure: Failure) -> None:
        """Where a check has failed, and why."""
        if failure.line:
            self.line("at", 8, line=failure.line, source=failure.source)
        self._terminal.block(self.why(failure), 8, "dim")

    def why(self, failure: Failure) -> str:
        """Why a check has failed."""
        return self._say(f"hunt.why.{failure.why.key}", **failure.why.params)

    def _printed(self, tally: Tally) -> None:
        printed = tally.plays[0].printed.splitlines() if tally.plays else []
        if printed:
            self.line("printed", 2)
            for each in printed[:_PRINTED]:
                self._terminal.line(f"      | {each}", "dim")

    @staticmethod
    def _advice(found: Judgement) -> str:
        if found.fails_always:
            return "advice_check"
        if not all(each.passes for each in found.right):
            return "advice_strict"
        return "advice_partly" if found.quarry.failures else "advice_missed"

    def never_ends(self, check: CheckFile, quarry: str, error: NeverEnds) -> None:
        """Which test did not end, and where it was."""
        failure = error.failure
        if error.server in RIGHT:
            server = self._say(f"hunt.right.{error.server}")
        else:
            key = "the_quarry" if error.server == quarry else "one_of_kin" if error.server else "a_server"
            server = self._say(f"hunt.{key}")
        self.line("never_ends", style="bold red", test=failure.test or check.path, server=server)
        if failure.line:
            self.line("never_ends_at", 2, path=check.path, line=failure.line, source=failure.source)
        self._terminal.block(self.why(failure), 2)

    # --- what it was ------------------------------------------------------------------------------

    def named(self, number: int, found: Judgement) -> None:
        """The end of a level: the animal's name, and what is to be learnt from it."""
        level, say = LEVELS[number], self._say
        anomaly = Anomaly(SERVERS[level.quarry].anomaly)
        words = Words(self._terminal.texts)
        self._gap()
        self.line("solved", style="bold green", number=number)
        self._gap()
        self.line("it_was", 2, name=level.quarry, says=say(f"hunt.level_{number}.says"))
        self._terminal.block(f"{words.title(anomaly)}  ({anomaly.name})", 2)
        self._gap()
        self._terminal.block(f"{say('hunt.lesson')} {say(f'hunt.level_{number}.lesson')}", 2)
        self._terminal.block(f"{say('ui.look')} {words.look(anomaly)}", 2, "dim")
        self.line("source", 2, "dim", name=level.quarry)
        self._gap()
        caught = found.caught_kin
        if caught:
            self.line("kin_caught", 2, names=", ".join(caught))
        if len(caught) < len(level.kin):
            self.line("kin_left", 2, count=len(level.kin) - len(caught))
