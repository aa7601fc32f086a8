"""First causes: what the judged code did, or forgot, by itself; the rest of a report is what followed.

Exceptions, coroutines that were never awaited, promises that nobody waits for, answers of None and calls that
block the event loop, each distinct one once, in the order of time.
"""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from math import inf

from msgspec import Struct
from msgspec.structs import replace

from harness.checkers.catalogue import Anomaly
from harness.history.printed import Seen
from harness.history.raised import (
    Blocked,
    Frame,
    Raised,
    Unawaited,
    blocked_in,
    heap_in,
    is_no_library,
    own_frame,
    raised_in,
    unawaited_in,
)
from harness.history.source_files import line_of, source_of

LONG_BLOCK = 1.0
"""Seconds for which one call may block the event loop, before that is a mistake."""
_ANSWERS = ("TypeError", "AttributeError", "ValueError")
"""What the server's own code raises if it cannot use what a component has returned."""
_NO_PYTHON = (".ts", ".mts", ".js", ".mjs", ".cjs")
"""How files in the languages of Node end."""
_LINES_OF_CALL = 6
"""Lines that a call in these may have, which ends where Node says that it could not go on."""
_CALL = re.compile(r"\.(\w+)\s*\(")
_KINDS = {"call_raised": "raised", "call_blocks": "blocks"}
"""Findings of direct calls that are causes, too."""


class Cause(Struct, frozen=True):
    """One of them: its `kind` is a key of the texts.

    raised      an exception of the judged code
    elsewhere   one of the code that runs it, whose reason is not known
    unusable    one of the code that runs it, `error`, with what the method `what` had returned
    none        `what`, a method, returned None when it was called directly; `where` is the call
    task        an exception that has ended a task, which nobody has looked at, so that the time is not known
    unawaited   a call of an asynchronous method, `what`, that did nothing, since it was not awaited
    blocks      a call that blocked the event loop, for `seconds`
    unhandled   an error that nobody has caught, for which Node has ended the server; `where` may be empty
    heap        the memory of Node was full, `what`, for which it has ended the server
    floating    a promise that nobody waits for, which may be a mistake, and its place
    """

    kind: str
    what: str
    where: str
    """The judged code's own place, "pubsub.py, line 12, in publish"; or the other code's, if it has none."""
    source: str = ""
    """The line of code."""
    count: int = 1
    at: float | None = None
    """The first time; None if the component was called directly."""
    error: str = ""
    seconds: float = 0.0
    is_usual: bool = False
    """Whether clients that go away may have brought it about: then others are told first."""

    @property
    def time(self) -> float:
        """The first time; at the end, if the component was called directly."""
        return inf if self.at is None else self.at

    def is_told_by(self, anomaly: Anomaly) -> bool:
        """Whether a finding says the same."""
        if self.kind in ("unusable", "none"):
            return _is_none(anomaly) and anomaly.params.get("duty") == self.what
        where = str(anomaly.params.get("where"))
        return _KINDS.get(anomaly.name) == self.kind and where.startswith(f"{self.where}:")


class Floating(Struct, frozen=True):
    """A promise in the judged code that nobody waits for; line and column count from 1."""

    file: str
    line: int
    column: int
    source: str
    """The line of code."""


def causes_in(
    seen: Iterable[Seen],
    is_own: Callable[[str], bool],
    methods: dict[str, str] | None = None,
    files: Iterable[str] = (),
) -> list[Cause]:
    """The causes in what a server has printed.

    `is_own` says which files are judged. `methods` are those of the judged components: by their names, how
    they are shown; `files` are where these are.
    """
    found: dict[tuple[str, str, str], Cause] = {}
    for each in seen:
        cause = _cause_of(each, is_own, methods or {}, files)
        if cause is None:
            continue
        key = cause.kind, cause.what.partition(":")[0], cause.where
        known = found.get(key)
        if known is None:
            found[key] = cause
        elif cause.kind == "blocks":  # the same place is told of again when more time has passed
            found[key] = replace(known, seconds=max(known.seconds, cause.seconds))
        else:
            found[key] = replace(known, count=known.count + cause.count)
    return in_order(found.values())


def in_order(causes: Iterable[Cause]) -> list[Cause]:
    """By time; a call that was not awaited comes before the exception that its coroutine led to."""
    found = sorted(causes, key=lambda each: (each.is_usual, each.kind == "elsewhere", each.time))
    unawaited = {each.where: each for each in found if each.kind == "unawaited"}
    ordered: dict[Cause, None] = {}
    for cause in found:
        ordered |= {unawaited.get(cause.where, cause): None, cause: None}
    return list(ordered)


def with_floating(causes: list[Cause], floats: Iterable[Floating]) -> list[Cause]:
    """The causes of a run that has failed, with the promises that nobody waits for.

    These may be what is wrong: they come after what is wrong for certain, and before what clients that go
    away have brought about, and what was raised elsewhere.
    """
    told: dict[str, Cause] = {}
    for each in floats:
        frame = Frame(each.file, each.line, "", each.source)
        told.setdefault(frame.place, Cause("floating", "", frame.place, each.source))
    first = (at for at, cause in enumerate(causes) if cause.is_usual or cause.kind == "elsewhere")
    at = next(first, len(causes))
    return [*causes[:at], *told.values(), *causes[at:]]


def with_contract(causes: list[Cause], breaches: Iterable[Anomaly]) -> list[Cause]:
    """The causes with those that direct calls of the component have shown, and the play has not."""
    found = list(causes)
    for breach in breaches:
        if _is_none(breach):
            found = _with_none(found, breach)
        elif breach.name in _KINDS and not any(each.is_told_by(breach) for each in found):
            where, _, source = str(breach.params["where"]).partition(": ")
            what, seconds = str(breach.params.get("error", "")), float(breach.params.get("seconds", 0.0))
            found.append(Cause(_KINDS[breach.name], what, where, source, seconds=seconds))
    return found


def _is_none(anomaly: Anomaly) -> bool:
    """Whether a finding says that a method has returned None, and should not."""
    return anomaly.params.get("got") == "None" and "call" in anomaly.params


def _with_none(causes: list[Cause], breach: Anomaly) -> list[Cause]:
    """The causes with a method that has returned None, before what it has led to."""
    method = str(breach.params["duty"])
    if any(cause.kind == "unusable" and cause.what == method for cause in causes):
        return causes
    first = Cause("none", method, str(breach.params["call"]))
    led_to = (at for at, cause in enumerate(causes) if "NoneType" in cause.what)
    at = next(led_to, len(causes))
    return [*causes[:at], first, *causes[at:]]


def _cause_of(
    seen: Seen, is_own: Callable[[str], bool], methods: dict[str, str], files: Iterable[str]
) -> Cause | None:
    forgotten = unawaited_in(seen.lines)
    if forgotten is not None:
        frame = forgotten.frame if is_own(forgotten.frame.file) else _dropped(forgotten, files)
        inside = replace(frame, function=_function_at(frame.file, frame.line))
        return Cause("unawaited", forgotten.name, inside.place, frame.source, seen.count, seen.at)
    blocked, heap = blocked_in(seen.lines), heap_in(seen.lines)
    if blocked is not None:
        return _blocks(blocked, seen, is_own, files)
    if heap:
        return Cause("heap", heap, "", count=seen.count, at=seen.at)
    raised = raised_in(seen.lines, is_own)
    if raised is None:
        return None
    own = own_frame(raised.frames, is_own)
    kind = "unhandled" if raised.is_end else "raised"
    is_usual = raised.is_usual and not raised.is_end  # a server has to handle it, then
    if own is not None:
        return _at(Cause(kind, raised.error, "", is_usual=is_usual), _with_source(own, files), seen)
    if raised.is_end and own_frame(raised.frames, is_no_library) is None:
        return Cause(kind, raised.error, "", count=seen.count, at=seen.at)
    asked = _asked(raised, methods) if raised.kind in _ANSWERS else ""
    cause = Cause("unusable" if asked else "elsewhere", asked or raised.error, "", error=raised.error)
    last = raised.frames[-1] if raised.frames[-1].source else own_frame(raised.frames, is_no_library)
    return _at(replace(cause, is_usual=is_usual), last or raised.frames[-1], seen)


def _blocks(
    blocked: Blocked, seen: Seen, is_own: Callable[[str], bool], files: Iterable[str]
) -> Cause | None:
    """The call of the judged code that blocked the event loop, at the time when that began."""
    own = own_frame(blocked.frames, is_own)
    if own is None or blocked.seconds < LONG_BLOCK:
        return None
    began = max(seen.at - blocked.seconds, 0.0)
    cause = Cause("blocks", "", "", seconds=blocked.seconds)
    return replace(_at(cause, _with_source(own, files), seen), at=began, count=1)


def _with_source(frame: Frame, files: Iterable[str]) -> Frame:
    """A place with its line of code, which Node does not print.

    It is read where the judged components are, and nowhere else: a program may print any file's name.
    """
    if frame.source or not frame.file.startswith("/"):
        return frame
    real = os.path.realpath(frame.file)
    folders = tuple(f"{os.path.realpath(os.path.dirname(file))}{os.sep}" for file in files)
    if not real.startswith(folders):
        return frame
    return replace(frame, source=line_of(frame.file, frame.line))


def _at(cause: Cause, frame: Frame, seen: Seen) -> Cause:
    return replace(cause, where=frame.place, source=frame.source, count=seen.count, at=seen.at)


# --- the code that calls the component ------------------------------------------------------------


def _asked(raised: Raised, methods: dict[str, str]) -> str:
    """The method of a judged component that was called last before the server could not go on."""
    for frame in reversed(raised.frames):
        if frame.file.endswith(_NO_PYTHON):
            method = _called_at(frame, methods)
            if method:
                return method
            continue
        function = _innermost(frame.file, frame.line)
        calls = [node for node in ast.walk(function) if isinstance(node, ast.Call)] if function else []
        names = [
            (node.lineno, node.func.attr)
            for node in calls
            if isinstance(node.func, ast.Attribute)
            and node.func.attr in methods
            and node.lineno <= frame.line
        ]
        if names:
            return methods[max(names)[1]]
    return ""


def _called_at(frame: Frame, methods: dict[str, str]) -> str:
    """The same in TypeScript or JavaScript, whose syntax is not read: the last call up to this line."""
    if not is_no_library(frame.file):
        return ""
    lines = source_of(frame.file).decode("utf-8", "replace").split("\n")
    text = "\n".join(lines[max(frame.line - _LINES_OF_CALL, 0) : frame.line])
    called = [each for each in _CALL.findall(text) if each in methods]
    return methods[called[-1]] if called else ""


def _dropped(forgotten: Unawaited, files: Iterable[str]) -> Frame:
    """Where a coroutine was made that was never awaited: Python saw where it was dropped, in other code.

    If there is only one such call in the judged files.
    """
    name, found = forgotten.name.rpartition(".")[2], []
    for file in files:
        tree = _tree(source_of(file))
        nodes = list(ast.walk(tree)) if tree is not None else []
        awaited = {id(node.value) for node in nodes if isinstance(node, ast.Await)}
        calls = [node for node in nodes if isinstance(node, ast.Call) and id(node) not in awaited]
        lines = [call.lineno for call in calls if getattr(call.func, "attr", "") == name]
        found += [Frame(file, line, "", line_of(file, line)) for line in lines]
    return found[0] if len(found) == 1 else forgotten.frame


def _function_at(file: str, line: int) -> str:
    found = _innermost(file, line)
    return found.name if found is not None else ""


def _innermost(file: str, line: int) -> ast.FunctionDef | ast.AsyncFunctionDef | None:
    """The function that a line of a file is in."""
    found = _functions(source_of(file))
    functions = [each for each in found if each.lineno <= line <= (each.end_lineno or 0)]
    return max(functions, key=lambda each: each.lineno, default=None)


@lru_cache(maxsize=32)
def _functions(source: bytes) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    tree = _tree(source)
    nodes = ast.walk(tree) if tree is not None else ()
    return [each for each in nodes if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)]


def _tree(source: bytes) -> ast.Module | None:
    try:
        return ast.parse(source)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return None
