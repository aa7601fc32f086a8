"""A student's check: a file with `async def test…` functions, which ask for clients by an argument's name.

A check that needs no more than these is a test for pytest as well. What would tell it the server's name, or
has nothing to do with a chat, is refused before anything runs: that keeps an honest player honest, no more.
"""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

from msgspec import Struct

from harness.texts.problem import Problem

FIXTURES = ("chat_client", "chat_server")
"""What a test may ask for."""
MODULES = frozenset(
    (
        *("__future__", "asyncio", "collections", "contextlib", "dataclasses", "functools", "itertools"),
        *(
            "json",
            "math",
            "operator",
            "pytest",
            "random",
            "re",
            "string",
            "textwrap",
            "typing",
            "unicodedata",
        ),
        *("uuid"),
    )
)
"""What a check may import."""
_NO_NAMES = frozenset(
    (
        *("__import__", "__builtins__", "__file__", "breakpoint", "compile", "eval", "exec", "exit"),
        *("getattr", "globals", "input", "locals", "open", "quit", "setattr", "vars"),
    )
)
_AWAITED = frozenset(
    (
        *("chat_client", "close", "connect", "hears", "join", "kill", "leave", "reset", "say", "sees"),
        *("start", "stop"),
    )
)
"""What does nothing without `await`."""
_LARGEST = 200_000
"""Bytes of a check: a good one has some hundred."""

FAILED = "@AssertFailed"
"""The name by which a check finds the exception of an `assert`; no code can have such a name."""
_LEFT, _RIGHT = "@left", "@right"


class BadCheck(Problem):
    """The file cannot be played; the sentence says why, and where."""


class CheckFile(Struct, frozen=True):
    """A check that can be played."""

    path: str
    source: str
    tests: dict[str, tuple[str, ...]]
    """For each test, in their order, what it asks for."""


def read(path: str) -> CheckFile:
    """The check in a file. Raises BadCheck."""
    try:
        data = Path(path).read_bytes()
        source = data.decode("utf-8-sig") if len(data) <= _LARGEST else ""
    except FileNotFoundError as error:
        raise BadCheck("hunt.no_file", path=path) from error
    except OSError as error:
        raise BadCheck("hunt.unreadable", path=path, why=error.strerror or error) from error
    except UnicodeDecodeError as error:
        raise BadCheck("hunt.no_text", path=path) from error
    if len(data) > _LARGEST:
        raise BadCheck("hunt.too_long", path=path, kib=_LARGEST // 1000)
    if "\0" in source:
        raise BadCheck("hunt.no_text", path=path)
    try:
        tree = ast.parse(source, path)
        compile(tree, path, "exec")  # finds more, such as `await` in a plain function
    except SyntaxError as error:
        raise BadCheck("hunt.syntax", path=path, line=error.lineno or 0, why=error.msg) from error
    except (ValueError, RecursionError, MemoryError) as error:
        raise BadCheck("hunt.no_text", path=path) from error
    _check_names(path, tree)
    _check_awaits(path, tree)
    return CheckFile(path, source, _tests_in(path, tree))


def _check_names(path: str, tree: ast.AST) -> None:
    """Raise BadCheck for an import that no check needs, or a name that leads behind the fixtures."""
    for node in ast.walk(tree):
        found: list[str] = []
        match node:
            case ast.Import(names=names):
                found = [each.name for each in names if each.name.partition(".")[0] not in MODULES]
            case ast.ImportFrom(module=module, level=level):
                is_known = not level and (module or "").partition(".")[0] in MODULES
                found = [] if is_known else [module or "."]
            case ast.Name(id=name) if name in _NO_NAMES:
                raise BadCheck("hunt.no_name", path=path, line=node.lineno, name=name)
            case ast.Attribute(attr=name) if name.startswith("_"):
                raise BadCheck("hunt.no_name", path=path, line=node.lineno, name=name)
        if found:
            raise BadCheck("hunt.no_import", path=path, line=getattr(node, "lineno", 0), name=found[0])


def _check_awaits(path: str, tree: ast.AST) -> None:
    """Raise BadCheck where a call that has to be awaited stands by itself, or its result is used at once.

    Without `await` it would do nothing, and a check that does nothing passes. One that is given to a
    function, such as `asyncio.gather`, may be awaited there.
    """
    for node in ast.walk(tree):
        used: list[ast.AST | None] = []
        match node:
            case ast.Expr(value=value) | ast.Assert(test=value) | ast.Assign(value=value):
                used = [value]
            case ast.Compare(left=left, comparators=others):
                used = [left, *others]
            case ast.Subscript(value=value) | ast.Attribute(value=value):
                used = [value]
        for each in used:
            if isinstance(each, ast.Call) and (name := _name_of(each.func)) in _AWAITED:
                raise BadCheck("hunt.no_await", path=path, line=each.lineno, name=name)


def _name_of(function: ast.expr) -> str:
    match function:
        case ast.Attribute(attr=name) | ast.Name(id=name):
            return name
    return ""


def _tests_in(path: str, tree: ast.Module) -> dict[str, tuple[str, ...]]:
    """The tests of a file, and what each asks for. Raises BadCheck if there is none, or one is unfit."""
    found: dict[str, tuple[str, ...]] = {}
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test"):
            raise BadCheck("hunt.not_async", path=path, line=node.lineno, name=node.name)
        if isinstance(node, ast.AsyncFunctionDef) and node.name.startswith("test"):
            needs = node.args.posonlyargs + node.args.args
            wanted = tuple(each.arg for each in needs[: len(needs) - len(node.args.defaults)])
            for name in wanted:
                if name not in FIXTURES:
                    known = ", ".join(FIXTURES)
                    raise BadCheck("hunt.no_fixture", path=path, line=node.lineno, name=name, known=known)
            found[node.name] = wanted
    if not found:
        raise BadCheck("hunt.no_test", path=path)
    return found


class AssertFailed(AssertionError):  # noqa: N818 - named for what it says
    """An `assert` of a check failed: with its message, and what its sides were, if it compares two."""

    def __init__(self, message: object, *sides: object) -> None:
        super().__init__(message)
        self.message = message
        self.sides = sides


class _Asserts(ast.NodeTransformer):
    """Makes each `assert` raise an AssertFailed, which knows the values of both sides."""

    def visit_Assert(self, node: ast.Assert) -> Any:
        test, sides = node.test, []
        match node.test:
            case ast.Compare(left=left, ops=[op], comparators=[right]):
                test = ast.Compare(_kept(_LEFT, left), [op], [_kept(_RIGHT, right)])
                sides = [_LEFT, _RIGHT]
        message = node.msg or ast.Constant(None)
        values = [ast.Name(side, ast.Load()) for side in sides]
        call = ast.Call(ast.Name(FAILED, ast.Load()), [message, *values], [])
        body: list[ast.stmt] = [ast.Raise(call, None)]
        found = ast.If(ast.UnaryOp(ast.Not(), test), body, [])
        return ast.fix_missing_locations(ast.copy_location(found, node))


def _kept(name: str, value: ast.expr) -> ast.NamedExpr:
    return ast.NamedExpr(ast.Name(name, ast.Store()), value)


def compiled(check: CheckFile) -> Any:
    """The code of a check, whose asserts tell what they compared."""
    tree = _Asserts().visit(ast.parse(check.source, check.path))
    return compile(tree, check.path, "exec", dont_inherit=True)
