"""Both worlds: clients, faults of their connections, slow readers and floods."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.history import events as history
from harness.history.faults import GO_SILENT, READ_AGAIN, STOP_READING
from harness.worlds.served import ServedWorld
from harness.worlds.surroundings import PlayStopped
from tests.harness.worlds.simulations import LONG
from tests.harness.worlds.stage import (
    ECHO,
    Stage,
    details,
    has_received,
    left,
    member,
    received_numbers,
    server_file,
)


def test_a_reset_is_noticed_by_the_server(stage: Stage) -> None:
    """A reset ends the membership at once, long before a timeout."""

    async def scene(world: ServedWorld) -> None:
        await world.start_server()
        room = world.name("room")
        watcher, reset = [await member(world, name, room) for name in ("watcher", "reset")]
        began = world.now()
        await reset.reset()
        assert await world.until(lambda: not left(watcher, reset))
        held_up = sum(event.seconds for event in world.history if isinstance(event, history.Stalled))
        assert world.now() - began - held_up < 0.9 * world.timeout
        closed = [event for event in world.history if isinstance(event, history.Closed)]
        assert [(event.client, event.by) for event in closed] == [("reset", "client")]

    stage.play(scene)


def test_a_silent_client_is_removed_after_its_timeout(stage: Stage) -> None:
    """A silent client stays a member for the whole timeout, and not much longer."""

    async def scene(world: ServedWorld) -> None:
        await world.start_server()
        room = world.name("room")
        watcher, ghost = [await member(world, name, room) for name in ("watcher", "ghost")]
        began = world.now()
        await ghost.fence()
        ghost.suffer(GO_SILENT)
        assert await world.until(lambda: not left(watcher, ghost), world.timeout + LONG)
        assert world.now() - began >= world.timeout
        assert ghost.is_mute

    stage.play(scene)


def test_a_client_that_reconnects_has_one_connection(stage: Stage) -> None:
    """Also while the old one is still open: what arrives on the old one is not taken for the new one's."""

    async def scene(world: ServedWorld) -> None:
        await world.start_server()
        room = world.name("room")
        alice, bob = [await member(world, name, room) for name in ("alice", "bob")]
        old = alice.conn
        await alice.connect()
        assert alice.conn != old
        await bob.say(room, f"{world.tag()}. who hears this?")
        assert await world.until(lambda: not bob.live[room])
        assert await world.until(lambda: not left(bob, alice))
        await alice.fence()
        assert not alice.live[room]

    stage.play(scene)


def test_the_order_of_one_client_s_messages_is_kept(stage: Stage) -> None:
    """What one client sends without waiting is received by all in the order in which it was sent."""

    async def scene(world: ServedWorld) -> None:
        await world.start_server()
        room = world.name("room")
        alice, bob = [await member(world, name, room) for name in ("alice", "bob")]
        said = [f"{world.tag()}. message" for _ in range(60)]
        for content in said:
            await alice.say(room, content)
        assert await world.until(lambda: 60 - bob.live[room])
        assert [message.content for message in await bob.read_all(room)] == said
        assert received_numbers(world, bob, room) == list(range(1, 61))

    stage.play(scene)


def beats(world: ServedWorld) -> list[tuple[str, type]]:
    """The clients that sent and received heartbeats, in order."""
    return [
        (event.client, type(event))
        for event in world.history
        if isinstance(event, history.Sent | history.Received) and event.frame == {"type": "heartbeat"}
    ]


def test_each_heartbeat_is_answered_once(stage: Stage, tmp_path: Path) -> None:
    """Also two that come together; heartbeats of a client that is not to answer,
    or is silent, get no answer.
    """
    twice = '[await ws.send(\'{"type": "heartbeat"}\') for _ in range(2)]'
    text = ECHO.replace("await ws.send(text)", f"if 'join' in text: {twice}")

    async def scene(world: ServedWorld) -> None:
        await world.start_server()
        alice, bob = [await world.client(name) for name in ("alice", "bob")]
        bob.answers_heartbeats = False
        await alice.send({"type": "join"})
        assert await world.until(lambda: 4 - len(beats(world)))
        alice._take('{"type": "heartbeat"}')
        alice.suffer(GO_SILENT)
        await bob.send({"type": "join"})
        assert await world.until(lambda: 7 - len(beats(world)))
        order = beats(world)
        assert sorted(order[:4], key=str) == [("alice", history.Received)] * 2 + [("alice", history.Sent)] * 2
        assert order[4:] == [("alice", history.Received), *[("bob", history.Received)] * 2]

    stage.play(scene, server_file(tmp_path, text))


def test_an_internal_error_is_raised_where_the_end_is_awaited(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection counts as ended; it is not reported as silence of the server."""

    async def scene(world: ServedWorld) -> None:
        await world.start_server()
        alice = await world.client("alice")
        monkeypatch.setattr(world, "readings", None)
        await alice.send({"type": "presence"})
        while alice.is_open:
            await world.moment()

    with pytest.raises(AttributeError, match="append"):
        stage.play(scene, server_file(tmp_path, ECHO))


# --- slow readers and floods --------------------------------------------------------------------------


def test_a_client_that_does_not_read_blocks_nobody(stage: Stage) -> None:
    """A slow client that stops reading receives nothing; others receive several megabytes at once."""

    async def scene(world: ServedWorld) -> None:
        await world.start_server()
        room = world.name("room")
        slow = await member(world, "slow", room, narrow=True)
        reader, talker = [await member(world, name, room) for name in ("reader", "talker")]
        slow.suffer(STOP_READING)
        before = slow.live[room]
        for number in range(1, 61):
            await talker.say(room, f"{world.tag()}. {'x' * 60_000}")
            assert await has_received(world, reader, room, number)
        assert slow.live[room] - before < 60
        assert slow.is_open

    stage.play(scene)


def test_a_client_that_reads_again_receives_all_that_waited(stage: Stage) -> None:
    """What a slow client did not read for a while reaches it later, in order and without gaps."""

    async def scene(world: ServedWorld) -> None:
        await world.start_server()
        room = world.name("room")
        slow = await member(world, "slow", room, narrow=True)
        talker = await member(world, "talker", room)
        slow.suffer(STOP_READING)
        for _ in range(40):
            await talker.say(room, f"{world.tag()}. {'x' * 20_000}")
        assert await world.until(lambda: 40 - talker.live[room])
        slow.suffer(READ_AGAIN)
        assert await world.until(lambda: 40 - slow.live[room])
        assert received_numbers(world, slow, room) == list(range(1, 41))

    stage.play(scene)


def test_waits_in_vain_end_a_play(stage: Stage) -> None:
    """After so many seconds of them a failure is certain, and each further wait costs time."""

    async def scene(world: ServedWorld) -> None:
        await world.start_server()
        world.most_vain = 0.15
        for _ in range(2):
            assert not await world.until(lambda: True, 0.1) or world.vain > world.most_vain
        raise AssertionError

    with pytest.raises(PlayStopped):
        stage.play(scene)


def test_progress_that_brings_nothing_new_is_none(stage: Stage, tmp_path: Path) -> None:
    """Pages that repeat what came, or are empty, are waited for no longer than silence; new ones are."""
    text = ECHO.replace(
        "await ws.send(text)",
        """if "fence" in text: continue
            for number in (1, 2, 3, 3, 3, 3, 3, 3):
                page = [{"id": "i", "room": "r", "user": "u", "content": "c", "sequence": number}]
                page[0]["timestamp"] = 1767225600000
                data = {"room": "r", "messages": page if number < 3 else [], "last": 9, "more": True}
                await ws.send(json.dumps({"type": "history", "data": data}))""",
    )

    async def scene(world: ServedWorld) -> None:
        await world.start_server()
        alice = await world.client("alice")
        await alice.send({"type": "history"})
        assert await world.until(lambda: 8 - len(alice.pages))
        assert alice.pages_ahead == 2

    stage.play(scene, server_file(tmp_path, text))


def test_one_wait_is_bounded_however_much_comes(stage: Stage) -> None:
    """It is in vain then, as it is after silence."""

    async def scene(world: ServedWorld) -> None:
        await world.start_server()
        world.longest_wait = 0.3
        left = iter(range(10**9, 0, -1))  # each look sees progress
        began = world.now()
        assert not await world.until(lambda: next(left), 0.1)
        assert world.now() - began < 5

    stage.play(scene)


def test_a_flooded_client_stops_reading(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If a server sends without end, only so many events are kept, and the connection counts as ended."""
    for name in ("timeline.MAX_EVENTS", "sim.world.SIMULATED_EVENTS"):
        monkeypatch.setattr(f"harness.worlds.{name}", 100)
    text = ECHO.replace("await ws.send(text)", "while True: await ws.send(text)")

    async def scene(world: ServedWorld) -> None:
        await world.start_server()
        alice = await world.client("alice")
        await alice.send({"type": "presence"})
        with pytest.raises(PlayStopped):
            await world.until(lambda: True, LONG)
        assert len(details(world, "flooding")) == 1
        while alice.is_open:
            await world.moment()
        assert [type(event) for event in world.history[-2:]] == [history.Server, history.Closed]
        assert len(world.history) == 103

    stage.play(scene, server_file(tmp_path, text))
