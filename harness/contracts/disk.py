"""Looks at each write that a component makes to its folder, as SIGKILL would find it just then.

What Python writes is seen: `open` and all that is made from it, `os.write`, renames, truncations. What a
library in C writes by itself, such as SQLite, is not: such files are looked at between two calls.
"""

from __future__ import annotations

import builtins
import io
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, cast
from unittest import mock

from msgspec import Struct

_AFTERWARDS = ("write", "pwrite", "writev", "replace", "rename", "truncate", "ftruncate", "unlink", "remove")
"""Functions of `os` after which the folder may be another one."""


class Written(Struct, frozen=True):
    """What was appended to a file just now: `size` bytes from `start` on. Its end may be torn."""

    path: Path
    start: int
    size: int


Look = Callable[[Written | None], None]


@contextmanager
def watched(folder: Path, look: Look) -> Iterator[None]:
    """Meanwhile, call `look` after each write to a file in `folder`, with what was appended."""
    real_open = builtins.open

    def spying_open(file: Any, mode: str = "r", buffering: int = -1, *args: Any, **more: Any) -> Any:
        writes = any(letter in mode for letter in "wax+")
        if not writes or isinstance(file, int) or not _is_in(folder, file):
            return real_open(file, mode, buffering, *args, **more)
        opened = _open(file, mode, buffering, look, *args, **more)
        if "w" in mode or "x" in mode:
            look(None)  # it is empty at this moment
        return opened

    def afterwards(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **more: Any) -> Any:
            result = function(*args, **more)
            look(None)
            return result

        return call

    with ExitStack() as patches:
        for place in (builtins, io):
            patches.enter_context(mock.patch.object(place, "open", spying_open))
        for name in _AFTERWARDS:
            if hasattr(os, name):
                patches.enter_context(mock.patch.object(os, name, afterwards(getattr(os, name))))
        yield


def _is_in(folder: Path, file: Any) -> bool:
    try:
        return Path(os.path.abspath(os.fsdecode(file))).is_relative_to(folder)
    except TypeError:
        return False


class _SpiedFile(io.FileIO):
    """A file whose writes are told, one system call at a time."""

    def __init__(self, name: Any, mode: str, look: Look, **more: Any) -> None:
        super().__init__(name, mode, **more)
        self._look = look

    def write(self, data: Any) -> int:
        """Write, and tell what was appended."""
        before = os.fstat(self.fileno()).st_size
        size = super().write(data)
        after = os.fstat(self.fileno()).st_size
        is_appended = after == before + (size or 0) and after > before
        self._look(
            Written(Path(os.fsdecode(cast("str", self.name))), before, after - before)
            if is_appended
            else None
        )
        return size or 0

    def truncate(self, size: int | None = None) -> int:
        """Truncate, and tell that."""
        result = super().truncate(size)
        self._look(None)
        return result


def _open(
    file: Any,
    mode: str,
    buffering: int,
    look: Look,
    encoding: str | None = None,
    errors: str | None = None,
    newline: str | None = None,
    closefd: bool = True,
    opener: Any = None,
) -> Any:
    """What `open` does (see the documentation of `io`), on a file that is looked at."""
    is_text = "b" not in mode
    raw_mode = "".join(letter for letter in mode if letter in "rwax+")
    raw = _SpiedFile(os.path.abspath(os.fsdecode(file)), raw_mode, look, closefd=closefd, opener=opener)
    if buffering == 0:
        if is_text:
            raise ValueError("can't have unbuffered text I/O")
        return raw
    size = buffering if buffering > 1 else io.DEFAULT_BUFFER_SIZE
    buffer: Any = io.BufferedRandom(raw, size) if "+" in mode else io.BufferedWriter(raw, size)
    if not is_text:
        return buffer
    text = io.TextIOWrapper(buffer, encoding, errors, newline, line_buffering=buffering == 1)
    text.mode = mode  # type: ignore[misc]
    return text
