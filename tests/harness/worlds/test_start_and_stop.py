"""Both worlds: how a server starts, fails to start, stops, is killed, and is restarted."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest

from harness.history import events as history
from harness.worlds.library_errors import NotOpened
from harness.worlds.served import ServedWorld
from harness.worlds.surroundings import Gone, PlayStopped
from tests.harness.worlds.simulations import LONG
from tests.harness.worlds.stage import ECHO, Stage, details, greeted_as, server_file


def test_a_server_starts_and_greets(stage: Stage) -> None:
    """A started server has a process number, and the history says that it was started and is ready."""

    async def scene(world: ServedWorld) -> None:
        await world.start_server()
        assert details(world, "started")[0]["pid"] > 0
        assert len(details(world, "ready")) == 1
        alice = await world.client("alice")
        assert alice.connected_frame is not None
        assert alice.connected_frame.user == world.name("alice")

    stage.play(scene)


def test_clients_notice_that_the_server_was_killed(stage: Stage) -> None:
    """All connections of a killed server end, abnormally and by the server."""

    async def scene(world: ServedWorld) -> None:
        await world.start_server()
        clients = [await world.client(name) for name in ("alice", "bob", "carol")]
        await world.kill_server()
        assert not any(client.is_open for client in clients)
        closed = [event for event in world.history if isinstance(event, history.Closed)]
        assert sorted((event.client, event.by, event.code) for event in closed) == [
            (client, "server", 1006) for client in ("alice", "bob", "carol")
        ]
        with pytest.raises(Gone):
            await clients[0].send_heartbeat()

    stage.play(scene)


def test_a_server_stops_by_sigterm(stage: Stage) -> None:
    """SIGTERM ends the reference server in time, with code 0, and its clients receive the reason."""

    async def scene(world: ServedWorld) -> None:
        await world.start_server()
        await world.client("alice")
        await world.stop_server()
        (stopped,) = details(world, "stopped")
        assert (stopped["in_time"], stopped["code"]) == (True, 0)
        (closed,) = [event for event in world.history if isinstance(event, history.Closed)]
        assert (closed.by, closed.code) == ("server", 1001)

    stage.play(scene)


@pytest.mark.parametrize("end", ["kill_server", "stop_server"])
def test_nobody_listens_after_the_end(stage: Stage, end: str) -> None:
    """Whoever connects to a server that has ended is refused, and the history says so."""

    async def scene(world: ServedWorld) -> None:
        await world.start_server()
        alice = await world.client("alice")
        await getattr(world, end)()
        with pytest.raises(NotOpened) as error:
            await world.dial("bob", narrow=False)
        assert error.value.why == "nobody"
        with pytest.raises(Gone):
            await alice.connect()
        gave_up = [event for event in world.history if isinstance(event, history.GaveUp)]
        assert [event.wanted for event in gave_up] == ["connection nobody"]

    stage.play(scene)


# --- servers other than the reference server ----------------------------------------------------------


def test_variables_do_not_survive_a_restart(stage: Stage, tmp_path: Path) -> None:
    """Variables of modules and classes are new at each start."""

    async def scene(world: ServedWorld) -> None:
        for end in (world.kill_server, world.kill_server, world.stop_server):
            await world.start_server()
            assert await greeted_as(world) == "1-1"
            await end()

    stage.play(scene, server_file(tmp_path, ECHO))


def test_sigterm_without_a_handler_ends_a_server(stage: Stage, tmp_path: Path) -> None:
    """A server without a handler ends by SIGTERM, and what it printed is kept."""

    async def scene(world: ServedWorld) -> None:
        await world.start_server()
        await world.stop_server()
        (stopped,) = details(world, "stopped")
        assert (stopped["in_time"], stopped["code"]) == (True, -signal.SIGTERM)
        assert [line.partition(" s  ")[2] for line in world.output()] == ["serving"]

    stage.play(scene, server_file(tmp_path, ECHO))


@pytest.mark.parametrize(
    ("ending", "detail"),
    [
        ("import sys; sys.exit(3)", {"why": "exited", "code": 3}),
        ("raise ValueError('boom')", {"why": "exited", "code": 1}),
        ("os.environ['PORT'] = str(int(os.environ['PORT']) + 1); asyncio.run(main())", {"why": "wrong_port"}),
        ("asyncio.run(asyncio.Event().wait())", {"why": "not_listening"}),
    ],
)
def test_a_server_that_does_not_serve(
    stage: Stage, tmp_path: Path, ending: str, detail: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reason why a server does not become ready has the same words in both worlds."""
    monkeypatch.setattr("harness.worlds.served.READY_SECONDS", 1.0)

    async def scene(world: ServedWorld) -> None:
        with pytest.raises(PlayStopped):
            await world.start_server()
        (said,) = details(world, "not_ready")
        assert {name: said[name] for name in detail} == detail
        if "ValueError" in ending:
            assert said["output"][-1] == "ValueError: boom"

    stage.play(scene, server_file(tmp_path, ECHO, f"\n    {ending}\n"))


def test_a_server_that_dies_stops_the_play(stage: Stage, tmp_path: Path) -> None:
    """A server that ends by itself is noticed during a wait, with its exit code."""
    text = ECHO.replace("await ws.send(text)", "os._exit(7)")

    async def scene(world: ServedWorld) -> None:
        await world.start_server()
        alice = await world.client("alice")
        await alice.send_heartbeat()
        with pytest.raises(PlayStopped):
            await world.until(lambda: True, LONG)
        assert [detail["code"] for detail in details(world, "died")] == [7]

    stage.play(scene, server_file(tmp_path, text))


def test_a_server_that_closes_instead_of_greeting(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its close code is reported, and a normal close without a greeting is told from that."""
    monkeypatch.setattr("harness.worlds.served.READY_SECONDS", 1.0)
    for code, detail in ((4000, ("hangs_up", "4000")), (1000, ("returns", "1000"))):
        text = ECHO.replace("await ws.send(json.dumps(", f"return await ws.close({code})\n        print((")

        async def scene(world: ServedWorld, detail: tuple[str, str] = detail) -> None:
            with pytest.raises(PlayStopped):
                await world.start_server()
            (said,) = details(world, "not_ready")
            assert (said["why"], said["more"]) == detail

        stage.play(scene, server_file(tmp_path, text))
