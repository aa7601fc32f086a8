"""Questions as the output of a notebook's cell.

    from harness.quiz.cell import show

    show("ordering")              # all questions on exercise 2
    show(3, "fr", only="3.4")     # those on a step, in French

Each answer is a line that opens at a click and says whether it is right: plain HTML, without scripts, so that
it also works where a stored notebook is only looked at.
"""

from __future__ import annotations

from pathlib import Path

from harness.quiz import markdown, ours
from harness.quiz.question import Question
from harness.quiz.reader import read
from harness.reports.markup import safe
from harness.texts import LANGUAGES, Texts, texts
from harness.verdict.steps import EXERCISES


class Cell:
    """Some questions, which Jupyter shows as HTML, and `print` as text."""

    def __init__(self, questions: list[Question], words: Texts, command: str) -> None:
        self._questions = questions
        self._words = words
        self._command = command

    def _repr_html_(self) -> str:
        """The same each time, so that a stored output changes with the questions only."""
        items = "".join(f"<li>{_question(each, self._words)}</li>" for each in self._questions)
        told = markdown.inline(self._words.say("quiz.cell_in_terminal", command=f"`{self._command}`"))
        return f'<div class="chatlab-quiz"><ol>{items}</ol><p>{told}</p></div>'

    def __repr__(self) -> str:
        """The questions without their answers."""
        found: list[str] = []
        for number, question in enumerate(self._questions, start=1):
            found += ["", *markdown.lines(question.prompt, 90, f"{number}. ", "   ")]
            for choice in question.choices(0) if question.is_choice else []:
                found += markdown.lines(choice, 90, "   - ", "     ")
        return "\n".join([*found, "", self._words.say("quiz.cell_in_terminal", command=self._command)])


def show(of: int | str | Path, language: str = LANGUAGES[0], only: str = "") -> Cell:
    """The questions of an exercise, or of a file of mdbook-quiz.

    `of` is the exercise's number, slug or the slug's second part (`ordering`), or a path that ends in .toml.
    `only` is the beginning of the ids to show, such as a step. Raises BadQuiz for a file that cannot be read,
    and ValueError where there is nothing to show.
    """
    words = texts(language)
    if not isinstance(of, int) and str(of).endswith(".toml"):
        questions, named = read(Path(of)).questions, f"--file {of}"
    else:
        number = _exercise(of)
        questions, named = ours.quiz(number, language).questions, f"{number}"
    questions = [each for each in questions if each.id.startswith(only)]
    if not questions:
        raise ValueError(f"there is no question whose id begins with {only!r}")
    more = "" if language == LANGUAGES[0] else f" --lang {language}"
    return Cell(questions, words, f"chatlab quiz {named}{more}")


def _exercise(of: int | str | Path) -> int:
    """The number of an exercise that is named in some way. Raises ValueError."""
    for number, slug in EXERCISES.items():
        if str(of) in (str(number), slug, slug.partition("_")[2]):
            return number
    known = ", ".join(slug.partition("_")[2] for slug in EXERCISES.values())
    raise ValueError(
        f"there is no exercise {of!r}; these are: {known}, or a path of a file that ends in .toml"
    )


def _question(question: Question, words: Texts) -> str:
    """A question with its answers, each closed at first."""
    parts = [markdown.html(text) for text in (question.introduction, question.prompt) if text]
    context = markdown.html(question.context)
    if not question.is_choice:
        parts.append(
            _folded(safe(words.say("quiz.cell_answer")), markdown.html(question.answers[0]) + context)
        )
        return "".join(parts)
    if question.are_several:
        parts.append(f"<p><em>{safe(words.say('quiz.cell_several'))}</em></p>")
    for choice in question.choices(0):
        right = choice in question.answers
        mark, key = ("✓", "cell_right") if right else ("✗", "cell_wrong")
        told = f"<p>{mark} {safe(words.say(f'quiz.{key}'))}</p>"
        parts.append(_folded(markdown.inline(choice), told + (context if right else "")))
    return "".join(parts)


def _folded(summary: str, inside: str) -> str:
    return f"<details><summary>{summary}</summary><blockquote>{inside}</blockquote></details>"
