"""Everything that a student reads exists in each language, and nothing is missing in any."""

from __future__ import annotations

import ast
import re
import string
from collections.abc import Mapping
from pathlib import Path

import pytest

from harness.checkers.catalogue import CATALOGUE, Kind
from harness.texts import LANGUAGES, texts
from harness.verdict.steps import EXERCISES, POINTS

HARNESS = Path(__file__).parent.parent.parent / "harness"


def fields(text: str) -> list[str]:
    """The names of the fields in a text."""
    return sorted({name for _, name, _, _ in string.Formatter().parse(text) if name})


def test_languages_have_the_same_keys_and_fields() -> None:
    """Each text exists in each language, with the same fields."""
    english = texts("en").keys()
    for language in LANGUAGES:
        translated = texts(language).keys()
        assert english.keys() == translated.keys()
        for key in english:
            assert fields(english[key]) == fields(translated[key]), key


def test_french_has_no_break_before_double_punctuation() -> None:
    """A colon at the beginning of a line is a mistake in French; code is left as it is."""
    for key, text in texts("fr").keys().items():
        prose = re.sub(r"`[^`]*`", "x", text)
        assert not re.search(r"\S [:;?!»](\s|$)", prose), (key, text)


def unexplained(catalogue: Mapping[str, Kind], language: str) -> list[str]:
    """What is missing for the entries of a catalogue: a title, a message, a cause, the course's section."""
    known = texts(language).keys()
    return [
        key
        for name, kind in catalogue.items()
        for key in (
            *(f"anomaly.{name}.{what}" for what in ("title", "says", "cause")),
            f"section.{kind.section}",
        )
        if not any(each == key or each.startswith(f"{key}_") for each in known)
    ]


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_anomaly_is_explained(language: str) -> None:
    """Each entry of the catalogue has a title, a message and a cause, and the course's section exists."""
    assert unexplained(CATALOGUE, language) == []
    named = {key.split(".")[1] for key in texts(language).keys() if key.startswith("anomaly.")}  # noqa: SIM118
    assert named == set(CATALOGUE), "no text is left over"
    new = {**CATALOGUE, "echo": Kind("O", "acoustics")}
    keys = ["anomaly.echo.title", "anomaly.echo.says", "anomaly.echo.cause", "section.acoustics"]
    assert unexplained(new, language) == keys


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_step_and_exercise_has_a_title_and_hints(language: str) -> None:
    """The course's steps and exercises have titles, and there are three hints for each exercise."""
    language_texts = texts(language)
    for step in POINTS:
        assert language_texts.has(f"step.{step.replace('.', '-')}")
    for number in EXERCISES:
        assert language_texts.has(f"exercise.{number}")
        assert len(language_texts.list(f"hints.{number}")) == 3


def test_every_receipt_and_bad_frame_has_a_text() -> None:
    """Whatever key a scenario uses for a receipt, a doubt, a note or a bad frame has a text."""
    known = texts("en").keys()
    for path in sorted((HARNESS / "scenarios").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "Text":
                for constant in ast.walk(node.args[0]):
                    if isinstance(constant, ast.Constant) and isinstance(constant.value, str):
                        tables = ("proof", "doubt", "skip", "note")
                        assert any(f"{table}.{constant.value}" in known for table in tables), constant.value
            if isinstance(node, ast.Tuple) and len(node.elts) == 3:
                rule, frame, _ = node.elts  # a bad frame, unless it is only three names
                names = isinstance(frame, ast.Constant) and isinstance(frame.value, str)
                if isinstance(rule, ast.Constant) and isinstance(rule.value, str) and not names:
                    assert f"bad.{rule.value}" in known, rule.value


PROBLEMS = {
    "BadTarget": "",
    "BadQuiz": "",
    "BadReplay": "",
    "BadRubric": "",
    "CommandNotFound": "",
    "NoIsolation": "",
    "NotBuilt": "",
    "NotReady": "",
    "Problem": "",
    "Unclear": "",
    "unfit": "quiz.",
    "wrong_usage": "usage.",
    "_wrong_usage": "usage.",
}
"""What is called with the key of a sentence and what it is filled with; and how the key is completed."""


def test_every_problem_has_a_text() -> None:
    """Each problem of a request has its sentence, with the fields that it needs; no sentence is unused."""
    known = texts("en").keys()
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
            assert key in known, (path, key)
            assert fields(known[key]) == sorted(each.arg or "**" for each in node.keywords), (path, key)
    by_say = {"usage.no_time", "usage.not_a_file", "usage.no_place", "usage.folder_unnamed", "usage.track"}
    used |= {*by_say, "usage.settings_handed_in", "usage.seed", "usage.no_share"}
    tables = ("usage.", "target.", "program.", "replay.", "isolation.")
    assert {key for key in known if key.startswith(tables)} == {key for key in used if key.startswith(tables)}


def test_a_sentence_is_recognised() -> None:
    """The reverse of filling it in; sentences that are not in the table are not recognised."""
    said = texts("en").say("replay.no_folder", path="a.json", folder="/x")
    assert texts("en").recognised("replay", said) == ("replay.no_folder", {"path": "a.json", "folder": "/x"})
    assert texts("en").recognised("replay", f"{said}.") is None
    assert texts("en").recognised("target", said) is None


def test_an_unknown_language_is_refused() -> None:
    """Asking for a language without texts is an error of ours."""
    with pytest.raises(KeyError):
        texts("de")


def test_words_agree_with_their_number() -> None:
    """One room, two rooms; in French, none is singular. What is not known is told, too."""
    for language, told in (
        ("en", ["0 rooms", "1 room", "2 rooms"]),
        ("fr", ["0 salle", "1 salle", "2 salles"]),
    ):
        for rooms, words in enumerate(told):
            said = texts(language).say("proof.burst_alone", messages=7, rooms=rooms)
            assert said.replace("\xa0", " ").endswith(words)
    assert texts("en").say("proof.burst_alone", rooms="1") == "{messages} messages in 1 room"


def test_a_missing_field_does_not_break_a_report() -> None:
    """A text that lacks a field shows the field's name, and raises nothing."""
    assert "{seconds}" in texts("en").say("proof.started")
    assert texts("en").say("no.such.text") == "no.such.text"


HOSTILE = "x\x1b[2J\x9b31m\r\n  ✓ 9.9 \u202e\u2066\u200b\u2028\u3164\ufffe\0 {who}"
OBEYED = set("\x1b\x9b\r\u202e\u2066\u200b\u2028\u3164\ufffe\0")


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_is_filled_in_is_legible(language: str) -> None:
    """Whatever comes from outside into a text steers no terminal, and begins no line but a marked one."""
    said = texts(language)
    for key, text in said.keys().items():
        names = fields(text)
        for value in (HOSTILE, ValueError(HOSTILE), [HOSTILE], Path(HOSTILE.replace("\0", ""))):
            filled = said.say(key, **dict.fromkeys(names, value))
            assert not OBEYED & set(filled), key
            forged = [line for line in filled.splitlines() if line.startswith("  ✓ 9.9")]
            assert not forged or ":said}" in text, key


@pytest.mark.parametrize("language", LANGUAGES)
def test_only_few_texts_hold_others(language: str) -> None:
    """What is taken as it is are texts that were filled in before."""
    found = [key for key, text in texts(language).keys().items() if ":said}" in text]
    assert found == ["anomaly.no_start.says_component"]


def test_lines_of_a_program_are_marked() -> None:
    """Each of them, also an empty one, and those that look like ours; they are told apart from our own."""
    said = texts("en").say("anomaly.server_died.says", code=1, output="one\n  ✓ 1.1\n\n| two")
    assert said.splitlines()[1:] == ["| one", "|   ✓ 1.1", "| ", "| | two"]
