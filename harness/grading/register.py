"""The folder of the results: for each submission a grade, a log and pages, and a table of all grades."""

from __future__ import annotations

import csv
import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path

import msgspec

from harness.grading.grade import Grade, Rules, fingerprint
from harness.texts import Texts
from harness.verdict.steps import EXERCISES
from harness.worlds.environment import SCRATCH

if sys.platform != "win32":
    import fcntl

_SCRATCH = "chatlab-grade-"
_LONG = 120
"""The length to which a submission's name is cut in the names of its result files."""


class Busy(Exception):  # noqa: N818 - named for what it says
    """Another grading is writing into the same folder."""


class Register:
    """The results in the folder `place`. Raises OSError if that cannot be made."""

    def __init__(self, place: Path) -> None:
        place.mkdir(parents=True, exist_ok=True)
        self._place = place
        self.table = place / "grades.csv"

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Lock the folder, and make a place for the data of servers; those of a killed run are removed.

        Raises Busy.
        """
        lock = self._place / ".lock"
        with lock.open("a+") as file:
            if sys.platform != "win32":
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError as error:
                    raise Busy from error
            file.seek(0)
            left = Path(file.read())  # by a run that was killed
            if left.name.startswith(_SCRATCH):
                shutil.rmtree(left, ignore_errors=True)
            # Not in our folder: names of sockets must be short, and servers make some beside their data.
            scratch = tempfile.mkdtemp(prefix=_SCRATCH)
            file.truncate(0)
            file.write(scratch)
            file.flush()
            os.environ[SCRATCH] = scratch
            try:
                yield
            finally:
                del os.environ[SCRATCH]
                shutil.rmtree(scratch, ignore_errors=True)
                lock.unlink(missing_ok=True)

    def known(self, folder: Path, rules: Rules) -> Grade | None:
        """The grade that a submission already has, if its files and the rules have not changed."""
        try:
            kept = msgspec.json.decode(self._file(printable(folder), "json").read_bytes(), type=Grade)
        except (OSError, msgspec.DecodeError):
            return None
        return kept if kept.fingerprint == fingerprint(folder, rules) else None

    def keep(self, mark: Grade, said: Texts) -> None:
        """Write the log, then the grade: so a submission with a grade has a log."""
        parts = []
        for exercise, part in sorted(mark.parts.items()):
            parts.append(part.log.strip("\n"))
            page = self._page(mark.name, exercise)
            if page.exists():
                parts.append(said.say("ui.page", path=page.name))
        verdict = said.say(f"outcome.{mark.verdict}")
        parts.append(said.say("grade.total", points=mark.points, of=mark.of, verdict=verdict))
        _write(self._file(mark.name, "log"), "\n\n".join(parts) + "\n")
        _write(self._file(mark.name, "json"), msgspec.json.format(msgspec.json.encode(mark)).decode() + "\n")

    def keep_page(self, name: str, exercise: int, page: str) -> None:
        """Write the page that shows what went wrong in an exercise; if it is empty, remove an old page."""
        path = self._page(name, exercise)
        if page:
            _write(path, page)
        else:
            path.unlink(missing_ok=True)

    def write_table(self, grades: Iterable[Grade]) -> None:
        """Write grades.csv, one line for each submission that has a grade."""
        text = StringIO()
        rows = csv.writer(text, lineterminator="\n")
        names = [f"ex{number}" for number in EXERCISES]
        rows.writerow(
            ["submission", "verdict", "points", "of", *names, "failed", "open", "seconds", "problem"]
        )
        for mark in grades:
            problems = dict.fromkeys(part.problem for _, part in sorted(mark.parts.items()) if part.problem)
            rows.writerow(
                [
                    _cell(mark.name),
                    str(mark.verdict),
                    mark.points,
                    mark.of,
                    *(mark.parts[n].points if n in mark.parts else "" for n in EXERCISES),
                    " ".join(mark.failed_steps),
                    " ".join(mark.open_steps),
                    mark.seconds,
                    _cell(" | ".join(problems)),
                ]
            )
        _write(self.table, text.getvalue())

    def _page(self, name: str, exercise: int) -> Path:
        return self._file(name, f"ex{exercise}.html")

    def _file(self, name: str, kind: str) -> Path:
        """The file for a submission of this name, which may be too long for the name of a file."""
        if len(name) > _LONG:
            name = f"{name[:_LONG]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
        return self._place / f"{name}.{kind}"


def printable(folder: Path) -> str:
    """A folder's name as text, even if it is not valid UTF-8, as from archives of other systems."""
    return os.fsencode(folder.name).decode(errors="backslashreplace")


def _cell(text: str) -> str:
    """A text, changed so that no spreadsheet takes it for a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text


def _write(path: Path, content: str) -> None:
    """Write a file atomically: it has either its old or its new content."""
    new = path.with_name(path.name + ".new")
    new.write_text(content, encoding="utf-8", errors="backslashreplace")
    os.replace(new, path)
