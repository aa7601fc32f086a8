"""The plays of a session of pytest: one for each exercise, whoever of its processes asks first.

pytest-xdist shares tests out among workers in many ways, and other plugins run each in a process of its own.
So what came of a play is a file that all of them read, and it is made under a lock.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import IO

from harness.history.as_json import from_json, to_json
from harness.posix import lock
from harness.running.run import Run


class NotKept(Exception):  # noqa: N818 - named for what it says
    """There is no room for what came of a play; the text says why."""


class Plays:
    """What came of the exercises that were played so far, in a folder that a session's processes share."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[int, list[Run]] = {}

    def of(self, exercise: int, play: Callable[[], list[Run]]) -> list[Run]:
        """The runs of an exercise: they are played at the first call, and who asks meanwhile waits for them.

        Raises NotKept.
        """
        if exercise not in self._known:
            file = self._folder / f"{exercise}.json"
            with _open_file(self._folder / f"{exercise}.lock") as file_of_lock:
                lock(file_of_lock)  # until it is closed, or this process ends
                if not file.exists():
                    _write(file, play())
            self._known[exercise] = from_json(file.read_bytes(), list[Run])
        return self._known[exercise]


def _open_file(path: Path) -> IO[bytes]:
    try:
        return path.open("wb")
    except OSError as error:
        raise NotKept(error) from error


def _write(path: Path, runs: list[Run]) -> None:
    """Write a file that is whole as soon as it is there."""
    part = path.with_suffix(".part")
    with _open_file(part) as file:
        try:
            file.write(to_json(runs))
            file.flush()
        except OSError as error:
            raise NotKept(error) from error
    part.replace(path)
