"""The course's exercises and their steps, with the points of each: the one place that defines them."""

from __future__ import annotations

from msgspec import Struct

from harness.texts.problem import Problem


class Exercise(Struct, frozen=True):
    """An exercise. Its slug names its folder, its scenario and its walkthrough."""

    slug: str
    component: str
    """What a student writes in it."""
    points: dict[str, int]
    """What each step is worth: ten points an exercise."""
    breakable: tuple[str, ...]
    """The steps that the component can break: only they carry points when it is judged alone."""


_COURSE = {
    1: Exercise(
        "ex1_chat", "pubsub", {"1.1": 1, "1.2": 1, "1.3": 2, "1.4": 4, "1.5": 2}, ("1.3", "1.4", "1.5")
    ),
    2: Exercise(
        "ex2_ordering", "sequencer", {"2.1": 2, "2.2": 3, "2.3": 3, "2.4": 2}, ("2.1", "2.2", "2.3", "2.4")
    ),
    3: Exercise(
        "ex3_presence", "presence", {"3.1": 2, "3.2": 2, "3.3": 3, "3.4": 3}, ("3.1", "3.2", "3.3", "3.4")
    ),
    4: Exercise(
        "ex4_persistence",
        "store",
        {"4.1": 1, "4.2": 2, "4.3": 2, "4.4": 3, "4.5": 2},
        ("4.2", "4.3", "4.4", "4.5"),
    ),
}

EXERCISES = {number: exercise.slug for number, exercise in _COURSE.items()}
COMPONENTS = {number: exercise.component for number, exercise in _COURSE.items()}
POINTS = {step: points for exercise in _COURSE.values() for step, points in exercise.points.items()}
BREAKABLE = {exercise.component: exercise.breakable for exercise in _COURSE.values()}

CLUSTER = 5
"""The number of what is played against a cluster alone: no exercise of the course, and without points."""
_OF_CLUSTER = ("5.1", "5.2", "5.3", "5.4", "5.5", "5.6")

STEP_OF_FRAME = {
    "": "1.2",
    "connected": "1.2",
    "message": "1.4",
    "error": "1.2",
    "history": "2.4",
    "presence": "3.2",
    "heartbeat": "3.3",
}
"""The step that a malformed frame of each type belongs to; "" is for what is not a JSON object."""


def numbers_in(text: str, option: str) -> list[int]:
    """The exercises that the text of an option names, such as `1,3`. Raises Problem."""
    try:
        numbers = sorted({int(each) for each in text.split(",")})
    except ValueError:
        numbers = []
    if not numbers or not set(numbers) <= set(EXERCISES):
        known = ", ".join(map(str, EXERCISES))
        raise Problem("usage.exercises", option=option, given=text, numbers=known)
    return numbers


def steps_of(exercise: int) -> list[str]:
    """The steps of an exercise, in the course's order."""
    return list(_OF_CLUSTER if exercise == CLUSTER else _COURSE[exercise].points)


def points_for(step: str, component: str | None) -> int:
    """The points of a step; 0 if `component` alone is judged and cannot break it."""
    if component is not None and step not in BREAKABLE[component]:
        return 0
    return POINTS.get(step, 0)
