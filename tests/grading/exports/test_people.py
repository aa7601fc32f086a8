from __future__ import annotations

import pytest

from harness.grading.exports.people import Person, folded, in_row, paired


def person(identifier: str = "", email: str = "", name: str = "", called: str = "") -> Person:
    """Somebody of whom a grade knows this."""
    return Person((identifier,), email, folded(name), folded(called))


def row(identifier: str = "", email: str = "", name: str = "") -> Person:
    """Somebody of whom a table knows this."""
    return in_row((identifier,), email, name)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Zoé Étienne", "zoe etienne"),
        ("O'Neil Ada", "Ada ONeil"),
        ("Lovelace, Ada", "Ada Lovelace"),
        ("Łukasz", "łukasz"),
        ("Jean-Luc Picard", "jean luc  picard"),
        ("李雷", "李雷"),
    ],
)
def test_names_that_are_the_same(one: str, other: str) -> None:
    """Case, accents, apostrophes, hyphens and the order of words make no difference."""
    assert folded(one) == folded(other) != ""


def test_the_surest_key_comes_first() -> None:
    """The identifier, then the address, then the name, then the name of the folder."""
    rows = [row("1", "a@x", "Ada"), row("2", "b@x", "Bob"), row("3", "", "Cy"), row("4", "", "Di")]
    grades = [person("1"), person("", "b@x"), person("", "", "Cy"), person(called="di")]
    assert paired(rows, grades) == {0: 0, 1: 1, 2: 2, 3: 3}


def test_who_is_not_alone_is_not_found() -> None:
    """Two of one name, in the table or among the grades, are not told apart by it."""
    assert paired([row("1", "", "Jun Li"), row("2", "", "Li Jun")], [person("", "", "Jun Li")]) == {}
    assert paired([row("1", "", "Jun Li")], [person("", "", "Jun Li"), person("", "", "Jun Li")]) == {}


def test_an_identifier_of_somebody_else() -> None:
    """In the worksheet of another assignment, participant 7 is another person: nobody gets these marks."""
    assert paired([row("7", "b@x", "Bob")], [person("7", "", "Ada")]) == {}
    assert paired([row("7", "b@x", "Bob")], [person("7", "a@x", "")]) == {}


def test_a_name_of_somebody_else() -> None:
    """Where identifiers tell people apart, two of one name with different ones are two people."""
    rows = [row("1", "", "Ada"), row("2", "", "Jun Li")]
    assert paired(rows, [person("1", "", "Ada"), person("3", "", "Jun Li")]) == {0: 0}


def test_identifiers_of_another_portal() -> None:
    """Where no identifier fits, they are of another kind, and the names count."""
    rows = [row("1", "", "Ada"), row("2", "", "Bob")]
    assert paired(rows, [person("s100", "", "Ada"), person("s200", "", "Bob")]) == {0: 0, 1: 1}


def test_nobody() -> None:
    """A table without people, and a class without grades, have no pairs."""
    assert paired([], [person("1")]) == paired([row("1")], []) == paired([], []) == {}
