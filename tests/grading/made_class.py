"""Made-up grades of a class, among them names that mean harm."""

from __future__ import annotations

import random

from harness.grading.copies import NearCopies, Pair
from harness.grading.result import Author, Grade, Mark, Part
from harness.texts import texts
from harness.verdict.outcome import Outcome
from harness.verdict.steps import COMPONENTS, EXERCISES, points_for, steps_of

HOSTILE = [
    "<script>alert(1)</script>",
    'x" onmouseover="alert(1)',
    "evil\u202egpj.exe",
    "line\nbreak\x1b[2J",
    "latin-\udce9\udcff",
    "100% & more #1?",
    "משה-כהן",
    "long-" + "n" * 115,
]
NAMES = (
    "ada bob cai dee eve fay gus hal ida jim kai lea max nia oto pia quo ray sue tom uma vic wes xia yan zoe"
)
WRONG = {
    "1.3": ["duplicate"],
    "1.4": ["lost", "reorder"],
    "1.5": ["room_leak"],
    "2.2": ["gap", "split_sequence"],
    "2.3": ["replay_hole"],
    "2.4": ["history_mismatch"],
    "3.2": ["zombie_presence"],
    "3.3": ["late_offline", "premature_offline"],
    "3.4": ["presence_disagrees"],
    "4.3": ["lost_after_crash"],
    "4.4": ["changed_after_restart", "lost_after_crash"],
    "4.5": ["not_kept"],
}
"""What may go wrong in a step."""


def made_class(size: int, seed: int = 1, hostile: bool = True) -> dict[str, Grade]:
    """Grades by their stems, the same ones each time."""
    chance = random.Random(seed)
    first = NAMES.split()
    names = [f"{first[n % 26]}-{first[n * 7 % 26]}-{n:03}" for n in range(size)]
    names[: len(HOSTILE)] = HOSTILE if hostile else names[: len(HOSTILE)]
    return {name: _grade(name, chance, number) for number, name in enumerate(names)}


def _grade(name: str, chance: random.Random, number: int) -> Grade:
    skill = chance.choice([0.5, 0.8, 0.95, 1.0])
    grade = Grade(
        name, isolation="none" if number % 20 == 3 else "user" if number % 20 == 4 else "bubblewrap"
    )
    for exercise in EXERCISES:
        grade.parts[exercise] = _part(exercise, chance, skill)
    if number % 15 == 5:
        part = grade.parts[2]
        part.problem = texts("en").say("grade.deadline", seconds=300)
        part.steps = [
            Mark(each.step, Outcome.INCONCLUSIVE, 0, each.of, said=[part.problem]) for each in part.steps
        ]
        part.verdict, part.points, part.seconds = Outcome.INCONCLUSIVE, 0, 300.0
    if number % 10 == 0:
        grade.author = Author("4711", f"Ada Nr. {number}", "ada@example.org")
    if number % 14 == 2:
        grade.attention = [
            "`store.py` opens a file of the model answers.",
            "It ends with <b>tags</b> & \u202etrouble.",
        ]
    if number % 11 == 4:
        grade.remarks = ["The folder `ex1` was taken for `ex1_chat`."]
        grade.note = "Talked to her; resubmits on Friday."
    grade.checks = [
        Mark(
            "no sleep",
            Outcome.PASSED if number % 3 else Outcome.FAILED,
            1,
            1,
            "Does not sleep",
            ["It sleeps."],
        )
    ]
    grade.sum_up()
    return grade


def _part(exercise: int, chance: random.Random, skill: float) -> Part:
    component = COMPONENTS[exercise]
    marks = []
    for step in steps_of(exercise):
        of = points_for(step, component)
        is_wrong = step in WRONG and chance.random() > skill
        found = WRONG[step][: chance.choice([1, 2])] if is_wrong else []
        said = [texts("en").say(f"anomaly.{each}.title") for each in found]
        verdict = Outcome.FAILED if found else Outcome.PASSED
        marks.append(Mark(step, verdict, 0 if found else of, of, f"Step {step}", said, found))
    points = sum(mark.points for mark in marks)
    possible = sum(mark.of for mark in marks)
    verdict = Outcome.PASSED if points == possible else Outcome.FAILED
    return Part(verdict, points, possible, round(chance.uniform(2, 20), 1), marks)


def files_of(grades: dict[str, Grade]) -> set[str]:
    """The names of the files that a grading would leave beside the page."""
    logs = {f"{stem}.log" for stem in grades}
    failed = {
        (s, n)
        for s, grade in grades.items()
        for n, part in grade.parts.items()
        if part.verdict is Outcome.FAILED
    }
    return logs | {f"{stem}.ex{number}.html" for stem, number in failed}


def made_copies(grades: dict[str, Grade]) -> NearCopies:
    """Some near copies among them."""
    stems = list(grades)
    return NearCopies(
        [
            Pair("store", stems[0], "model", True, 1.0, 375, [(25, 74)], [(29, 83)]),
            Pair("presence", stems[5], stems[7], False, 0.93, 400, [(12, 40), (44, 60)], [(10, 70)]),
            Pair("pubsub", stems[5], stems[7], False, 0.97, 118, [(12, 40)], [(10, 37)]),
            Pair("sequencer", stems[2], "reference", True, 0.71, 300, [(30, 90)], [(40, 120)]),
        ]
    )
