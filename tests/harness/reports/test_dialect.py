"""Reports of components in TypeScript use the names of TypeScript."""

from __future__ import annotations

import pytest

from harness.checkers.catalogue import Anomaly
from harness.judged.tracks import PYTHON, TYPESCRIPT, called
from harness.reports.dialect import Dialect
from harness.reports.words import Words
from harness.texts import LANGUAGES, texts

ENGLISH = texts("en")


@pytest.mark.parametrize(
    ("said", "in_typescript"),
    [
        ("PresenceManager(30.0, 60.0)", "new PresenceManager(30000, 60000)"),
        ('joined("c1", "red", now=41.5)', 'joined("c1", "red", now=41500)'),
        ('is_connected("c1") → True', 'isConnected("c1") → true'),
        ('MessageStore("data")', 'new MessageStore("data")'),
        ("`find(…)` returned None, but", "`find(…)` returned undefined, but"),
        ("`X.in_room` in lab/interfaces.py", "`X.inRoom` in exercises/typescript/src/types.ts"),
        ("a room called in_room-2, and True words", "a room called in_room-2, and True words"),
        ("raised OSError: [Errno 28] No space left", "raised Error: ENOSPC: No space left"),
    ],
)  # fmt: skip
def test_names_follow_the_track(said: str, in_typescript: str) -> None:
    """Calls and texts are written as in TypeScript, and for Python as they are."""
    assert Dialect(ENGLISH, TYPESCRIPT).said(said) == in_typescript
    assert Dialect(ENGLISH, PYTHON).said(said) == said


def test_texts_about_the_language_have_a_variant() -> None:
    """Where a text is about the language itself, TypeScript has its own, in each language of the reports."""
    anomaly = Anomaly("wrong_last_seen", {}, [], "seconds")
    for language in LANGUAGES:
        causes = {
            Words(texts(language), "", "presence", track).cause(anomaly) for track in (PYTHON, TYPESCRIPT)
        }
        assert len(causes) == 2
        assert not any("int(" in each for each in causes if "lastSeen" in each)


def test_methods_are_called_as_types_ts_says() -> None:
    """The words of a Python name are joined as TypeScript does it."""
    assert called("in_room", TYPESCRIPT) == "inRoom"
    assert called("in_room", PYTHON) == "in_room"


def test_nodes_exit_code_13_is_explained() -> None:
    """A start that ends at an `await` of what never comes; what printed nothing has no lines above."""
    ended = Anomaly("no_start", {"code": 13, "output": ""}, [], "exited")
    words = Words(ENGLISH, "", "store", TYPESCRIPT)
    assert "neither resolved nor rejected" in " ".join(words.explained(ended))
    assert "lines above" not in words.cause(ended)
    assert Words(ENGLISH).explained(ended) == []
