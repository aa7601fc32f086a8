"""Both worlds: what a server has stored, when it is killed, and when it is copied for a second server."""

from __future__ import annotations

from pathlib import Path

from harness.history import events as history
from harness.history.faults import STOP_READING
from harness.worlds.served import ServedWorld
from tests.harness.worlds.stage import ECHO, Stage, details, greeted_as, member, server_file


def test_a_restart_keeps_port_and_data(stage: Stage) -> None:
    """After SIGKILL and a restart, clients find the server at the same port, and its messages."""

    async def scene(world: ServedWorld) -> None:
        await world.start_server()
        room = world.name("room")
        alice = await member(world, "alice", room)
        for _ in range(3):
            await alice.say(room, f"{world.tag()}. hello")
        assert await world.until(lambda: 3 - alice.live[room])
        await world.kill_server()
        await world.start_server()
        await alice.connect()
        assert [message.sequence for message in await alice.read_all(room)] == [1, 2, 3]
        first, second = details(world, "started")
        assert first["port"] == second["port"]
        assert first["pid"] != second["pid"]

    stage.play(scene)


def test_the_data_folder_keeps_its_path(stage: Stage, tmp_path: Path) -> None:
    """After a restart, DATA_DIR is the same path, since a server may have stored it."""
    text = ECHO.replace("Counter.starts += 1", STORES)

    async def scene(world: ServedWorld) -> None:
        for _ in range(2):
            await world.start_server()
            assert await greeted_as(world) == "True-1"
            await world.kill_server()

    stage.play(scene, server_file(tmp_path, text))


STORES = """
    from pathlib import Path
    folder = Path(os.environ["DATA_DIR"])
    if not (folder / "where").exists():
        (folder / "where").write_text(str(folder))
    Counter.starts = (folder / "where").read_text() == str(folder)
"""


def test_what_was_being_written_at_a_kill_is_torn(stage: Stage) -> None:
    """Only what no client had received: what was received is there again, and the rest can be sent again."""

    async def scene(world: ServedWorld) -> None:
        await world.start_server()
        room = world.name("room")
        alice = await member(world, "alice", room)
        await alice.say(room, f"{world.tag()}. heard")
        assert await world.until(lambda: not alice.live[room])
        with world.watch_files() as watch:
            alice.suffer(STOP_READING)
            await alice.say(room, f"{world.tag()}. not heard")
            assert await world.kill_while_writing(watch, 0.5) > 0
        assert [e.detail for e in world.history if isinstance(e, history.Server) and e.what == "killed"] == [
            {"while_writing": True}
        ]
        await world.start_server()
        await alice.connect()
        assert [message.sequence for message in await alice.read_all(room)] == [1]

    stage.play(scene)


def test_a_kill_works_where_nothing_is_written(stage: Stage) -> None:
    """Then nothing is torn."""

    async def scene(world: ServedWorld) -> None:
        await world.start_server()
        with world.watch_files() as watch:
            assert await world.kill_while_writing(watch, 0.5) == 0
        await world.start_server()

    stage.play(scene)


def test_a_second_server_has_a_copy(stage: Stage) -> None:
    """The second server has what the first one stored, and what is sent there stays there."""

    async def scene(world: ServedWorld) -> None:
        await world.start_server()
        room = world.name("room")
        alice = await member(world, "alice", room)
        await alice.say(room, f"{world.tag()}. before")
        assert await world.until(lambda: not alice.live[room])
        await world.stop_server()
        stored = world.stored()
        assert sum(file.size for file in stored.values()) > 0
        async with world.second_world() as second:
            inspector = await second.client("inspector")
            await inspector.join(room)
            await inspector.say(room, f"{world.tag()}. on the copy")
            assert await world.until(lambda: len(inspector.tags[room]) < 2)
        assert world.stored() == stored
        await world.start_server()
        await alice.connect()
        assert len(await alice.read_all(room)) == 1

    stage.play(scene)
