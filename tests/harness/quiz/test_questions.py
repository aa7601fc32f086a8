"""Our own questions: the same in each language, without a defect, each with its explanation."""

from __future__ import annotations

import tomllib
from collections import Counter
from typing import Any

import pytest

from harness.quiz import ours
from harness.quiz.question import normalised
from harness.texts import LANGUAGES
from harness.verdict.steps import EXERCISES, steps_of
from tests.kit.pages import read, translated

EACH = [(number, language) for number in EXERCISES for language in LANGUAGES]
SPELLED = {"en": {9: "nine", 10: "ten"}, "fr": {9: "neuf", 10: "dix"}}


def tables(number: int, language: str) -> list[dict[str, Any]]:
    """The questions as they are written."""
    return list(tomllib.loads(ours.file_of(number, language).read_text(encoding="utf-8"))["questions"])


def wrong_among_right(table: dict[str, Any]) -> list[str]:
    """The distractors of a question that a reader takes for a right answer."""
    given = table["answer"]["answer"]
    right = [given] if isinstance(given, str) else given
    taken = {normalised(each) for each in [*right, *table["answer"].get("alternatives", [])]}
    return [each for each in table["prompt"].get("distractors", []) if normalised(each) in taken]


@pytest.mark.parametrize(("number", "language"), EACH)
def test_they_have_no_defect(number: int, language: str) -> None:
    """Nothing is told of them, each is asked, and no right answer stands among the distractors."""
    quiz = ours.quiz(number, language)
    written = tables(number, language)
    assert quiz.defects == []
    assert len(quiz.questions) == len(written)
    assert [wrong for table in written for wrong in wrong_among_right(table)] == []


def test_a_right_answer_among_distractors_is_noticed() -> None:
    """Also where only marks, case or spaces differ; what differs in code differs."""
    table = {
        "answer": {"answer": ["The **order** of messages.", "`Lobby`"]},
        "prompt": {"distractors": ["the order  of messages", "The orders of messages", "`lobby`"]},
    }
    assert wrong_among_right(table) == ["the order  of messages"]


@pytest.mark.parametrize(("number", "language"), EACH)
def test_each_has_what_it_takes(number: int, language: str) -> None:
    """Eight to ten for an exercise, with ids by its steps, an explanation, and something to choose from."""
    questions = ours.quiz(number, language).questions
    assert 8 <= len(questions) <= 10
    for question in questions:
        assert ours.step_of(question.id) in steps_of(number), question.id
        assert len(question.context) > 100, question.id
        assert not question.is_choice or len(question.distractors) >= 2, question.id
    handout = read(translated(f"exercises/{EXERCISES[number]}/README.md", language))
    assert f"# {SPELLED[language][len(questions)]} questions" in handout


@pytest.mark.parametrize("number", EXERCISES)
def test_they_are_the_same_in_each_language(number: int) -> None:
    """The same ids in the same order, remembered alike, with as many answers and distractors."""
    shapes = [
        [
            (
                each.key,
                each.is_choice,
                each.are_several,
                len(each.distractors),
                each.is_choice and len(each.answers),
            )
            for each in ours.quiz(number, language).questions
        ]
        for language in LANGUAGES
    ]
    assert all(shape == shapes[0] for shape in shapes)


def test_where_an_answer_stands_tells_nothing() -> None:
    """The right answer is in each place now and then, and neither always the longest nor the shortest."""
    single = [
        each
        for number in EXERCISES
        for each in ours.quiz(number, "en").questions
        if each.is_choice and not each.are_several
    ]
    places = Counter(each.choices(seed).index(each.answers[0]) for each in single for seed in range(8))
    assert min(places[place] for place in range(3)) > len(single)
    lengths = [sorted(map(len, [*each.answers, *each.distractors])) for each in single]
    ranks = [sizes.index(len(each.answers[0])) for each, sizes in zip(single, lengths, strict=True)]
    longest = sum(rank == len(sizes) - 1 for rank, sizes in zip(ranks, lengths, strict=True))
    assert longest < len(single) / 2
    assert ranks.count(0) < len(single) / 2


def test_links_name_the_handout() -> None:
    """The step of one of ours, and the handout in the language; none for anybody else's question."""
    assert ours.step_of("2.3-since-zero") == "2.3"
    assert ours.step_of("9.9-no") == ours.step_of("b230bed3-d6ba") == ""
    for language in LANGUAGES:
        for number in EXERCISES:
            assert "## " in read(ours.handout_of(steps_of(number)[0], language))
