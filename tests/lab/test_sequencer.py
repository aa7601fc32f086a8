from __future__ import annotations

import asyncio
import itertools
import sys
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.interfaces import Draft
from lab.protocol import History, Message, ServerFrame
from lab.pubsub import PubSub
from lab.sequencer import Sequencer
from tests.lab.helpers import PATIENCE, PROPERTY, eventually, message


class SlowStore:
    """A store in memory that lets other tasks run before and after each step, as often as `pauses` say."""

    def __init__(self, pauses: Iterable[int] = (0,), already: int = 0, room: str = "r") -> None:
        self.rooms: dict[str, dict[int, Message]] = {}
        self.saves = 0
        self.open = asyncio.Event()  # if closed, it blocks every save in the rooms of `held`
        self.open.set()
        self.held: set[str] = set()
        self.fail_before = self.fail_after = False
        self._pauses = itertools.cycle(pauses)
        for number in range(1, already + 1):
            self._put(message(number, room, "past"))

    def _put(self, new: Message) -> None:
        room = self.rooms.setdefault(new.room, {})
        assert new.sequence not in room, f"{new.room} has two messages number {new.sequence}"
        room[new.sequence] = new

    def all(self, room: str) -> list[Message]:
        """The messages saved in a room."""
        return [each for _, each in sorted(self.rooms.get(room, {}).items())]

    async def pause(self) -> None:
        """Let other tasks run."""
        for _ in range(next(self._pauses)):
            await asyncio.sleep(0)

    async def save(self, messages: list[Message]) -> None:
        """See the interface; fails before or after saving if the test asks for it."""
        self.saves += 1
        await self.pause()
        if any(each.room in self.held for each in messages):
            await self.open.wait()
        if self.fail_before:
            raise OSError("the disk is full")
        for each in messages:
            self._put(each)
            await self.pause()
        if self.fail_after:
            raise OSError("the disk went away")

    async def page(self, room: str, since: int, limit: int) -> list[Message]:
        """See the interface."""
        await self.pause()
        found = [each for each in self.all(room) if each.sequence > since][:limit]
        await self.pause()
        return found

    async def newest(self, room: str, count: int) -> list[Message]:
        """See the interface."""
        await self.pause()
        found = self.all(room)[-count:]
        await self.pause()
        return found

    async def last(self, room: str) -> int:
        """See the interface."""
        await self.pause()
        last = max(self.rooms.get(room, {0: None}))
        await self.pause()
        return last

    async def find(self, room: str, user: str, id: str) -> Message | None:
        """See the interface."""
        await self.pause()
        found = [each for each in self.all(room) if (each.user, each.id) == (user, id)]
        await self.pause()
        return found[0] if found else None

    def close(self) -> None:
        """See the interface."""


class Listener:
    """A member that keeps its frames, and checks that no message reaches it before it is saved."""

    def __init__(self, store: SlowStore) -> None:
        self.replay: list[Message] = []
        self.live: list[Message] = []
        self.pages: list[int] = []
        self.reads = asyncio.Event()
        self.reads.set()
        self._store = store

    def send(self, frame: ServerFrame) -> None:
        """Keep the frame."""
        new = frame.messages if isinstance(frame, History) else [frame]
        for each in new:
            assert isinstance(each, Message)
            assert self._store.rooms[each.room][each.sequence] == each, "it is not saved"
        if isinstance(frame, History):
            assert not self.live, "a page of the past after a live message"
            self.replay += frame.messages
            self.pages.append(len(frame.messages))
        else:
            assert isinstance(frame, Message)
            self.live.append(frame)

    async def drain(self) -> None:
        """Takes as long as the store does, or until the member reads again."""
        await self._store.pause()
        await self.reads.wait()

    def check(self, since: int | None, room: str = "r") -> None:
        """Replay and live messages are one sequence without a gap or an overlap, up to the room's end."""
        past, live = numbers(self.replay), numbers(self.live)
        end = len(self._store.all(room))
        seam = end - len(live)
        assert live == list(range(seam + 1, end + 1))
        begin = max(seam - 50, 0) if since is None else since
        assert past == list(range(begin + 1, seam + 1))
        assert all(size <= 100 for size in self.pages)
        if since is None:
            assert len(self.pages) <= 1


def numbers(messages: Iterable[Message]) -> list[int]:
    """The numbers of messages."""
    return [each.sequence for each in messages]


def draft(content: str = "hi", id: str | None = None, room: str = "r", user: str = "ada") -> Draft:
    """A message to be accepted."""
    return Draft(room, user, content, id)


acts = st.one_of(
    st.tuples(st.just("say"), st.sampled_from(["ada", "bob"]), st.sampled_from([None, None, "x", "y"])),
    st.tuples(st.just("join"), st.sampled_from([None, 0, 1, 3, 40, 200]), st.none()),
    st.tuples(st.just("yield"), st.integers(1, 9), st.none()),
)


@PROPERTY
@given(st.lists(acts, max_size=30), st.lists(st.integers(0, 4), min_size=1), st.sampled_from([0, 2, 130]))
def test_any_interleaving_keeps_the_order(
    history: list[tuple[str, str | int | None, str | None]], pauses: list[int], already: int
) -> None:
    """However senders and new members interleave: no gap, no repetition,
    one order for all, equal ids once.
    """

    async def play() -> None:
        store = SlowStore([*pauses, 0], already)
        sequencer = Sequencer(store, PubSub())
        says: list[tuple[Draft, asyncio.Task[Message]]] = []
        joins: list[tuple[int | None, Listener, asyncio.Task[None]]] = []
        for what, who, id in history:
            if what == "yield":
                for _ in range(int(who or 0)):
                    await asyncio.sleep(0)
            elif what == "say":
                words = draft(f"no. {len(says)}", id, user=str(who))
                says.append((words, asyncio.create_task(sequencer.accept(words))))
            else:
                since = None if who is None else int(who)
                listener = Listener(store)
                joins.append((since, listener, asyncio.create_task(sequencer.attach("r", listener, since))))
        await asyncio.gather(*[task for _, _, task in joins])
        answers = await asyncio.gather(*[task for _, task in says])

        stored = store.all("r")
        assert numbers(stored) == list(range(1, len(stored) + 1))
        for (words, _), answer in zip(says, answers, strict=True):
            assert answer == store.rooms["r"][answer.sequence]
            assert answer.user == words.user
            if words.id is None:
                assert answer.content == words.content
            else:
                assert answer.id == words.id
                assert [(each.user, each.id) for each in stored].count((words.user, words.id)) == 1
        ids = [each.id for each in stored if each.id not in ("x", "y")]
        assert len(set(ids)) == len(ids)
        assert len(stored) - already == len({answer.sequence for answer in answers})
        for since, listener, _ in joins:
            listener.check(since)

    asyncio.run(play())


async def test_many_at_once_are_numbered_in_the_order_of_their_calls() -> None:
    """2500 drafts that come at the same time get 1 to 2500 in order, and share saves."""
    store = SlowStore([1])
    sequencer, listener = Sequencer(store, PubSub()), Listener(store)
    await sequencer.attach("r", listener, 0)
    answers = await asyncio.gather(*[sequencer.accept(draft(f"no. {n}")) for n in range(1, 2501)])
    assert [(each.sequence, each.content) for each in answers] == [(n, f"no. {n}") for n in range(1, 2501)]
    assert listener.live == answers
    assert store.saves < 25, "each save syncs the disk, so that those who wait should share one"


async def test_a_room_continues_after_the_stored_messages() -> None:
    """A new sequencer on an old store goes on with the next number, in each room by itself."""
    store = SlowStore(already=7)
    for expected in (8, 9):
        sequencer = Sequencer(store, PubSub())
        assert (await sequencer.accept(draft())).sequence == expected
        assert (await sequencer.accept(draft(room=f"new-{expected}"))).sequence == 1


async def test_a_retry_is_answered_with_what_is_stored() -> None:
    """The same user, room and id is one message, also after a restart; any other is another message."""
    store, pubsub = SlowStore(), PubSub()
    first = await Sequencer(store, pubsub).accept(draft("the words", id="x"))
    sequencer, listener = Sequencer(store, pubsub), Listener(store)
    await sequencer.attach("r", listener, 1)
    assert await sequencer.accept(draft("other words", id="x")) == first
    assert listener.live == []
    bob = await sequencer.accept(draft(id="x", user="bob"))
    elsewhere = await sequencer.accept(draft(id="x", room="s"))
    assert (bob.sequence, elsewhere.sequence) == (2, 1)
    assert store.saves == 3


async def test_a_batch_looks_up_all_its_ids_at_once() -> None:
    """Whether drafts are retries is asked of the store for a batch as a whole, not one by one."""

    class Asked(SlowStore):
        asked = most = 0

        async def find(self, room: str, user: str, id: str) -> Message | None:
            self.asked += 1
            self.most = max(self.most, self.asked)
            await asyncio.sleep(0)
            self.asked -= 1
            return await super().find(room, user, id)

    store = Asked()
    sequencer = Sequencer(store, PubSub())
    await asyncio.gather(*[sequencer.accept(draft(id=f"x{number % 5}")) for number in range(10)])
    assert store.most == 5
    assert [each.sequence for each in store.all("r")] == [1, 2, 3, 4, 5]


async def test_rooms_do_not_wait_for_each_other() -> None:
    """While one room's save takes time, another room's messages are accepted."""
    store = SlowStore()
    sequencer = Sequencer(store, PubSub())
    store.held = {"slow"}
    store.open.clear()
    held = asyncio.create_task(sequencer.accept(draft(room="slow")))
    async with asyncio.timeout(PATIENCE):
        await sequencer.accept(draft(room="quick"))
        assert not held.done()
        store.open.set()
        assert (await held).sequence == 1


async def test_nothing_is_published_before_it_is_saved() -> None:
    """While a save is in progress nobody receives its messages,
    and a new member receives them exactly once.
    """
    store = SlowStore([2])
    sequencer, witness, newcomer = Sequencer(store, PubSub()), Listener(store), Listener(store)
    await sequencer.attach("r", witness, None)
    store.held = {"r"}
    store.open.clear()
    said = [asyncio.create_task(sequencer.accept(draft(f"no. {n}"))) for n in range(3)]
    joining = asyncio.create_task(sequencer.attach("r", newcomer, None))
    for _ in range(50):
        await asyncio.sleep(0)
    assert witness.live == []
    assert not any(each.done() for each in said)
    store.open.set()
    await asyncio.gather(joining, *said)
    assert numbers(witness.live) == [1, 2, 3]
    newcomer.check(None)


async def test_a_failed_save_leaves_no_gap() -> None:
    """If a save fails, all drafts in it raise, nobody receives them, and the number is free again."""
    store = SlowStore([1], already=4)
    sequencer, listener = Sequencer(store, PubSub()), Listener(store)
    await sequencer.attach("r", listener, None)
    store.fail_before = True
    failed = await asyncio.gather(*[sequencer.accept(draft()) for _ in range(3)], return_exceptions=True)
    assert [type(each) for each in failed] == [OSError] * 3
    assert listener.live == []
    store.fail_before = False
    assert (await sequencer.accept(draft())).sequence == 5
    listener.check(None)


async def test_a_save_that_fails_late_gives_no_number_twice() -> None:
    """If a save reports failure although it saved, what is stored keeps its numbers, and the next follow."""
    store = SlowStore(already=4)
    sequencer = Sequencer(store, PubSub())
    assert (await sequencer.accept(draft())).sequence == 5
    store.fail_after = True
    with pytest.raises(OSError, match="went away"):
        await sequencer.accept(draft("perhaps", id="x"))
    store.fail_after = False
    assert (await sequencer.accept(draft())).sequence == 7
    assert (await sequencer.accept(draft("perhaps", id="x"))).sequence == 6


async def whose_saves_wait() -> tuple[SlowStore, Sequencer, Listener]:
    """A store whose saves wait until it is `open`, with a sequencer and a listener."""
    store = SlowStore([1])
    sequencer, listener = Sequencer(store, PubSub()), Listener(store)
    await sequencer.attach("r", listener, None)
    store.held = {"r"}
    store.open.clear()
    return store, sequencer, listener


async def test_a_cancelled_caller_does_not_block_the_queue() -> None:
    """If the first in the queue is cancelled before its message is saved,
    the others are served all the same.
    """
    store, sequencer, listener = await whose_saves_wait()
    first, *others = [asyncio.create_task(sequencer.accept(draft(f"no. {n}"))) for n in range(3)]
    await eventually(lambda: store.saves)
    first.cancel()
    store.open.set()
    answers = await asyncio.gather(*others)
    assert first.cancelled()
    assert [each.content for each in answers] == ["no. 1", "no. 2"]
    listener.check(None)


async def test_after_a_cancelled_single_caller_the_queue_goes_on() -> None:
    """If the only caller is cancelled while its message is saved, those that came later are served."""
    store, sequencer, listener = await whose_saves_wait()
    first = asyncio.create_task(sequencer.accept(draft("gone")))
    await eventually(lambda: store.saves)
    others = [asyncio.create_task(sequencer.accept(draft(f"no. {n}"))) for n in range(3)]
    await asyncio.sleep(0)
    first.cancel()
    store.open.set()
    answers = await asyncio.wait_for(asyncio.gather(*others), PATIENCE)
    assert first.cancelled()
    assert [each.content for each in answers] == ["no. 0", "no. 1", "no. 2"]
    listener.check(None)


async def test_a_failure_after_a_cancelled_call_is_harmless() -> None:
    """A failing save is raised for callers that still wait, and does no harm to those that were cancelled."""
    store = SlowStore([1])
    sequencer = Sequencer(store, PubSub())
    store.held, store.fail_before = {"r"}, True
    store.open.clear()
    first, second = [asyncio.create_task(sequencer.accept(draft())) for _ in range(2)]
    await eventually(lambda: store.saves)
    first.cancel()
    store.open.set()
    with pytest.raises(OSError, match="full"):
        await second
    store.fail_before = False
    assert (await sequencer.accept(draft())).sequence == 1


async def test_a_long_replay_delays_only_its_reader() -> None:
    """While a new member reads its replay slowly, others go on, and it misses none of their messages."""
    store = SlowStore(already=250)
    sequencer, witness, newcomer = Sequencer(store, PubSub()), Listener(store), Listener(store)
    await sequencer.attach("r", witness, 250)
    newcomer.reads.clear()
    joining = asyncio.create_task(sequencer.attach("r", newcomer, 0))
    await eventually(lambda: newcomer.pages)
    async with asyncio.timeout(PATIENCE):
        for _ in range(120):
            await sequencer.accept(draft())
    assert len(witness.live) == 120
    assert newcomer.pages == [100], "the next page waits until this one was read"
    assert not joining.done()
    newcomer.reads.set()
    await joining
    await sequencer.accept(draft())
    newcomer.check(0)
    witness.check(250)


@pytest.mark.parametrize(
    ("since", "limit", "expected", "more"),
    [
        (0, 100, range(1, 101), True),
        (100, 100, range(101, 151), False),
        (50, 100, range(51, 151), False),
        (0, 1, [1], True),
        (149, 1, [150], False),
        (150, 100, [], False),
        (9999, 100, [], False),
    ],
)
async def test_pages_of_history(since: int, limit: int, expected: Iterable[int], more: bool) -> None:
    """A page has what follows `since` up to its limit, the room's newest number, and whether more follow."""
    sequencer = Sequencer(SlowStore(already=150), PubSub())
    page = await sequencer.history("r", since, limit)
    assert (numbers(page.messages), page.last, page.more) == (list(expected), 150, more)


async def test_history_of_an_empty_room() -> None:
    """A page of an unknown room is empty, and its newest number is 0."""
    page = await Sequencer(SlowStore(already=3), PubSub()).history("silent", 0, 100)
    assert page == History("silent", [], 0, more=False)


async def test_a_batch_is_bounded_in_size_too() -> None:
    """Large drafts that collect in the queue are saved in parts; each is saved,
    also one that is too large.
    """
    store = SlowStore()
    sequencer = Sequencer(store, PubSub())
    sizes = [5_000_000, *[64_000] * 100]
    await asyncio.gather(*[sequencer.accept(draft("x" * size)) for size in sizes])
    assert numbers(store.all("r")) == list(range(1, 102))
    assert store.saves == 3


async def test_a_cancelled_worker_keeps_no_caller_waiting() -> None:
    """If every other task is cancelled, callers in the queue get an error, and the next are served."""
    store = SlowStore()
    store.held = {"r"}
    store.open.clear()
    sequencer = Sequencer(store, PubSub())
    talkers = [asyncio.create_task(sequencer.accept(draft(f"{number}"))) for number in range(2)]
    await eventually(lambda: store.saves)
    talkers.append(asyncio.create_task(sequencer.accept(draft("late"))))
    await asyncio.sleep(0)
    for task in asyncio.all_tasks() - {*talkers, asyncio.current_task()}:
        task.cancel()
    done, waiting = await asyncio.wait(talkers, timeout=PATIENCE)
    assert not waiting
    assert all(each.cancelled() for each in done)
    store.open.set()
    assert (await asyncio.wait_for(sequencer.accept(draft("next")), PATIENCE)).sequence == 1


async def test_a_page_is_not_kept_while_its_reader_is_waited_for() -> None:
    """A page may have megabytes, and the reader may take minutes."""
    held: list[int] = []

    class Counting(Listener):
        """Counts what refers to the page that it was sent last."""

        last: ServerFrame | None = None

        def send(self, frame: ServerFrame) -> None:
            self.last = frame

        async def drain(self) -> None:
            held.append(sys.getrefcount(self.last))

    store = SlowStore(already=350)
    await Sequencer(store, PubSub()).attach("r", Counting(store), 0)
    assert held == [2, 2, 2], "more than the member's own reference, and the one of the count"
