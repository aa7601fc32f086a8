"""The folder of the results: for each submission a grade, a log and pages, and a table of all grades."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from harness.grading.class_page import class_page
from harness.grading.copies import NearCopies
from harness.grading.course_points import course_points
from harness.grading.kept_grades import kept_grades
from harness.grading.result import Grade, number
from harness.grading.table import cell, hash_of, is_edited, notes_in, table_of, text_in
from harness.history.as_json import from_json
from harness.judged.environment import SCRATCH
from harness.posix import lock_now
from harness.texts import Texts
from lab.legible import legible

_SCRATCH = "chatlab-grade-"
_LONG = 120
"""Bytes to which a submission's name is cut in the names of its result files."""


class Busy(Exception):  # noqa: N818 - named for what it says
    """Another grading is writing into the same folder."""


class Register:
    """The results in the folder `place`. Raises OSError if that cannot be made.

    `with_mark`, the table begins with a byte order mark.
    """

    def __init__(self, place: Path, *, with_mark: bool = True) -> None:
        self._with_mark = with_mark
        place.mkdir(parents=True, exist_ok=True)
        self._place = place
        self._hash = place / ".grades.csv.sha256"
        """What the table was when it was written last: another one has been edited."""
        self._begun = place / ".judging.json"
        self._written: dict[Path, tuple[tuple[int, int, int], str]] = {}
        """The grades that were written or read: what their files were then, and what is in them."""
        self.table = place / "grades.csv"

    @contextmanager
    def in_use(self) -> Iterator[Path]:
        """Lock the folder, and make a place for copies and the data of servers, which is given.

        What a killed run has left of such a place is removed. Raises Busy.
        """
        lock = self._place / ".lock"
        with lock.open("a+", encoding="utf-8", errors="surrogateescape") as file:
            try:
                lock_now(file)
            except BlockingIOError as error:
                raise Busy from error
            file.seek(0)
            left = Path(file.read())  # by a run that was killed
            if left.name.startswith(_SCRATCH):
                shutil.rmtree(left, ignore_errors=True)
            # Not in our folder: names of sockets must be short, and servers make some beside their data.
            scratch = tempfile.mkdtemp(prefix=_SCRATCH)
            os.chmod(scratch, 0o711)  # code that runs as another user finds its own folders in it
            file.truncate(0)
            file.write(scratch)
            file.flush()
            os.environ[SCRATCH] = scratch
            try:
                yield Path(scratch)
            finally:
                del os.environ[SCRATCH]
                shutil.rmtree(scratch, ignore_errors=True)
                self._begun.unlink(missing_ok=True)
                lock.unlink(missing_ok=True)

    # --- grades -----------------------------------------------------------------------------------

    def known(self, key: str) -> Grade | None:
        """The grade that a submission already has, for better or worse: whether it is valid is not asked."""
        path = self._file(key, "json")
        try:
            text = path.read_text(encoding="utf-8")
            kept = from_json(text.encode(), Grade)
        except (OSError, UnicodeError, msgspec.DecodeError):
            return None
        self._written[path] = (_state(path), text)
        return kept

    def keep(self, key: str, mark: Grade, said: Texts) -> None:
        """Write the log, then the grade: so a submission with a grade has a log."""
        parts = []
        for exercise, part in sorted(mark.parts.items()):
            parts.append(part.log.strip("\n"))
            page = self._page(key, exercise)
            if page.exists():
                parts.append(said.say("ui.page", path=page.name))
        verdict = said.say(f"outcome.{mark.verdict}")
        total = said.say("grade.total", points=number(mark.points), of=number(mark.of), verdict=verdict)
        hidden = [
            said.say(
                "grade.hidden",
                exercise=exercise,
                verdict=said.say(f"outcome.{step.verdict}"),
                points=number(step.points),
                of=number(step.of),
            )
            for exercise, part in sorted(mark.parts.items())
            for step in part.steps
            if step.is_hidden
        ]
        parts += [*hidden, *course_points(mark, said), *mark.remarks, total]
        _write(self._file(key, "log"), legible("\n\n".join(parts)) + "\n")
        path, text = self._file(key, "json"), _as_text(mark)
        _write(path, text)
        self._written[path] = (_state(path), text)

    def keep_page(self, key: str, exercise: int, page: str) -> None:
        """Write the page that shows what went wrong in an exercise; if it is empty, remove an old page."""
        path = self._page(key, exercise)
        if page:
            _write(path, page)
        else:
            path.unlink(missing_ok=True)

    def repaired(self) -> list[str]:
        """The names of grades' files that somebody else has changed meanwhile: they are written anew."""
        found: list[str] = []
        for path, (state, text) in self._written.items():
            if _state(path) != state:
                found.append(path.stem)
                _write(path, text)
                self._written[path] = (_state(path), text)
        return found

    def write_page(self, copies: NearCopies, said: Texts) -> None:
        """Write the page that shows the class."""
        names = os.listdir(self._place)
        _write(self._place / "class.html", class_page(kept_grades(self._place), said, names, copies))

    def stem_of(self, key: str) -> str:
        """What the names of a submission's result files begin with."""
        return self._file(key, "json").stem

    def _page(self, key: str, exercise: int) -> Path:
        return self._file(key, f"ex{exercise}.html")

    def _file(self, key: str, kind: str) -> Path:
        """The file for a submission, under its name; one that leaves no room for more is cut.

        Names are cut as bytes: they are the same in whatever encoding this system reads them.
        """
        name = os.fsencode(key)
        if len(name) > _LONG:
            start = name[:_LONG].decode("utf-8", "ignore").encode()
            name = start + f"-{hashlib.sha256(name).hexdigest()[:8]}".encode()
        return self._place / os.fsdecode(name + f".{kind}".encode())

    def note_begun(self, now: Iterable[str], ended: Mapping[str, int]) -> None:
        """Take note of what is being judged: if we are ended in the middle, it may be the reason."""
        _write(self._begun, json.dumps({name: ended.get(name, 0) + 1 for name in now}))

    def were_begun(self) -> dict[str, int]:
        """What was being judged when a grading was ended in the middle, and how often that was so."""
        try:
            return from_json(self._begun.read_bytes(), dict[str, int])
        except (OSError, msgspec.DecodeError):
            return {}

    # --- the table --------------------------------------------------------------------------------

    def take_notes(self, grades: Iterable[Grade]) -> Path | None:
        """Take over what people have written into the table's notes.

        If they have changed more than that, the copy is returned that was made: the table is written anew.
        """
        text, grades = text_in(self.table), list(grades)
        if not text:
            return None
        as_written, notes = table_of(grades), notes_in(text)
        for mark in grades:
            mark.note = notes.get(cell(mark.name), "")
        with suppress(OSError):
            if self._hash.read_text() == hash_of(text):
                return None
        if not is_edited(text, as_written):
            return None
        copy = next(
            path for n in range(1, 10_000) if not (path := self._place / f"grades-edited-{n}.csv").exists()
        )
        shutil.copy2(self.table, copy)
        return copy

    def write_table(self, grades: Iterable[Grade]) -> None:
        """Write grades.csv, one line for each submission that has a grade."""
        text = table_of(grades, with_mark=self._with_mark)
        _write(self.table, text)
        _write(self._hash, hash_of(text))


def _state(path: Path) -> tuple[int, int, int]:
    """What changes with a file, and cannot be set back; zeros if it is not there."""
    try:
        about = path.stat()
    except OSError:
        return 0, 0, 0
    return about.st_ino, about.st_ctime_ns, about.st_size


def _as_text(mark: Grade) -> str:
    return json.dumps(msgspec.to_builtins(mark), indent=2, ensure_ascii=False) + "\n"


def _write(path: Path, content: str) -> None:
    """Write a file atomically: it has either its old or its new content."""
    new = path.with_name(path.name + ".new")
    # A lone surrogate, as in a name that is not UTF-8, is written as its escape, which JSON has, too.
    new.write_text(content, encoding="utf-8", errors="backslashreplace")
    os.replace(new, path)
