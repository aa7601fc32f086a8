"""What of a component in TypeScript is compared: function by function, as `source_tokens` does it for Python.

Left out are comments, imports, the signatures that the exercise gives, modifiers such as `private`,
semicolons and commas at the end. All strings are the same, and names that an author chooses, `#private` ones
too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from harness.grading.source_tokens import MOST, Run
from harness.typescript.tokens import Token, tokens_in

_CHOSEN = "n"
_KEYWORDS = re.compile(
    r"async|await|break|case|catch|class|const|continue|default|delete|do|else|export|"
    r"extends|false|finally|for|function|if|implements|import|in|instanceof|interface|let|"
    r"new|null|of|return|static|super|switch|this|throw|true|try|type|typeof|undefined|"
    r"var|void|while|yield|as"
)
_GLOBALS = re.compile(
    r"Array|Boolean|Buffer|Date|Error|JSON|Map|Math|Number|Object|Promise|Set|String|"
    r"Symbol|WeakMap|WeakSet|Infinity|NaN|clearInterval|clearTimeout|console|process|"
    r"queueMicrotask|setImmediate|setInterval|setTimeout|structuredClone|string|number|boolean|"
    r"unknown|any|never"
)
_METHODS = re.compile(
    r"add|all|allSettled|at|catch|clear|concat|delete|endsWith|entries|every|filter|finally|"
    r"find|findIndex|findLast|findLastIndex|flat|flatMap|forEach|from|get|has|includes|"
    r"indexOf|isArray|join|keys|length|map|max|min|next|now|parse|pop|push|race|reduce|"
    r"reject|resolve|reverse|set|shift|size|slice|some|sort|splice|split|startsWith|"
    r"stringify|substring|then|toSorted|toString|trim|unshift|values|with"
)
_HEADS = re.compile("catch|for|function|if|return|super|switch|while|with")
"""What may stand before a parenthesis, and is no name of a function."""
_MODIFIERS = ("private", "protected", "public", "readonly", "override", "declare", "abstract", "export")
_OPENING, _CLOSING = frozenset("([{"), frozenset(")]}")


def runs_of(source: str) -> list[Run]:
    """The runs of a file. One that the compiler refuses is taken as far as it can be read."""
    code = [each for each in tokens_in(source[:MOST]) if each.kind != "comment"]
    outside = Run([], [])
    found = [outside]
    imported = {token.text for statement in _imports(code) for token in statement if token.kind == "word"}
    at = 0
    while at < len(code):
        if code[at].text == "import" and code[at].kind == "word" and not _is_after_dot(code, at):
            at = _end_of_import(code, at)
            continue
        body = _body_of_function(code, at)
        if body is None:
            _take(outside, code[at : at + 1], code, at, imported)
            at += 1
            continue
        first, last = body
        run = Run([], [])
        _take(run, code[first:last], code, first, imported)
        found.append(run)
        at = last + 1
    return [run for run in found if run.tokens]


def _take(run: Run, tokens: list[Token], code: list[Token], start: int, imported: set[str]) -> None:
    for place, token in enumerate(tokens, start=start):
        following = code[place + 1].text if place + 1 < len(code) else ""
        if token.text in _MODIFIERS and token.kind == "word" and not _is_after_dot(code, place):
            continue
        if token.kind == "sign" and (token.text == ";" or (token.text == "," and following in _CLOSING)):
            continue
        run.tokens.append(_neutral(token, code, place, imported))
        run.lines.append((token.line, token.line))


def _neutral(token: Token, code: list[Token], place: int, imported: set[str]) -> str:
    """A token with a name that says no more than what it does."""
    if token.kind in ("string", "template"):
        return '"'
    if token.kind != "word":
        return token.text
    if _is_after_dot(code, place):
        owner = code[place - 2].text if place > 1 else ""
        return token.text if owner != "this" and _METHODS.fullmatch(token.text) else _CHOSEN
    is_fixed = _KEYWORDS.fullmatch(token.text) or _GLOBALS.fullmatch(token.text) or token.text in imported
    return token.text if is_fixed else _CHOSEN


def _is_after_dot(code: list[Token], place: int) -> bool:
    return place > 0 and code[place - 1].text == "." and code[place - 1].kind == "sign"


def _imports(code: list[Token]) -> Iterator[list[Token]]:
    for at, token in enumerate(code):
        if token.text == "import" and token.kind == "word" and not _is_after_dot(code, at):
            yield code[at : _end_of_import(code, at)]


def _end_of_import(code: list[Token], at: int) -> int:
    """Where an import ends: after the name of its module. `import(…)` is a call."""
    if code[at + 1 : at + 2] and code[at + 1].text == "(":
        return at + 1
    while at < len(code) and code[at].kind != "string":
        at += 1
    return at + 1


def _body_of_function(code: list[Token], at: int) -> tuple[int, int] | None:
    """Where the body of a method or function begins and ends whose name is this token; None if it is none."""
    before = code[at - 1].text if at else ""
    is_name = code[at].kind == "word" and not _HEADS.fullmatch(code[at].text)
    begins_member = before in ("{", "}", ";", "function", "async", "static", "*", "get", "set", *_MODIFIERS)
    if not (is_name and begins_member and at + 1 < len(code) and code[at + 1].text in ("(", "<")):
        return None
    at += 1
    while at < len(code) and code[at].text != "(":  # type parameters
        at += 1
    at = _after_bracket(code, at)
    if at < len(code) and code[at].text == ":":
        at += 1
        if at < len(code) and code[at].text == "{":  # an object type
            at = _after_bracket(code, at)
        while at < len(code) and code[at].text not in ("{", ";", "}"):
            at = _after_bracket(code, at) if code[at].text in _OPENING else at + 1
    if at >= len(code) or code[at].text != "{":
        return None
    return at + 1, _after_bracket(code, at) - 1


def _after_bracket(code: list[Token], at: int) -> int:
    """The place after the bracket that closes the one which opens here."""
    depth = 0
    while at < len(code):
        if code[at].kind == "sign":
            depth += (code[at].text in _OPENING) - (code[at].text in _CLOSING)
        at += 1
        if depth <= 0:
            break
    return at
