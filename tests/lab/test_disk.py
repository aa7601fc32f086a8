"""What happens to messages when the disk is slow, full, gone or damaged."""

from __future__ import annotations

import asyncio
import json
import logging
import random
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import store as store_module
from lab.hub import Components
from lab.interfaces import StoreError
from lab.journal import keep_if_damaged
from lab.protocol import MAX_CONTENT, Message
from lab.store import MAX_WAITING, MAX_WAITING_BYTES, MessageStore
from tests.lab.helpers import PATIENCE, dial, errors, eventually, fill, message, messages, numbers, serving

PAGE = store_module._FILE_PAGE


class Stalling(MessageStore):
    """A store whose disk stalls while its gate is closed."""

    def __init__(self, data_dir: Path) -> None:
        super().__init__(data_dir)
        self.gate = threading.Event()
        self.begun = 0

    def _commit(self, messages: list[Message]) -> None:
        self.begun += 1
        assert self.gate.wait(PATIENCE)
        super()._commit(messages)


@pytest.fixture
def stalled(tmp_path: Path) -> Iterator[Stalling]:
    """A store on a disk that stalls."""
    store = Stalling(tmp_path)
    yield store
    store.gate.set()
    store.close()


def many(first: int, count: int, content: str = "hi") -> list[Message]:
    """Messages with rising numbers."""
    return [message(number, content=content) for number in range(first, first + count)]


async def stored(store: MessageStore, room: str = "r") -> list[Message]:
    """All that is stored in a room."""
    return await store.newest(room, 1_000_000)


def numbers_of(those: list[Message]) -> list[int]:
    """Their sequence numbers."""
    return [each.sequence for each in those]


# --- a disk that stalls ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("count", "content"),
    [(MAX_WAITING, "hi"), (MAX_WAITING_BYTES // (MAX_CONTENT + 100), "x" * MAX_CONTENT)],
    ids=["messages", "bytes"],
)
async def test_what_waits_for_a_stalled_disk_is_bounded(stalled: Stalling, count: int, content: str) -> None:
    """Beyond the limit a save is refused at once; accepted ones are stored when the disk goes on."""
    first = asyncio.create_task(stalled.save([message(1)]))
    await eventually(lambda: stalled.begun)
    half = count // 2
    waiting = [
        asyncio.create_task(stalled.save(many(2, half, content))),
        asyncio.create_task(stalled.save(many(2 + half, count - half, content))),
    ]
    await asyncio.sleep(0)
    for _ in range(3):
        with pytest.raises(StoreError, match=r"messages\.db: the disk is too slow, [\d,]+ messages wait\. "):
            await asyncio.wait_for(stalled.save(many(2 + count, 4, content)), PATIENCE)
    assert not any(each.done() for each in (first, *waiting))
    stalled.gate.set()
    await asyncio.gather(first, *waiting)
    await stalled.save([message(2 + count)])
    assert numbers_of(await stored(stalled)) == list(range(1, count + 3))


async def test_a_save_of_any_size_is_accepted_alone(stalled: Stalling) -> None:
    """A save larger than the limit is accepted if nothing else is waiting."""
    stalled.gate.set()
    await stalled.save(many(1, MAX_WAITING + 1))
    assert await stalled.last("r") == MAX_WAITING + 1


async def test_senders_wait_for_a_stalled_disk(tmp_path: Path) -> None:
    """While the disk stalls each connection has one message in progress; then all arrive, without a gap."""
    async with serving(tmp_path, Components(store=Stalling)) as server:
        store = server.store
        assert isinstance(store, Stalling)
        async with dial(server, "ada") as ada, dial(server, "bob") as bob:
            await ada.join()
            await bob.join()
            for number in range(20):
                await ada.say(f"ada {number}")
                await bob.say(f"bob {number}")
            await eventually(lambda: store.begun)
            await eventually(lambda: len(server.observer.awaiting_echo) == 2)
            assert sum(len(waiting) for waiting in server.observer.awaiting_echo.values()) == 2
            store.gate.set()
            heard = await ada.until(lambda f: messages([f]) and f["data"]["sequence"] == 40)
            assert numbers(messages(heard)) == list(range(1, 41))


# --- nobody waits for ever ------------------------------------------------------------------------


async def test_a_save_ends_if_other_tasks_are_cancelled(stalled: Stalling) -> None:
    """If every other task is cancelled while a save waits, the save ends all the same."""
    saves = [asyncio.create_task(stalled.save([message(number)])) for number in (1, 2)]
    await eventually(lambda: stalled.begun)
    saves.append(asyncio.create_task(stalled.save([message(3)])))
    await asyncio.sleep(0)
    for task in asyncio.all_tasks() - {*saves, asyncio.current_task()}:
        task.cancel()
    stalled.gate.set()
    await asyncio.wait_for(asyncio.gather(*saves), PATIENCE)
    assert numbers_of(await stored(stalled)) == [1, 2, 3]


async def test_a_save_during_close_ends(stalled: Stalling) -> None:
    """Saves in progress when the store is closed end: stored, or with an error and not stored."""
    saves = [asyncio.create_task(stalled.save([message(1)]))]
    await eventually(lambda: stalled.begun)
    saves += [asyncio.create_task(stalled.save([message(number)])) for number in (2, 3)]
    await asyncio.sleep(0)
    closing = asyncio.create_task(asyncio.to_thread(stalled.close))
    await asyncio.sleep(0)
    stalled.gate.set()
    results = await asyncio.wait_for(asyncio.gather(*saves, return_exceptions=True), PATIENCE)
    await closing
    assert results[0] is None
    assert all(each is None or isinstance(each, StoreError) for each in results)
    again = MessageStore(stalled._path.parent)
    assert numbers_of(await stored(again)) == [n for n, each in enumerate(results, 1) if each is None]
    again.close()


async def test_a_thread_that_ended_is_reported(stalled: Stalling) -> None:
    """Without its thread the store answers every call with an error, and no call waits."""
    stalled._thread.shutdown()
    for call in (stalled.save([message(1)]), stalled.last("r"), stalled.save([message(1)])):
        with pytest.raises(StoreError, match="the store is closed"):
            await asyncio.wait_for(call, PATIENCE)


# --- a disk that is full --------------------------------------------------------------------------


def limit(store: MessageStore, pages: int) -> None:
    """Limit the database to that many pages: the disk is full then."""
    store._db.execute(f"PRAGMA max_page_count = {pages}")


async def save_until_it_fails(store: MessageStore, first: int) -> int:
    """Save messages one after the other; returns the number of the first that was not saved."""
    for number in range(first, first + 1000):
        try:
            await store.save(many(number, 1, "x" * 2000))
        except StoreError as error:
            said = str(error)
            break
    assert "the disk is full. Make room on it" in said
    return number


async def test_a_full_disk_loses_nothing(tmp_path: Path) -> None:
    """On a full disk saves raise; everything saved is there, and with new room saving goes on."""
    store = MessageStore(tmp_path)
    limit(store, 30)
    refused = await save_until_it_fails(store, 1)
    assert refused > 5
    assert await save_until_it_fails(store, refused) == refused
    assert numbers_of(await stored(store)) == list(range(1, refused))
    limit(store, 1_000_000)
    await store.save([message(refused)])
    store.close()
    again = MessageStore(tmp_path)
    assert numbers_of(await stored(again)) == list(range(1, refused + 1))
    again.close()


async def test_clients_of_a_full_disk(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Clients receive `unavailable`, and the log a line; later numbers go on without a gap."""
    async with serving(tmp_path) as server, dial(server, "ada") as ada:
        assert isinstance(server.store, MessageStore)
        await ada.join()
        limit(server.store, 20)
        refused: list[str] = []
        while not refused:
            await ada.say("x" * 2000, id="full")
            await ada.say("x" * 2000)
            refused = [each["code"] for each in errors(await ada.settle())]
        assert set(refused) == {"unavailable"}
        lines = [each for each in caplog.records if each.levelno >= logging.ERROR]
        assert len(lines) == len(refused)
        for line in lines:
            assert "could not accept user=ada room=r: cannot keep messages in" in line.getMessage()
            assert "the disk is full. Make room on it" in line.getMessage()
            assert line.exc_info is None
        await ada.send("history", room="r")
        (page,) = [f["data"] for f in await ada.settle() if f["type"] == "history"]
        assert numbers(page["messages"]) == list(range(1, page["last"] + 1))
        limit(server.store, 1_000_000)
        await ada.say("there is room again")
        assert numbers(messages(await ada.settle())) == [page["last"] + 1]


_UNTIL_FULL = """
import asyncio, json, resource, sys
from pathlib import Path
from lab.interfaces import StoreError
from lab.journal import keep_if_damaged
from lab.store import MessageStore
from tests.lab.helpers import message

async def main(folder):
    store = MessageStore(folder)
    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, unlimited[1]))
    number, said = 0, ""
    while not said:
        try:
            await store.save([message(number + 1, content="x" * 2000)])
            number += 1
        except StoreError as error:
            said = str(error)
    resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
    await store.save([message(number + 1)])
    print(json.dumps([number + 1, said]), flush=True)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    __import__("os").abort()  # no good order: what was saved is there without it

asyncio.run(main(Path(sys.argv[1])))
"""


@pytest.mark.live
def test_a_write_that_the_system_refuses_loses_nothing(tmp_path: Path) -> None:
    """If the system refuses a write in the middle, saves raise, and work when it is allowed again."""
    pytest.importorskip("resource", reason="the system has no limit on the size of files")
    command = [sys.executable, "-c", _UNTIL_FULL, str(tmp_path / "data")]
    root = Path(store_module.__file__).parent.parent
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=30, check=False)
    assert done.stdout, done.stderr
    last, said = json.loads(done.stdout)
    assert "the disk fails (disk I/O error). See whether it is there and has room" in said
    again = MessageStore(tmp_path / "data")
    assert last > 10
    assert numbers_of(asyncio.run(stored(again))) == list(range(1, last + 1))
    again.close()


# --- a folder that is gone ------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform == "win32", reason="files that are open cannot be moved")
@pytest.mark.parametrize("name", [".", "messages.db", "messages.db-wal"])
async def test_what_is_saved_into_a_removed_file_is_not_saved(tmp_path: Path, name: str) -> None:
    """While the folder or a file is away saves raise; when it is back they work, and nothing is lost."""
    store = MessageStore(tmp_path / "data")
    await store.save([message(1)])
    path = (tmp_path / "data" / name).resolve()
    path.rename(tmp_path / "away")
    for _ in range(2):
        with pytest.raises(StoreError, match=r"messages\.db: it was moved or removed\. Put it back, or"):
            await store.save([message(2)])
    (tmp_path / "away").rename(path)
    await store.save([message(2)])
    store.close()
    again = MessageStore(tmp_path / "data")
    assert numbers_of(await stored(again)) == [1, 2]
    again.close()


# --- files that are not as we left them -----------------------------------------------------------


@pytest.mark.parametrize(
    "statements",
    [
        ["CREATE TABLE notes (a, b)", "INSERT INTO notes VALUES (1, 2)"],
        ["CREATE TABLE messages (id INTEGER PRIMARY KEY, body TEXT)"],
        ["CREATE TABLE t (a)", "CREATE VIEW messages AS SELECT a FROM t"],
    ],
    ids=["other tables", "other columns", "a view"],
)
def test_the_database_of_another_program_is_left_alone(tmp_path: Path, statements: list[str]) -> None:
    """A database that is not ours is refused by name, and no byte of it is changed."""
    path = tmp_path / "messages.db"
    theirs = sqlite3.connect(path)
    for each in statements:
        theirs.execute(each)
    theirs.commit()
    theirs.close()
    before = path.read_bytes()
    with pytest.raises(StoreError, match=r"the file is another program's\. Choose another --data-dir"):
        MessageStore(tmp_path)
    assert path.read_bytes() == before
    assert {each.name for each in tmp_path.iterdir()} == {"messages.db", "messages.lock"}


async def test_a_recovered_database_is_used(tmp_path: Path) -> None:
    """A database with our table and others beside it, as `.recover` makes it, is used."""
    await fill(tmp_path, many(1, 3))
    db = sqlite3.connect(tmp_path / "messages.db")
    db.execute("CREATE TABLE lost_and_found (rootpgno, pgno)")
    db.close()
    store = MessageStore(tmp_path)
    assert numbers_of(await stored(store)) == [1, 2, 3]
    store.close()


async def crash(folder: Path, count: int) -> tuple[list[Message], bytes, bytes]:
    """Messages, and the two files that a crash leaves of them: some messages are in the journal only."""
    sent = many(1, count, "x" * 300)
    await fill(folder / "live", sent[: count // 2])
    store = MessageStore(folder / "live")
    for each in sent[count // 2 :]:
        await store.save([each])
    files = [(folder / "live" / f"messages.db{end}").read_bytes() for end in ("", "-wal")]
    store.close()
    return sent, files[0], files[1]


async def look(folder: Path, database: bytes, journal: bytes = b"") -> list[Message] | None:
    """The content of such files as a store reads it; None if it refuses them. It raises only StoreError."""
    folder.mkdir(exist_ok=True)
    for name, content in (("messages.db", database), ("messages.db-wal", journal)):
        (folder / name).unlink(missing_ok=True)
        if content:
            (folder / name).write_bytes(content)
    store = None
    try:
        keep_if_damaged(folder / "messages.db")  # as the server does
        store = MessageStore(folder)
        found = await stored(store)
        await store.save([message(1, room="new")])
        await store.find("r", "ada", "id-3")
        await store.page("r", 5, 50)
        return found
    except StoreError as error:
        said = str(error)
    finally:
        if store:
            store.close()
    assert "the file is damaged" in said
    return None


async def test_a_truncated_database(tmp_path: Path) -> None:
    """A database without its end is refused; if a journal makes it whole again, everything is there."""
    sent, database, journal = await crash(tmp_path, 40)
    lengths = [1, 15, 16, 99, 100, 511, 512, PAGE - 1, PAGE, len(database) - 1]
    lengths += random.Random(1).sample(range(len(database)), 20)
    for length in lengths:
        assert await look(tmp_path / "cut", database[:length]) is None
        assert await look(tmp_path / "cut", database[:length], journal) in (None, sent), length


async def test_an_empty_database_with_a_journal_is_refused(tmp_path: Path) -> None:
    """A database that lost everything is refused as long
    as its journal may have messages; the journal stays.
    """
    _, _, journal = await crash(tmp_path, 40)
    assert await look(tmp_path / "cut", b"", journal) is None
    assert (tmp_path / "cut" / "messages.db-wal").read_bytes() == journal


async def test_a_damaged_journal(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """From a journal with a wrong bit, everything before it is read;
    the rest is like a torn end; saving goes on. What cannot be read is told, and a copy of the journal kept.
    """
    sent, database, journal = await crash(tmp_path, 40)
    dice = random.Random(2)
    places = [*(dice.randrange(len(journal)) for _ in range(40)), *range(8, 32)]
    for place in places:
        damaged = bytearray(journal)
        damaged[place] ^= 1 << dice.randrange(8)
        caplog.clear()
        found = await look(tmp_path / "flipped", database, bytes(damaged))
        copies = list((tmp_path / "flipped").glob("messages.db-wal.damaged-*"))
        assert found == sent[: len(found or [])]
        assert len(found or []) >= 20
        if len(found or []) < len(sent) - 1:  # the last one may be taken for one that was being saved
            assert [each.read_bytes() for each in copies] == [damaged]
            assert f"A copy of the journal is in {copies[0]}" in caplog.text
        for each in copies:
            each.unlink()


async def test_a_torn_journal_is_no_damage(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A journal that ends anywhere, or in which an older one shows behind its end, is what a kill leaves."""
    sent, database, journal = await crash(tmp_path, 40)
    for length in (0, 31, 32, 33, len(journal) // 2, len(journal) - 1, len(journal)):
        assert (
            await look(tmp_path / "torn", database, journal[:length])
            == sent[: 20 + _readable(length, journal)]
        )
    older = bytearray(journal)
    older[16:24] = b"12345678"
    frame = 24 + PAGE
    for at in range(32, len(journal), frame):
        older[at + 8 : at + 16] = b"12345678"
    assert await look(tmp_path / "torn", database, journal + bytes(older[32:])) == sent
    assert list((tmp_path / "torn").glob("*damaged*")) == []
    assert caplog.text == ""


def _readable(length: int, journal: bytes) -> int:
    """Transactions that ended in the first `length` bytes of a journal."""
    frame = 24 + PAGE
    ends = [at + frame for at in range(32, len(journal), frame) if journal[at + 4 : at + 8] != bytes(4)]
    return sum(end <= length for end in ends)


@pytest.mark.parametrize("checked", [0, 1 << 25], ids=["while reading", "at the start"])
async def test_flipped_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, checked: int) -> None:
    """With any bit of the file wrong the store works, or says that its file is damaged, and nothing else."""
    monkeypatch.setattr(store_module, "_CHECKED_AT_START", checked)
    await fill(tmp_path, many(1, 60, "x" * 300))
    good = (tmp_path / "messages.db").read_bytes()
    dice = random.Random(3)
    refused = 0
    for number in range(200):
        damaged = bytearray(good)
        # Half of them anywhere, and half in the heads of pages, where SQLite can notice it.
        at = (
            dice.randrange(len(good))
            if number % 2
            else dice.randrange(len(good) // PAGE) * PAGE + number % 64
        )
        damaged[at] ^= 1 << dice.randrange(8)
        refused += await look(tmp_path, bytes(damaged)) is None
    assert refused > 10


async def test_a_damaged_file_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Damage found while reading is reported to the client and in one line; after it nothing is stored."""
    monkeypatch.setattr(store_module, "_CHECKED_AT_START", 0)
    await fill(tmp_path, many(1, 60, "x" * 300))
    path = tmp_path / "messages.db"
    damaged = bytearray(path.read_bytes())
    for page in range(4, len(damaged) // PAGE):
        damaged[page * PAGE : page * PAGE + 8] = b"\xff" * 8
    path.write_bytes(damaged)
    async with serving(tmp_path) as server, dial(server, "ada") as ada:
        await ada.send("history", room="r")
        await ada.send("join", room="new")
        await ada.say("hi", "new")
        said = errors(await ada.settle())
        assert {each["code"] for each in said} == {"unavailable"}
        assert all("the server's log says why" in each["message"] for each in said)
        lines = [each for each in caplog.records if each.levelno >= logging.ERROR]
        assert len(lines) >= 2
        assert all("the file is damaged" in each.getMessage() for each in lines)
        assert all(each.exc_info is None for each in lines)
    assert path.read_bytes() == damaged


async def test_a_store_that_could_not_read_frees_its_folder(tmp_path: Path) -> None:
    """When a store is closed after an error its folder is free at once,
    even while the error is referenced.
    """
    await fill(tmp_path, many(1, 60, "x" * 300))
    path = tmp_path / "messages.db"
    path.write_bytes(path.read_bytes().replace(b"x" * 300, b"\xff" * 300, 1))
    store = MessageStore(tmp_path)
    with pytest.raises(StoreError, match="the file is damaged") as kept:
        await stored(store)
    await store.save([message(1, room="new")])
    store.close()
    MessageStore(tmp_path).close()
    assert kept.value.__cause__


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    """The store reports it in a sentence."""
    (tmp_path / "link").symlink_to(tmp_path / "none" / "drive", target_is_directory=True)
    with pytest.raises(StoreError, match=r"cannot keep messages in .*link.* --data-dir"):
        MessageStore(tmp_path / "link")
