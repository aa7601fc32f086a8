"""Whether a file was saved is seen by its content, once whoever writes it has finished."""

from __future__ import annotations

import os
from pathlib import Path

from harness.watch.saved import Saved


def test_a_change_counts_when_two_looks_agree(tmp_path: Path) -> None:
    """An editor may empty the file first: that is no save. A change is told once."""
    file = tmp_path / "store.py"
    file.write_text("old")
    saved = Saved([tmp_path], ".py")
    file.write_text("")
    assert saved.changed() == []
    file.write_text("new")
    assert saved.changed() == []
    assert saved.changed() == [file]
    assert saved.changed() == []


def test_the_time_of_a_file_says_nothing(tmp_path: Path) -> None:
    """Saved without a change, nothing is judged; changed with the old time, as a copy may have, it is."""
    file = tmp_path / "store.py"
    file.write_text("one")
    times = file.stat()
    saved = Saved([tmp_path], ".py")
    os.utime(file, (1, 1))
    assert [saved.changed(), saved.changed()] == [[], []]
    file.write_text("two")
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert [saved.changed(), saved.changed()] == [[], [file]]


def test_files_come_and_go(tmp_path: Path) -> None:
    """A module that is made or removed beside the component counts; other files do not."""
    saved = Saved([tmp_path, tmp_path / "none"], ".py")
    helper = tmp_path / "helper.py"
    helper.write_text("")
    (tmp_path / "notes.txt").write_text("")
    assert [saved.changed(), saved.changed()] == [[], [helper]]
    new = tmp_path / "helper.new"
    new.write_text("x")
    new.replace(helper)  # as many editors save
    assert [saved.changed(), saved.changed()] == [[], [helper]]
    helper.unlink()
    assert [saved.changed(), saved.changed()] == [[], [helper]]
