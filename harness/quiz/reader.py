"""Reads a quiz in the TOML of mdbook-quiz, and finds what is wrong with its questions.

A file that cannot be read raises. A question that cannot be asked is left out; where only one of its
distractors is wrong (the right answer once more, or another distractor once more), it is asked without that
one. Either way, a sentence says so.
"""

from __future__ import annotations

import difflib
import re
import stat
import tomllib
from pathlib import Path
from typing import Any

from msgspec import Struct, structs

from harness.quiz.question import Question, normalised
from harness.texts.problem import Problem

_LARGEST = 1024 * 1024
"""Bytes of the largest file that is read."""
_MOST_HEADERS = 500
"""So many places are looked at in turn, each of which takes reading the file up to there."""
_KINDS = ("MultipleChoice", "ShortAnswer")
_HEADER = re.compile(r"^[ \t]*\[\[[ \t]*questions[ \t]*\]\]", re.MULTILINE)
_INLINE = re.compile(r"^[ \t]*questions[ \t]*=", re.MULTILINE)


class BadQuiz(Problem):
    """A file is no quiz, or one of its questions has a defect."""


class Quiz(Struct, frozen=True):
    """What a file has: the questions that can be asked, and what is wrong."""

    questions: list[Question]
    defects: list[BadQuiz]


class _Where(Struct, frozen=True):
    """Where a question stands, for sentences."""

    path: str
    line: int
    question: str

    def unfit(self, key: str, **params: object) -> BadQuiz:
        problem = BadQuiz(f"quiz.{key}", **params)
        return BadQuiz("quiz.at", path=self.path, line=self.line, question=self.question, problem=problem)


def read(path: Path, shown: str = "") -> Quiz:
    """The quiz in a file; `shown` is what the file is called in sentences. Raises BadQuiz."""
    return parse(_text(path, shown or str(path)), shown or str(path), path.name)


def parse(text: str, shown: str, name: str) -> Quiz:
    """The quiz in a text; `name` is remembered with the answers to its questions. Raises BadQuiz."""
    try:
        table = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # also for what is too long, or too deep
        raise BadQuiz("quiz.bad_toml", path=shown, why=error) from error
    tables = table.get("questions")
    if not isinstance(tables, list) or not tables:
        raise BadQuiz("quiz.no_questions", path=shown)
    parts = table.get("multipart")
    lines = _lines(text, len(tables))
    quiz, ids = Quiz([], []), set[str]()
    for number, (each, line) in enumerate(zip(tables, lines, strict=True), start=1):
        id = each.get("id") if isinstance(each, dict) else None
        where = _Where(shown, line, id if isinstance(id, str) and id else f"{number}")
        try:
            if where.question in ids:
                raise where.unfit("same_id")
            ids.add(where.question)
            question = _question(each, where, name, parts if isinstance(parts, dict) else {})
            quiz.questions.append(_without_doubles(question, where, quiz.defects))
        except BadQuiz as problem:
            quiz.defects.append(problem)
    return quiz


def _text(path: Path, shown: str) -> str:
    try:
        about = path.stat()
        if not stat.S_ISREG(about.st_mode):
            raise BadQuiz("quiz.no_file", path=shown)
        if about.st_size > _LARGEST:
            raise BadQuiz("quiz.too_large", path=shown)
        data = path.read_bytes()
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise BadQuiz("quiz.unreadable", path=shown, why=why) from error
    try:
        return data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise BadQuiz("quiz.not_utf8", path=shown, line=line) from error


def _lines(text: str, count: int) -> list[int]:
    """The line in which each question begins."""
    found = list(_HEADER.finditer(text))
    if count < len(found) < _MOST_HEADERS:  # some stand within a text, before which nothing is complete
        found = [each for each in found if _is_complete(text[: each.start()])]
    if len(found) != count:
        inline = _INLINE.search(text)
        return [_line(text, inline.start() if inline else 0)] * count
    return [_line(text, each.start()) for each in found]


def _is_complete(text: str) -> bool:
    try:
        tomllib.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _line(text: str, position: int) -> int:
    return text.count("\n", 0, position) + 1


def _question(table: Any, where: _Where, name: str, parts: dict[str, Any]) -> Question:
    """A question of a table. Raises BadQuiz if it cannot be asked."""
    if not isinstance(table, dict):
        raise where.unfit("no_table")
    kind = table.get("type")
    if kind not in _KINDS:
        raise _unknown_kind(kind, where)
    is_choice = kind == _KINDS[0]
    prompt, answer = (_table(table, each, where) for each in ("prompt", "answer"))
    given = answer.get("answer")
    are_several = is_choice and isinstance(given, list)
    answers = (
        _texts(answer, "answer.answer", where) if are_several else [_said(answer, "answer.answer", where)]
    )
    if not is_choice and "alternatives" in answer:
        answers += _texts(answer, "answer.alternatives", where, least=0)
    distractors: list[str] = []
    if is_choice or "distractors" in prompt:
        distractors = _texts(prompt, "prompt.distractors", where, least=0)
    if is_choice and not distractors:
        raise where.unfit("no_distractors")
    return Question(
        where.question,
        f"{name.partition('.')[0]}:{where.question}",
        _said(prompt, "prompt.prompt", where),
        tuple(dict.fromkeys(answers)),
        is_choice=is_choice,
        distractors=tuple(distractors),
        are_several=are_several,
        context=_said(table, "context", where) if "context" in table else "",
        introduction=_introduction(table, parts, where),
        index=_index(prompt, len(distractors), where) if is_choice else None,
        is_sorted=is_choice and prompt.get("sortAnswers") is True,
    )


def _unknown_kind(kind: object, where: _Where) -> BadQuiz:
    if kind is None:
        return where.unfit("lacks", field="type")
    if kind == "Tracing":
        return where.unfit("tracing")
    near = difflib.get_close_matches(str(kind), _KINDS, 1)
    if near:
        return where.unfit("near_type", given=kind, near=near[0])
    return where.unfit("no_type", given=kind)


def _table(table: dict[str, Any], name: str, where: _Where) -> dict[str, Any]:
    found = table.get(name)
    if found is None:
        raise where.unfit("lacks", field=f"{name}.{name}")
    if not isinstance(found, dict):
        raise where.unfit("not_below", field=name)
    return found


def _said(table: dict[str, Any], field: str, where: _Where) -> str:
    """A text that must not be empty."""
    found = table.get(field.rpartition(".")[2])
    if found is None:
        raise where.unfit("lacks", field=field)
    if not isinstance(found, str):
        raise where.unfit("no_text", field=field)
    if not found.strip():
        raise where.unfit("empty", field=field)
    return found.strip()


def _texts(table: dict[str, Any], field: str, where: _Where, least: int = 1) -> list[str]:
    """A list of texts, none of them empty."""
    found = table.get(field.rpartition(".")[2])
    if found is None:
        raise where.unfit("lacks", field=field)
    if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
        raise where.unfit("no_list", field=field)
    if len(found) < least or not all(each.strip() for each in found):
        raise where.unfit("empty", field=field)
    return [each.strip() for each in found]


def _introduction(table: dict[str, Any], parts: dict[str, Any], where: _Where) -> str:
    if "multipart" not in table:
        return ""
    part = table["multipart"]
    if not isinstance(part, str) or not isinstance(parts.get(part), str):
        raise where.unfit("no_part", part=part)
    return str(parts[part]).strip()


def _index(prompt: dict[str, Any], most: int, where: _Where) -> int | None:
    """Where the right answer has its fixed place."""
    if "answerIndex" not in prompt:
        return None
    if "sortAnswers" in prompt:
        raise where.unfit("both_orders")
    index = prompt["answerIndex"]
    if not isinstance(index, int) or isinstance(index, bool) or not 0 <= index <= most:
        raise where.unfit("bad_index", most=most)
    return index


def _without_doubles(question: Question, where: _Where, defects: list[BadQuiz]) -> Question:
    """The question without the distractors that are no others. Raises BadQuiz if none is left."""
    seen: dict[str, str] = {normalised(each): each for each in question.answers}
    right, kept = set(seen), list[str]()
    for text in question.distractors:
        plain = normalised(text)
        if plain in right:
            defects.append(where.unfit("right_among", text=text))
        elif plain in seen:
            defects.append(where.unfit("twice", text=text))
        else:
            kept.append(text)
        seen.setdefault(plain, text)
    if not question.is_choice:  # it has no use for them
        return structs.replace(question, distractors=())
    if not kept:
        raise where.unfit("no_distractors")
    index = question.index if question.index is None else min(question.index, len(kept))
    return structs.replace(question, distractors=tuple(kept), index=index)
