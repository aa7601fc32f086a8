from __future__ import annotations

import asyncio
from random import Random
from unittest.mock import patch

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.cluster.log import Read
from lab.cluster.names import Shard, place_of
from lab.cluster.room import Follower
from lab.cluster.sequencer import Sequencer
from lab.cluster.wire import Unavailable
from lab.interfaces import Draft
from lab.protocol import NEWEST, History, Message, ServerFrame
from lab.pubsub import PubSub
from tests.lab.cluster.fakes import FakeFeed, FakeLog, Stream
from tests.lab.cluster.virtual_time import run
from tests.lab.helpers import PROPERTY

SEEDS = settings(PROPERTY, max_examples=15)


class Listener:
    """A member that keeps what it hears."""

    def __init__(self, since: int | None = 0) -> None:
        self.since = since
        self.heard: list[Message] = []
        self.frames: list[ServerFrame] = []

    def send(self, frame: ServerFrame) -> None:
        """See `interfaces.Member`."""
        self.frames.append(frame)
        if isinstance(frame, History):
            self.heard += frame.messages
        elif isinstance(frame, Message):
            self.heard.append(frame)

    async def drain(self) -> None:
        """It takes its time."""
        await asyncio.sleep(0.05)


class FakeNode:
    """A sequencer, and what it follows; in room `r` somebody listens from the beginning."""

    def __init__(self, stream: Stream, random: Random, calm: int) -> None:
        self.log = FakeLog(stream, random, calm)
        self.pubsub = PubSub()
        self.sequencer = Sequencer(self.pubsub, self._follow)
        self.feed = FakeFeed(self.log, self._hear, random)
        self.following = asyncio.create_task(self.feed.run())
        self.listener = Listener()

    def _hear(self, read: Read) -> None:
        kind, room, _, _ = place_of(read.subject)
        if kind == "room":
            self.sequencer.hear(room, read)

    async def _follow(self, room: str) -> Follower:
        await asyncio.sleep(0.01)
        return Follower(self.log, self.feed)

    async def attach(self, listener: Listener, room: str = "r") -> None:
        """As a session does, until it is served."""
        while True:
            try:
                return await self.sequencer.attach(room, listener, listener.since)
            except Unavailable:
                listener.heard.clear()
                await asyncio.sleep(0.1)

    async def close(self) -> None:
        """Stop."""
        await self.sequencer.close()
        self.following.cancel()
        await asyncio.gather(self.following, return_exceptions=True)


def stored(stream: Stream, room: str = "r") -> list[Message]:
    """What the log has of a room."""
    subject = Shard(0, 1).room(room)
    batches = [each.body for each in stream.entries if each.subject == subject]
    return [each for batch in batches for each in msgspec.json.decode(batch, type=list[Message])]


@SEEDS
@given(st.integers(0, 1 << 32))
def test_all_nodes_tell_one_story_whatever_the_log_does(seed: int) -> None:
    """1, 2, 3, … at all nodes; each id once; what is answered was heard before; what failed is not there."""
    random = Random(seed)
    idle = random.choice([0, 10_000])  # rooms are forgotten early, or not
    with (
        patch("lab.cluster.sequencer._IDLE_ROOMS", idle),
        patch("lab.cluster.writer.random", random.random),
    ):
        run(_play(random))


async def _play(random: Random) -> None:
    stream = Stream()
    calm = random.choice([3, 10, 1000])
    nodes = [FakeNode(stream, random, calm) for _ in range(random.randint(2, 4))]
    for node in nodes:
        await node.attach(node.listener)
    late: list[Listener] = []
    lost: list[str] = []

    async def speak(node: FakeNode, name: str) -> None:
        for number in range(random.randint(1, 12)):
            await asyncio.sleep(random.choice([0.0, 0.0, 0.01, 0.5]))
            has_id, content = random.random() < 0.6, f"{name} {number}"
            id = f"{random.randrange(20)}" if has_id else None  # some are used twice, also at another node
            user, room = (f"user{random.randrange(3)}", random.choice("rrs"))
            try:
                message = await node.sequencer.accept(Draft(room, user, content, id))
            except Unavailable:
                if id is None and room == "r":
                    lost.append(content)
                continue
            assert id in (None, message.id)
            assert (message.user, message.room) == (user, room)
            assert id is not None or message.content == content
            if room == "r":
                assert message in node.listener.heard, "it was answered before it was published"

    async def come(node: FakeNode) -> None:
        await asyncio.sleep(random.random() * 3)
        listener = Listener(random.choice([None, 0, 5, random.randrange(100)]))
        late.append(listener)
        await node.attach(listener)

    async def cut(node: FakeNode) -> None:
        await asyncio.sleep(random.random() * 3)
        await node.log.wire.out_for(random.choice([0.3, 5.0]))

    talks = [
        speak(node, f"{n}-{each}") for n, node in enumerate(nodes) for each in range(random.choice([1, 8]))
    ]
    await asyncio.gather(*talks, *map(come, nodes * 2), *map(cut, random.sample(nodes, random.randint(0, 1))))
    await asyncio.sleep(30)  # what is late comes
    for node in nodes:
        await node.feed.reach(len(stream.entries))
        await asyncio.sleep(1)
    for room in "rs":
        everything = stored(stream, room)
        assert [each.sequence for each in everything] == [*range(1, len(everything) + 1)]
        keys = [(each.user, each.id) for each in everything]
        contents = [each.content for each in everything]
        assert len(set(keys)) == len(keys), "an id was stored twice"
        assert len(set(contents)) == len(contents), "a message was stored twice"
    everything = stored(stream)
    assert not {each.content for each in everything} & set(lost), "what failed was stored"
    for node in nodes:
        assert node.listener.heard == everything
    for listener in late:
        first = len(everything) if not listener.heard else listener.heard[0].sequence - 1
        assert listener.heard == everything[first:], "a hole, or an overlap"
        is_ahead = not any(isinstance(frame, History) for frame in listener.frames)
        assert listener.since is None or first == listener.since or is_ahead
    for node in nodes:
        for each in node.sequencer._rooms.values():
            assert (each.queue, each.awaited, each.visitors) == ([], {}, 0)
        for writer in node.sequencer._writers.values():
            assert (writer._waiting, writer._taken, writer._alone, writer._together) == ({}, {}, {}, None)
        await node.close()


def test_a_long_past_is_replayed_from_the_log_while_the_room_goes_on() -> None:
    """350 messages in batches of any size, and new ones during the replay: no hole, and no overlap."""

    async def play() -> None:
        stream, random = Stream(), Random(1)
        node, other = FakeNode(stream, random, 1000), FakeNode(stream, random, 1000)
        await node.attach(node.listener)
        for batch in range(50):
            await asyncio.gather(
                *[node.sequencer.accept(Draft("r", "ada", f"{batch} {n}")) for n in range(1 + batch % 13)]
            )
        past = len(stored(stream))
        assert past > 300
        listeners = [Listener(since) for since in (0, 1, 177, past - 1, past, past + 5, None)]
        joining = [asyncio.create_task(other.attach(each)) for each in listeners]
        for number in range(150):
            await node.sequencer.accept(Draft("r", "bob", str(number)))
        await asyncio.gather(*joining)
        await other.feed.reach(len(stream.entries))
        everything = stored(stream)
        for each in listeners[:5]:
            assert each.heard == everything[each.since :]
        assert all(
            len(f.messages) <= 100 for each in listeners for f in each.frames if isinstance(f, History)
        )
        newest = next(frame for frame in listeners[-1].frames if isinstance(frame, History))
        assert len(newest.messages) == NEWEST
        assert listeners[-1].heard == everything[newest.messages[0].sequence - 1 :]
        page = await other.sequencer.history("r", 150, 60)
        assert page.messages == everything[150:210]
        assert (page.last, page.more) == (len(everything), True)
        await node.close()
        await other.close()

    run(play())


def test_the_longest_messages_fit_into_the_log() -> None:
    """A thousand drafts at once, of 64 KiB of control characters, or with the longest names and ids."""

    async def play() -> None:
        stream = Stream()
        node = FakeNode(stream, Random(1), 1000)
        await node.attach(node.listener)
        long = Draft("r", "\x01" * 64, "\x02" * 65536, "\x03" * 128)
        drafts = [Draft("r", f"u{n}", long.content, long.id) for n in range(40)]
        drafts += [Draft("r", long.user, "x", f"{n:x<128}".replace("x", "\x03")) for n in range(960)]
        messages = await asyncio.gather(*map(node.sequencer.accept, drafts))
        assert sorted(each.sequence for each in messages) == [*range(1, 1001)]
        await node.close()

    run(play())


def test_out_of_reach_all_are_told_soon_and_nothing_is_sent_later() -> None:
    """Who speaks while there is no connection is told within three seconds. What failed is not appended when
    the connection is back.
    """

    async def play() -> None:
        stream = Stream()
        node = FakeNode(stream, Random(1), 1000)
        await node.attach(node.listener)
        loop = asyncio.get_running_loop()
        out = asyncio.create_task(node.log.wire.out_for(20))
        await asyncio.sleep(0)
        for wait in (0, 0, 5):
            await asyncio.sleep(wait)
            started = loop.time()
            drafts = [Draft(room, "ada", "x", id) for room in "rq" for id in (None, "1")]
            answers = await asyncio.gather(*map(node.sequencer.accept, drafts), return_exceptions=True)
            assert all(isinstance(each, Unavailable) for each in answers[:2]), answers
            assert loop.time() - started < 3
        await out
        await asyncio.sleep(20)
        assert stored(stream) == []
        await node.close()

    run(play())


def test_callers_that_are_cancelled_leave_nothing_behind() -> None:
    """Their drafts may be accepted or not; who comes after them is served."""

    async def play() -> None:
        node = FakeNode(Stream(), Random(1), 1000)
        await node.attach(node.listener)
        for pause in (0.0, 0.001, 0.004):
            tasks = [asyncio.create_task(node.sequencer.accept(Draft("r", "ada", f"{n}"))) for n in range(9)]
            await asyncio.sleep(pause)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            assert (await node.sequencer.accept(Draft("r", "bob", "next"))).content == "next"
        await asyncio.sleep(5)
        room = node.sequencer._rooms["r"]
        assert (room.queue, room.awaited, room.visitors) == ([], {}, 0)
        await node.close()

    run(play())


def test_a_member_that_raises_does_not_keep_a_message_from_being_answered(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It is appended once, and the others hear it."""

    class Broken(Listener):
        def send(self, frame: ServerFrame) -> None:
            if isinstance(frame, Message):
                raise ValueError("broken")

    async def play() -> None:
        stream = Stream()
        node = FakeNode(stream, Random(1), 1000)
        await node.attach(node.listener)
        await node.attach(Broken())
        drafts = [Draft("r", "ada", f"{n}") for n in range(3)]
        await asyncio.wait_for(asyncio.gather(*map(node.sequencer.accept, drafts)), 5)
        assert [each.content for each in stored(stream)] == ["0", "1", "2"]
        assert node.listener.heard == stored(stream)
        await node.close()

    run(play())
    assert "could not publish" in caplog.text


def test_rooms_behind_a_busy_one_have_their_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """A room whose queue never empties holds up no other of its log."""
    monkeypatch.setattr("lab.cluster.writer.MAX_BATCH", 5)

    async def play() -> None:
        node = FakeNode(Stream(), Random(1), 1000)
        await node.attach(node.listener)
        is_over = asyncio.Event()

        async def chatter() -> None:
            while not is_over.is_set():
                await node.sequencer.accept(Draft("r", "ada", "bla"))

        busy = [asyncio.create_task(chatter()) for _ in range(50)]
        await asyncio.sleep(0.1)
        await asyncio.wait_for(node.sequencer.accept(Draft("s", "bob", "let me speak")), 5)
        is_over.set()
        await asyncio.gather(*busy)
        await node.close()

    run(play())
