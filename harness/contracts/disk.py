"""Calls a function after each write that a component makes to its folder: at any of them SIGKILL may strike.

Writes by Python are seen: `open` and all that is made from it, `os.write`, renames, truncations. Writes by a
library in C, such as SQLite, are not: such files are looked at between two calls.
"""

from __future__ import annotations

import asyncio
import builtins
import io
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from time import sleep as _sleep  # the real one: a component's own sleeps are told
from typing import Any
from unittest import mock

from msgspec import Struct

from harness.posix import proc, resource

if resource is not None:
    _getrlimit, _setrlimit = resource.getrlimit, resource.setrlimit  # the real ones, also on a simulated host
_prlimit: Any = getattr(resource, "prlimit", None)  # Linux has it

_TURNS = 5
"""Iterations of the event loop before a write by another thread."""
_MOST_WAIT = 0.02
"""Seconds that such a write waits for them at most: the loop may itself be waiting for the write."""
_PAUSE = 0.0005
"""Seconds after a write, in which other threads can run."""
_AFTERWARDS = ("pwrite", "replace", "rename", "truncate", "ftruncate", "unlink", "remove")
"""Functions of `os` that may change the folder's content."""


class Written(Struct, frozen=True):
    """What was appended to a file just now: `size` bytes from `start` on. Its end may be torn."""

    path: Path
    start: int
    size: int


Look = Callable[[Written | None], None]


class Watch:
    """What to watch: `look` is called after each write to a file in `folder`, with what the write appended.

    A write and its call of `look` are atomic: both happen under the `lock`. Code that copies the folder must
    hold it too.

    With a `loop`, other threads may write as well. Each of their writes first lets the loop run, so that a
    call that does not wait for the write returns before it in every play, whatever the scheduling of threads;
    after the write, the other threads can run.
    """

    def __init__(self, folder: Path, look: Look, loop: asyncio.AbstractEventLoop | None = None) -> None:
        self.folder = folder
        self.look = look
        self.lock = threading.RLock()
        self._loop, self._loops_thread = loop, threading.get_ident()

    def let_loop_run(self) -> None:
        """Before a write by another thread than the loop's: let the loop run some iterations."""
        if self._loop is None or threading.get_ident() == self._loops_thread:
            return
        loop, taken = self._loop, threading.Event()

        def turn(left: int) -> None:
            if left:
                loop.call_soon(turn, left - 1)
            else:
                taken.set()

        with suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(turn, _TURNS)
            taken.wait(_MOST_WAIT)

    def let_threads_run(self) -> None:
        """After a write: let other threads run."""
        if self._loop is not None:
            _sleep(_PAUSE)


@contextmanager
def full(folder: Path, pid: int = 0) -> Iterator[None]:
    """A context in which no file of a process, this one by default, can grow beyond the largest in `folder`.

    The system enforces it, for code in C too, much like a full disk. On a system without such a limit,
    nothing happens.
    """
    limit = _limit_of(pid)
    if limit is None:
        yield
        return
    sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
    soft, hard = limit()
    limit((max(sizes, default=0), hard))
    try:
        yield
    finally:
        with suppress(ProcessLookupError):  # it was ended meanwhile
            limit((soft, hard))


def _limit_of(pid: int) -> Callable[..., tuple[int, int]] | None:
    """Gets and sets how large the files of a process may grow; None where that cannot be done."""
    if resource is None or (pid and _prlimit is None):
        return None
    if pid:
        return lambda *limits: _prlimit(pid, resource.RLIMIT_FSIZE, *limits)

    def own(*limits: tuple[int, int]) -> tuple[int, int]:
        before = _getrlimit(resource.RLIMIT_FSIZE)
        for each in limits:
            _setrlimit(resource.RLIMIT_FSIZE, each)
        return before

    return own


_watches: list[Watch] = []


def was_told(path: Path, start: int, size: int | None) -> None:
    """Another process has written to a file: it has appended so many bytes; None if it did something else."""
    for watch in _watches[-1:]:
        if path.is_relative_to(watch.folder):
            with watch.lock:
                watch.look(None if size is None else Written(path, start, size))


@contextmanager
def watched(watch: Watch) -> Iterator[None]:
    """A context in which `watch.look` is called after each write."""
    real_open = builtins.open

    def spying_open(file: Any, mode: str = "r", buffering: int = -1, *args: Any, **more: Any) -> Any:
        writes = any(letter in mode for letter in "wax+")
        if not writes or isinstance(file, int) or not _is_in(watch.folder, file):
            return real_open(file, mode, buffering, *args, **more)
        with watch.lock:
            opened = _open(file, mode, buffering, watch, *args, **more)
            if "w" in mode or "x" in mode:
                watch.look(Written(_path(file), 0, 0))  # it is empty at this moment
        return opened

    def afterwards(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **more: Any) -> Any:
            with watch.lock:
                result = function(*args, **more)
                watch.look(None)
            return result

        return call

    real_write = os.write

    def spying_write(file: int, data: Any) -> int:
        path = _path_of(file)
        if path is None or not _is_in(watch.folder, path):
            return real_write(file, data)
        watch.let_loop_run()
        with watch.lock:
            before, size = os.fstat(file).st_size, real_write(file, data)
            watch.look(_appended(path, before, os.fstat(file).st_size, size))
        watch.let_threads_run()
        return size

    with ExitStack() as patches:
        patches.enter_context(mock.patch.object(os, "write", spying_write))
        for place in (builtins, io):
            patches.enter_context(mock.patch.object(place, "open", spying_open))
        for name in _AFTERWARDS:
            if hasattr(os, name):
                patches.enter_context(mock.patch.object(os, name, afterwards(getattr(os, name))))
        _watches.append(watch)
        patches.callback(_watches.remove, watch)
        yield


def _appended(path: Path, before: int, after: int, size: int) -> Written | None:
    """What a write has appended, from the sizes of the file; None if it overwrote something."""
    return Written(path, before, size) if after == before + size and size else None


def _path_of(file: int) -> Path | None:
    """The file of a descriptor, on systems with /proc; else None."""
    try:
        return Path(os.readlink(proc("self", "fd", file)))
    except OSError:
        return None


def _path(file: Any) -> Path:
    return Path(os.path.abspath(os.fsdecode(file)))


def _is_in(folder: Path, file: Any) -> bool:
    try:
        return _path(file).is_relative_to(folder)
    except TypeError:
        return False


class _SpiedFile(io.FileIO):
    """A file that reports its writes to a Watch, one system call at a time."""

    def __init__(self, name: Any, mode: str, watch: Watch, **more: Any) -> None:
        super().__init__(name, mode, **more)
        self._watch = watch

    def write(self, data: Any) -> int:
        """Write, and report what was appended."""
        self._watch.let_loop_run()
        with self._watch.lock:
            before, size = os.fstat(self.fileno()).st_size, super().write(data) or 0
            self._watch.look(_appended(_path(self.name), before, os.fstat(self.fileno()).st_size, size))
        self._watch.let_threads_run()
        return size

    def truncate(self, size: int | None = None) -> int:
        """Truncate, and report it."""
        with self._watch.lock:
            result = super().truncate(size)
            self._watch.look(None)
        return result


def _open(
    file: Any,
    mode: str,
    buffering: int,
    watch: Watch,
    encoding: str | None = None,
    errors: str | None = None,
    newline: str | None = None,
    closefd: bool = True,
    opener: Any = None,
) -> Any:
    """The same as `open` (see the documentation of `io`), with a _SpiedFile at the bottom."""
    is_text = "b" not in mode
    raw_mode = "".join(letter for letter in mode if letter in "rwax+")
    raw = _SpiedFile(str(_path(file)), raw_mode, watch, closefd=closefd, opener=opener)
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
