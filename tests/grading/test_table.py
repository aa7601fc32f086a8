"""The table of grades, as a spreadsheet reads it."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import pytest

from harness.grading.register import Register
from harness.grading.result import Grade
from harness.grading.table import cell
from harness.submissions.listing import hand_ins_of
from harness.texts import texts

AS_THEY_ARE = (
    *("ada", "Zoé", "Łukasz", "李雷", "Zoe\u0308", "ada-1", "team 3", "student7", "mark7", "v1.2b", "O'Neil"),
    *(
        "a;b",
        "ada,bob",
        'q"uote',
        "12345",
        "0",
        "40123456789",
        "augustin3",
        "marie-2",
        "null",
        "a=1",
        "ada@x.org",
    ),
)
"""Names that stay text, or the number that they are, in every spreadsheet."""
WITH_APOSTROPHE = (
    *("007123", "1E5", "1e5", "3-4", "1/2", "12:30", "1.5", "1,5", "123456789012", "12345678901234567890"),
    *("MARCH1", "12 mars", "Sept-2", "2 déc. 2025", "5 pm", "TRUE", "vrai", "50%", "٣٤"),
    *("=1+1", "+33612345678", "-2", "@ada", " =1+1", "\u00a0=1+1", "＝1+1", "-ada", "'ada", "=HYPERLINK(1)"),
)
"""Numbers, dates and times that a spreadsheet would write in its own way, and formulas."""
WITH_ESCAPES = {
    "\t=1+1": "\\t=1+1",
    "\r=1+1": "\\r=1+1",
    "\n=1+1": "\\n=1+1",
    "name\nline": "name\\nline",
    "\ufeffada": "\\ufeffada",
    "exe.\u202etxt": "exe.\\u202etxt",
    "\x1b[31mred": "\\x1b[31mred",
}
"""Names with characters that nobody sees, or that begin a new line."""


@pytest.mark.parametrize("name", AS_THEY_ARE)
def test_names_are_kept(name: str) -> None:
    """A name that no spreadsheet changes is written as it is."""
    assert cell(name) == name


@pytest.mark.parametrize("name", WITH_APOSTROPHE)
def test_what_would_be_changed_is_text(name: str) -> None:
    """An apostrophe goes before it, and to remove it gives the name."""
    assert cell(name) == f"'{name}"


@pytest.mark.parametrize("name", WITH_ESCAPES)
def test_a_name_is_one_line(name: str) -> None:
    """Invisible characters are escapes, so that a name stays in its cell and is no formula."""
    assert cell(name) == WITH_ESCAPES[name]


def test_the_table_is_read_as_it_was_written(tmp_path: Path) -> None:
    """It begins with a byte order mark, is UTF-8, has a line for each, and texts are in quotation marks."""
    names = [*AS_THEY_ARE, *WITH_APOSTROPHE, *WITH_ESCAPES]
    register = Register(tmp_path)
    register.write_table([Grade(name) for name in names])
    raw = register.table.read_bytes()
    assert raw.startswith(b'\xef\xbb\xbf"submission"')
    rows = list(csv.reader(raw.decode("utf-8-sig").splitlines()))
    assert [row[0] for row in rows[1:]] == [cell(name) for name in names]
    assert {len(row) for row in rows} == {17}
    assert b'"a;b"' in raw


LONG = "李" * 80 + "é"


@pytest.mark.parametrize(
    "raw", [b"\xe9mile", "Zoé".encode(), LONG.encode(), b"a" * 255, b"\xff" * 200, b"a\nb"]
)
def test_results_are_kept_under_any_name(tmp_path: Path, raw: bytes) -> None:
    """A name may be long, or no text: it has a log, a grade and a page all the same."""
    folder = tmp_path / "class" / os.fsdecode(raw)
    folder.mkdir(parents=True)
    register = Register(tmp_path / "marks")
    (hand_in,) = hand_ins_of(tmp_path / "class").hand_ins
    mark = Grade(hand_in.name)
    register.keep(hand_in.key, mark, texts("en"))
    register.keep_page(hand_in.key, 3, "<p>\udce9")
    register.write_table([mark])
    kept = sorted(path.name for path in (tmp_path / "marks").iterdir())
    assert len(kept) == 5
    assert all(len(os.fsencode(name)) < 160 for name in kept)
    if len(raw) < 100:
        assert {os.fsencode(name) for name in kept} >= {raw + b".json", raw + b".log", raw + b".ex3.html"}
