"""All that a student reads stands in two languages, with nothing missing on either side."""

from __future__ import annotations

import ast
import string
from pathlib import Path

import pytest

from harness.checkers.catalogue import CATALOGUE
from harness.texts import LANGUAGES, texts
from harness.verdict.steps import EXERCISES, POINTS

HARNESS = Path(__file__).parent.parent.parent / "harness"


def fields(text: str) -> list[str]:
    """The names of what a text is filled with."""
    return sorted({name for _, name, _, _ in string.Formatter().parse(text) if name})


def test_languages_have_the_same_keys_and_fields() -> None:
    """Each text exists in each language, and is filled with the same things."""
    english, french = (texts(language).keys() for language in LANGUAGES)
    assert english.keys() == french.keys()
    for key in english:
        assert fields(english[key]) == fields(french[key]), key


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_anomaly_is_explained(language: str) -> None:
    """Each entry of the catalogue has a title, a message and a cause, and the course's section exists."""
    told = texts(language).keys()
    for name, kind in CATALOGUE.items():
        assert f"anomaly.{name}.title" in told
        assert any(key.startswith(f"anomaly.{name}.says") for key in told), name
        assert any(key.startswith(f"anomaly.{name}.cause") for key in told), name
        assert f"section.{kind.section}" in told
    named = {key.split(".")[1] for key in told if key.startswith("anomaly.")}
    assert named == set(CATALOGUE), "no text is left over"


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_step_and_exercise_has_a_title_and_hints(language: str) -> None:
    """The course's steps and exercises are named, and there are three hints for each exercise."""
    language_texts = texts(language)
    for step in POINTS:
        assert language_texts.has(f"step.{step.replace('.', '-')}")
    for number in EXERCISES:
        assert language_texts.has(f"exercise.{number}")
        assert len(language_texts.list(f"hints.{number}")) == 3


def test_every_receipt_and_bad_frame_is_worded() -> None:
    """Whatever key a scenario uses for a receipt, a doubt, a note or a bad frame has its words."""
    told = texts("en").keys()
    for path in sorted((HARNESS / "scenarios").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "Text":
                for constant in ast.walk(node.args[0]):
                    if isinstance(constant, ast.Constant) and isinstance(constant.value, str):
                        tables = ("proof", "doubt", "skip", "note")
                        assert any(f"{table}.{constant.value}" in told for table in tables), constant.value
            if isinstance(node, ast.Tuple) and len(node.elts) == 3:
                rule, frame, _ = node.elts  # a bad frame, unless it is just three names
                names = isinstance(frame, ast.Constant) and isinstance(frame.value, str)
                if isinstance(rule, ast.Constant) and isinstance(rule.value, str) and not names:
                    assert f"bad.{rule.value}" in told, rule.value


PROBLEMS = {
    "BadTarget": "",
    "BadReplay": "",
    "Problem": "",
    "wrong_usage": "usage.",
    "_wrong_usage": "usage.",
}
"""What is called with the key of a sentence and what it is filled with; and how the key is completed."""


def test_every_problem_is_worded() -> None:
    """Whatever is wrong with what was asked for has its sentence, filled with what it needs; none is left."""
    told = texts("en").keys()
    used = set()
    for path in sorted(HARNESS.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call):
                continue
            prefix = PROBLEMS.get(ast.unparse(node.func).rpartition(".")[2])
            keys = [str(each.value) for each in node.args if isinstance(each, ast.Constant)]
            if prefix is None or not keys:
                continue
            key = prefix + keys[0]
            used.add(key)
            assert key in told, (path, key)
            assert fields(told[key]) == sorted(each.arg or "**" for each in node.keywords), (path, key)
    by_say = {"usage.no_time", "usage.not_a_file", "usage.no_place", "usage.folder_unnamed"}
    used |= {*by_say, "usage.settings_handed_in"}
    assert {key for key in told if key.startswith(("usage.", "target.", "replay."))} == used


def test_a_sentence_is_recognised() -> None:
    """The reverse of filling it in; other sentences are none of the table's."""
    said = texts("en").say("replay.no_folder", path="a.json", folder="/x")
    assert texts("en").recognised("replay", said) == ("replay.no_folder", {"path": "a.json", "folder": "/x"})
    assert texts("en").recognised("replay", f"{said}.") is None
    assert texts("en").recognised("target", said) is None


def test_an_unknown_language_is_refused() -> None:
    """There are two languages, and asking for a third is an error of ours."""
    with pytest.raises(KeyError):
        texts("de")


def test_a_missing_field_does_not_break_a_report() -> None:
    """A text that lacks something shows its name, and raises nothing."""
    assert "{seconds}" in texts("en").say("proof.started")
    assert texts("en").say("no.such.text") == "no.such.text"
