"""Reads what Node prints of errors: those that were logged, and the one that nobody caught, which ends it.

And what `harness/typescript/watch_loop.mjs` prints of calls that block the event loop. Node prints the
innermost place of an error first.
"""

from __future__ import annotations

import re
from enum import Enum
from urllib.parse import unquote

from msgspec import Struct
from msgspec.structs import replace

from harness.history.exceptions import Frame, Raised

_AT = re.compile(r"\s+at (?:async )?(?P<place>\S.*)")
_AFTER_PLACE = (" {", " [", ",")
"""What may stand behind a place: properties of the error come next, or another one of a list."""
_NOWHERE = ("<anonymous>", "native")
"""Places in no file."""
_ALIAS = re.compile(r" \[as [^\]]*\]")
_NAMELESS = re.compile(r"(?:.*\.)?<anonymous>$")
_HEAD = re.compile(r"(?P<error>(?<![\w$.])[\w$]*(?:Error|Exception|Rejection)\b(?: \[[^\]]*\])*(?:: .*|$))")
"""How Node begins an error: `TypeError: …`, `Error [ERR_X]: …`, `MyError [StoreError]: …`.

A log may say something before that.
"""
_STARTS = re.compile(r"(?P<file>(?:file:|node:|/|[A-Za-z]:[\\/]).*):(?P<line>\d+)$")
"""The first line of an exception that nobody caught: then come its line of code, and a caret."""
_CARET = re.compile(r"\s*\^+\s*$")
_END = re.compile(r"Node\.js v\d")
_REASON = re.compile(r"UnhandledPromiseRejection: .* with the reason (?P<reason>.*?)\.?\]?(?: \{)?$")
_HEAP = re.compile(r"<--- Last few GCs --->|FATAL ERROR: ")
_OF_HEAP = re.compile(r"\s*$|\[\d+:|<---|FATAL ERROR: |-----|\s*\d+: 0x")
_HEAP_FULL = re.compile(r"FATAL ERROR: .*?(?P<what>(?:JavaScript heap )?out of memory)")
_WARNING = re.compile(r"\(node:\d+\) ")
_OF_WARNING = re.compile(r"\(Use `[^`]*` to show where")
_BLOCKED = re.compile(
    r"\[chatlab\] the event loop (?:was|has been) blocked for (?P<seconds>\d+\.\d) s(?: so far)?$"
)
_CAUSE = "[cause]: "
_LONGEST_MESSAGE = 12
"""Lines of an error's message, at the most."""
_MOST_LINES = 120
"""Lines that belong together, at the most."""


class Blocked(Struct, frozen=True):
    """A call that has blocked the event loop for so many seconds; the innermost place is the last."""

    seconds: float
    frames: list[Frame]


# --- which lines belong together --------------------------------------------------------------------


class Kind(Enum):
    """What a line may be the first one of."""

    OTHER = ""
    ERROR = "error"
    CRASH = "crash"
    WARNING = "warning"
    HEAP = "heap"
    BLOCKED = "blocked"


def kind_of(line: str) -> Kind:
    """What a line begins, if more comes; nearly every line is asked, so what is cheap is asked first."""
    if line.startswith(("[chatlab] ", "(node:", "<--- ", "FATAL ")):
        for kind, pattern in ((Kind.BLOCKED, _BLOCKED), (Kind.WARNING, _WARNING), (Kind.HEAP, _HEAP)):
            if pattern.match(line):
                return kind
    if ("Error" in line or "Exception" in line or "Rejection" in line) and _HEAD.search(line):
        return Kind.ERROR
    return Kind.CRASH if line[-1:].isdecimal() and _STARTS.match(line) else Kind.OTHER


def goes_on(kind: Kind, block: list[str], line: str, *, at_once: bool) -> bool:
    """Whether a line goes on with what Node has begun to print; `at_once` says that it came at the same time.

    The lines before it, whose first one is of this kind, may turn out to be none of Node's: see `is_whole`.
    """
    if len(block) >= _MOST_LINES:
        return False
    if kind is Kind.BLOCKED:
        return _is_place(line)
    if kind is Kind.WARNING:
        return _is_place(line) or _OF_WARNING.match(line) is not None
    if kind is Kind.HEAP:
        return _OF_HEAP.match(line) is not None
    if kind is Kind.CRASH:
        if len(block) == 1:
            return at_once and kind_of(line) is Kind.OTHER
        return _CARET.match(line) is not None if len(block) == 2 else not _END.match(block[-1])
    if _is_place(line):
        return True
    if any(map(_is_place, block[1 : _LONGEST_MESSAGE + 2])):
        return _is_property(line, block[-1])
    is_message = kind is Kind.ERROR and at_once and len(block) <= _LONGEST_MESSAGE
    return is_message and (line[:1] == " " or kind_of(line) is Kind.OTHER)


def is_whole(kind: Kind, block: list[str]) -> bool:
    """Whether lines that were taken together are Node's: what it says of one thing."""
    if kind is Kind.CRASH:
        return len(block) > 2 and _CARET.match(block[2]) is not None
    return kind in (Kind.BLOCKED, Kind.WARNING, Kind.HEAP) or any(map(_is_place, block[1:]))


def key_of(kind: Kind, block: list[str]) -> tuple[str, ...]:
    """What is the same where an error is printed again, though its message may be another one."""
    places = tuple(line for line in block if _is_place(line))
    return places if places and kind is not Kind.BLOCKED else tuple(block)


def _is_property(line: str, before: str) -> bool:
    """Whether a line belongs to the properties of an error, which stand in braces behind its places."""
    if _is_place(before) and not before.endswith(_AFTER_PLACE):
        return line.lstrip()[:1] in ("}", "]")
    if before[:1] in ("}", "]") and not before.endswith(("{", "[")):
        return False
    return line[:1] in ("", " ", "}", "]")


def _is_place(line: str) -> bool:
    return line[:1] == " " and _place_in(line) is not None


def _place_in(line: str) -> tuple[str, str, int] | None:
    """The function, file and line of a place in a stack, without a file if it is in none; None for others."""
    found = _AT.match(line)
    if found is None:
        return None
    place = found["place"].rstrip()
    for end in _AFTER_PLACE:
        place = place.removesuffix(end)
    function, bracket, where = place.partition(" (")
    if bracket and not where.endswith(")"):
        return None
    where = where[:-1] if bracket else place
    file, *numbers = where.rsplit(":", 2)
    if len(numbers) == 2 and all(each.isascii() and each.isdecimal() and len(each) < 8 for each in numbers):
        return function if bracket else "", file, int(numbers[0])
    return (function, "", 0) if bracket and (where in _NOWHERE or where.startswith("index ")) else None


# --- what they say ----------------------------------------------------------------------------------


def all_raised(lines: list[str]) -> list[Raised]:
    """All errors in what was printed: the cause of one before it, those of a group in their order."""
    crash = _STARTS.match(lines[0]) if lines else None
    if crash is not None and len(lines) > 2 and _CARET.match(lines[2]):
        return _all_of_crash(lines, Frame(_path_of(crash["file"]), int(crash["line"]), "", lines[1].strip()))
    if not lines or kind_of(lines[0]) in (Kind.BLOCKED, Kind.WARNING, Kind.HEAP):
        return []
    return _all_in(lines)


def _all_of_crash(lines: list[str], thrown: Frame) -> list[Raised]:
    """Where it was thrown is known, also if it is no error, which alone has a stack."""
    found = _all_in(lines[3:])
    if not found:
        text = next((line for line in lines[3:] if line.strip() and not _END.match(line)), "")
        reason = _REASON.search(text)
        text = (
            f"UnhandledPromiseRejection: {reason['reason']}"
            if reason
            else text.strip().removesuffix(" {").strip("[]")
        )
        return [Raised(text, [thrown], is_end=True)]
    ended = []
    for each in found:
        reason = _REASON.match(each.error)
        error = f"UnhandledPromiseRejection: {reason['reason']}" if reason else each.error
        ended.append(replace(each, error=error, frames=_with(each.frames, thrown), is_end=True))
    return ended


def _with(frames: list[Frame], thrown: Frame) -> list[Frame]:
    """The places of an error, with the line of code where it was thrown."""
    last = frames[-1]
    if (last.file, last.line) == (thrown.file, thrown.line):
        return [*frames[:-1], replace(last, source=thrown.source)]
    if any((each.file, each.line) == (thrown.file, thrown.line) for each in frames):
        return frames
    return (
        [*frames, thrown] if last.file.startswith("node:") and not thrown.file.startswith("node:") else frames
    )


def _all_in(lines: list[str]) -> list[Raised]:
    found: list[Raised] = []
    heads: list[str] = []
    at = 0  # of the error whose places are read
    is_read = False  # its places are being read
    for line in lines:
        if not _is_place(line):
            heads = [*heads, line] if not is_read else [line]
            is_read = False
            continue
        if not is_read:
            error = _error_of(heads, is_first=not found)
            if not error:
                heads = []
                continue
            at = 0 if any(_CAUSE in head for head in heads) else len(found)
            found.insert(at, Raised(error, []))
            heads, is_read = [], True
        frame = _frame_of(line)
        if frame is not None:
            found[at] = replace(found[at], frames=[frame, *found[at].frames])
    return [each for each in found if each.frames]


def _error_of(heads: list[str], *, is_first: bool) -> str:
    """The error whose places come next, of the lines before them; it may have a message of several."""
    lines = [head for head in heads if not (head.lstrip().startswith("[") and _CAUSE not in head)]
    found = [match["error"].strip() for line in lines if (match := _HEAD.search(line))]
    if found:
        return found[0] if is_first and len(lines) == len(heads) else found[-1]
    # A program's own class need not be named like an error. Later, these are other places of the same one.
    return next((line.strip() for line in reversed(lines) if line.strip()), "") if is_first else ""


def _frame_of(line: str) -> Frame | None:
    """The place in a line; none if it is in no file."""
    found = _place_in(line)
    if found is None or not found[1]:
        return None
    function, file, number = found
    function = _ALIAS.sub("", function)
    if function.startswith("new "):
        function = f"{function[4:]}.constructor"
    return Frame(_path_of(file), number, "" if _NAMELESS.match(function) else function)


def _path_of(file: str) -> str:
    """A file as the system names it: Node prints the URL of a module."""
    if not file.startswith("file://"):
        return file
    path = unquote(file.removeprefix("file://"))
    return path[1:] if re.match(r"/[A-Za-z]:[\\/]", path) else path


def blocked_in(lines: list[str]) -> Blocked | None:
    """The call that the block of `watch_loop.mjs` is about; None if it is another text."""
    found = _BLOCKED.match(lines[0]) if lines else None
    if found is None:
        return None
    frames = [frame for line in lines[1:] if (frame := _frame_of(line))]
    return Blocked(float(found["seconds"]), frames[::-1])


def heap_in(lines: list[str]) -> str:
    """What Node says when its memory is full, which ends it; empty if it does not."""
    return next((found["what"] for line in lines if (found := _HEAP_FULL.match(line))), "")
