"""The course's exercises and their steps, with the points of each: the one place where these stand."""

from __future__ import annotations

EXERCISES = {1: "ex1_chat", 2: "ex2_ordering", 3: "ex3_presence", 4: "ex4_persistence"}
"""The slug of each exercise: the name of its folder, its scenario and its walkthrough."""

COMPONENTS = {1: "pubsub", 2: "sequencer", 3: "presence", 4: "store"}
"""The component that a student writes in each exercise."""

POINTS = {
    "1.1": 1, "1.2": 1, "1.3": 2, "1.4": 4, "1.5": 2,
    "2.1": 2, "2.2": 3, "2.3": 3, "2.4": 2,
    "3.1": 2, "3.2": 2, "3.3": 3, "3.4": 3,
    "4.1": 1, "4.2": 2, "4.3": 2, "4.4": 3, "4.5": 2,
}  # fmt: skip
"""What each step is worth: ten points an exercise."""

BREAKABLE = {
    "pubsub": ("1.3", "1.4", "1.5"),
    "sequencer": ("2.1", "2.2", "2.3", "2.4"),
    "presence": ("3.1", "3.2", "3.3", "3.4"),
    "store": ("4.2", "4.3", "4.4", "4.5"),
}
"""The steps that a component can break: only they carry points when a component is judged alone."""


def numbers_in(text: str) -> list[int]:
    """The exercises that a text such as `1,3` names. Raises ValueError, which says what it should be."""
    try:
        numbers = sorted({int(each) for each in text.split(",")})
    except ValueError:
        numbers = []
    if not numbers or not set(numbers) <= set(EXERCISES):
        raise ValueError(f"write some of {', '.join(map(str, EXERCISES))}, such as 1,3")
    return numbers


def steps_of(exercise: int) -> list[str]:
    """The steps of an exercise, in the course's order."""
    return [step for step in POINTS if step.startswith(f"{exercise}.")]


def points_for(step: str, component: str | None) -> int:
    """The points of a step; 0 if `component` alone is judged and cannot break it."""
    if component is not None and step not in BREAKABLE[component]:
        return 0
    return POINTS[step]
