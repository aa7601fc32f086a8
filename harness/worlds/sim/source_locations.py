"""Where in a student's code something happens: the innermost place that is not a library's."""

from __future__ import annotations

import os
import sysconfig
from functools import cache
from pathlib import Path
from types import CoroutineType, FrameType
from typing import Any

from harness.history.source_files import line_of
from lab import legible

_FOLDERS = [Path(sysconfig.get_paths()[key]) for key in ("stdlib", "platstdlib", "purelib", "platlib")]
_FOLDERS.append(Path(__file__).parents[2])
_LIBRARIES = tuple(f"{each}{os.sep}" for path in _FOLDERS for each in {path: 0, path.resolve(): 0})
_LIBRARIES += (legible.__file__,)  # the server has it from us, and a program that prints without end is there
_PACKAGES = [f"{sysconfig.get_paths()[key]}{os.sep}" for key in ("purelib", "platlib")]


@cache
def is_library(filename: str) -> bool:
    """Whether a file is the standard library's, an installed package's, or the harness's own."""
    return filename.startswith(("<", *_LIBRARIES))


def place_of(frame: FrameType | None) -> str:
    """The innermost place at or outside `frame` that is no library's: "server.py, line 12, in say: …".

    The place of `frame` itself if there is none.
    """
    if frame is None:
        return ""
    at = own_frame(frame) or frame
    return place_at(at.f_code.co_filename, at.f_lineno, at.f_code.co_name)


def own_frame(frame: FrameType | None) -> FrameType | None:
    """The innermost frame at or outside this one that is no library's, if there is one."""
    while frame is not None and is_library(frame.f_code.co_filename):
        frame = frame.f_back
    return frame


def raised_where(error: BaseException) -> str:
    """The innermost place in an exception's traceback that is no library's."""
    place, trace = "", error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        if not place or not is_library(code.co_filename):
            place = place_at(code.co_filename, trace.tb_lineno, code.co_name)
        trace = trace.tb_next
    return place


def roots_of(error: BaseException) -> list[BaseException]:
    """An exception, or those in it if it is a group, and what each was raised from."""
    if isinstance(error, BaseExceptionGroup):
        return [root for each in error.exceptions for root in roots_of(each)]
    return [error, *(roots_of(error.__cause__) if error.__cause__ is not None else [])]


def package_of(error: BaseException) -> str:
    """The name of the installed package whose code raised an exception; empty if none did."""
    trace, filename = error.__traceback__, ""
    while trace is not None:
        filename, trace = trace.tb_frame.f_code.co_filename, trace.tb_next
    for folder in _PACKAGES:
        if filename.startswith(folder):
            return filename.removeprefix(folder).partition(os.sep)[0].removesuffix(".py")
    return ""


def waits_where(coroutine: Any) -> tuple[str, str]:
    """Where a coroutine waits: the innermost place that is no library's, and the innermost function."""
    place, inner = "", ""
    while coroutine is not None:
        frame = getattr(coroutine, "cr_frame", None) or getattr(coroutine, "gi_frame", None)
        if frame is None:
            break
        inner = coroutine.__qualname__
        if not place or not is_library(frame.f_code.co_filename):
            place = place_at(frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name)
        awaited = getattr(coroutine, "cr_await", None) or getattr(coroutine, "gi_yieldfrom", None)
        coroutine = awaited if isinstance(awaited, CoroutineType) or hasattr(awaited, "gi_frame") else None
    return place, inner


def place_at(filename: str, line: int, function: str) -> str:
    """A place with its source code: "server.py, line 12, in say: …"."""
    source = line_of(filename, line)
    place = f"{Path(filename).name}, line {line}, in {function}"
    return f"{place}: {source}" if source else place
