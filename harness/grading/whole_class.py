"""Grades the submissions of a class, some of them at once; what is done stays done.

Time is judged, so two plays must not hold each other up: each of the jobs that go on at once has processor
cores of its own, on which its harness and its server run, and nothing else of ours.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from msgspec import Struct

from harness.grading.copies import near_copies, sentences
from harness.grading.grade import grade
from harness.grading.own_checks import hash_of, judge_by
from harness.grading.progress import Progress, line_of
from harness.grading.register import Register
from harness.grading.result import Grade, is_complete
from harness.grading.rubric import Rubric
from harness.grading.suspicious import same_files, suspicious_words
from harness.judged.problems import Unclear
from harness.running.cores import own_cores
from harness.running.tasks import side_by_side
from harness.running.worker import cancel_on_sigterm
from harness.submissions.fingerprints import Rules, hash_of_kit, is_same_code, still_holds
from harness.submissions.listing import HandIn
from harness.submissions.staging import left_out, stage_meanwhile
from harness.submissions.submission import Submission
from harness.submissions.unpack import remove
from harness.texts import Texts
from harness.texts.console import echo, flash
from harness.verdict.steps import EXERCISES

_MOST_ENDS = 3
"""How often the grading may end in the middle of something before that is left to a person."""


class KitChanged(Exception):  # noqa: N818 - named for what it says
    """Somebody has changed the kit's own files while it judged; the text says who was judged then."""


class Asked(Struct, frozen=True):
    """What a class is graded on: the exercises, whom, and how many at once."""

    exercises: list[int]
    rules: Rules
    jobs: int = 1
    is_chosen: Callable[[str], bool] = lambda name: True
    """Whether a submission of this name is judged; the others keep what they have."""
    is_again: Callable[[str], bool] = lambda name: False
    """Whether it is judged although it has a grade."""
    mapped: Mapping[str, dict[int, str]] = {}
    """Files that somebody has named, by submission and exercise."""
    rubric: Rubric = Rubric()
    rubric_place: Path = Path()
    """The folder of the rubric, in which the tests lie that it names."""


async def grade_class(
    hand_ins: Collection[HandIn], asked: Asked, register: Register, place: Path, said: Texts
) -> list[Grade]:
    """The grades of these submissions; who has one already keeps it. Copies are made below `place`."""
    cancel_on_sigterm()
    grading = _Grading(hand_ins, asked, register, place, said)
    await grading.run()
    return grading.grades


class _Grading:
    """The grading of a class under way."""

    def __init__(
        self, hand_ins: Collection[HandIn], asked: Asked, register: Register, place: Path, said: Texts
    ) -> None:
        self._asked, self._register, self._place, self._said = asked, register, place, said
        self._marks = {each: register.known(each.key) or Grade(each.name) for each in hand_ins}
        self._waiting: list[tuple[int, HandIn, list[int]]] = []
        self._progress = Progress(len(hand_ins), said)
        self._kit = hash_of_kit()
        checks = asked.rubric.checks
        self._checks = hash_of(checks, asked.rubric_place) if checks else ""
        self._sources: dict[str, dict[str, str]] = {}
        self._now: dict[int, str] = {}
        """Who is being judged, by the jobs."""

    @property
    def grades(self) -> list[Grade]:
        """The grades of all who have one."""
        return [mark for mark in self._marks.values() if mark.parts]

    async def run(self) -> None:
        """Judge all that is to be judged."""
        copy = self._register.take_notes(self._marks.values())
        if copy is not None:
            echo(self._said.say("grade.edited", copy=copy, table=self._register.table), err=True)
        for count, hand_in in enumerate(self._marks, start=1):
            await self._look_at(count, hand_in)
        # Every grade that is kept is in the table from the start, and stays there if this is interrupted.
        self._register.write_table(self.grades)
        self._ended = self._register.were_begun()
        self._progress.begin(len(self._waiting), self._asked.jobs)
        try:
            await side_by_side(*(self._slot(number) for number in range(self._asked.jobs)))
        finally:
            self._progress.end()
            self._register.note_begun([], self._ended)
        self._end()

    def _end(self) -> None:
        """Compare what was handed in, and write the page of the class."""
        flash(self._said.say("grade.comparing"))
        copies, stems = near_copies(self._sources), {}
        flash()
        for hand_in, mark in self._marks.items():
            stems[self._register.stem_of(hand_in.key)] = hand_in, mark
        for pair in copies.pairs:
            hand_in, mark = stems[pair.one]
            if pair.is_given:
                self._attend(hand_in, mark, " ".join(sentences(pair, self._said, {pair.one: mark.name})))
        for stem, component, others in same_files(self._sources):
            hand_in, mark = stems[stem]
            names = ", ".join(stems[each][1].name for each in others)
            told = self._said.say("grade.same_file", component=component, others=names)
            self._attend(hand_in, mark, told)
        self._register.write_table(self.grades)
        self._register.write_page(copies, self._said)

    def _attend(self, hand_in: HandIn, mark: Grade, told: str) -> None:
        """Have the instructor look at something."""
        if told not in mark.attention:
            mark.attention.append(told)
            self._register.keep(hand_in.key, mark, self._said)

    async def _look_at(self, count: int, hand_in: HandIn) -> None:
        """See what a submission's grade is worth: verdicts on code that has changed are dropped."""
        mark, asked = self._marks[hand_in], self._asked
        mark.name, mark.author = hand_in.name, hand_in.author
        mark.mapped |= asked.mapped.get(hand_in.key, {})
        if not asked.rubric.checks:
            mark.checks, mark.checks_rest_on = [], ""
        asked.rubric.apply(mark, self._said)
        if mark.parts:
            self._register.keep(hand_in.key, mark, self._said)
        if not asked.is_chosen(hand_in.name):
            return
        is_again, changed = asked.is_again(hand_in.name), list[int]()
        if not is_again and mark.parts:
            async with self._copy_of(hand_in, 0) as given:
                changed = self._changed(mark, given)
        missing = [n for n in asked.exercises if is_again or not is_complete(mark, [n]) or n in changed]
        if not missing and mark.checks_rest_on == self._checks:
            self._progress.say(
                count, f"{line_of(mark, self._said)}, {self._said.say('grade.kept')}", mark.name
            )
        else:
            self._waiting.append((count, hand_in, missing))

    def _changed(self, mark: Grade, given: Submission) -> list[int]:
        """The exercises whose verdicts are not valid any more.

        Those that nobody asks for now keep theirs; if it is their code that has changed, that is told.
        """
        now = {n: given.fingerprint(n) for n in mark.parts}
        changed = [n for n, part in mark.parts.items() if not still_holds(part.fingerprint, now[n])]
        others = [
            n
            for n in changed
            if n not in self._asked.exercises and not is_same_code(mark.parts[n].fingerprint, now[n])
        ]
        if others:
            exercises = ", ".join(map(str, sorted(others)))
            echo(self._said.say("grade.changed", name=mark.name, exercises=exercises), err=True)
        return changed

    async def _slot(self, slot: int) -> None:
        """Judge one submission after the other."""
        while self._waiting:
            await self._judge(*self._waiting.pop(0), slot)

    async def _judge(self, count: int, hand_in: HandIn, missing: list[int], slot: int) -> None:
        mark, said, asked = self._marks[hand_in], self._said, self._asked
        began = time.monotonic()
        async with self._copy_of(hand_in, slot) as given:
            mark.isolation = asked.rules.isolation
            mark.remarks = left_out(given.staged, said)
            times = self._ended.get(hand_in.name, 0)
            if times >= _MOST_ENDS:
                for exercise in missing:
                    given.give_up(exercise, Unclear("target.ends_us", times=times))
            is_unknown = asked.rubric.is_lateness_unknown(mark, is_late=hand_in.is_late)
            mark.attention = [said.say("grade.late_unknown")] if is_unknown else []
            words = suspicious_words(self._sources[self._register.stem_of(hand_in.key)])
            if words:
                mark.attention.append(said.say("grade.mentions", words=", ".join(words)))
            self._note(slot, hand_in.name)
            show = partial(self._progress.show, slot, mark.name)
            await grade(given, missing, mark, said, show, partial(self._keep, hand_in, mark))
            if asked.rubric.checks:
                place = asked.rubric_place
                mark.checks = [await judge_by(each, place, given, said) for each in asked.rubric.checks]
                mark.checks_rest_on = self._checks
                self._write(hand_in, mark)
        self._note(slot, None)
        self._progress.done(time.monotonic() - began)
        self._progress.say(count, line_of(mark, said), mark.name)

    def _note(self, slot: int, name: str | None) -> None:
        """Take note of whom one of the jobs judges now, in case that this ends the whole grading."""
        self._now.pop(slot, None)
        if name is not None:
            self._now[slot] = name
        self._register.note_begun(self._now.values(), self._ended)

    @asynccontextmanager
    async def _copy_of(self, hand_in: HandIn, slot: int) -> AsyncIterator[Submission]:
        """The copy of a submission, which is there for as long as this is entered."""
        asked, folder = self._asked, Path(tempfile.mkdtemp(prefix=f"job-{slot}-", dir=self._place))
        folder.chmod(0o711)
        try:
            staged = await stage_meanwhile(hand_in, folder, slot, self._marks[hand_in].mapped)
            given = Submission(staged, asked.rules, self._place / "kits", own_cores(slot, asked.jobs))
            self._sources[self._register.stem_of(hand_in.key)] = given.sources(list(EXERCISES))
            yield given
        finally:
            remove(folder)

    def _keep(self, hand_in: HandIn, mark: Grade, exercise: int, page: str) -> None:
        """Write what is known now."""
        self._register.keep_page(hand_in.key, exercise, page)
        for name in self._register.repaired():
            mark.attention.append(self._said.say("grade.repaired", name=name))
        self._write(hand_in, mark)
        if self._asked.rules.isolation != "bubblewrap" and hash_of_kit() != self._kit:
            raise KitChanged(", ".join(sorted(self._now.values())))

    def _write(self, hand_in: HandIn, mark: Grade) -> None:
        """Write a grade with its points, and the table."""
        self._asked.rubric.apply(mark, self._said)
        self._register.keep(hand_in.key, mark, self._said)
        self._register.write_table(self.grades)
