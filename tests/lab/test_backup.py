from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest
from click.testing import CliRunner

from lab.backup import back_up, backup
from lab.interfaces import StoreError
from lab.store import MessageStore
from tests.lab.helpers import fill, message


async def _all(folder: Path) -> list[int]:
    store = MessageStore(folder)
    try:
        return [each.sequence for each in await store.newest("r", 1_000_000)]
    finally:
        store.close()


async def test_a_backup_while_messages_are_saved(tmp_path: Path) -> None:
    """The copy has all that was saved before it began, and a beginning of what was saved meanwhile;
    a server goes on from it.
    """
    store = MessageStore(tmp_path / "data")
    await store.save([message(number, content="x" * 5000) for number in range(1, 501)])
    copying = asyncio.create_task(asyncio.to_thread(back_up, tmp_path / "data", tmp_path / "copy"))
    last = 500
    while not copying.done():
        last += 1
        await store.save([message(last)])
    count, rooms = await copying
    store.close()
    assert 500 <= count <= last
    assert rooms == 1
    assert await _all(tmp_path / "copy") == list(range(1, count + 1))
    assert await _all(tmp_path / "data") == list(range(1, last + 1))


async def test_a_backup_after_a_kill(tmp_path: Path) -> None:
    """What is only in the journal of a server that was killed is copied, too, and stays where it was."""
    store = MessageStore(tmp_path / "live")
    await store.save([message(1), message(2, room="s")])
    (tmp_path / "data").mkdir()
    for end in ("", "-wal"):
        (tmp_path / "data" / f"messages.db{end}").write_bytes(
            (tmp_path / "live" / f"messages.db{end}").read_bytes()
        )
    store.close()
    assert back_up(tmp_path / "data", tmp_path / "copy") == (2, 2)
    assert await _all(tmp_path / "data") == [1]


async def test_sqlite_reads_the_file_of_a_running_server(tmp_path: Path) -> None:
    """Any other program may read the messages, `sqlite3` and its `.backup` for instance."""
    store = MessageStore(tmp_path)
    await store.save([message(1)])
    other, copy = sqlite3.connect(tmp_path / "messages.db", timeout=0.1), sqlite3.connect(":memory:")
    other.backup(copy)
    assert copy.execute("SELECT count(*) FROM messages").fetchone() == (1,)
    other.close()
    copy.close()
    await store.save([message(2)])
    store.close()


@pytest.mark.parametrize(
    ("prepare", "said"),
    [
        (lambda data, copy: None, "there is no {data}"),
        (lambda data, copy: _files(data, copy), "there is a {copy} already. Name another folder"),
        (lambda data, copy: _files(data, copy.parent), "a file is in the way"),
        (lambda data, copy: _files(data), "could not copy {data} to {copy}: the file is damaged"),
    ],
    ids=["no source", "a copy is there", "a file is in the way", "a damaged source"],
)
def test_a_backup_that_cannot_be_made(tmp_path: Path, prepare: object, said: str) -> None:
    """One sentence says what is wrong and what to do; nothing half done is left, and nothing overwritten."""
    data, copy = tmp_path / "data" / "messages.db", tmp_path / "copy" / "messages.db"
    prepare(data, copy)  # type: ignore[operator]
    before = _names(tmp_path)
    result = CliRunner().invoke(backup, [str(data.parent), str(copy.parent)])
    assert result.exit_code == 1
    assert said.format(data=data, copy=copy) in result.output
    assert _names(tmp_path) == before
    with pytest.raises(StoreError):
        back_up(data.parent, copy.parent)


def _names(folder: Path) -> list[Path]:
    return sorted(each for each in folder.rglob("*") if each.is_file())


def _files(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"no database, but long enough to be none at all" * 50)


async def test_what_the_command_says(tmp_path: Path) -> None:
    """The numbers of messages and rooms, and where they are."""
    await fill(tmp_path / "data", [message(number) for number in range(1, 1235)])
    result = CliRunner().invoke(backup, [str(tmp_path / "data"), str(tmp_path / "new" / "copy")])
    assert (result.exit_code, result.output) == (
        0,
        f"1,234 messages of 1 rooms are in {tmp_path / 'new' / 'copy' / 'messages.db'}\n",
    )
