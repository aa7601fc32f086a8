"""Files in the format of mdbook-quiz are read; what is wrong with one is told in a sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.quiz.question import Question
from harness.quiz.reader import BadQuiz, Quiz, parse, read
from harness.texts import LANGUAGES, texts

COURSE = '''
[[questions]]
id = "order"
type = "MultipleChoice"
prompt.prompt = "What do sequence numbers give to a chat?"
prompt.distractors = ["Encryption", "the *order* of messages.", "Presence"]
answer.answer = "The order of messages"
context = """
A text may have in it:
[[questions]]
"""

[[questions]]
id = "room"
type = "ShortAnswer"
prompt.prompt = "Which structure finds the users of one room?"
answer.answer = "room map"
answer.alternatives = ["A map of rooms"]
'''
"""As the course has them: a choice with its right answer among the distractors, and a short answer."""


def quiz(text: str) -> Quiz:
    """A quiz of this text."""
    return parse(text, "q.toml", "q.toml")


def told(text: str, language: str = "en") -> list[str]:
    """What is wrong with the questions of a text."""
    return [defect.said_in(texts(language)) for defect in quiz(text).defects]


def test_the_courses_defect_is_told_and_the_question_asked() -> None:
    """By its line, its id and the text; what is left of it has the right answer once."""
    found = quiz(COURSE)
    (said,) = told(COURSE)
    assert said.startswith("q.toml, line 2, question order: a right answer stands among the distractors")
    assert "“the *order* of messages.”" in said
    order, room = found.questions
    assert sorted(order.choices(1)) == ["Encryption", "Presence", "The order of messages"]
    assert (order.key, room.key) == ("q:order", "q:room")
    assert order.context.endswith("[[questions]]")


def test_a_short_answer_is_compared_leniently() -> None:
    """Without regard to case, spaces, a full stop and marks; an alternative is as good as the answer."""
    room = quiz(COURSE).questions[1]
    for right in ("room map", "  Room   MAP ", "`room map`.", "a map of rooms"):
        assert room.is_right((right,)), right
    for wrong in ("", "map", "roommap"):
        assert not room.is_right((wrong,)), wrong
    assert not room.is_right(())


def test_several_right_answers_are_all_to_be_chosen() -> None:
    """A list of answers: neither some of them, nor more. A list of one is such a list, too."""
    text = """
[[questions]]
type = "MultipleChoice"
prompt.prompt = "?"
prompt.distractors = ["c", "d"]
answer.answer = ["a", "b"]
"""
    (both,) = quiz(text).questions
    assert both.are_several
    assert both.is_right(("b", "a"))
    assert not both.is_right(("a",))
    assert not both.is_right(("a", "b", "c"))
    assert quiz(text.replace('["a", "b"]', '["a"]')).questions[0].are_several


def test_the_order_of_choices() -> None:
    """A seed decides, the same each time; sortAnswers sorts; answerIndex puts the right one in its place."""
    text = """
[[questions]]
type = "MultipleChoice"
prompt.prompt = "?"
prompt.distractors = ["1", "3", "4", "5"]
answer.answer = "2"
"""
    (mixed,) = quiz(text).questions
    orders = {tuple(mixed.choices(seed)) for seed in range(20)}
    assert len(orders) > 10
    assert all(sorted(each) == ["1", "2", "3", "4", "5"] for each in orders)
    assert mixed.choices(7) == mixed.choices(7)
    (in_order,) = quiz(text + "prompt.sortAnswers = true").questions
    assert in_order.choices(7) == ["1", "2", "3", "4", "5"]
    (placed,) = quiz(text + "prompt.answerIndex = 3").questions
    assert placed.choices(7) == ["1", "3", "4", "2", "5"]


def test_a_part_has_its_introduction() -> None:
    """What several questions have in common stands in [multipart]."""
    text = COURSE + 'multipart = "m"\n[multipart]\nm = "Look at this program."\n'
    assert quiz(text).questions[1].introduction == "Look at this program."
    assert "[multipart] has no such text" in told(COURSE + 'multipart = "m"')[-1]


CHOICE = '[[questions]]\ntype = "MultipleChoice"\nprompt.prompt = "?"\n'
SHORT = '[[questions]]\ntype = "ShortAnswer"\nprompt.prompt = "?"\n'
DEFECTS = {
    CHOICE + 'answer.answer = "a"': "has no `prompt.distractors`",
    CHOICE + 'answer.answer = "a"\nprompt.distractors = []': "has no distractor",
    CHOICE + 'answer.answer = "a"\nprompt.distractors = ["A"]': "has no distractor",
    CHOICE + 'answer.answer = "a"\nprompt.distractors = "b"': "`prompt.distractors` is no list",
    CHOICE + 'answer.answer = []\nprompt.distractors = ["b"]': "`answer.answer` is empty",
    CHOICE + 'answer.answer = " "\nprompt.distractors = ["b"]': "`answer.answer` is empty",
    CHOICE + 'answer.answer = "a"\nprompt.distractors = ["b", ""]': "has an empty text",
    CHOICE + 'prompt.distractors = ["b"]': "has no `answer.answer`",
    CHOICE + 'answer = "a"\nprompt.distractors = ["b"]': "`answer` is no table",
    CHOICE + 'answer.answer = "a"\nprompt.distractors = ["b"]\nprompt.answerIndex = 2': "from 0 to 1",
    CHOICE + 'answer.answer = "a"\nprompt.distractors = ["b"]\nprompt.answerIndex = 1\n'
    "prompt.sortAnswers = true": "exclude each other",
    SHORT + "answer.answer = 8": "`answer.answer` is no text",
    SHORT + 'answer.answer = "a"\nanswer.alternatives = "b"': "`answer.alternatives` is no list",
    SHORT + 'answer.answer = "a"\ncontext = 3': "`context` is no text",
    SHORT.replace('prompt.prompt = "?"', "") + 'answer.answer = "a"': "has no `prompt.prompt`",
    '[[questions]]\ntype = "Tracing"\nprompt.program = ""': "Tracing",
    '[[questions]]\ntype = "MultipelChoice"': "did you mean MultipleChoice?",
    '[[questions]]\ntype = "Essay"': "there is no type Essay",
    "[[questions]]\n": "has no `type`",
    "questions = [1]": "it is no table",
}


@pytest.mark.parametrize("text", DEFECTS)
def test_a_question_that_cannot_be_asked_is_left_out(text: str) -> None:
    """One sentence that names its line, and what is wrong; the question after it is asked."""
    after = "" if text.startswith("questions") else f'\n{SHORT}answer.answer = "after"\n'
    found = quiz(text + after)
    said = told(text + after)
    assert DEFECTS[text] in said[-1]
    assert said[-1].startswith("q.toml, line 1, question 1: ")
    assert [each.answers for each in found.questions] == ([("after",)] if after else [])
    assert told(text, "fr")[-1].startswith("q.toml, ligne 1, question 1")


def test_a_distractor_that_stands_there_twice_is_told() -> None:
    """And asked once."""
    text = CHOICE + 'answer.answer = "a"\nprompt.distractors = ["b", "B ", "c"]'
    assert ["twice" in said for said in told(text)] == [True]
    assert quiz(text).questions[0].distractors == ("b", "c")


def test_two_questions_have_two_ids() -> None:
    """The second one with the same id is told and left out: answers are remembered by it."""
    assert len(quiz(COURSE.replace('"room"', '"order"')).questions) == 1
    assert "the same id" in told(COURSE.replace('"room"', '"order"'))[-1]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"a = \n", "is no TOML"),
        (b"a = " + b"[" * 99999, "is no TOML"),
        (b"x = 1\ny = '\xff'", "line 2 was saved in another encoding"),
        (b"", "no [[questions]]"),
        (b"questions = 3", "no [[questions]]"),
        (b"# " + b"x" * 1024 * 1024, "too large"),
    ],
)
def test_what_is_no_quiz_is_told(content: bytes, words: str, tmp_path: Path) -> None:
    """In one sentence that names the file."""
    path = tmp_path / "x.toml"
    path.write_bytes(content)
    with pytest.raises(BadQuiz, match=r"x\.toml") as raised:
        read(path)
    assert words in str(raised.value)


def test_what_is_no_file_is_told(tmp_path: Path) -> None:
    """A folder, and what does not exist."""
    for path, words in ((tmp_path, "no file that can be read"), (tmp_path / "none.toml", "cannot be read")):
        with pytest.raises(BadQuiz, match=words):
            read(path)


def test_the_files_of_other_systems_are_read(tmp_path: Path) -> None:
    """With a byte order mark and other line ends."""
    path = tmp_path / "x.toml"
    path.write_bytes(b"\xef\xbb\xbf" + COURSE.replace("\n", "\r\n").encode())
    assert len(read(path).questions) == 2


def test_many_headers_within_a_text_take_no_time() -> None:
    """The line is then that of the first one, which is better than minutes."""
    text = CHOICE + "answer.answer = '''\n" + "[[questions]]\n" * 50_000 + "'''\n"
    assert told(text)[0].startswith("q.toml, line 1, question 1: ")


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_sentence_steers_a_terminal(language: str) -> None:
    """Whatever ids and texts have in them."""
    text = (
        CHOICE + 'id = "\\u001b[2J"\nanswer.answer = "\\u001b[2J"\nprompt.distractors = ["\\u001b[2J", "b"]'
    )
    (said,) = told(text, language)
    assert "\x1b" not in said
    assert "\\x1b[2J" in said


def test_choices_are_never_more_than_there_are() -> None:
    """A place behind the distractors that are left is the last one."""
    text = CHOICE + 'answer.answer = "a"\nprompt.distractors = ["b", "a"]\nprompt.answerIndex = 2'
    (question,) = quiz(text).questions
    assert isinstance(question, Question)
    assert question.choices(0) == ["b", "a"]
