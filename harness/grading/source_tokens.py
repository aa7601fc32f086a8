"""A component's source as runs of tokens that renaming, new comments and another layout do not change.

Each function is a run of its own, so that the order of functions does not matter. Left out are comments,
docstrings, imports, annotations, and the signatures, which the exercise gives. Names that an author chooses
are all the same name; those that nobody can choose (keywords, builtins, methods of builtin types, what is
imported) stay, since they tell what is done.
"""

from __future__ import annotations

import builtins
import io
import keyword
import tokenize
from collections.abc import Iterator

from msgspec import Struct

MOST = 50_000
"""Characters that are read of a file; a component has about 3,000."""
_CHOSEN = "n"
"""Stands for each name that its author could have chosen otherwise."""
_TYPES = (str, bytes, bytearray, int, float, list, tuple, dict, set, frozenset, BaseException)
_METHODS = {name for each in _TYPES for name in dir(each) if not name.startswith("_")}
_BUILTINS = {name for name in dir(builtins) if not name.startswith("_")}
_OPENING, _CLOSING = frozenset("([{"), frozenset(")]}")
_KEPT = ("NAME", "OP", "NUMBER", "STRING")
_STRINGS = {"FSTRING_START": 1, "TSTRING_START": 1, "FSTRING_END": -1, "TSTRING_END": -1}
"""Since Python 3.12 a formatted string comes in parts; before, as one token."""


class _Line(Struct):
    """A logical line: its tokens, how deep it is indented, and where it begins and ends."""

    depth: int
    tokens: list[str]
    first: int
    last: int


class Run(Struct):
    """The tokens of a function, or of all that is outside of functions, and where its statements are."""

    tokens: list[str]
    lines: list[tuple[int, int]]


def runs_of(source: str) -> list[Run]:
    """The runs of a file. One that Python cannot read is taken as far as it can be read."""
    lines = [line for line in _logical_lines(source[:MOST]) if not _is_docstring(line)]
    imported = _imported(lines)
    found = [Run([], [])]
    open_at: int | None = None  # how deep the function is indented that we are in
    own = ""
    for line in lines:
        if line.tokens[0] in ("import", "from"):
            continue
        if open_at is not None and line.depth <= open_at:
            open_at, own = None, ""
        tokens = line.tokens
        if is_function := _is_function(tokens):
            first, tokens = _without_signature(tokens)
            if open_at is None:
                open_at, own = line.depth, first
                found.append(Run([], []))
        run = found[0] if open_at is None else found[-1]
        tokens = tokens if is_function else _without_annotation(tokens)
        neutral = _neutral(tokens, own, imported) if tokens else []
        run.tokens += neutral
        run.lines += [(line.first, line.last)] * len(neutral)
    return [run for run in found if run.tokens]


# --- reading ----------------------------------------------------------------------------------------


def _logical_lines(source: str) -> Iterator[_Line]:
    """The logical lines that are not empty; what comes after something that is no Python is left out."""
    depth = inside = 0
    line = _Line(0, [], 0, 0)
    try:
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            kind = tokenize.tok_name[token.type]
            inside += _STRINGS.get(kind, 0)
            depth += {"INDENT": 1, "DEDENT": -1}.get(kind, 0)
            if kind == "NEWLINE":
                if line.tokens:
                    yield line
                line = _Line(0, [], 0, 0)
            elif not inside and (kind in _KEPT or kind.endswith("STRING_END")):
                line.first = line.first or token.start[0]
                line.last, line.depth = token.end[0], depth
                is_name = kind in ("NAME", "OP", "NUMBER")
                line.tokens.append(token.string if is_name else '"')
    except (tokenize.TokenError, SyntaxError, ValueError):  # ValueError: lone surrogates, since 3.12
        pass
    if line.tokens:
        yield line


def _is_docstring(line: _Line) -> bool:
    return set(line.tokens) == {'"'}


def _imported(lines: list[_Line]) -> dict[str, str]:
    """The names that are imported, with what they are called where they come from."""
    found: dict[str, str] = {}
    for line in lines:
        if line.tokens[0] not in ("import", "from"):
            continue
        names = [token for token in line.tokens if token.isidentifier()]
        names = names[names.index("import") + 1 :] if "import" in names else []
        old = ""
        for before, name in zip(["", *names], names, strict=False):
            if before == "as":
                found[name] = old
            elif name != "as":
                found[name] = old = name
    return found


# --- making neutral ---------------------------------------------------------------------------------


def _is_function(tokens: list[str]) -> bool:
    return tokens[0] == "def" or tokens[:2] == ["async", "def"]


def _without_signature(tokens: list[str]) -> tuple[str, list[str]]:
    """The first parameter of a function, and what stands in the same line after its colon."""
    rest = tokens[tokens.index("def") + 1 :]
    end = _outside(rest, ":")
    return next(iter(rest[2:3]), ""), rest[end + 1 :]


def _without_annotation(tokens: list[str]) -> list[str]:
    """A line without the annotation of what is assigned; of a mere declaration, nothing is left."""
    colon = _outside(tokens, ":")
    target = tokens[:colon]
    is_target = all(token == "." if place % 2 else _is_chosen(token) for place, token in enumerate(target))
    if colon == len(tokens) or not is_target:
        return tokens
    assigned = _outside(tokens, "=")
    return tokens[:colon] + tokens[assigned:] if assigned < len(tokens) else []


def _is_chosen(token: str) -> bool:
    return token.isidentifier() and not keyword.iskeyword(token)


def _outside(tokens: list[str], wanted: str) -> int:
    """Where a token stands outside of all brackets; the length if it does not."""
    depth = 0
    for place, token in enumerate(tokens):
        if depth == 0 and token == wanted:
            return place
        depth += (token in _OPENING) - (token in _CLOSING)
    return len(tokens)


def _neutral(tokens: list[str], own: str, imported: dict[str, str]) -> list[str]:
    """The tokens of a line, with neutral names; `own` is what the function calls its object."""
    found = []
    tokens = _without_groups(tokens)
    for place, token in enumerate(tokens):
        if token == "," and tokens[place + 1 : place + 2] and tokens[place + 1] in _CLOSING:
            continue  # a comma at the end, which formatters add
        before = tokens[place - 1] if place else ""
        owner = tokens[place - 2] if place > 1 else ""
        found.append(_name(token, owner if before == "." else None, own, imported))
    return [*found, "\n"]


def _without_groups(tokens: list[str]) -> list[str]:
    """The tokens of a line without parentheses that only group: formatters add and remove them."""
    found: list[str] = []
    is_group: list[bool] = []  # of each bracket that is open
    before = ""
    for token, after in zip(tokens, [*tokens[1:], ""], strict=True):
        grouping = False
        if token in _OPENING:
            is_call = _is_chosen(before) or before in _CLOSING or before == '"' or after == ")"
            grouping = token == "(" and not is_call
            is_group.append(grouping)
        elif token in _CLOSING and is_group:
            grouping = is_group.pop()
        found += [] if grouping else [token]
        before = token
    return found


def _name(token: str, owner: str | None, own: str, imported: dict[str, str]) -> str:
    """A neutral name for a token, which is an attribute of `owner` if that is not None."""
    if not _is_chosen(token):
        return token
    if owner is None:
        return imported.get(token) or (token if token in _BUILTINS else _CHOSEN)
    is_fixed = owner != own and (token in _METHODS or owner in imported)
    return token if is_fixed else _CHOSEN
