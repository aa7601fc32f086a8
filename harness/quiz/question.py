"""One question, and which answers to it are right.

Both kinds are mdbook-quiz's. A *choice* has right answers and distractors; where several are right, all of
them have to be chosen. A *short answer* is typed, and compared without regard to case, white space and marks
of Markdown.
"""

from __future__ import annotations

import random
import re
import unicodedata

from msgspec import Struct

_CODE = re.compile(r"`([^`]*)`")
_MARKS = re.compile(r"\*\*|__|(?<!\w)[*_]|[*_](?!\w)")
_STRAIGHT = str.maketrans("’‘“”", "''\"\"")


class Question(Struct, frozen=True):
    """A question as it is asked. All texts are Markdown."""

    id: str
    """What it is called in sentences: its id, or the number that it has in its file."""
    key: str
    """What its answers are remembered by: the same in each language."""
    prompt: str
    answers: tuple[str, ...]
    """Those that are right: all of them to be chosen, or of a short answer each one."""
    is_choice: bool = True
    """Whether there is something to choose from; else the answer is typed."""
    distractors: tuple[str, ...] = ()
    """Wrong answers to choose from; a short answer has none."""
    are_several: bool = False
    """Whether any number of answers may be chosen."""
    context: str = ""
    """Why that is the answer."""
    introduction: str = ""
    """What several questions have in common."""
    index: int | None = None
    """Where the right answers stand, counted from 0, if they stand in one place."""
    is_sorted: bool = False
    """Whether the answers to choose from are sorted."""

    def choices(self, seed: int | str) -> list[str]:
        """The answers to choose from, in an order that the seed decides, if the question does not."""
        if self.is_sorted:
            return sorted((*self.answers, *self.distractors))
        if self.index is not None:
            before, after = self.distractors[: self.index], self.distractors[self.index :]
            return [*before, *self.answers, *after]
        mixed = [*self.answers, *self.distractors]
        random.Random(f"{seed} {self.key}").shuffle(mixed)
        return mixed

    def is_right(self, given: tuple[str, ...]) -> bool:
        """Whether these are the right answers: those that were chosen, or the one that was typed."""
        if self.is_choice:
            return set(given) == set(self.answers)
        return len(given) == 1 and _typed(given[0]) in map(_typed, self.answers)


def normalised(text: str) -> str:
    """A text as a reader compares it: without marks of Markdown, with the case of code only."""
    parts = _CODE.split(unicodedata.normalize("NFC", text).translate(_STRAIGHT))
    read = "".join(part if n % 2 else _MARKS.sub("", part.casefold()) for n, part in enumerate(parts))
    return " ".join(read.split()).rstrip(" .")


def _typed(text: str) -> str:
    return normalised(text).replace("`", "").casefold()
