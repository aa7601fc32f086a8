"""`chatlab quiz`: which questions to ask, of ours or of a file."""

from __future__ import annotations

import random
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli import options
from harness.cli.usage import told, wrong_usage
from harness.texts import LANGUAGES, texts
from harness.texts.console import echo
from harness.texts.problem import Problem
from harness.verdict.steps import EXERCISES
from lab.command import EXIT_USAGE

if TYPE_CHECKING:
    from harness.quiz.reader import Quiz


@click.command()
@click.argument("number", type=options.EXERCISE, required=False)
@click.option(
    "--file",
    metavar="FILE.toml",
    type=click.Path(path_type=Path),
    help="Ask the questions of this file, in the format of mdbook-quiz.",
)
@click.option("--again", is_flag=True, help="Ask only what you answered wrong the last time.")
@click.option("--lint", is_flag=True, help="Ask nothing; tell what is wrong with the questions.")
@options.seed("In which order answers are shown.  [default: another one each time]")
@options.language
def quiz(number: int | None, file: Path | None, again: bool, lint: bool, seed: int | None, lang: str) -> int:
    """Ask questions on the exercises, and explain the answers.

    With the NUMBER of an exercise, those on it; else on all four, or those of a --file. What you have not
    answered right yet comes first. Type your answers, or give a file of them, one a line: `< answers.txt`.
    Exit codes: 0 whatever was answered; 64 a file that cannot be read or has no question that could be asked,
    and with --lint any defect.
    """
    if number is not None and file is not None:
        raise wrong_usage("exclusive", options="NUMBER, --file")
    # Imported late: `chatlab --help` needs none of it.
    from harness.quiz.asking import Asker
    from harness.quiz.progress import known
    from harness.reports.terminal import Terminal

    words = texts(lang)
    try:
        quizzes = _read(number, file, lang)
        questions = [question for each in quizzes for question in each.questions]
        defects = [defect for each in quizzes for defect in each.defects]
        for defect in defects:
            echo(defect.said_in(words), err=True)
        if lint:
            if not defects:
                echo(words.say("quiz.clean", count=len(questions)))
            return EXIT_USAGE if defects else 0
        if not questions:
            raise Problem("quiz.nothing_left", path=file)
        answered = known(lambda path: echo(words.say("progress.set_aside", path=path), err=True))
        if again:
            questions = [each for each in questions if answered.get(each.key) is False]
            if not questions:
                echo(words.say("quiz.nothing_wrong"))
                return 0
        else:
            questions.sort(key=lambda each: answered.get(each.key, False))  # those that are known come last
        _head(number, file, lang, len(questions), sum(answered.get(each.key, False) for each in questions))
        chosen = random.randrange(2**32) if seed is None else seed
        return Asker(Terminal(words), chosen, _command(number, file, lang)).ask(questions)
    except Problem as problem:
        raise told(problem) from problem


def _read(number: int | None, file: Path | None, lang: str) -> list[Quiz]:
    """The quizzes that were asked for. Raises BadQuiz."""
    from harness.quiz import ours
    from harness.quiz.reader import read

    if file is not None:
        return [read(file)]
    return [ours.quiz(each, lang) for each in ([number] if number else EXERCISES)]


def _head(number: int | None, file: Path | None, lang: str, count: int, known: int) -> None:
    """What is asked, and how much of it."""
    say = texts(lang).say
    title = say("quiz.all")
    if number is not None:
        title = say("ui.exercise", number=number, title=say(f"exercise.{number}"))
    elif file is not None:
        title = file.name
    echo(say("quiz.head_known" if known else "quiz.head", title=title, count=count, known=known))


def _command(number: int | None, file: Path | None, lang: str) -> str:
    """What asks again for what was answered wrongly."""
    words = ["chatlab", "quiz", *([str(number)] if number else []), *(["--file", str(file)] if file else [])]
    return shlex.join([*words, "--again", *(["--lang", lang] if lang != LANGUAGES[0] else [])])
