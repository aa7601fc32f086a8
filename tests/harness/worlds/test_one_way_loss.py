"""Both worlds: a client whose frames are lost on the way, and one that receives nothing."""

from __future__ import annotations

from contextlib import suppress

from harness.history import events as history
from harness.history.faults import LOSE_INBOUND, LOSE_OUTBOUND
from harness.worlds.served import ServedWorld
from harness.worlds.surroundings import Gone, PlayStopped
from tests.harness.worlds.simulations import LONG
from tests.harness.worlds.stage import Stage, has_received, left, member


def test_lost_frames_are_no_sign_of_life(stage: Stage) -> None:
    """The client still receives the others' messages,
    and the server closes its connection after the timeout.
    """

    async def scene(world: ServedWorld) -> None:
        await world.start_server()
        room = world.name("room")
        watcher, mute = [await member(world, name, room) for name in ("watcher", "mute")]
        sent = len([event for event in world.history if isinstance(event, history.Sent)])
        mute.suffer(LOSE_OUTBOUND)
        await mute.say(room, f"{world.tag()}. nobody will hear this")
        await mute.ping()
        assert len([event for event in world.history if isinstance(event, history.Sent)]) == sent
        await watcher.say(room, f"{world.tag()}. can you hear me?")
        assert await has_received(world, mute, room, 1)
        assert await world.until(lambda: not left(watcher, mute), world.timeout + LONG)
        assert await world.until(lambda: mute.is_open, LONG)
        (closed,) = [event for event in world.history if isinstance(event, history.Closed)]
        assert (closed.client, closed.by) == ("mute", "server")
        assert watcher.live[room] == 1

    stage.play(scene)


def test_a_client_that_receives_nothing_still_sends(stage: Stage) -> None:
    """It stays a member as long as its heartbeats reach the server, and notices when the connection ends."""

    async def scene(world: ServedWorld) -> None:
        await world.start_server()
        room = world.name("room")
        watcher, deaf = [await member(world, name, room) for name in ("watcher", "deaf")]
        received = deaf.received
        deaf.suffer(LOSE_INBOUND)
        end = world.now() + 2 * world.timeout
        while world.now() < end:
            await deaf.send_heartbeat()
            await world.pause(world.heartbeat / 2)
        await deaf.say(room, f"{world.tag()}. I am still here")
        assert await has_received(world, watcher, room, 1)
        assert not left(watcher, deaf)
        assert deaf.is_open
        assert deaf.received == received
        await world.stop_server()
        assert not deaf.is_open

    stage.play(scene)


def test_a_disturbed_client_is_not_waited_for(stage: Stage) -> None:
    """Its requests get no answer: at the end of a play, only clients whose frames get through are asked."""

    async def scene(world: ServedWorld) -> None:
        await world.start_server()
        room = world.name("room")
        clients = [await member(world, name, room) for name in ("watcher", "mute", "deaf")]
        clients[1].suffer(LOSE_OUTBOUND)
        clients[2].suffer(LOSE_INBOUND)
        assert [client.is_answered for client in clients] == [True, False, False]
        began = world.now()
        await world.settle()
        assert world.now() - began < world.patience
        for client in clients[1:]:
            with suppress(Gone, PlayStopped):
                await client.connect()
            assert client.is_answered

    stage.play(scene)
