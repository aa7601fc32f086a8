"""What may be torn off the files of a killed server, and what must be left alone."""

from __future__ import annotations

import shutil
import sqlite3
import struct
from pathlib import Path

import pytest

from harness.worlds.torn import Watch


def names(watch: Watch) -> list[str]:
    """The files that may be torn."""
    return [each.path.name for each in watch.grown()]


def test_only_what_was_written_since_is_torn(tmp_path: Path) -> None:
    """Neither what was there before, nor all that came: something of it stays, and something goes."""
    path = tmp_path / "journal"
    path.write_text("first\n")
    with Watch(tmp_path) as watch:
        assert watch.grown() == []
        for fraction, kept in ((0.0, "first\ns"), (0.5, "first\nsec"), (1.0, "first\nsecond")):
            path.write_text("first\nsecond\n")
            assert sum(watch.tear(fraction).values()) == len("first\nsecond\n") - len(kept)
            assert path.read_text() == kept


def test_new_files_are_torn(tmp_path: Path) -> None:
    """As a server writes them that has a file for each message; an empty one has no end."""
    (tmp_path / "room").mkdir()
    with Watch(tmp_path) as watch:
        (tmp_path / "room" / "1.json").write_text('{"content": "é"}')
        (tmp_path / "room" / "2.json").touch()
        assert names(watch) == ["1.json"]


def test_what_was_moved_to_its_place_is_left_alone(tmp_path: Path) -> None:
    """A file that is written elsewhere and then renamed is there as a whole or not at all."""
    (tmp_path / "old.json").write_text("[1]")
    with Watch(tmp_path) as watch:
        for name in ("old.json", "new.json", "new folder/new.json"):
            (tmp_path / "temporary").write_text("[1, 2, 3]")
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / "temporary").rename(tmp_path / name)
        assert names(watch) == []


def test_a_move_is_known_after_very_many(tmp_path: Path) -> None:
    """There are more than the system tells at once."""
    with Watch(tmp_path) as watch:
        for name in (*["one.json", "other.json"] * 5_000, "last.json"):
            (tmp_path / "temporary").touch()
            (tmp_path / "temporary").rename(tmp_path / name)
        (tmp_path / "last.json").write_text("[1, 2, 3]")
        assert names(watch) == []


def test_where_the_system_loses_count_nothing_new_is_torn(tmp_path: Path) -> None:
    """A queue that has run over could hide any move; what was there before cannot have been moved."""
    old = tmp_path / "journal"
    old.write_text("first\n")
    with Watch(tmp_path) as watch:
        (tmp_path / "new.json").write_text("[1, 2, 3]")
        old.write_text("first\nsecond\n")
        assert sorted(names(watch)) == ["journal", "new.json"]
        watch._moves._take(struct.pack("iIII", -1, 0x4000, 0, 0))
        assert names(watch) == ["journal"]


@pytest.mark.parametrize("data", [b"\x00\x01\x02\x03", b"\xff\xfe\xfd", b"text\x00"])
def test_what_is_no_text_is_left_alone(tmp_path: Path, data: bytes) -> None:
    """A database that we do not know may have written its pages safely."""
    with Watch(tmp_path) as watch:
        (tmp_path / "pages.db").write_bytes(data)
        assert names(watch) == []


@pytest.mark.parametrize("mode", ["WAL", "DELETE", "TRUNCATE"])
def test_sqlite_survives(tmp_path: Path, mode: str) -> None:
    """Only its write-ahead log is torn, and all that was committed before is there then."""
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
    shutil.copytree(data, copy)  # as a process finds it that comes after a kill
    db.close()
    again = sqlite3.connect(copy / "chat.db")
    assert again.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert again.execute("SELECT n FROM messages").fetchall() == ([(1,)] if mode == "WAL" else [(1,), (2,)])
    again.close()


def test_a_log_is_left_alone_while_it_is_copied_into_the_database(tmp_path: Path) -> None:
    """The database is not whole then without it."""
    db = sqlite3.connect(tmp_path / "chat.db", isolation_level=None)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("CREATE TABLE messages (n INTEGER)")
    with Watch(tmp_path) as watch:
        db.execute("INSERT INTO messages VALUES (1)")
        db.execute("PRAGMA wal_checkpoint(PASSIVE)")
        assert names(watch) == []
    db.close()
