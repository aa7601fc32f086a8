"""Several servers are one to scenarios, and what happens to each of them is what is said of it.

Where nothing depends on NATS, a double of it is used (`double.py`), which starts in no time.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from harness.history import events as history
from harness.history.faults import NODE_KILLED
from harness.judged.targets import Target, reference
from harness.running.play import play, play_in, prepared_exercise
from harness.scenarios.common import FULL
from harness.verdict.outcome import Outcome
from harness.worlds.surroundings import PlayStopped
from harness.zoo.single_file import PLAIN
from tests.harness.cluster.double import TARGET, DoubleWorld

pytestmark = [pytest.mark.live, pytest.mark.xdist_group("live2")]


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[DoubleWorld]:
    """A cluster that can be cut; at the end, no temporary files may be left."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    world = DoubleWorld(TARGET, 1, "seed", has_ways=True)
    try:
        await world.start_server()
        yield world
    finally:
        await world.close()
    assert list(tmp_path.iterdir()) == []


async def test_an_exercise_is_played_on_all_nodes() -> None:
    """The scenario does not know it; the report says how the clients were spread."""
    run = await play_in(
        DoubleWorld(TARGET, 1, "seed", has_ways=False), prepared_exercise(1, "seed", FULL, None)
    )
    assert [step.outcome for step in run.steps] == [Outcome.PASSED] * 5
    (note,) = [note for note in run.notes if note.key == "cluster"]
    assert note.params["nodes"] == 2
    counts = [int(each.partition(": ")[2]) for each in note.params["spread"].split(", ")]
    assert abs(counts[0] - counts[1]) <= 1


async def test_servers_that_share_nothing_are_no_cluster() -> None:
    """A right server that does not look at BACKPLANE fails as soon as two clients are to meet."""
    alone = Target("alone", (sys.executable, str(PLAIN)), nodes=2)
    world = DoubleWorld(alone, 1, "seed", has_ways=False)
    world.patience = world.most_vain = 0.5  # which is too short for a verdict on a busy machine, and not here
    run = await play_in(world, prepared_exercise(1, "seed", FULL, None))
    outcomes = {step.step: step.outcome for step in run.steps}
    assert outcomes["1.1"] is Outcome.PASSED
    assert outcomes["1.3"] is outcomes["1.4"] is Outcome.FAILED


async def test_clients_are_spread_evenly(world: DoubleWorld) -> None:
    """A new connection goes to the node that has the fewest, also after some have gone."""
    clients = [await world.client(f"user{number}") for number in range(4)]
    nodes = [world.node_of(client) for client in clients]
    assert sorted(nodes) == ["node1", "node1", "node2", "node2"]
    assert nodes[0] != nodes[1]
    for client in clients:
        if world.node_of(client) == "node1":
            await client.close()
    assert world.node_of(await world.client("late")) == "node1"


async def test_a_killed_node_takes_its_own_clients_with_it(world: DoubleWorld) -> None:
    """The others stay; who connects again is let in by another node; and the node can come back."""
    clients = [await world.client(f"user{number}") for number in range(4)]
    gone = await world.kill_node("node2")
    assert [client.is_open for client in clients] == [client not in gone for client in clients]
    assert len(gone) == 2
    faults = [event for event in world.history if isinstance(event, history.Fault)]
    assert [(event.fault, event.client) for event in faults] == [(NODE_KILLED, each.name) for each in gone]
    for client in gone:
        await client.connect()
        assert world.node_of(client) == "node1"
    world.check_server()
    await world.start_node("node2")
    assert world.node_of(await world.client("late")) == "node2"


async def test_a_cut_node_hears_again_when_it_is_healed(world: DoubleWorld) -> None:
    """Its clients stay connected meanwhile."""
    lonely, other = [await world.client(name) for name in ("lonely", "other")]
    room = world.name("room")
    for client in (lonely, other):
        await client.join(room)
    await world.cut_node(world.node_of(lonely))
    await other.say(room, f"{world.tag()}. does anybody hear me?")
    assert await world.until(lambda: not other.live[room])
    assert not lonely.live[room]
    await world.heal_node(world.node_of(lonely))
    assert await world.until(lambda: not lonely.live[room])
    assert lonely.is_open


async def test_all_of_it_is_killed_at_once_and_starts_again(world: DoubleWorld) -> None:
    """What was stored is there on each node, and in a second cluster on a copy of the data."""
    alice = await world.client("alice")
    room = world.name("room")
    await alice.join(room)
    await alice.say(room, f"{world.tag()}. hello")
    assert await world.until(lambda: not alice.live[room])
    await world.kill_server()
    assert not alice.is_open
    async with world.second_world() as second:
        reader = await second.client("inspector")
        assert [message.sequence for message in await reader.read_all(room)] == [1]
    await world.start_server()
    for name in ("first", "second"):
        reader = await world.client(name)
        assert [message.sequence for message in await reader.read_all(room)] == [1]


async def test_a_node_that_ends_by_itself_ends_the_play(world: DoubleWorld) -> None:
    """Another one still serves, and that is not enough."""
    process = world._cluster.nodes[1].process
    assert process is not None
    process.hangs_where(seconds=0.0)
    with pytest.raises(PlayStopped):
        await world.until(lambda: True)
    assert [e.what for e in world.history if isinstance(e, history.Server)][-1] == "died"


@pytest.mark.extra
@pytest.mark.parametrize("exercise", [1, 3])
async def test_the_reference_passes_as_a_cluster(exercise: int) -> None:
    """On three NATS nodes, with what a single server has to do."""
    run = await play(exercise, replace(reference(), nodes=2), "seed")
    assert {step.step: step.outcome for step in run.steps if step.outcome is not Outcome.PASSED} == {}
