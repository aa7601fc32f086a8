"""What would be judged of each submission, for whoever wants to know before it takes its time."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterator
from pathlib import Path

from harness.grading.whole_class import Asked
from harness.judged import typescript
from harness.judged.found import Found
from harness.judged.targets import BadTarget
from harness.judged.tracks import TYPESCRIPT
from harness.reports.words import Words
from harness.submissions.listing import HandIn
from harness.submissions.paths import without_paths
from harness.submissions.staging import left_out, stage
from harness.submissions.submission import Submission
from harness.texts import Texts


def preview(
    hand_ins: Collection[HandIn], asked: Asked, place: Path, said: Texts
) -> Iterator[tuple[str, list[str], bool]]:
    """The name of each submission, lines on what would be judged, and whether that is all clear."""
    for hand_in in hand_ins:
        if asked.is_chosen(hand_in.name):
            folder = place / "listed"
            folder.mkdir(mode=0o711)
            try:
                staged = stage(hand_in, folder, 0, asked.mapped.get(hand_in.key, {}))
                yield hand_in.name, *_lines(Submission(staged, asked.rules, place / "kits", []), asked, said)
            finally:
                shutil.rmtree(folder, ignore_errors=True)


def _found(given: Submission, exercise: int) -> Found | BadTarget:
    """What would be judged, or why not: nothing is built for that."""
    found = given.found(exercise)
    if isinstance(found, Found) and found.track == TYPESCRIPT:
        try:
            typescript.check_ready()
        except BadTarget as error:
            return error
    return found


def _lines(given: Submission, asked: Asked, said: Texts) -> tuple[list[str], bool]:
    lines, is_clear = left_out(given.staged, said), given.staged.problem is None
    for exercise in asked.exercises:
        found = _found(given, exercise)
        if isinstance(found, BadTarget):
            is_clear = False
            text = found.said_in(said)
        else:
            text = " ".join([found.label, *(Words(said).text("note", each) for each in found.remarks)])
        lines.append(f"{exercise}: {without_paths(text, given.staged, given.place)}")
    return lines, is_clear
