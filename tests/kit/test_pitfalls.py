"""Each pitfall in the handouts is linked to its anomaly, and to an animal of the zoo that has just that."""

from __future__ import annotations

import re
from collections.abc import Iterable

import pytest

from harness.checkers.catalogue import CATALOGUE
from harness.texts import LANGUAGES
from harness.verdict.steps import EXERCISES
from harness.zoo.animals import ANIMALS
from tests.kit.pages import read, translated

HEADINGS = {"en": ("Key points", "Pitfalls"), "fr": ("Points clés", "Pièges")}
OF_THE_COURSE = {"en": "*(course)*", "fr": "*(cours)*"}
_ROW = re.compile(r"^\| (.+?) \| `(\w+)` \| `(\w+)` \|$", re.MULTILINE)

Row = tuple[str, str, str]
"""What goes wrong, the anomaly, and the animal."""


def section(exercise: int, language: str) -> str:
    """The key points and pitfalls of a handout, up to the next section."""
    page = read(translated(f"exercises/{EXERCISES[exercise]}/README.md", language))
    _, found, rest = page.partition(f"\n## {HEADINGS[language][0]}\n")
    assert found
    return rest.partition("\n## ")[0]


def pitfalls(exercise: int, language: str) -> list[Row]:
    """The rows of the table."""
    _, _, table = section(exercise, language).partition(f"\n### {HEADINGS[language][1]}\n")
    return _ROW.findall(table)


def wrong(rows: Iterable[Row], exercise: int) -> list[str]:
    """What is not true of these rows."""
    found = []
    for _, anomaly, name in rows:
        animal = ANIMALS.get(name)
        if anomaly not in CATALOGUE:
            found.append(f"there is no anomaly {anomaly}")
        if animal is None:
            found.append(f"there is no animal {name}")
        elif animal.anomaly != anomaly:
            found.append(f"{name} is caught by {animal.anomaly}, and not by {anomaly}")
        elif animal.exercise != exercise:
            found.append(f"{name} belongs to exercise {animal.exercise}")
    return found


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("exercise", EXERCISES)
def test_each_pitfall_is_linked(exercise: int, language: str) -> None:
    """Every row of the table names an anomaly and an animal of this exercise which is caught by it."""
    rows = pitfalls(exercise, language)
    lines = [line for line in section(exercise, language).splitlines() if line.startswith("|")]
    assert len(rows) == len(lines) - 2 >= 6, "a row that is written in another way"
    assert wrong(rows, exercise) == []
    assert len({name for *_, name in rows}) == len(rows)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (("", "lots", "sender_is_left_out"), "there is no anomaly lots"),
        (("", "lost", "the_yeti"), "there is no animal the_yeti"),
        (("", "duplicate", "sender_is_left_out"), "caught by lost, and not by duplicate"),
        (("", "reorder", "one_member_hears_out_of_order"), "belongs to exercise 2"),
    ],
)
def test_a_wrong_link_is_noticed(row: Row, words: str) -> None:
    """An anomaly or animal that does not exist, another one's anomaly, another exercise."""
    assert words in " ".join(wrong([row], 1))


@pytest.mark.parametrize("exercise", EXERCISES)
def test_they_are_the_same_in_each_language(exercise: int) -> None:
    """The same links in the same order, the course's marked alike; as many key points, three to five."""
    shapes = []
    for language in LANGUAGES:
        points, _, _ = section(exercise, language).partition("\n### ")
        mark = OF_THE_COURSE[language]
        rows = [(mark in text, anomaly, name) for text, anomaly, name in pitfalls(exercise, language)]
        shapes.append((len(re.findall(r"^- ", points, re.MULTILINE)), rows))
    assert all(shape == shapes[0] for shape in shapes)
    assert 3 <= shapes[0][0] <= 5


def test_the_pitfalls_of_the_course_are_among_them() -> None:
    """Its four: order, replay at a join, heartbeats, and messages that come twice, in two exercises."""
    marked = [
        (anomaly, name)
        for exercise in EXERCISES
        for text, anomaly, name in pitfalls(exercise, "en")
        if OF_THE_COURSE["en"] in text
    ]
    assert [anomaly for anomaly, _ in marked] == [
        "reorder",
        "replay_hole",
        "duplicate",
        "missing_heartbeat",
        "replayed_as_new",
    ]
