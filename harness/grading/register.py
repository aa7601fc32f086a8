"""The folder of the results: for each submission a grade, a log and pages, and a table of all grades."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path

import msgspec

from harness.grading.grade import Rules, fingerprint
from harness.grading.result import Grade, number
from harness.history.as_json import from_json
from harness.judged.environment import SCRATCH
from harness.texts import Texts
from harness.verdict.steps import EXERCISES
from lab.legible import legible, one_line, text_of

if sys.platform != "win32":
    import fcntl

_SCRATCH = "chatlab-grade-"
_LONG = 120
"""Bytes to which a submission's name is cut in the names of its result files."""
_BYTE_ORDER_MARK = "\ufeff"
"""Without it, Excel takes the file for one in the encoding of the computer's language."""
_CALCULATED = (*"=+-@", *"\uff1d\uff0b\uff0d\uff20", *" \u00a0\u202f", "'")
"""Beginnings of formulas, also in full width and after spaces; and the apostrophe itself, so that a text is
always what is left without the first one."""
_WHOLE_NUMBER = re.compile("0|[1-9][0-9]{0,10}")
_WORDS = (
    "e h am pm jan january janv janvier feb february févr février fevrier mar march mars apr april avr avril "
    "may mai jun june juin jul july juil juillet aug august août aout sep sept september septembre oct "
    "october octobre nov november novembre dec december déc décembre"
).replace(" ", "|")
_CHANGED = re.compile(rf"(?=.*\d)[\d\W_]*(({_WORDS})[\d\W_]*)?|true|false|vrai|faux", re.IGNORECASE)
"""What a spreadsheet takes for a number, a date or a time, and shows as it likes: 007, 1E5, 3-4, MARCH1."""


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
        with lock.open("a+", encoding="utf-8", errors="surrogateescape") as file:
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
            kept = from_json(self._file(folder, "json").read_bytes(), Grade)
        except (OSError, msgspec.DecodeError):
            return None
        now = fingerprint(folder, rules)
        kept.parts = {n: part for n, part in kept.parts.items() if part.fingerprint == now}
        return kept

    def keep(self, folder: Path, mark: Grade, said: Texts) -> None:
        """Write the log, then the grade: so a submission with a grade has a log."""
        parts = []
        for exercise, part in sorted(mark.parts.items()):
            parts.append(part.log.strip("\n"))
            page = self._page(folder, exercise)
            if page.exists():
                parts.append(said.say("ui.page", path=page.name))
        verdict = said.say(f"outcome.{mark.verdict}")
        parts.append(said.say("grade.total", points=number(mark.points), of=number(mark.of), verdict=verdict))
        _write(self._file(folder, "log"), legible("\n\n".join(parts)) + "\n")
        _write(self._file(folder, "json"), _as_text(mark))

    def keep_page(self, folder: Path, exercise: int, page: str) -> None:
        """Write the page that shows what went wrong in an exercise; if it is empty, remove an old page."""
        path = self._page(folder, exercise)
        if page:
            _write(path, page)
        else:
            path.unlink(missing_ok=True)

    def write_table(self, grades: Iterable[Grade]) -> None:
        """Write grades.csv, one line for each submission that has a grade."""
        text = StringIO()
        text.write(_BYTE_ORDER_MARK)
        rows = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
        names = [f"ex{number}" for number in EXERCISES]
        rows.writerow(
            ["submission", "verdict", "points", "of", *names, "failed", "open", "seconds", "problem"]
        )
        for mark in grades:
            problems = dict.fromkeys(part.problem for _, part in sorted(mark.parts.items()) if part.problem)
            rows.writerow(
                [
                    cell(mark.name),
                    str(mark.verdict),
                    number(mark.points),
                    number(mark.of),
                    *(number(mark.parts[n].points) if n in mark.parts else "" for n in EXERCISES),
                    " ".join(mark.failed_steps),
                    " ".join(mark.open_steps),
                    mark.seconds,
                    cell(" | ".join(problems)),
                ]
            )
        _write(self.table, text.getvalue())

    def _page(self, folder: Path, exercise: int) -> Path:
        return self._file(folder, f"ex{exercise}.html")

    def _file(self, folder: Path, kind: str) -> Path:
        """The file for a submission, under its folder's name; one that leaves no room for more is cut.

        Names are cut as bytes: they are the same in whatever encoding this system reads them.
        """
        name = os.fsencode(folder.name)
        if len(name) > _LONG:
            start = name[:_LONG].decode("utf-8", "ignore").encode()
            name = start + f"-{hashlib.sha256(name).hexdigest()[:8]}".encode()
        return self._place / os.fsdecode(name + f".{kind}".encode())


def _as_text(mark: Grade) -> str:
    return json.dumps(msgspec.to_builtins(mark), indent=2, ensure_ascii=False) + "\n"


def name_of(folder: Path) -> str:
    """A submission's name as text in one line, even if it is not UTF-8, as from archives of other systems."""
    return one_line(text_of(os.fsencode(folder.name)))


def cell(text: str) -> str:
    """A text for a table, with an apostrophe before what a spreadsheet would calculate or change."""
    text = one_line(text)
    is_kept = _WHOLE_NUMBER.fullmatch(text) or not _CHANGED.fullmatch(text)
    return text if is_kept and not text.startswith(_CALCULATED) else f"'{text}"


def _write(path: Path, content: str) -> None:
    """Write a file atomically: it has either its old or its new content."""
    new = path.with_name(path.name + ".new")
    # A lone surrogate, as in a name that is not UTF-8, is written as its escape, which JSON has, too.
    new.write_text(content, encoding="utf-8", errors="backslashreplace")
    os.replace(new, path)
