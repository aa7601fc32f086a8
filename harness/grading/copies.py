"""Which judged components are near copies: of a classmate's, of the model answer, or of the reference.

What is compared are the tokens of `source_tokens` (or `typescript_tokens`), without those that the stub has
already. Of two files with n and m tokens left, the similarity is the mean of two shares between 0 and 1:

- *in common runs*: how much of both lies in runs of at least ten tokens that both have. Moving code about,
  or splitting a function, does not change this.
- *function by function*: how similar each function is to the one that resembles it most, by the insertions
  and deletions between them. A small change in every line does not change this by much.

Each alone is high by chance in some independent pairs, and for different ones. `tests/grading/test_copies.py`
has the measurements from which the limits below are taken.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator, Mapping
from itertools import combinations
from pathlib import Path
from zlib import crc32

from msgspec import Struct

from harness.grading import source_tokens, typescript_tokens
from harness.grading.source_tokens import Run
from harness.judged.targets import ROOT
from harness.texts import Texts
from harness.typescript.components import COMPONENTS as MODULES
from harness.verdict.steps import COMPONENTS, EXERCISES

SIMILAR = 0.65
"""Independent components were at most 0.5 similar, copies with two statements more in each function 0.78."""
_SHORT = 150
"""Common tokens below which chance is a good explanation: independent lists of members were 0.74 similar."""
_SAME = 0.95
"""What short ones are asked for."""
_RUN = 10
"""Tokens of a run that counts as common."""
_STUB_RUN = 8
"""Tokens of a run that counts as the stub's: shorter, since who edits a stub leaves pieces of it."""
_SHARED = 0.2
"""Share of the runs of the shorter file that must be common, or else the two are not compared any further."""
_ALIKE = 0.6
"""Similarity of functions below which they are not each other's."""
_FUNCTIONS = 200
"""Functions that are compared: the longest ones of a file."""


class _Kind(Struct, frozen=True):
    """What is compared with each other: a component in one of the two languages."""

    runs_of: Callable[[str], list[Run]]
    stub: str
    given: dict[str, str]
    """What everybody can read who has the kit."""


_PYTHON = {
    component: _Kind(
        source_tokens.runs_of,
        f"exercises/{EXERCISES[exercise]}/{component}.py",
        {"model": f"solutions/{EXERCISES[exercise]}/{component}.py", "reference": f"lab/{component}.py"},
    )
    for exercise, component in COMPONENTS.items()
}
_TYPESCRIPT = {
    each.file: _Kind(
        typescript_tokens.runs_of,
        f"exercises/typescript/src/{each.file}",
        {"model": f"solutions/typescript/{each.file}"},
    )
    for each in MODULES.values()
}


class Pair(Struct, frozen=True):
    """Two components that resemble each other more than chance explains."""

    component: str
    """Its name or, in TypeScript, that of its file."""
    one: str
    """A student."""
    other: str
    """Another student; or "model" or "reference", if `is_given`."""
    is_given: bool
    similarity: float
    """0 to 1; 1 means the same, apart from names, comments, layout and the order of functions."""
    common: int
    """How many tokens of the first lie in runs that both have."""
    lines: list[tuple[int, int]]
    """The first and last line of each stretch of the first one that is in both."""
    other_lines: list[tuple[int, int]]
    """The same of the other one."""

    @property
    def is_exact(self) -> bool:
        """Whether nothing differs but names, comments, layout and the order of functions."""
        return self.similarity == 1

    @property
    def is_short(self) -> bool:
        """Whether so little is in common that two people may have written the same."""
        return self.common < _SHORT


class NearCopies(Struct):
    """What a comparison has found, the most similar pairs first."""

    pairs: list[Pair] = []
    is_possible: bool = True
    """False if the library for it is not installed."""


class _Function(Struct, frozen=True):
    """A function without what its stub has: a character for each token, and the lines of its statement."""

    text: str
    lines: list[tuple[int, int]]


class _File(Struct, frozen=True):
    """A component without what its stub has."""

    owner: str
    functions: list[_Function]
    runs: frozenset[str]
    """All runs of `_RUN` tokens; a shorter function is one by itself."""

    @property
    def size(self) -> int:
        return sum(len(each.text) for each in self.functions)


def near_copies(sources: Mapping[str, Mapping[str, str]]) -> NearCopies:
    """Compare the components of a class, `{student: {component: source}}`, with each other and the answers.

    A component in TypeScript has the name of its file there; nothing is compared between languages.

    Two who both resemble the same answer are not named as copies of each other.
    """
    if importlib.util.find_spec("rapidfuzz") is None:
        return NearCopies(is_possible=False)
    found = [
        pair
        for component, kind in {**_PYTHON, **_TYPESCRIPT}.items()
        for pair in _pairs(component, *_files(kind, component, sources))
    ]
    long = {(pair.one, pair.other) for pair in found if not pair.is_short}
    kept = [pair for pair in found if pair.is_given or not pair.is_short or (pair.one, pair.other) in long]
    return NearCopies(sorted(kept, key=lambda pair: (-pair.similarity, -pair.common, pair.one, pair.other)))


def _files(
    kind: _Kind, component: str, sources: Mapping[str, Mapping[str, str]]
) -> tuple[list[_File], list[_File]]:
    """What everybody can read of a component, and what was handed in."""
    handed_in = sorted((student, parts) for student, parts in sources.items() if component in parts)
    if not handed_in:
        return [], []
    stub = _stub_runs(kind.runs_of(_read(kind.stub)))
    given = [_file(name, kind.runs_of(_read(path)), stub) for name, path in kind.given.items()]
    return given, [_file(student, kind.runs_of(parts[component]), stub) for student, parts in handed_in]


def _pairs(component: str, given: list[_File], files: list[_File]) -> Iterator[Pair]:
    resembles: dict[str, set[str]] = {}
    for answer in given:
        for file in files:
            if (pair := _compared(component, file, answer, is_given=True)) is not None:
                resembles.setdefault(file.owner, set()).add(answer.owner)
                yield pair
    for one, other in combinations(files, 2):
        if not resembles.get(one.owner, set()) & resembles.get(other.owner, set()):
            pair = _compared(component, one, other, is_given=False)
            if pair is not None:
                yield pair


def _compared(component: str, one: _File, other: _File, *, is_given: bool) -> Pair | None:
    """The two as a pair, if they resemble each other enough."""
    fewest = min(len(one.runs), len(other.runs))
    # Most pairs end here: what follows takes a hundred times as long.
    if not fewest or len(one.runs & other.runs) < _SHARED * fewest:
        return None
    lines, common = _common(one, other)
    other_lines, other_common = _common(other, one)
    in_runs = (common + other_common) / (one.size + other.size)
    similarity = 1.0 if _texts(one) == _texts(other) else min((in_runs + _by_function(one, other)) / 2, 0.99)
    pair = Pair(component, one.owner, other.owner, is_given, similarity, common, lines, other_lines)
    return pair if similarity >= (_SAME if pair.is_short else SIMILAR) else None


def sentences(pair: Pair, texts: Texts, names: Mapping[str, str] | None = None) -> list[str]:
    """What is told of a pair: what resembles what, where to look, and how much that proves.

    `names` are what students are called, where that is not how the sources were named.
    """
    names = names or {}
    one, other = names.get(pair.one, pair.one), names.get(pair.other, pair.other)
    who = {"component": pair.component, "one": one}
    if pair.is_given:
        other = texts.say(f"copies.{pair.other}")
    percent = round(100 * pair.similarity)
    degree = "exact" if pair.is_exact else "similar"
    where = {"lines": _told(pair.lines), "other_lines": _told(pair.other_lines)}
    found = [
        texts.say(f"copies.{degree}", **who, other=other, percent=percent),
        texts.say("copies.where", one=one, other=other, **where),
    ]
    return [*found, texts.say("copies.short")] if pair.is_short else found


# --- files ------------------------------------------------------------------------------------------


def _read(path: str) -> str:
    place = Path(ROOT, path)
    return place.read_text(encoding="utf-8") if place.exists() else ""


def _text(tokens: list[str]) -> str:
    """A character for each token, so that runs are strings, which Python compares fast."""
    return "".join(chr(0x10000 + crc32(token.encode("utf-8", "replace")) % 0xF0000) for token in tokens)


def _stub_runs(stub: list[Run]) -> frozenset[str]:
    texts = [_text(run.tokens) for run in stub]
    return frozenset(run for text in texts for run in _runs(text, _STUB_RUN))


def _runs(text: str, length: int) -> Iterator[str]:
    """All runs of a length in a text; a shorter text is one by itself."""
    for start in range(max(len(text) - length, 0) + 1):
        yield text[start : start + length]


def _file(owner: str, source: list[Run], stub: frozenset[str]) -> _File:
    functions = []
    for run in source:
        text = _text(run.tokens)
        own = [place for place, known in enumerate(_covered(text, stub, _STUB_RUN)) if not known]
        if own:
            lines = [run.lines[place] for place in own]
            functions.append(_Function("".join(text[place] for place in own), lines))
    functions = sorted(functions, key=lambda each: -len(each.text))[:_FUNCTIONS]
    runs = frozenset(run for each in functions for run in _runs(each.text, _RUN))
    return _File(owner, functions, runs)


# --- similarity -------------------------------------------------------------------------------------


def _texts(file: _File) -> list[str]:
    return sorted(each.text for each in file.functions)


def _covered(text: str, runs: frozenset[str], length: int) -> list[bool]:
    """For each token of a text, whether it lies in one of these runs."""
    found = [False] * len(text)
    for start, run in enumerate(_runs(text, length)):
        if run in runs:
            found[start : start + len(run)] = [True] * len(run)
    return found


def _common(one: _File, other: _File) -> tuple[list[tuple[int, int]], int]:
    """The stretches of lines of the first in which there are runs that both have, and their tokens."""
    statements: set[tuple[int, int]] = set()
    count = 0
    for each in one.functions:
        covered = _covered(each.text, other.runs, _RUN)
        count += sum(covered)
        statements.update(where for where, is_common in zip(each.lines, covered, strict=True) if is_common)
    stretches: list[tuple[int, int]] = []
    for first, last in sorted(statements):
        if stretches and first <= stretches[-1][1] + 2:  # a line between may be empty, or a signature
            first, last = stretches[-1][0], max(last, stretches.pop()[1])
        stretches.append((first, last))
    return stretches, count


def _by_function(one: _File, other: _File) -> float:
    """How similar the functions are, each to one of the other file, the most similar ones first."""
    from rapidfuzz.distance import Indel

    found = []
    for place, first in enumerate(one.functions):
        for other_place, second in enumerate(other.functions):
            alike = Indel.normalized_similarity(first.text, second.text, score_cutoff=_ALIKE)
            if alike:
                found.append((alike * (len(first.text) + len(second.text)), place, other_place))
    total, taken, other_taken = 0.0, set[int](), set[int]()
    for weight, place, other_place in sorted(found, key=lambda each: (-each[0], *each[1:])):
        if place not in taken and other_place not in other_taken:
            taken.add(place)
            other_taken.add(other_place)
            total += weight
    return total / (one.size + other.size)


def _told(stretches: list[tuple[int, int]]) -> str:
    """Stretches of lines, as people write them."""
    return ", ".join(f"{first}–{last}" if first < last else f"{first}" for first, last in stretches)
