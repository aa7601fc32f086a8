from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import shutil
import sqlite3
import tempfile
import threading
from pathlib import Path

import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.interfaces import StoreError
from lab.protocol import Message
from lab.store import MessageStore
from tests.lab.helpers import PATIENCE, PROPERTY, message

rooms = st.sampled_from(["r", "R", "é", "e\u0301"])
texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=6)
saved = st.builds(
    lambda sequence, room, user, content: message(
        sequence, room, user, content=content, id=f"i{sequence % 5}"
    ),
    st.integers(1, 30),
    rooms,
    st.sampled_from(["ada", "Ada", "a\0b", "a"]),
    texts,
)
steps: st.SearchStrategy[tuple[str, list[list[Message]]]] = st.one_of(
    st.tuples(st.just("save"), st.lists(st.lists(saved, min_size=1, max_size=4), min_size=1, max_size=3)),
    st.tuples(st.just("reopen"), st.just([])),
)


@settings(PROPERTY, max_examples=20)
@given(
    st.lists(steps, max_size=6),
    st.lists(st.tuples(rooms, st.integers(0, 31), st.integers(1, 12)), min_size=1, max_size=4),
)
def test_the_store_is_a_sorted_list_that_survives(
    history: list[tuple[str, list[list[Message]]]], questions: list[tuple[str, int, int]]
) -> None:
    """Whatever is saved, together or one by one, is found again exactly,
    also after the file is opened again.
    """

    async def play(folder: Path) -> None:
        model: dict[tuple[str, int], Message] = {}
        store = MessageStore(folder)
        for what, batches in [*history, ("reopen", [])]:
            if what == "reopen":
                store.close()
                store = MessageStore(folder)
            else:
                # A number is given once, as by a sequencer; the first message with it is kept.
                fresh = []
                for batch in batches:
                    for each in batch:
                        if (each.room, each.sequence) not in model:
                            model[each.room, each.sequence] = each
                            fresh.append([each])
                await asyncio.gather(*[store.save(each) for each in fresh])
            for room, since, count in questions:
                inside = [each for _, each in sorted(model.items()) if each.room == room]
                numbers = [each.sequence for each in inside]
                assert (
                    await store.page(room, since, count) == [m for m in inside if m.sequence > since][:count]
                )
                assert await store.newest(room, count) == inside[-count:]
                assert await store.last(room) == max(numbers, default=0)
                for user in ("ada", "Ada", "a\0b", "a"):
                    theirs = [m for m in inside if (m.user, m.id) == (user, f"i{since % 5}")]
                    found = await store.find(room, user, f"i{since % 5}")
                    assert found == (theirs[0] if theirs else None)
        store.close()

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(play(Path(folder)))


async def test_a_thousand_saves_at_once(tmp_path: Path) -> None:
    """Callers run concurrently, each with several rooms, and when their save returns all of it is there."""
    store = MessageStore(tmp_path)

    async def save(number: int) -> None:
        await store.save([message(number, "r"), message(number, "s")])
        assert (await store.page("r", number - 1, 1))[0].sequence == number

    await asyncio.gather(*[save(number) for number in range(1, 1001)])
    for room in ("r", "s"):
        assert [each.sequence for each in await store.newest(room, 2000)] == list(range(1, 1001))
    store.close()


async def test_what_was_saved_survives_a_crash_and_a_torn_end(tmp_path: Path) -> None:
    """Files as a SIGKILL leaves them have all that was saved; with a torn end, all but the newest."""
    store = MessageStore(tmp_path / "live")
    for number in range(1, 41):
        await store.save([message(number, content="x" * 500)])
    journal = (tmp_path / "live" / "messages.db-wal").read_bytes()
    assert journal, "this test cuts the journal, and there is none"
    survivors = []
    for cut in [len(journal), *range(len(journal) - 1, 0, -len(journal) // 15)]:
        crashed = tmp_path / f"crashed-{cut}"
        shutil.copytree(tmp_path / "live", crashed)
        (crashed / "messages.db-wal").write_bytes(journal[:cut])
        revived = MessageStore(crashed)
        there = await revived.newest("r", 1000)
        assert there == [message(n, content="x" * 500) for n in range(1, len(there) + 1)]
        survivors.append(len(there))
        await revived.save([message(len(there) + 1)])
        assert await revived.last("r") == len(there) + 1
        revived.close()
    store.close()
    assert survivors[0] == 40
    assert survivors == sorted(survivors, reverse=True)
    assert survivors[-1] < 40, "no cut reached a message"


async def test_a_save_that_fails_saves_nothing(tmp_path: Path) -> None:
    """A save that raises has stored nothing, one that returns has stored everything,
    and the store goes on.
    """
    store = MessageStore(tmp_path)
    impossible = message(3, content=None)
    batches = [[message(1)], [message(2), impossible], [message(4)], [message(5)]]
    results = await asyncio.gather(*[store.save(each) for each in batches], return_exceptions=True)
    assert isinstance(results[1], sqlite3.Error)
    expected = [
        each for batch, result in zip(batches, results, strict=True) if result is None for each in batch
    ]
    assert await store.newest("r", 100) == expected
    await store.save([message(6)])
    assert await store.last("r") == 6
    store.close()


async def test_a_cancelled_save_does_not_harm_the_others(tmp_path: Path) -> None:
    """A caller that is cancelled while its save waits disturbs no other save."""
    store = MessageStore(tmp_path)
    saves = [asyncio.create_task(store.save([message(number)])) for number in (1, 2, 3)]
    await asyncio.sleep(0)
    saves[1].cancel()
    results = await asyncio.gather(*saves, return_exceptions=True)
    assert isinstance(results[1], asyncio.CancelledError)
    assert results[0] is results[2] is None
    assert {1, 3} <= {each.sequence for each in await store.newest("r", 10)}
    store.close()


async def test_a_save_returns_or_raises_whatever_happens(tmp_path: Path) -> None:
    """A message that SQLite cannot take makes its save raise, and the next save works."""
    store = MessageStore(tmp_path)
    broken = asyncio.create_task(store.save([message(1, content="\ud800")]))
    try:
        done, _ = await asyncio.wait({broken}, timeout=PATIENCE)
        assert done, "the save never returns"
        assert isinstance(broken.exception(), Exception)
        async with asyncio.timeout(PATIENCE):
            await store.save([message(2)])
        assert await store.newest("r", 10) == [message(2)]
    finally:
        broken.cancel()
        store.close()


async def test_nothing_is_left_behind(tmp_path: Path) -> None:
    """A closed store has ended its thread and freed its folder, in which it made only its own files."""
    folder = tmp_path / "new" / "folder"
    before = set(threading.enumerate())
    store = MessageStore(folder)
    await store.save([message(1)])
    store.close()
    assert set(threading.enumerate()) <= before
    assert sorted(each.name for each in folder.iterdir()) == ["messages.db", "messages.lock"]
    shutil.rmtree(folder)


def test_a_folder_has_one_store(tmp_path: Path) -> None:
    """A second store on the same folder is refused with a text that says so,
    and the first is not affected.
    """
    store = MessageStore(tmp_path)
    with pytest.raises(StoreError, match=r"messages\.db: another server has it open.* --data-dir"):
        MessageStore(tmp_path)
    asyncio.run(store.save([message(1)]))
    store.close()
    MessageStore(tmp_path).close()


@pytest.mark.parametrize(
    "content", [b"not a database, but long enough to be none" * 50, b"SQLite format 3\0\xff"]
)
def test_a_damaged_file_is_refused(tmp_path: Path, content: bytes) -> None:
    """A file that is not a database is refused with advice, and is not changed."""
    path = tmp_path / "messages.db"
    path.write_bytes(content)
    with pytest.raises(StoreError, match=r"messages\.db: the file is damaged .* Keep a copy"):
        MessageStore(tmp_path)
    assert path.read_bytes() == content


def test_a_place_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    """A folder that cannot be made, or a file that cannot be opened, is refused by name with a reason."""
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match=r"cannot keep messages in .*file"):
        MessageStore(tmp_path / "file" / "data")
    (tmp_path / "data" / "messages.db").mkdir(parents=True)
    with pytest.raises(StoreError, match=r"it cannot be written .* choose another --data-dir"):
        MessageStore(tmp_path / "data")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
@pytest.mark.parametrize(("name", "mode"), [(".", 0o500), ("messages.db", 0o400)])
def test_a_read_only_place_is_refused(tmp_path: Path, name: str, mode: int) -> None:
    """A folder or a file that is read-only is refused with a text that says so."""
    folder = tmp_path / "data"
    MessageStore(folder).close()
    (folder / name).chmod(mode)
    try:
        with pytest.raises(StoreError, match="it cannot be written"):
            MessageStore(folder)
    finally:
        folder.chmod(0o700)


def test_a_store_that_was_refused_keeps_no_file_open(tmp_path: Path) -> None:
    """A store that could not be opened keeps no file open."""
    (tmp_path / "messages.db").write_bytes(b"no database" * 500)
    gc.collect()
    gc.disable()
    try:
        with contextlib.suppress(StoreError):
            MessageStore(tmp_path)
        still_open = [each.path for each in psutil.Process().open_files()]
    finally:
        gc.enable()
    assert [path for path in still_open if path.startswith(str(tmp_path))] == []


async def test_a_save_waits_for_one_page_at_most(tmp_path: Path) -> None:
    """However many replays read at the same time, messages are saved in between."""
    done: list[str] = []

    class Noting(MessageStore):
        """Notes what its thread does."""

        def _select(self, where: str, *values: str | int) -> list[Message]:
            done.append("page")
            return super()._select(where, *values)

        def _commit(self, messages: list[Message]) -> None:
            done.append("commit")
            super()._commit(messages)

    store = Noting(tmp_path)
    reads = [asyncio.create_task(store.page("r", 0, 100)) for _ in range(10)]
    reads += [asyncio.create_task(store.newest("r", 50)) for _ in range(10)]
    await asyncio.sleep(0)
    await store.save([message(1)])
    await asyncio.gather(*reads)
    store.close()
    assert done.index("commit") <= 2
    assert done.count("page") == 20
