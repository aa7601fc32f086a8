from __future__ import annotations

import asyncio
import json
import math
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from lab import intake as intake_module
from lab.hub import Components
from lab.intake import NEWCOMER, SLICE, Intake, Turns
from lab.interfaces import Member
from lab.limits import Limits, TokenBucket
from lab.protocol import History, Presence, Status
from lab.sequencer import Sequencer
from lab.server import ChatServer
from lab.session import Session
from tests.lab.helpers import (
    PATIENCE,
    PING,
    PONG,
    TEXT,
    Mute,
    clocked,
    dial,
    eventually,
    fill,
    message,
    serving,
    unwire,
    wire,
)


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[ChatServer]:
    """A server without clients."""
    async with serving(tmp_path) as server:
        yield server


class Fake:
    """A transport and a reader: each frame is one byte long, and a capital letter is the end of one."""

    def __init__(self, budget: float = 1e9) -> None:
        self.reading = True
        self.slices: list[bytes] = []
        self.floods = 0
        self.turns = Turns()
        bucket = TokenBucket(budget, budget, asyncio.get_running_loop().time())
        self.intake = Intake(self.turns, self, self._read, bucket, self._flood)

    def pause_reading(self) -> None:
        """See `intake.Source`."""
        self.reading = False

    def resume_reading(self) -> None:
        """See `intake.Source`."""
        self.reading = True

    def _read(self, data: bytes) -> int:
        self.slices.append(data)
        return sum(each in b"ABC" for each in data)

    def _flood(self) -> None:
        self.floods += 1


async def test_what_is_short_is_read_at_once() -> None:
    """A slice or less is read as it comes, and the transport goes on reading."""
    fake = Fake()
    fake.intake.arrived(b"A" * SLICE)
    assert fake.slices == [b"A" * SLICE]
    assert fake.reading
    assert not fake.intake.is_waiting


async def test_the_rest_is_read_in_turns() -> None:
    """Of what is longer, one slice with frames is read in each turn, and the transport is left alone."""
    fake = Fake()
    fake.intake.arrived(b"A" * SLICE * 3 + b"B")
    for count in (1, 2, 3):
        assert len(fake.slices) == count
        assert not fake.reading
        await asyncio.sleep(0)
    assert b"".join(fake.slices) == b"A" * SLICE * 3 + b"B"
    assert fake.reading
    assert not fake.intake.is_waiting


async def test_a_long_frame_takes_one_turn() -> None:
    """Slices in which no frame ends cost little, and are read together."""
    fake = Fake()
    fake.intake.arrived(b"x" * SLICE * 60 + b"A")
    assert len(fake.slices) == 61


async def test_what_was_read_is_obeyed_first() -> None:
    """While it is held, nothing is read; then all of it, in order."""
    fake = Fake()
    fake.intake.hold()
    fake.intake.arrived(b"A")
    fake.intake.arrived(b"B")
    assert (fake.slices, fake.reading) == ([], False)
    fake.intake.release()
    await asyncio.sleep(0)
    assert (fake.slices, fake.reading) == ([b"AB"], True)


async def test_turns_go_round() -> None:
    """With many who have more to be read, each has one slice read before anyone has the next."""
    fakes = [Fake() for _ in range(3)]
    order: list[int] = []
    for number, fake in enumerate(fakes):
        fake.intake = Intake(
            fakes[0].turns,
            fake,
            lambda data, number=number: order.append(number) or 1,  # type: ignore[func-returns-value, misc]
            TokenBucket(1e9, 1e9, 0.0),
            lambda: None,
        )
        fake.intake.arrived(b"A" * SLICE * 3)
    await eventually(lambda: len(order) == 9)
    assert order == [0, 1, 2] * 3


async def test_who_has_spent_least_goes_first() -> None:
    """Somebody with a few frames does not wait for those who have sent thousands."""
    fakes, order = [Fake() for _ in range(3)], []

    async def obey(number: int) -> None:
        await fakes[number].intake.turn()
        order.append(number)

    for fake, spent in zip(fakes, (500, 0, 100), strict=True):
        fake.intake._turns = fakes[0].turns
        fake.intake.spend(spent)
    tasks = [asyncio.create_task(obey(number)) for number in (0, 1, 2, 2)]
    await asyncio.sleep(0)
    tasks[3].cancel()
    await asyncio.wait_for(asyncio.wait(tasks), PATIENCE)
    assert order == [1, 2, 0]


async def test_who_overdraws_the_budget_is_left_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Until it is balanced again nothing is read; whoever goes on for too long is told to go, once."""
    monkeypatch.setattr(intake_module, "FLOOD_SECONDS", 0.02)
    fake = Fake(budget=SLICE * 50)
    fake.intake.arrived(b"A" * SLICE * 60)
    assert len(fake.slices) < 60
    await eventually(lambda: fake.floods or not fake.intake.is_waiting)
    while not fake.floods:
        fake.intake.arrived(b"A" * SLICE * 60)
        await asyncio.sleep(0.001)
    read = len(fake.slices)
    await asyncio.sleep(0)
    assert (fake.floods, len(fake.slices)) == (1, read)


async def test_a_flood_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that sends far more than its budget is closed with 1008; one that speaks fast is not."""
    monkeypatch.setattr(intake_module, "FLOOD_SECONDS", 0.1)
    monkeypatch.setattr(Limits, "budget", 1000.0)
    async with serving(tmp_path) as server, dial(server, "ada") as ada, dial(server, "bob") as bob:
        await bob.join()
        for number in range(300):
            await bob.say(f"no. {number}")
        await bob.settle()
        flooding = asyncio.create_task(_flood(ada.socket.transport.write))
        assert await ada.closed() == 1008
        flooding.cancel()
        assert "far more" in str(ada.socket.close_reason)
        await bob.say("still here")
        assert "still here" in str(await bob.settle())


async def _flood(write: object) -> None:
    while True:
        write(wire(TEXT, b"{}") * 2000)  # type: ignore[operator]
        await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    "flood", [wire(TEXT, b"{}"), wire(PING, b""), wire(TEXT, b'{"type":"presence","room":"r"}')]
)
async def test_a_flood_waits_for_the_others(tmp_path: Path, flood: bytes) -> None:
    """While tens of thousands of frames of one client wait, each step of another one takes a turn or two."""
    async with (
        serving(tmp_path) as server,
        Mute(server.port, "mallory") as mallory,
        dial(server, "ada") as ada,
    ):
        await eventually(lambda: server.figures()["chatlab_connections"] == 2)
        session = next(each for each in server._sessions.values() if each.user == "mallory")
        sending = asyncio.create_task(
            asyncio.get_running_loop().sock_sendall(mallory.socket, flood * 100_000)
        )
        await eventually(lambda: session.connection.intake.is_waiting)
        await ada.join()
        await ada.say("hello")
        assert "hello" in str(await ada.settle())
        assert session.connection.intake.is_waiting, "all of the flood was obeyed before the message"
        sending.cancel()


async def test_one_frame_of_a_client_is_obeyed_in_a_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a hundred frames that arrive in one piece, no two are obeyed in the same turn of the event loop."""
    turn, obeyed = 0, []

    async def obey(self: Session, text: str | bytes) -> None:
        obeyed.append(turn)

    monkeypatch.setattr(Session, "_obey", obey)
    async with serving(tmp_path) as server, Mute(server.port, "ada") as ada:
        await ada.write(wire(TEXT, b"{}") * 100)
        async with asyncio.timeout(PATIENCE):
            while len(obeyed) < 100:
                turn += 1
                await asyncio.sleep(0)
    assert len(set(obeyed)) == 100


@pytest.mark.parametrize(("size", "waits"), [(100, False), (20_000, True)])
async def test_a_long_frame_waits_for_its_turn(tmp_path: Path, size: int, waits: bool) -> None:
    """What takes long to decode comes when nobody else's turn is due; what is short comes at once."""
    async with serving(tmp_path) as server, dial(server, "ada") as ada:
        await ada.join()
        turns = _turns_of(server)
        await ada.say("x" * size)
        await ada.until(lambda frame: frame["type"] == "message")
        assert bool(turns) is waits


async def test_a_join_waits_for_its_turn(tmp_path: Path) -> None:
    """It takes a while, so it waits if others do; if nobody waits, it costs no turn."""
    async with serving(tmp_path) as server, dial(server, "ada") as ada:
        turns = _turns_of(server)
        await ada.send("join", room="alone")
        await ada.until(lambda frame: frame["type"] == "presence" and frame["data"]["full"])
        assert turns == []
        others_wait = True

        def wait_again() -> None:
            if others_wait:
                server.turns.call(math.inf, wait_again)

        wait_again()
        await ada.send("join", room="busy")
        await ada.until(lambda frame: frame["type"] == "presence" and frame["data"]["full"])
        others_wait = False
        assert len(turns) == 1


def _turns_of(server: ChatServer) -> list[None]:
    """One for each time from now on that the only client waits for its turn."""
    (session,) = server._sessions.values()
    intake = session.connection.intake
    turns: list[None] = []
    wait = intake.turn

    async def turn() -> None:
        turns.append(None)
        await wait()

    intake.turn = turn  # type: ignore[method-assign]
    return turns


@pytest.mark.parametrize(("ask", "least"), [("presence", 10), ("history", 60)])
async def test_long_answers_count(tmp_path: Path, ask: str, least: int) -> None:
    """The answer to a question takes from the budget by what it costs, and not only the question."""
    await fill(tmp_path, [message(number, content="x" * 60_000) for number in range(1, 31)])
    async with serving(tmp_path) as server, dial(server, "ada") as ada:
        everybody = [Presence(f"user{number}", Status.ONLINE, 1) for number in range(320)]
        server.presence.in_room = lambda room, now: everybody  # type: ignore[method-assign]
        (session,) = server._sessions.values()
        budget = session.connection.budget
        budget.spend(0, asyncio.get_running_loop().time())
        budget.rate, before = 1e-9, budget.tokens  # so that nothing is gained meanwhile
        await ada.send(ask, room="r")
        await ada.until(lambda frame: frame["type"] == ask)
        assert least < before - budget.tokens < 2 * least


async def test_the_answers_to_pings_are_one_write(
    server: ChatServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hundred pings that arrive together cost one system call, and are answered in their order."""
    async with Mute(server.port, "ada") as ada:
        await eventually(lambda: server._sessions)
        (session,) = server._sessions.values()
        writes: list[bytes] = []
        monkeypatch.setattr(session.connection.transport, "write", writes.append, raising=False)
        await ada.write(b"".join(wire(PING, bytes([number])) for number in range(100)))
        await eventually(lambda: writes)
        assert [unwire(each) for each in writes] == [[(PONG, bytes([number])) for number in range(100)]]


async def test_unread_frames_cost_little_memory(tmp_path: Path) -> None:
    """Of frames of 1 MiB, one waits for its session, and the others stay in the sockets."""
    frame = wire(TEXT, json.dumps({"type": "heartbeat", "x": "x" * 1_000_000}).encode())
    async with serving(tmp_path) as server, Mute(server.port, "ada") as ada:
        await eventually(lambda: server._sessions)
        (session,) = server._sessions.values()
        session.connection.turns = Turns()
        busy = asyncio.Event()
        session._obey = lambda text: busy.wait()  # type: ignore[method-assign, assignment, return-value]
        sending = asyncio.create_task(asyncio.get_running_loop().sock_sendall(ada.socket, frame * 8))
        await eventually(lambda: session.connection.intake.is_waiting)
        await asyncio.sleep(0)
        unread = sum(len(each.data) for each in session.connection.recv_messages.frames.queue)
        assert unread <= 1_100_000
        assert len(session.connection.intake._waiting) <= 64 * 1024
        busy.set()
        await asyncio.wait_for(sending, PATIENCE)


async def test_who_is_left_unread_is_not_silent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that has sent more than we read may have gone on sending: meanwhile it is not timed out."""
    busy = asyncio.Event()

    async def obey(self: Session, text: str | bytes) -> None:
        await busy.wait()

    monkeypatch.setattr(Session, "_obey", obey)
    async with clocked(tmp_path, offline_timeout=100.0) as server, Mute(server.port, "ada") as ada:
        await eventually(lambda: server._sessions)
        (session,) = server._sessions.values()
        await ada.write(wire(TEXT, b"{}") * 2000)
        await eventually(lambda: session.connection.intake.is_waiting)
        for _ in range(3):
            await server.look_after(99)
        assert server.presence.is_connected(session.id)
        busy.set()
        await eventually(lambda: not session.connection.intake.is_waiting)
        await server.look_after(101)
        assert not server.presence.is_connected(session.id)


# --- replays -------------------------------------------------------------------------------------------


class Watched(Sequencer):
    """A sequencer that counts the pages that it reads, and the joins that ended."""

    pages = 0
    ended = 0

    async def attach(self, room_name: str, member: Member, since: int | None) -> None:
        """See `interfaces.Sequencer`."""
        try:
            await super().attach(room_name, member, since)
        finally:
            Watched.ended += 1

    async def history(self, room: str, since: int, limit: int) -> History:
        """See `interfaces.Sequencer`."""
        Watched.pages += 1
        return await super().history(room, since, limit)


async def test_a_replay_ends_with_its_member(tmp_path: Path) -> None:
    """Whoever joins with a long replay and goes at once has no more of it read, and others hear nothing."""
    await fill(tmp_path, [message(number, content="x" * 50_000) for number in range(1, 2001)])
    Watched.pages = Watched.ended = 0
    async with serving(tmp_path, Components(sequencer=Watched)) as server, dial(server, "bob") as bob:
        await bob.join(since=2000)
        before = Watched.ended
        async with Mute(server.port, "ada") as ada:
            await ada.send("join", room="r", since=0)
            await eventually(lambda: server.figures()["chatlab_connections"] == 2)
        await eventually(lambda: Watched.ended > before)
        assert Watched.pages < 20
        assert len(server.pubsub.members("r")) == 1
        assert [each for each in await bob.settle() if "ada" in str(each)] == []


class Hasty(Sequencer):
    """A sequencer that subscribes its member first, and then waits for it for ever."""

    async def attach(self, room_name: str, member: Member, since: int | None) -> None:
        """See `interfaces.Sequencer`."""
        self._pubsub.subscribe(room_name, member)
        await asyncio.Event().wait()


async def test_a_join_that_is_cancelled_leaves_nobody_in_the_room(tmp_path: Path) -> None:
    """Whatever the sequencer had done by then."""
    async with serving(tmp_path, Components(sequencer=Hasty)) as server:
        async with Mute(server.port, "ada") as ada:
            await ada.send("join", room="r", since=0)
            await eventually(lambda: server.pubsub.members("r"))
        await eventually(lambda: not server._sessions)
        assert server.pubsub.rooms() == []


async def test_stalled_replays_share_their_memory(tmp_path: Path) -> None:
    """What waits for readers of old messages is bounded for all together: who waits longest has to go."""
    await fill(tmp_path, [message(number, content="x" * 60_000) for number in range(1, 301)])
    async with serving(tmp_path) as server:
        server.replays._most = 2_000_000
        readers = [Mute(server.port, f"user{number}") for number in range(4)]
        for each in readers:
            await each.__aenter__()
        try:
            for each in readers:
                await each.send("join", room="r", since=0)
            await eventually(lambda: len(server._sessions) < 4)
            await eventually(lambda: sum(server.replays._sizes.values()) <= 2_000_000)
        finally:
            for each in readers:
                await each.__aexit__(None, None, None)


async def test_a_newcomer_waits_for_its_turn() -> None:
    """What a newcomer sends first is read after those who are in and do little, and before who sends much."""
    fakes, order = [Fake() for _ in range(4)], []
    newcomer, modest, busy, other = fakes
    for fake in fakes:
        fake.intake._turns = fakes[0].turns
    newcomer.intake.is_new = other.intake.is_new = True
    newcomer.intake.arrived(b"A")
    other.intake.arrived(b"B")
    assert newcomer.slices == []

    async def obey(fake: Fake, spent: float) -> None:
        fake.intake.spend(spent)
        await fake.intake.turn()
        order.append((spent, len(other.slices)))

    await asyncio.wait_for(asyncio.gather(obey(busy, 2 * NEWCOMER), obey(modest, NEWCOMER / 2)), PATIENCE)
    assert order == [(NEWCOMER / 2, 0), (2 * NEWCOMER, 1)]
    assert newcomer.slices == [b"A"]
    newcomer.intake.arrived(b"C")
    assert newcomer.slices == [b"A", b"C"]
    assert newcomer.reading
