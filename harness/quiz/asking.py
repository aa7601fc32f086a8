"""Asks questions in a terminal, one after the other, and tells after each answer what is right and why.

Answers are lines of standard input: typed, or of a file (`chatlab quiz 1 < answers.txt`). What was answered
is remembered at once, so that neither Ctrl-C nor a kill loses it.
"""

from __future__ import annotations

import io
import re
import shutil
import sys

from msgspec import Struct, field

from harness.quiz import markdown, progress
from harness.quiz.ours import handout_of, step_of
from harness.quiz.question import Question
from harness.reports.terminal import Terminal
from harness.texts.console import echo
from harness.texts.problem import Problem
from lab.command import EXIT_INTERRUPTED

_PROMPT = "> "
_NOT_KNOWN = "?"
_WIDTH = 100
"""Characters of a line at the most."""
_TITLE = 64
"""Characters of a question's beginning, where it is only named."""


class Result(Struct):
    """What came of the questions so far."""

    right: list[Question] = field(default_factory=list)
    wrong: list[Question] = field(default_factory=list)


class _Ended(Exception):  # noqa: N818 - it is no error
    """There are no more answers."""


class Asker:
    """Asks in the language of a terminal's texts; `seed` decides in which order answers are shown.

    `again` is the command that asks once more what was answered wrongly.
    """

    def __init__(self, terminal: Terminal, seed: int, again: str) -> None:
        self._terminal = terminal
        self._say = terminal.texts.say
        self._seed = seed
        self._again = again
        if isinstance(sys.stdin, io.TextIOWrapper):
            sys.stdin.reconfigure(errors="backslashreplace")  # what is not UTF-8 is an answer all the same
        self._typed = sys.stdin is not None and sys.stdin.isatty()
        self._lines = 0
        self._is_kept = True

    def ask(self, questions: list[Question]) -> int:
        """Ask all of them, or until nobody answers any more; returns the exit code.

        Raises Problem for a line that is no answer, if nobody is there to correct it.
        """
        result = Result()
        self._text(self._say("quiz.how"), "", style="dim")
        code = 0
        try:
            for number, question in enumerate(questions, start=1):
                self._terminal.line()
                self._terminal.line(self._say("quiz.number", number=number, of=len(questions)), "bold")
                self._one(question, result)
        except _Ended:
            self._terminal.line()
        except KeyboardInterrupt:
            self._terminal.line()
            self._terminal.line(self._say("quiz.interrupted"), "yellow")
            code = EXIT_INTERRUPTED
        self._summary(result, len(questions))
        return code

    def _one(self, question: Question, result: Result) -> None:
        """Ask one question, judge the answer, and explain it."""
        choices = question.choices(self._seed) if question.is_choice else []
        if question.introduction:
            self._text(question.introduction, "  ")
        self._text(question.prompt, "  ")
        if choices:
            self._terminal.line()
        for number, choice in enumerate(choices, start=1):
            first = f"  {number:>3}. "
            self._text(choice, first, " " * len(first))
        if question.are_several:
            self._terminal.line(f"  {self._say('quiz.several')}", "dim")
        given = self._answer(choices, question)
        is_right = question.is_right(given)
        (result.right if is_right else result.wrong).append(question)
        self._note(question, is_right)
        self._told(question, given, is_right, choices)

    def _answer(self, choices: list[str], question: Question) -> tuple[str, ...]:
        """What was answered: texts of choices, or the one that was typed; none, if it is not known."""
        while True:
            line = self._line()
            if line == _NOT_KNOWN:
                return ()
            if not choices and line:
                return (line,)
            found = _chosen(line, choices, question.are_several) if choices else ()
            if found:
                return found
            key = "quiz.no_number" if choices else "quiz.no_answer"
            if not self._typed:
                raise Problem("quiz.bad_answer", line=self._lines, problem=Problem(key, most=len(choices)))
            self._terminal.line(f"  {self._say(key, most=len(choices))}", "yellow")

    def _line(self) -> str:
        """The next line. Raises _Ended if there is none."""
        try:
            line = input(_PROMPT) if sys.stdin is not None else None
        except (EOFError, OSError):
            line = None
        if line is None:
            raise _Ended
        self._lines += 1
        if not self._typed:
            echo(line)  # a terminal shows by itself what is typed
        return line.strip()

    def _note(self, question: Question, is_right: bool) -> None:
        if not self._is_kept:
            return
        try:
            progress.note(question.key, right=is_right)
        except OSError as error:
            self._is_kept = False
            told = self._say("quiz.not_kept", path=progress.PATH, why=error.strerror)
            self._terminal.line(f"  {told}", "yellow")

    def _told(self, question: Question, given: tuple[str, ...], is_right: bool, choices: list[str]) -> None:
        """Whether it was right, what is right if it was not, and why."""
        if is_right:
            self._terminal.line(f"  ✓ {self._say('quiz.right')}", "green")
        else:
            mark, key, style = ("✗", "wrong", "red") if given else ("–", "not_known", "yellow")
            self._terminal.line(f"  {mark} {self._say(f'quiz.{key}')}", style)
            for right in sorted(question.answers, key=choices.index) if choices else question.answers[:1]:
                first = f"  {choices.index(right) + 1:>3}. " if choices else "     "
                self._text(right, first, " " * len(first))
        if question.context:
            self._text(question.context, "    ")
        if step := step_of(question.id):
            self._text(self._look(step), "    ", style="dim")

    def _look(self, step: str) -> str:
        title = self._say(f"step.{step.replace('.', '-')}")
        page = handout_of(step, self._terminal.texts.language)
        return self._say("quiz.look", step=step, title=title, path=page)

    def _text(self, text: str, first: str, indent: str | None = None, style: str = "") -> None:
        width = min(_WIDTH, shutil.get_terminal_size().columns - 1)
        for line in markdown.lines(text, width, first, first if indent is None else indent):
            self._terminal.line(line, style)

    def _summary(self, result: Result, of: int) -> None:
        """How many were right, and which are to be looked at again."""
        asked = len(result.right) + len(result.wrong)
        counted = self._say("quiz.score" if asked else "quiz.none", right=len(result.right), asked=asked)
        left = f" {self._say('quiz.left', left=of - asked)}" if 0 < asked < of else ""
        self._terminal.line()
        self._terminal.line(f"{counted}{left}", "green" if len(result.right) == of else "bold")
        if not result.wrong:
            return
        self._terminal.line(self._say("quiz.to_repeat"))
        width = max(len(question.id) for question in result.wrong)
        for question in result.wrong:
            first, *more = markdown.lines(question.prompt, _TITLE)
            self._terminal.line(f"  {question.id:<{width}}  {first}{' …' if more else ''}")
        if self._is_kept:
            self._terminal.line(self._say("quiz.again", command=self._again))


def _chosen(line: str, choices: list[str], are_several: bool) -> tuple[str, ...]:
    """The choices that a line names by their numbers; none, if it is no answer."""
    numbers = re.split(r"[\s,;]+", line.strip(" ,;."))
    if not all(each.isascii() and each.isdecimal() and len(each) < 4 for each in numbers):
        return ()
    if len(numbers) > 1 and not are_several:
        return ()
    found = [int(each) for each in numbers]
    if not all(1 <= each <= len(choices) for each in found):
        return ()
    return tuple(dict.fromkeys(choices[each - 1] for each in found))
