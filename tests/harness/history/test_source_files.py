"""What is read where judged code says that its source is."""

from __future__ import annotations

import linecache
import os
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.history.source_files import guard_tracebacks, line_of, source_of
from harness.verdict.causes import _innermost


@pytest.fixture(autouse=True)
def restored(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Leaves linecache as it was."""
    monkeypatch.setattr(linecache, "updatecache", linecache.updatecache)
    yield
    linecache.clearcache()


def test_source_code_is_read(tmp_path: Path) -> None:
    """As a whole, or a line of it; a line that is not there is empty."""
    file = tmp_path / "mine.py"
    file.write_text("def one():\n    pass\n")
    assert source_of(str(file)) == file.read_bytes()
    assert line_of(str(file), 2) == "pass"
    assert line_of(str(file), 3) == ""
    found = _innermost(str(file), 2)
    assert found is not None
    assert found.name == "one"


@pytest.mark.parametrize("kind", ["device", "pipe", "large", "folder", "nothing", "null", "long"])
def test_what_is_no_source_code_is_not_read(kind: str, tmp_path: Path) -> None:
    """It may have no end, or keep us waiting for one."""
    file = tmp_path / "mine.py"
    match kind:
        case "device":
            file.symlink_to("/dev/zero")
        case "pipe":
            os.mkfifo(file)
        case "large":
            file.write_text("x = 1\n")
            os.truncate(file, 1 << 40)
        case "folder":
            file.mkdir()
    name = {"null": "a\0b", "long": "x" * 5000}.get(kind, str(file))
    assert source_of(name) == b""
    assert line_of(name, 1) == ""
    assert _innermost(name, 1) is None


def test_nor_for_a_traceback(tmp_path: Path) -> None:
    """Where code says that it stands in such a file, its line is not shown."""
    guard_tracebacks()
    (tmp_path / "ends").symlink_to("/dev/zero")
    for name in (str(tmp_path / "ends"), __file__):
        code = compile("1 / 0", name, "exec")
        with pytest.raises(ZeroDivisionError) as raised:
            exec(code)
        shown = traceback.format_tb(raised.value.__traceback__)[-1]
        assert ("What is read" in shown) == (name == __file__)


def test_a_line_of_a_file_that_was_saved_again(tmp_path: Path) -> None:
    """It is the new one: a process that watches lives longer than what it reads."""
    file = tmp_path / "store.py"
    file.write_text("one\n")
    assert line_of(str(file), 1) == "one"
    file.write_text("three\n")
    assert line_of(str(file), 1) == "three"
