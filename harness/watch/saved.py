"""What lies in the folders that are watched, and whether it has changed.

The files themselves are read, several times a second: they are few and small, and that finds every change on
network folders, in WSL and in containers, too, where the system's notices of changes do not arrive.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

_LARGEST = 1024 * 1024
"""Bytes of a file that is looked at."""
_MOST = 200
"""Files of a folder that are looked at."""

Snapshot = Mapping[Path, bytes]
"""A digest for each source file."""


class Saved:
    """The source files with an ending in some folders."""

    def __init__(self, folders: Iterable[Path], ending: str) -> None:
        self._folders, self._ending = tuple(folders), ending
        self._known = self._before = self._look()

    def changed(self) -> list[Path]:
        """The files that were changed, made or removed since the last time, once that is over.

        An editor may empty a file before it writes it: a change counts when two looks find the same.
        """
        now = self._look()
        if now != self._before or now == self._known:
            self._before = now
            return []
        files = [path for path in {**self._known, **now} if self._known.get(path) != now.get(path)]
        self._known = now
        return files

    def _look(self) -> Snapshot:
        found: dict[Path, bytes] = {}
        for folder in self._folders:
            with suppress(OSError):
                for path in sorted(each for each in folder.iterdir() if each.suffix == self._ending)[:_MOST]:
                    with suppress(OSError), path.open("rb") as file:
                        found[path] = hashlib.blake2b(file.read(_LARGEST)).digest()
        return found
