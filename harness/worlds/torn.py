"""Tears off the end of what a killed server was writing, as a kill between two writes leaves it.

Only bytes that were written since a moment are torn, and only where a server can expect that: at the end of
a file of text, or of SQLite's write-ahead log, whose frames have checksums for this. A database's own file is
left alone, since it is written under the protection of another one; so is a file that was written elsewhere
and then moved to its name, as careful programs do.
"""

from __future__ import annotations

import os
import struct
from contextlib import suppress
from pathlib import Path
from stat import S_ISREG

from msgspec import Struct

from harness.posix import LIBC

_WAL = (b"\x37\x7f\x06\x82", b"\x37\x7f\x06\x83")
"""How SQLite's write-ahead logs begin (https://www.sqlite.org/fileformat2.html#walformat)."""
_WAL_SUFFIX = "-wal"
_MOST_TORN = 64 * 1024 * 1024
"""Bytes of a file's new end that is looked at, and torn: many times what a run has."""


class Size(Struct, frozen=True):
    """What is known of a file at a moment: which it is, its bytes, and when it was changed last."""

    inode: int
    size: int
    changed: int


Sizes = dict[Path, Size]


def sizes(folder: Path) -> Sizes:
    """The files in a folder and below."""
    found = {}
    for place, _, names in os.walk(folder):
        for name in names:
            path = Path(place, name)
            with suppress(FileNotFoundError):  # it was a temporary one
                stat = path.lstat()
                if S_ISREG(stat.st_mode):
                    found[path] = Size(stat.st_ino, stat.st_size, stat.st_mtime_ns)
    return found


class Growth(Struct, frozen=True):
    """The bytes that a file has grown by: from `start` to `end`."""

    path: Path
    start: int
    end: int


class Watch:
    """Watches what is written in a folder from now on. Use it as a context manager."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._before = sizes(folder)
        self._moves = _Moves(folder)

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, *_: object) -> None:
        self._moves.close()

    def grown(self) -> list[Growth]:
        """What was written since then at the ends of files, where it can be torn."""
        now = sizes(self._folder)
        return [
            Growth(path, was.size if (was := self._before.get(path)) else 0, size.size)
            for path, size in now.items()
            if self._may_tear(path, size, now)
        ]

    def tear(self, fraction: float) -> dict[str, int]:
        """Cut these ends, so that about `fraction` (0 to 1) of what is new stays.

        Returns the bytes torn off each file, by its path in the folder.
        """
        torn: dict[str, int] = {}
        for each in self.grown():
            kept = min(max(int((each.end - each.start) * fraction), 1), each.end - each.start - 1)
            os.truncate(each.path, each.start + kept)
            torn[each.path.relative_to(self._folder).as_posix()] = each.end - each.start - kept
        return torn

    def _may_tear(self, path: Path, size: Size, now: Sizes) -> bool:
        was = self._before.get(path)
        start = was.size if was is not None else 0
        moved = was.inode != size.inode if was is not None else self._moves.may_be(path)
        if moved or not 2 <= size.size - start <= _MOST_TORN:
            return False
        try:
            file = path.open("rb")
        except FileNotFoundError:  # it was renamed since we looked
            return False
        with file:
            if path.name.endswith(_WAL_SUFFIX) and file.read(4) in _WAL:
                # While the log is copied into the database, the database is not whole without it.
                database = path.with_name(path.name.removesuffix(_WAL_SUFFIX))
                return now.get(database) == self._before.get(database)
            file.seek(start)
            return is_text(file.read(size.size - start))


def is_text(data: bytes) -> bool:
    """Whether these bytes are text, as far as can be told."""
    try:
        return "\0" not in data.decode()
    except UnicodeDecodeError:
        return False


_MOVED_TO = 0x80
_EVENT = struct.Struct("iIII")
"""How an event of inotify begins: the number of the folder, what it is, a cookie, the size of the name."""


class _Moves:
    """Finds which files are moved to their names in the folders of a tree: on Linux by inotify(7).

    Elsewhere it goes by a file's times: moving it changes the file, but not its contents. Linux's clock for
    them is too coarse.
    """

    def __init__(self, folder: Path) -> None:
        self._folders: dict[int, Path] = {}
        self._moved: set[Path] = set()
        self._file = -1
        if LIBC is None:
            return
        self._file = LIBC.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        for place, _, _ in os.walk(folder):
            number = LIBC.inotify_add_watch(self._file, os.fsencode(place), _MOVED_TO)
            if number >= 0:
                self._folders[number] = Path(place)

    def may_be(self, path: Path) -> bool:
        """Whether a file that was not there may have been moved there, as far as we can know."""
        if LIBC is None:
            stat = path.stat()
            return stat.st_ctime_ns > stat.st_mtime_ns
        self._read()
        return path in self._moved or path.parent not in self._folders.values()

    def _read(self) -> None:
        with suppress(OSError):  # there is nothing more, or there is no inotify
            while events := os.read(self._file, 1 << 16):
                self._take(events)

    def _take(self, events: bytes) -> None:
        place = 0
        while place < len(events):
            number, _, _, size = _EVENT.unpack_from(events, place)
            place += _EVENT.size
            name = events[place : place + size].rstrip(b"\0")
            place += size
            if number in self._folders:
                self._moved.add(self._folders[number] / os.fsdecode(name))
            else:  # the system has dropped events
                self._folders.clear()

    def close(self) -> None:
        """Stop watching."""
        if self._file >= 0:
            with suppress(OSError):  # a simulated server may have closed all files of this process
                os.close(self._file)
            self._file = -1
