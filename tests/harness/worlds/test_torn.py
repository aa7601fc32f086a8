"""What may be torn off the end of a killed server's files, and what must be left alone."""

from __future__ import annotations

import shutil
import sqlite3
import struct
from pathlib import Path

import pytest

from harness.worlds import torn
from harness.worlds.torn import Watch


def names(watch: Watch) -> list[str]:
    """The files that may be torn."""
    return [each.path.name for each in watch.grown()]


def test_only_recent_writes_are_torn(tmp_path: Path) -> None:
    """Nothing that was there before, and not all of what was added: a part stays and a part goes."""
    path = tmp_path / "journal"
    path.write_text("first\n")
    with Watch(tmp_path) as watch:
        assert watch.grown() == []
        for fraction, kept in ((0.0, "first\ns"), (0.5, "first\nsec"), (1.0, "first\nsecond")):
            path.write_text("first\nsecond\n")
            assert sum(watch.tear(fraction).values()) == len("first\nsecond\n") - len(kept)
            assert path.read_text() == kept


def test_new_files_are_torn(tmp_path: Path) -> None:
    """As with a server that writes a file for each message; an empty file cannot be torn."""
    (tmp_path / "room").mkdir()
    with Watch(tmp_path) as watch:
        (tmp_path / "room" / "1.json").write_text('{"content": "é"}')
        (tmp_path / "room" / "2.json").touch()
        assert names(watch) == ["1.json"]


def test_a_renamed_file_is_left_alone(tmp_path: Path) -> None:
    """A file that is written elsewhere and then renamed is there as a whole or not at all."""
    (tmp_path / "old.json").write_text("[1]")
    with Watch(tmp_path) as watch:
        for name in ("old.json", "new.json", "new folder/new.json"):
            (tmp_path / "temporary").write_text("[1, 2, 3]")
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / "temporary").rename(tmp_path / name)
        assert names(watch) == []


def test_a_file_may_vanish_while_it_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As one of a store that renames each file when it is written."""
    with Watch(tmp_path) as watch:
        (tmp_path / "message.tmp").write_text("hello")
        there = torn.sizes(tmp_path)
        (tmp_path / "message.tmp").unlink()
        monkeypatch.setattr(torn, "sizes", lambda folder: there)
        assert watch.grown() == []


def test_a_rename_is_seen_among_very_many(tmp_path: Path) -> None:
    """There are more than the system reports at once."""
    with Watch(tmp_path) as watch:
        for name in (*["one.json", "other.json"] * 5_000, "last.json"):
            (tmp_path / "temporary").touch()
            (tmp_path / "temporary").rename(tmp_path / name)
        (tmp_path / "last.json").write_text("[1, 2, 3]")
        assert names(watch) == []


def test_after_a_queue_overflow_no_new_file_is_torn(tmp_path: Path) -> None:
    """Any rename could be among the lost events; what was there before cannot have been renamed."""
    old = tmp_path / "journal"
    old.write_text("first\n")
    with Watch(tmp_path) as watch:
        (tmp_path / "new.json").write_text("[1, 2, 3]")
        old.write_text("first\nsecond\n")
        assert sorted(names(watch)) == ["journal", "new.json"]
        watch._moves._take(struct.pack("iIII", -1, 0x4000, 0, 0))
        assert names(watch) == ["journal"]


@pytest.mark.parametrize("data", [b"\x00\x01\x02\x03", b"\xff\xfe\xfd", b"text\x00"])
def test_binary_files_are_left_alone(tmp_path: Path, data: bytes) -> None:
    """A database that we do not know may have written its pages safely."""
    with Watch(tmp_path) as watch:
        (tmp_path / "pages.db").write_bytes(data)
        assert names(watch) == []


@pytest.mark.parametrize("mode", ["WAL", "DELETE", "TRUNCATE"])
def test_sqlite_survives(tmp_path: Path, mode: str) -> None:
    """Only its write-ahead log is torn, and everything that was committed before is there afterwards."""
    data, copy = tmp_path / "data", tmp_path / "copy"
    data.mkdir()
    db = sqlite3.connect(data / "chat.db", isolation_level=None)
    db.execute(f"PRAGMA journal_mode = {mode}")
    db.execute("CREATE TABLE messages (n INTEGER)")
    db.execute("INSERT INTO messages VALUES (1)")
    with Watch(data) as watch:
        db.execute("INSERT INTO messages VALUES (2)")
        assert names(watch) == (["chat.db-wal"] if mode == "WAL" else [])
        watch.tear(0.5)
    shutil.copytree(data, copy)  # as a process that starts after a kill finds it
    db.close()
    again = sqlite3.connect(copy / "chat.db")
    assert again.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert again.execute("SELECT n FROM messages").fetchall() == ([(1,)] if mode == "WAL" else [(1,), (2,)])
    again.close()


def test_a_log_is_left_alone_while_it_is_copied_into_the_database(tmp_path: Path) -> None:
    """Until then the database is not whole without it."""
    db = sqlite3.connect(tmp_path / "chat.db", isolation_level=None)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("CREATE TABLE messages (n INTEGER)")
    with Watch(tmp_path) as watch:
        db.execute("INSERT INTO messages VALUES (1)")
        db.execute("PRAGMA wal_checkpoint(PASSIVE)")
        assert names(watch) == []
    db.close()
