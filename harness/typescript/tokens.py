"""Reads TypeScript as far as this needs: which modules a file imports, and which classes it has.

It is no parser. It tells comments, strings, templates and regular expressions from code, and never fails:
whatever is not TypeScript, the compiler says.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from msgspec import Struct

_CODE = re.compile(
    r"""
    (?P<space>\s+)
  | (?P<comment>//[^\n\r]*|/\*.*?(?:\*/|\Z))
  | (?P<string>"(?:[^"\\\n]|\\.)*(?:"|(?=\n)|\Z)|'(?:[^'\\\n]|\\.)*(?:'|(?=\n)|\Z))
  | (?P<word>[^\W\d][\w$]*|[$\#][\w$]*)
  | (?P<number>\d[\w.]*)
  | (?P<sign>=>|\+\+|--|[^\s])
    """,
    re.VERBOSE | re.DOTALL,
)
_TEMPLATE = re.compile(r"(?:[^`\\$]|\\.|\$(?!\{))*(?P<end>`|\$\{|\Z)", re.DOTALL)
_PATTERN = re.compile(r"/(?:[^/\\\[\n]|\\.|\[(?:[^\]\\\n]|\\.){0,400}\]){1,400}/[a-z]*")
"""Nobody writes longer ones by hand; to look further would take too long where there is no end."""
_BEFORE_PATTERN = frozenset((*"(,=:[!&|?{};+-*%~^<>", "=>"))
_WORDS_BEFORE_PATTERN = frozenset(
    ("await", "case", "delete", "do", "else", "in", "new", "of", "return", "throw", "typeof", "void", "yield")
)
_HEADS = ("if", "while", "for", "with")
"""After these signs and words, and after what is in parentheses behind the last ones, a slash begins a
regular expression; after others, it divides."""
_REFERENCE = re.compile(r"""///\s*<reference\s+path\s*=\s*["']([^"']*)""")
_MODIFIERS = frozenset({"abstract", "default", "declare"})


class Import(Struct, frozen=True):
    """A module that a file imports, by the name it gives it, and the line."""

    name: str
    line: int


class Token(Struct, frozen=True):
    """A word, a string (without its quotes), a piece of a template, a sign or a comment, and its line."""

    kind: str
    text: str
    line: int


def imports_in(text: str) -> list[Import]:
    """All that a file imports, exports from elsewhere, or refers to; types, too."""
    tokens = list(tokens_in(text))
    code = [each for each in tokens if each.kind != "comment"]
    found = [
        Import(reference[1], each.line)
        for each in tokens
        if each.kind == "comment" and (reference := _REFERENCE.match(each.text))
    ]
    for at, token in enumerate(code):
        if token.kind != "string" or at == 0:
            continue
        before = [each.text if each.kind in ("word", "sign") else "" for each in code[max(at - 2, 0) : at]]
        if before[-1] in ("from", "import") or before in (["import", "("], ["require", "("]):
            found.append(Import(token.text, token.line))
    return sorted(found, key=lambda each: each.line)


def relative_names_in(text: str) -> list[str]:
    """All strings in a file that may name a module beside it, whatever it does with them."""
    return [each.text for each in tokens_in(text) if each.kind == "string" and each.text.startswith("./")]


def classes_in(text: str) -> list[tuple[str, str]]:
    """The classes of a file, with how each is exported: `export`, `default`, or not at all (empty)."""
    code = [each for each in tokens_in(text) if each.kind != "comment"]
    found = []
    for at, token in enumerate(code[:-1]):
        if token.text != "class" or token.kind != "word" or code[at + 1].kind != "word":
            continue
        words = {each.text for each in _modifiers(code[:at])}
        how = "default" if "default" in words else "export" if "export" in words else ""
        found.append((code[at + 1].text, how))
    return found


def _modifiers(before: list[Token]) -> Iterator[Token]:
    for each in reversed(before):
        if each.text not in _MODIFIERS and each.text != "export":
            return
        yield each


def tokens_in(text: str) -> Iterator[Token]:
    """All tokens of a file, comments too."""
    at, line = 0, 1
    last: Token | None = None
    parentheses: list[bool] = []  # for each that is open, whether a statement comes after it
    is_head = False  # the last token closed one of those
    braces: list[int] = []  # for each template that we are in the code of, its open braces
    while at < len(text):
        found = _CODE.match(text, at)
        assert found is not None, "any character is a sign"
        kind, part = str(found.lastgroup), found[0]
        if part == "/" and (is_head or _may_begin_pattern(last)) and (pattern := _PATTERN.match(text, at)):
            kind, part = "pattern", pattern[0]
        elif part == "`" or (part == "}" and braces and braces[-1] == 0):
            if part == "}":
                braces.pop()
            template = _TEMPLATE.match(text, at + 1)
            assert template is not None, "it may be empty"
            if template["end"] == "${":
                braces.append(0)
            kind = "string" if part == "`" and template["end"] == "`" else "template"
            part = text[at : template.end()]
        elif braces and part in ("{", "}"):
            braces[-1] += 1 if part == "{" else -1
        elif part == "(":
            parentheses.append(last is not None and last.text in _HEADS)
        if kind not in ("space", "comment"):
            is_head = part == ")" and bool(parentheses) and parentheses.pop()
        if kind != "space":
            token = Token(kind, part.strip(part[0]) if kind == "string" else part, line)
            last = token if kind != "comment" else last
            yield token
        line += part.count("\n")
        at += len(part)


def _may_begin_pattern(last: Token | None) -> bool:
    """Whether a slash begins a regular expression, after this; else it divides."""
    if last is None:
        return True
    if last.kind == "word":
        return last.text in _WORDS_BEFORE_PATTERN
    return last.kind == "sign" and last.text in _BEFORE_PATTERN
