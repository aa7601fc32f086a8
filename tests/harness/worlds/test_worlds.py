"""One contract, kept by both worlds: what the simulated one shows is what the real one would have done."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve

from harness.history import events as history
from harness.history.faults import GO_SILENT, READ_AGAIN, STOP_READING
from harness.worlds import targets
from harness.worlds.client import Client
from harness.worlds.live import LiveWorld
from harness.worlds.served import ServedWorld
from harness.worlds.sim import modules
from harness.worlds.sim.simulator import Simulator
from harness.worlds.sim.world import NEW_YEAR, SimWorld
from harness.worlds.surroundings import Gone, PlayStopped
from harness.worlds.targets import Target

LIVE_MARKS = [pytest.mark.live, pytest.mark.xdist_group("live0")]
PAST: list[Simulator] = []
"""Simulations that are over: what was killed in them must never be tidied up."""
LONG = 600.0
"""Seconds of patience, virtual or not, for what must happen."""


def simulated(main: Callable[[Simulator], Coroutine[Any, Any, Any]]) -> Any:
    """Run a coroutine in a simulated world of its own, and return its result."""
    simulator = Simulator("seed", NEW_YEAR)
    PAST.append(simulator)
    with modules.restored():
        return simulator.run(main(simulator))


# --- the worlds as scenarios see them -----------------------------------------------------------------

Scene = Callable[[ServedWorld], Awaitable[None]]


class Stage:
    """Plays scenes in one of the worlds, each with a new server."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def play(self, scene: Scene, target: Target | None = None) -> None:
        """Play a scene, which starts the server itself."""
        server = target or targets.reference()
        if self.kind == "live":
            asyncio.run(_play(lambda: LiveWorld(server, 1, "seed"), scene))
            return
        with contextlib.chdir(server.cwd):
            simulated(lambda simulator: _play(lambda: SimWorld(simulator, server, 1, "seed"), scene))


async def _play(world: Callable[[], ServedWorld], scene: Scene) -> None:
    made = world()
    try:
        await scene(made)
    finally:
        await made.close()


@pytest.fixture(params=[pytest.param("live", marks=LIVE_MARKS), "sim"])
def place(request: pytest.FixtureRequest) -> str:
    """Which of the two worlds."""
    return str(request.param)


def differs(reason: str) -> pytest.MarkDecorator:
    """Mark a test of `place` that the simulated world does not pass yet."""
    xfail = pytest.mark.xfail(strict=True, reason=reason)
    return pytest.mark.parametrize(
        "place", [pytest.param("live", marks=LIVE_MARKS), pytest.param("sim", marks=xfail)]
    )


@pytest.fixture
def stage(place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Where scenes are played, whose temporary files must be gone in the end."""
    folder = tmp_path / "disk"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    monkeypatch.setattr(SimWorld, "disk", str(folder))
    yield Stage(place)
    assert list(folder.iterdir()) == []


def told(world: ServedWorld, what: str) -> list[dict[str, Any]]:
    """The details of what the history says of the server under this name."""
    servers = [event for event in world.history if isinstance(event, history.Server)]
    return [event.detail for event in servers if event.what == what]


async def member(world: ServedWorld, name: str, room: str, narrow: bool = False) -> Client:
    """A new client in a room."""
    client = await world.client(name, narrow=narrow)
    await client.join(room)
    return client


def test_a_server_starts_and_greets(stage: Stage) -> None:
    """A started server has a process number, and the history says that it was started and is ready."""

    async def scene(world: ServedWorld) -> None:
        await world.start_server()
        assert told(world, "started")[0]["pid"] > 0
        assert len(told(world, "ready")) == 1
        alice = await world.client("alice")
        assert alice.connected_frame is not None
        assert alice.connected_frame.user == world.name("alice")

    stage.play(scene)


def test_a_restart_keeps_port_and_data(stage: Stage) -> None:
    """After SIGKILL and a restart, clients find the server where it was, and its messages."""

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
        first, second = told(world, "started")
        assert first["port"] == second["port"]
        assert first["pid"] != second["pid"]

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
    """SIGTERM ends the reference server in time, with code 0, and its clients are told why."""

    async def scene(world: ServedWorld) -> None:
        await world.start_server()
        await world.client("alice")
        await world.stop_server()
        (stopped,) = told(world, "stopped")
        assert (stopped["in_time"], stopped["code"]) == (True, 0)
        (closed,) = [event for event in world.history if isinstance(event, history.Closed)]
        assert (closed.by, closed.code) == ("server", 1001)

    stage.play(scene)


@pytest.mark.parametrize("end", ["kill_server", "stop_server"])
def test_nobody_listens_after_the_end(stage: Stage, end: str) -> None:
    """Whoever connects to a server that has ended is refused, and the history says by which error."""

    async def scene(world: ServedWorld) -> None:
        await world.start_server()
        alice = await world.client("alice")
        await getattr(world, end)()
        with pytest.raises(ConnectionRefusedError):
            await world.dial("bob", narrow=False)
        with pytest.raises(Gone):
            await alice.connect()
        gave_up = [event for event in world.history if isinstance(event, history.GaveUp)]
        assert [event.wanted for event in gave_up] == ["connection ConnectionRefusedError"]

    stage.play(scene)


def left(watcher: Client, who: Client) -> bool:
    """Whether a client was told that another one has left."""
    return any(who.user in notice.content and "left" in notice.content for notice in watcher.notices)


def test_a_reset_is_noticed_by_the_server(stage: Stage) -> None:
    """A reset ends the membership at once, long before a time-out."""

    async def scene(world: ServedWorld) -> None:
        await world.start_server()
        room = world.name("room")
        watcher, reset = [await member(world, name, room) for name in ("watcher", "reset")]
        began = world.now()
        await reset.reset()
        assert await world.until(lambda: not left(watcher, reset))
        assert world.now() - began < 0.9 * world.timeout
        closed = [event for event in world.history if isinstance(event, history.Closed)]
        assert [(event.client, event.by) for event in closed] == [("reset", "client")]

    stage.play(scene)


def test_a_vanished_client_is_missed_after_its_time_out(stage: Stage) -> None:
    """Who vanishes stays a member for the whole time-out, and not for much longer."""

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


def test_who_connects_anew_has_one_connection(stage: Stage) -> None:
    """Also where the old one still stands: what would come by that is not taken for the new one's."""

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


def test_what_was_being_written_at_a_kill_is_torn(stage: Stage) -> None:
    """Of what nobody had heard of; what was heard before is there again, and the rest can be said again."""

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


def test_a_kill_comes_also_where_nothing_is_written(stage: Stage) -> None:
    """Then nothing is torn."""

    async def scene(world: ServedWorld) -> None:
        await world.start_server()
        with world.watch_files() as watch:
            assert await world.kill_while_writing(watch, 0.5) == 0
        await world.start_server()

    stage.play(scene)


def test_a_second_server_has_a_copy(stage: Stage) -> None:
    """The second server has what the first one stored, and what is said there stays there."""

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


def test_who_does_not_read_holds_up_nobody(stage: Stage) -> None:
    """A narrow client that stops reading gets nothing, while others get all of several megabytes at once."""

    async def scene(world: ServedWorld) -> None:
        await world.start_server()
        room = world.name("room")
        slow = await member(world, "slow", room, narrow=True)
        reader, talker = [await member(world, name, room) for name in ("reader", "talker")]
        slow.suffer(STOP_READING)
        before = slow.live[room]
        for number in range(1, 61):
            await talker.say(room, f"{world.tag()}. {'x' * 60_000}")
            assert await heard(world, reader, room, number)
        assert slow.live[room] - before < 60
        assert slow.is_open

    stage.play(scene)


def test_who_reads_again_gets_all_that_waited(stage: Stage) -> None:
    """What a narrow client did not read for a while comes to it afterwards, in order and without holes."""

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
        assert heard_numbers(world, slow, room) == list(range(1, 41))

    stage.play(scene)


async def heard(world: ServedWorld, client: Client, room: str, messages: int) -> bool:
    """Wait until a client has received so many messages."""
    return await world.until(lambda: messages - client.live[room])


def heard_numbers(world: ServedWorld, client: Client, room: str) -> list[int]:
    """The numbers of a room's messages in the order in which a client received them."""
    frames = [
        event.frame
        for event in world.history
        if isinstance(event, history.Received) and event.client == client.name and event.frame
    ]
    messages = [frame["data"] for frame in frames if frame["type"] == "message"]
    return [data["sequence"] for data in messages if data["room"] == room and data.get("sequence")]


def test_the_order_of_one_speaker_is_kept(stage: Stage) -> None:
    """What one client says without waiting is heard by everybody in the order in which it was said."""

    async def scene(world: ServedWorld) -> None:
        await world.start_server()
        room = world.name("room")
        alice, bob = [await member(world, name, room) for name in ("alice", "bob")]
        said = [f"{world.tag()}. message" for _ in range(60)]
        for content in said:
            await alice.say(room, content)
        assert await world.until(lambda: 60 - bob.live[room])
        assert [message.content for message in await bob.read_all(room)] == said
        assert heard_numbers(world, bob, room) == list(range(1, 61))

    stage.play(scene)


# --- servers that are none of ours --------------------------------------------------------------------

ECHO = """
    import asyncio, json, os, signal
    from websockets.asyncio.server import serve

    class Counter:
        starts = 0

    SEEN = []
    Counter.starts += 1
    SEEN.append(os.environ["DATA_DIR"])

    async def talk(ws):
        user = f"{Counter.starts}-{len(SEEN)}"
        await ws.send(json.dumps({"type": "connected", "data": {"user": user, "clientId": "c"}}))
        async for text in ws:
            await ws.send(text)

    async def main():
        async with serve(talk, os.environ["HOST"], int(os.environ["PORT"])):
            print("serving")
            await asyncio.get_running_loop().create_future()
"""


def server_file(tmp_path: Path, text: str, ending: str = "\n    asyncio.run(main())\n") -> Target:
    """A whole server in one file."""
    path = tmp_path / "server.py"
    path.write_text(textwrap.dedent(text + ending))
    return Target("file", (sys.executable, "server.py"), str(tmp_path))


async def greeted_as(world: ServedWorld) -> str:
    """The user name by which a new client is greeted."""
    client = await world.client("alice")
    assert client.connected_frame is not None
    return client.connected_frame.user


def test_variables_do_not_survive_a_restart(stage: Stage, tmp_path: Path) -> None:
    """Variables of modules and classes begin anew with each start."""

    async def scene(world: ServedWorld) -> None:
        for end in (world.kill_server, world.kill_server, world.stop_server):
            await world.start_server()
            assert await greeted_as(world) == "1-1"
            await end()

    stage.play(scene, server_file(tmp_path, ECHO))


def test_the_data_folder_is_where_it_was(stage: Stage, tmp_path: Path) -> None:
    """After a restart, DATA_DIR is the same path, so that a server may have stored it."""
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


def test_sigterm_without_a_handler_ends_a_server(stage: Stage, tmp_path: Path) -> None:
    """A server that does not care for SIGTERM ends by it, and what it printed is kept."""

    async def scene(world: ServedWorld) -> None:
        await world.start_server()
        await world.stop_server()
        (stopped,) = told(world, "stopped")
        assert (stopped["in_time"], stopped["code"]) == (True, -signal.SIGTERM)
        assert world.output() == ["serving"]

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
    """Why a server does not become ready is told in the same words."""
    monkeypatch.setattr("harness.worlds.served.READY_SECONDS", 1.0)

    async def scene(world: ServedWorld) -> None:
        with pytest.raises(PlayStopped):
            await world.start_server()
        (said,) = told(world, "not_ready")
        assert {name: said[name] for name in detail} == detail
        if "ValueError" in ending:
            assert said["output"][-1] == "ValueError: boom"

    stage.play(scene, server_file(tmp_path, ECHO, f"\n    {ending}\n"))


def test_a_server_that_dies_stops_the_play(stage: Stage, tmp_path: Path) -> None:
    """A server that ends itself is noticed while we wait, with its code."""
    text = ECHO.replace("await ws.send(text)", "os._exit(7)")

    async def scene(world: ServedWorld) -> None:
        await world.start_server()
        alice = await world.client("alice")
        await alice.send_heartbeat()
        with pytest.raises(PlayStopped):
            await world.until(lambda: True, LONG)
        assert [detail["code"] for detail in told(world, "died")] == [7]

    stage.play(scene, server_file(tmp_path, text))


def test_a_server_that_hangs_up_instead_of_greeting(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its close code is told, and a good end without a greeting is told from that."""
    monkeypatch.setattr("harness.worlds.served.READY_SECONDS", 1.0)
    for code, detail in ((4000, ("hangs_up", "4000")), (1000, ("no_connected", ""))):
        text = ECHO.replace("await ws.send(json.dumps(", f"return await ws.close({code})\n        print((")

        async def scene(world: ServedWorld, detail: tuple[str, str] = detail) -> None:
            with pytest.raises(PlayStopped):
                await world.start_server()
            (said,) = told(world, "not_ready")
            assert (said["why"], said["more"]) == detail

        stage.play(scene, server_file(tmp_path, text))


def beats(world: ServedWorld) -> list[tuple[str, type]]:
    """Who sent and who received heartbeats, in their order."""
    return [
        (event.client, type(event))
        for event in world.history
        if isinstance(event, history.Sent | history.Received) and event.frame == {"type": "heartbeat"}
    ]


def test_each_heartbeat_is_answered_once(stage: Stage, tmp_path: Path) -> None:
    """Also two that come together; those of somebody who does not answer are not, nor those of the silent."""
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
        told = beats(world)
        assert sorted(told[:4], key=str) == [("alice", history.Received)] * 2 + [("alice", history.Sent)] * 2
        assert told[4:] == [("alice", history.Received), *[("bob", history.Received)] * 2]

    stage.play(scene, server_file(tmp_path, text))


def test_who_is_flooded_reads_no_more(stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a server that sends without end, so many events are kept, and the connection counts as ended."""
    monkeypatch.setattr("harness.worlds.timeline.MAX_EVENTS", 100)
    text = ECHO.replace("await ws.send(text)", "while True: await ws.send(text)")

    async def scene(world: ServedWorld) -> None:
        await world.start_server()
        alice = await world.client("alice")
        await alice.send({"type": "presence"})
        with pytest.raises(PlayStopped):
            await world.until(lambda: True, LONG)
        assert len(told(world, "flooding")) == 1
        while alice.is_open:
            await world.moment()
        assert [type(event) for event in world.history[-2:]] == [history.Server, history.Closed]
        assert len(world.history) == 103

    stage.play(scene, server_file(tmp_path, text))


def test_an_error_of_the_kit_is_raised_where_the_end_is_waited_for(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the connection counts as ended; it is no silence of the server."""

    async def scene(world: ServedWorld) -> None:
        await world.start_server()
        alice = await world.client("alice")
        monkeypatch.setattr(world, "readings", None)
        await alice.send({"type": "presence"})
        while alice.is_open:
            await world.moment()

    with pytest.raises(AttributeError, match="append"):
        stage.play(scene, server_file(tmp_path, ECHO))


# --- programs: what asyncio.run and the interpreter do at their end -----------------------------------


class Ended(NamedTuple):
    """How a program ended, and what it printed."""

    code: int
    lines: list[str]


def run_live(path: Path, number: int) -> Ended:
    """Run a program as a process; with a number, send it that signal when it prints "ready"."""
    env = {**os.environ, "PYTHONUNBUFFERED": "1", "PLACE": str(path.parent)}
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    command = [sys.executable, str(path)]
    with subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, text=True, **pipes) as process:
        lines = []
        for line in process.stdout or ():
            lines.append(line.rstrip("\n"))
            if number and lines == ["ready"]:
                process.send_signal(number)
    return Ended(process.returncode, lines)


def run_sim(path: Path, number: int) -> Ended:
    """Run a program on a simulated host, likewise."""

    async def main(simulator: Simulator) -> Ended:
        host = simulator.host("program")
        host.start(lambda: modules.run_file(path, []), {"PLACE": str(path.parent)})
        async with asyncio.timeout(LONG):
            while host.exit_code is None:
                if number and host.lines() == ["ready"]:
                    host.send_signal(number)
                await asyncio.sleep(0.1)
        assert host.refused is None, str(host.refused)
        return Ended(host.exit_code, host.lines())

    ended: Ended = simulated(main)
    return ended


Program = Callable[..., Ended]


@pytest.fixture
def program(place: str, tmp_path: Path) -> Program:
    """Runs the text of a program to its end."""

    def run(text: str, number: int = 0) -> Ended:
        path = tmp_path / "program.py"
        path.write_text(f"import asyncio, atexit, os, signal, sys\n{textwrap.dedent(text)}")
        return (run_live if place == "live" else run_sim)(path, number)

    return run


def test_run_returns_a_value(program: Program) -> None:
    """`asyncio.run` returns what its coroutine does, as often as it is called."""
    text = """
        async def main(number):
            await asyncio.sleep(0)
            return number
        print(asyncio.run(main(1)), asyncio.run(main(2)), __name__, os.path.basename(__file__), len(sys.argv))
    """
    assert program(text) == (0, ["1 2 __main__ program.py 1"])


def test_a_runner_keeps_its_loop(program: Program) -> None:
    """A Runner runs one coroutine after the other, and tasks of the first live on in the second."""
    text = """
        async def first():
            global task
            task = asyncio.create_task(asyncio.sleep(0.01, "slept"))
        async def second():
            return await task
        with asyncio.Runner() as runner:
            runner.run(first())
            print(runner.run(second()))
    """
    assert program(text) == (0, ["slept"])


def test_run_cancels_what_is_left(program: Program) -> None:
    """At the end of `asyncio.run`, other tasks are cancelled, and their `finally` runs to its end."""
    text = """
        async def other():
            try:
                await asyncio.sleep(1000)
            finally:
                await asyncio.sleep(0.01)
                print("finally")
        async def main():
            global task
            task = asyncio.create_task(other())
            await asyncio.sleep(0)
        asyncio.run(main())
        print(task.cancelled())
    """
    assert program(text) == (0, ["finally", "True"])


def test_exit_in_a_task(program: Program) -> None:
    """`sys.exit(3)` in a task ends the program with that code; other tasks run their `finally`."""
    text = """
        async def leave():
            await asyncio.sleep(0.01)
            sys.exit(3)
        async def main():
            task = asyncio.create_task(leave())
            try:
                await asyncio.sleep(1000)
            finally:
                print("finally")
        asyncio.run(main())
        print("never")
    """
    ended = program(text)
    assert (ended.code, ended.lines[0]) == (3, "finally")
    assert "never" not in ended.lines


def test_exit_with_a_text(program: Program) -> None:
    """`sys.exit` with a text prints it, and the code is 1."""
    assert program("sys.exit('no more')") == (1, ["no more"])


def test_an_uncaught_exception(program: Program) -> None:
    """An exception that nobody catches is printed with its traceback, and the code is 1."""
    text = """
        async def main():
            raise ValueError("boom")
        asyncio.run(main())
    """
    ended = program(text)
    assert ended.code == 1
    assert ended.lines[0] == "Traceback (most recent call last):"
    assert ended.lines[-1] == "ValueError: boom"
    assert any('program.py", line 4, in main' in line for line in ended.lines)


def test_an_exception_of_a_task_is_told(program: Program) -> None:
    """An exception of a task that nobody awaits is printed, and the program goes on."""
    text = """
        async def fails():
            raise ValueError("boom")
        async def main():
            asyncio.create_task(fails())
            await asyncio.sleep(0.01)
            print("goes on")
        asyncio.run(main())
    """
    ended = program(text)
    assert ended.code == 0
    assert ended.lines[0] == "Task exception was never retrieved"
    assert ended.lines[-2:] == ["ValueError: boom", "goes on"]


def test_the_order_at_the_end(program: Program) -> None:
    """What was registered with `atexit` is called in reverse order, with its arguments."""
    text = """
        atexit.register(print, "first", "registered")
        @atexit.register
        def second():
            print("second registered")
        print("main")
    """
    assert program(text) == (0, ["main", "second registered", "first registered"])


def test_unregistering(program: Program) -> None:
    """What was taken back from `atexit` is not called."""
    text = """
        def never():
            print("never")
        atexit.register(never)
        atexit.unregister(never)
    """
    assert program(text) == (0, [])


def test_leaving_at_once(program: Program) -> None:
    """`os._exit` runs neither `finally` nor `atexit`."""
    text = """
        atexit.register(print, "at exit")
        async def main():
            try:
                os._exit(4)
            finally:
                print("finally")
        asyncio.run(main())
    """
    assert program(text) == (4, [])


WAITS = """
    async def main():
        try:
            asyncio.get_running_loop().call_soon(print, "ready")  # when nothing else is being done
            await asyncio.sleep(1000)
        finally:
            print("finally")
"""


def test_sigterm_ends_a_program(program: Program) -> None:
    """Without a handler, SIGTERM ends a program without any `finally`."""
    assert program(f"{WAITS}    asyncio.run(main())", signal.SIGTERM) == (-signal.SIGTERM, ["ready"])


def test_a_handler_may_exit(program: Program) -> None:
    """A handler of SIGTERM that calls `sys.exit` ends the program in order."""
    text = f"""{WAITS}
    def handler(number, frame):
        print("signal", int(number))
        sys.exit(5)
    signal.signal(signal.SIGTERM, handler)
    asyncio.run(main())
    """
    assert program(text, signal.SIGTERM) == (5, ["ready", "signal 15", "finally"])


def test_a_loop_has_handlers(program: Program) -> None:
    """A handler of the loop runs in it, with its arguments; and one that was removed does not run."""
    text = """
        async def main():
            loop, stop = asyncio.get_running_loop(), asyncio.Event()
            loop.add_signal_handler(signal.SIGINT, print, "never")
            removed = [loop.remove_signal_handler(signal.SIGINT) for _ in range(2)]
            loop.add_signal_handler(signal.SIGTERM, lambda *args: (print("args", args), stop.set()), 1, 2)
            print("ready")
            await stop.wait()
            print("stopped", removed)
        asyncio.run(main())
    """
    assert program(text, signal.SIGTERM) == (0, ["ready", "args (1, 2)", "stopped [True, False]"])


def test_running_forever(program: Program) -> None:
    """`run_forever` ends by `stop`, and the loop can be run again to tidy up."""
    text = """
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        loop.add_signal_handler(signal.SIGTERM, loop.stop)
        loop.call_soon(print, "ready")
        loop.run_forever()
        print(loop.run_until_complete(asyncio.sleep(0.01, "tidied")), loop.is_running())
        loop.close()
        print(loop.is_closed())
    """
    assert program(text, signal.SIGTERM) == (0, ["ready", "tidied False", "True"])


def test_the_loop_before_it_runs(program: Program) -> None:
    """A program may take the loop first, schedule something, and run it then, as was usual once."""
    text = """
        import warnings
        warnings.simplefilter("ignore")
        loop = asyncio.get_event_loop()
        loop.call_soon(print, "first")
        task = loop.create_task(asyncio.sleep(0.01, "result"))
        print(loop.run_until_complete(task))
        loop.close()
    """
    assert program(text) == (0, ["first", "result"])


def test_a_closed_loop_does_nothing_more(program: Program) -> None:
    """What was to be called in a loop that was closed before is not called in the next one."""
    text = """
        closed = asyncio.new_event_loop()
        closed.call_soon(print, "never")
        closed.call_later(0.01, print, "never")
        closed.close()
        async def main():
            await asyncio.sleep(0.05)
            print(asyncio.get_running_loop() is closed, closed.is_closed())
        asyncio.run(main())
    """
    assert program(text) == (0, ["False True"])


def test_handlers_can_be_asked_for(program: Program) -> None:
    """`signal.getsignal` gives the handler that was set, and `signal.signal` returns it."""
    text = """
        def handler(number, frame):
            print("called")
        print(signal.signal(signal.SIGTERM, handler) is signal.SIG_DFL)
        print(signal.getsignal(signal.SIGTERM) is handler)
        print(signal.signal(signal.SIGTERM, signal.SIG_IGN) is handler)
    """
    assert program(text) == (0, ["True"] * 3)


def test_signals_to_oneself(program: Program) -> None:
    """A program may send itself a signal; 0 only asks whether it lives."""
    text = """
        signal.signal(signal.SIGWINCH, lambda number, frame: print("called"))
        os.kill(os.getpid(), 0)
        async def main():
            signal.raise_signal(signal.SIGWINCH)
            await asyncio.sleep(0.01)
        asyncio.run(main())
    """
    assert program(text) == (0, ["called"])


def test_run_does_not_nest(program: Program) -> None:
    """`asyncio.run` inside of a coroutine is refused by asyncio."""
    text = """
        async def main():
            coroutine = asyncio.sleep(0)
            try:
                asyncio.run(coroutine)
            except RuntimeError as error:
                print(error)
            await coroutine
        asyncio.run(main())
    """
    assert program(text) == (0, ["asyncio.run() cannot be called from a running event loop"])


def test_generators_are_closed_in_the_end(program: Program) -> None:
    """An asynchronous generator that waits in the middle is closed at the end of `asyncio.run`."""
    text = """
        async def numbers():
            try:
                yield 1
            finally:
                await asyncio.sleep(0)
                print("closed")
        async def main():
            global kept
            kept = numbers()
            print(await anext(kept))
        asyncio.run(main())
        print("end")
    """
    assert program(text) == (0, ["1", "closed", "end"])


def test_run_waits_for_the_default_executor(program: Program) -> None:
    """Work that nobody awaits is done before `asyncio.run` returns."""
    text = """
        async def main():
            asyncio.get_running_loop().run_in_executor(None, print, "work")
        asyncio.run(main())
        print("end")
    """
    assert program(text) == (0, ["work", "end"])


def test_the_end_waits_for_executors(program: Program) -> None:
    """Work that was given to an executor of one's own is done before the program ends."""
    text = """
        from concurrent.futures import ThreadPoolExecutor
        pool = ThreadPoolExecutor(1)
        async def main():
            asyncio.get_running_loop().run_in_executor(pool, print, "work")
        asyncio.run(main())
    """
    assert program(text) == (0, ["work"])


def test_shutting_an_executor_down(program: Program) -> None:
    """`shutdown` returns when all that the executor was given is done, and it takes nothing more."""
    text = """
        from concurrent.futures import ThreadPoolExecutor
        async def main():
            pool, done, loop = ThreadPoolExecutor(1), [], asyncio.get_running_loop()
            for number in range(5):
                loop.run_in_executor(pool, done.append, number)
            pool.shutdown(wait=True)
            print(done)
            try:
                loop.run_in_executor(pool, done.append, 6)
            except RuntimeError as error:
                print(error)
        asyncio.run(main())
    """
    assert program(text) == (0, ["[0, 1, 2, 3, 4]", "cannot schedule new futures after shutdown"])


FILES = """
    from pathlib import Path
    async def main():
        global one, two
        one = open(Path(os.environ["PLACE"]) / "one", "w")
        one.write("text")
        two = (Path(os.environ["PLACE"]) / "two").open("wb")
        two.write(b"text")
        asyncio.get_running_loop().call_soon(print, "ready")
        {end}
    asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("end", "number", "content"),
    [
        ("pass", 0, "text"),
        ("sys.exit(1)", 0, "text"),
        ("os._exit(0)", 0, ""),
        ("await asyncio.sleep(1000)", signal.SIGKILL, ""),
        ("one.flush(); two.flush(); await asyncio.sleep(1000)", signal.SIGKILL, "text"),
    ],
)
def test_files_that_were_left_open(
    program: Program, tmp_path: Path, end: str, number: int, content: str
) -> None:
    """What was written and not flushed comes to the disk at a normal end, and is lost at a sudden one."""
    program(FILES.format(end=end), number)
    assert [(tmp_path / name).read_text() for name in ("one", "two")] == [content] * 2


def test_standard_output(program: Program) -> None:
    """Standard output can be set up and written in bytes; standard error goes to the same place."""
    text = """
        sys.stdout.reconfigure(encoding="utf-8", line_buffering=True)
        print("text", flush=True)
        sys.stdout.buffer.write(b"bytes\\n")
        sys.stdout.buffer.flush()
        print("error", file=sys.stderr, flush=True)
        print(sys.stdout.encoding, sys.stdout.isatty(), sys.stdout.writable())
    """
    assert program(text) == (0, ["text", "bytes", "error", "utf-8 False True"])


def test_standard_input_is_empty(program: Program) -> None:
    """There is nothing to be read from standard input."""
    assert program("print([line for line in sys.stdin])") == (0, ["[]"])


def test_logging(program: Program) -> None:
    """Warnings are printed as they are unless logging was set up, and as it was set up then."""
    text = """
        import logging
        logging.getLogger("a").info("not shown")
        logging.getLogger("a").warning("plain")
        logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s")
        logging.getLogger("a").info("shown")
    """
    assert program(text) == (0, ["plain", "a: shown"])


def test_the_environment(program: Program) -> None:
    """`os.environ` can be read, changed and joined with another, and `os.getenv` agrees."""
    text = """
        os.environ["NEW"] = "1"
        print(os.getenv("NEW"), "NEW" in os.environ, os.environ.pop("NEW"), os.getenv("NEW", "none"))
        print((os.environ | {"A": "b"})["A"], type(os.environ.copy()).__name__)
    """
    assert program(text) == (0, ["1 True 1 none", "b dict"])


def test_the_clocks_of_the_loop_and_the_system_agree(program: Program) -> None:
    """`loop.time()` is `time.monotonic()`, so that a moment of one can be given to the other."""
    text = """
        import time
        async def main():
            loop = asyncio.get_running_loop()
            print(abs(loop.time() - time.monotonic()) < 1.0)
        asyncio.run(main())
    """
    assert program(text) == (0, ["True"])


def test_the_main_thread(program: Program) -> None:
    """The main part and all coroutines run in the main thread."""
    text = """
        import threading
        def here():
            print(threading.current_thread() is threading.main_thread(), threading.current_thread().name)
        async def main():
            here()
        here()
        asyncio.run(main())
    """
    assert program(text) == (0, ["True MainThread"] * 2)


@pytest.mark.parametrize(
    ("kept", "use"),
    [
        ("threading.local()", "kept.value"),
        ("sqlite3.connect(':memory:')", "kept.execute('SELECT 1').fetchone()[0]"),
    ],
)
def test_what_belongs_to_a_thread(program: Program, kept: str, use: str) -> None:
    """What the main part keeps for its thread, such as a database, coroutines can use."""
    text = f"""
        import sqlite3, threading
        kept = {kept}
        if isinstance(kept, threading.local):
            kept.value = 1
        async def main():
            print({use})
        asyncio.run(main())
    """
    assert program(text) == (0, ["1"])


def test_another_thread(program: Program) -> None:
    """What one thread keeps for itself, work in another one cannot see."""
    text = """
        import sqlite3, threading
        async def main():
            database = sqlite3.connect(":memory:")
            try:
                await asyncio.to_thread(database.execute, "SELECT 2")
            except sqlite3.ProgrammingError:
                print("another thread")
        asyncio.run(main())
    """
    assert program(text) == (0, ["another thread"])


# --- asyncio alone ------------------------------------------------------------------------------------

Main = Callable[[], Coroutine[Any, Any, Any]]
Run = Callable[[Main], Any]


def run_in_sim(main: Main) -> Any:
    """Run it on the host of the harness."""
    return simulated(lambda simulator: main())


def run_on_host(main: Main) -> Any:
    """Run it by `asyncio.run` in the main part of a simulated program."""
    results, errors = [], []

    def program() -> None:
        try:
            results.append(asyncio.run(main()))
        except BaseException as error:
            errors.append(error)
            raise

    async def wait(simulator: Simulator) -> None:
        host = simulator.host("program")
        host.start(program, {})
        async with asyncio.timeout(LONG):
            while host.exit_code is None:
                await asyncio.sleep(0.1)

    simulated(wait)
    if errors:
        raise errors[0]
    return results[0]


@pytest.fixture(params=["live", "sim", "host"])
def kind(request: pytest.FixtureRequest) -> str:
    """Asyncio's own loop, the harness's simulated one, and that of a simulated program."""
    return str(request.param)


@pytest.fixture
def run(kind: str) -> Run:
    """Runs a coroutine in a new loop."""
    return {"live": lambda main: asyncio.run(main()), "sim": run_in_sim, "host": run_on_host}[kind]


class Recorder(asyncio.Protocol):
    """Keeps what a transport tells it."""

    def __init__(self, keeps_open: bool = False) -> None:
        self.keeps_open = keeps_open
        self.happened: list[str] = []
        self.data = bytearray()
        self.error: Exception | None = None
        self.made, self.ended, self.lost = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.may_write = asyncio.Event()
        self.may_write.set()

    def connection_made(self, transport: Any) -> None:
        """The connection stands."""
        self.transport = transport
        self.happened.append("made")
        self.made.set()

    def data_received(self, data: bytes) -> None:
        """Something has come."""
        self.data += data

    def eof_received(self) -> bool:
        """Nothing more will come."""
        self.happened.append("eof")
        self.ended.set()
        return self.keeps_open

    def connection_lost(self, error: Exception | None) -> None:
        """It is over."""
        self.happened.append("lost")
        self.error = error
        self.lost.set()

    def pause_writing(self) -> None:
        """The other side does not read."""
        self.happened.append("pause")
        self.may_write.clear()

    def resume_writing(self) -> None:
        """It does again."""
        self.happened.append("resume")
        self.may_write.set()


@asynccontextmanager
async def connected(near: Any, far: Any) -> AsyncIterator[None]:
    """A connection between two protocols, which ends with the block."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: far, "127.0.0.1", 0)
    try:
        await loop.create_connection(lambda: near, "127.0.0.1", port_of(server))
        async with asyncio.timeout(LONG):
            await far.made.wait()
            yield
            for each in (near, far):
                if not each.lost.is_set():
                    each.transport.abort()
                await each.lost.wait()
    finally:
        server.close()
        await server.wait_closed()


def port_of(server: Any) -> int:
    """The port that a server listens on."""
    return int(server.sockets[0].getsockname()[1])


def pattern(size: int) -> bytes:
    """Bytes of which none can be missing unnoticed."""
    return b"".join(number.to_bytes(4, "big") for number in range(size // 4))


def test_bytes_arrive_complete_and_in_order(run: Run) -> None:
    """What was written in several writes of many sizes arrives as it was written."""

    async def main() -> None:
        near, far = Recorder(), Recorder()
        async with connected(near, far):
            sent, at = pattern(300_000), 0
            for size in (0, 1, 2, 100, 5_000, 70_000, 1, 300_000):
                near.transport.write(sent[at : at + size])
                at += size
            near.transport.writelines([b"last", bytearray(b" "), memoryview(b"words")])
            near.transport.close()
            await far.lost.wait()
            assert far.data == sent + b"last words"

    run(main)


def test_streams_are_half_closed(run: Run) -> None:
    """After `write_eof`, answers can still be read."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        text = await reader.read()
        writer.write(text.upper())
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    async def main() -> None:
        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", port_of(server))
            for word in (b"one ", b"two ", b"three"):
                writer.write(word)
            writer.write_eof()
            assert await reader.read() == b"ONE TWO THREE"
            writer.close()
            await writer.wait_closed()

    run(main)


def test_writing_after_the_end_was_written(run: Run) -> None:
    """To write after `write_eof` is a RuntimeError."""

    async def main() -> None:
        near, far = Recorder(), Recorder(keeps_open=True)
        async with connected(near, far):
            near.transport.write_eof()
            with pytest.raises(RuntimeError):
                near.transport.write(b"more")

    run(main)


def test_lines_and_exact_lengths(run: Run) -> None:
    """A stream's reader finds lines and lengths again, and says what is missing at the end."""

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for piece in (b"one\ntw", b"o\n", b"12345", b"678", b"rest"):
            writer.write(piece)
            await asyncio.sleep(0.001)
        writer.close()
        await writer.wait_closed()

    async def main() -> None:
        async with await asyncio.start_server(speak, "127.0.0.1", 0) as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", port_of(server))
            assert [await reader.readline() for _ in range(2)] == [b"one\n", b"two\n"]
            assert await reader.readexactly(8) == b"12345678"
            with pytest.raises(asyncio.IncompleteReadError) as error:
                await reader.readexactly(100)
            assert error.value.partial == b"rest"
            writer.close()
            await writer.wait_closed()

    run(main)


def test_abort_is_noticed(run: Run) -> None:
    """`abort` at one end gives `connection_lost` at both."""

    async def main() -> None:
        near, far = Recorder(), Recorder()
        async with connected(near, far):
            near.transport.abort()
            await near.lost.wait()
            await far.lost.wait()
            assert near.happened == ["made", "lost"]
            assert near.error is None
            assert far.happened[-1] == "lost"

    run(main)


def test_close_is_noticed_as_an_end(run: Run) -> None:
    """After the other side's `close`, `eof_received` comes first and `connection_lost` then, once each."""

    async def main() -> None:
        near, far = Recorder(), Recorder()
        async with connected(near, far):
            near.transport.write(b"last")
            near.transport.close()
            near.transport.close()
            assert near.transport.is_closing()
            await far.lost.wait()
            assert (far.happened, bytes(far.data), far.error) == (["made", "eof", "lost"], b"last", None)
            assert near.happened == ["made", "lost"]

    run(main)


def test_lost_is_not_called_by_close(run: Run) -> None:
    """`connection_lost` is called in a later turn, and not from within `close` or `abort`."""

    async def main() -> None:
        for way in ("close", "abort"):
            near, far = Recorder(), Recorder()
            async with connected(near, far):
                getattr(near.transport, way)()
                assert not near.lost.is_set()
                await near.lost.wait()

    run(main)


def test_writing_to_one_who_has_gone(run: Run) -> None:
    """Who goes on writing to somebody who has closed loses the connection by a ConnectionError."""

    async def main() -> None:
        near, far = Recorder(), Recorder(keeps_open=True)
        async with connected(near, far):
            near.transport.close()
            await far.ended.wait()
            assert not far.transport.is_closing()
            while not far.lost.is_set():
                far.transport.write(b"anybody?")
                await asyncio.sleep(0.001)
            assert isinstance(far.error, ConnectionError)

    run(main)


async def filled(sender: Recorder, chunk: bytes) -> int:
    """Write until the transport asks to pause; returns the bytes written."""
    written = 0
    while sender.may_write.is_set():
        sender.transport.write(chunk)
        written += len(chunk)
        assert written < 64 * 2**20
        await asyncio.sleep(0)
    return written


def test_back_pressure(run: Run) -> None:
    """A receiver that does not read makes the sender pause after finitely many bytes; none is lost."""

    async def main() -> None:
        near, far = Recorder(), Recorder()
        async with connected(near, far):
            far.transport.pause_reading()
            assert not far.transport.is_reading()
            chunk = pattern(64 * 1024)
            written = await filled(near, chunk)
            assert near.transport.get_write_buffer_size() > 0
            assert near.happened == ["made", "pause"]
            far.transport.resume_reading()
            await near.may_write.wait()
            near.transport.close()
            await far.lost.wait()
            assert bytes(far.data) == chunk * (written // len(chunk))
            assert near.happened[:3] == ["made", "pause", "resume"]

    run(main)


def test_limits_of_the_buffer(run: Run) -> None:
    """With a limit of 0, the sender pauses as soon as anything waits; the limits can be asked for."""

    async def main() -> None:
        near, far = Recorder(), Recorder()
        async with connected(near, far):
            assert near.transport.get_write_buffer_limits() == (16 * 1024, 64 * 1024)
            near.transport.set_write_buffer_limits(high=0)
            assert near.transport.get_write_buffer_limits() == (0, 0)
            far.transport.pause_reading()
            await filled(near, pattern(1024 * 1024))
            far.transport.resume_reading()
            await near.may_write.wait()
            assert near.transport.get_write_buffer_size() == 0

    run(main)


def test_impossible_limits(run: Run) -> None:
    """Limits of which the low one is above the high one are a ValueError."""

    async def main() -> None:
        near, far = Recorder(), Recorder()
        async with connected(near, far):
            with pytest.raises(ValueError, match="must be"):
                near.transport.set_write_buffer_limits(high=1, low=2)

    run(main)


def test_drain_waits_for_the_reader(run: Run) -> None:
    """`drain` comes back only when the other side has read enough."""

    async def main() -> None:
        may_read, total = asyncio.Event(), 16 * 2**20

        async def read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await may_read.wait()
            writer.write(str(len(await reader.read())).encode())
            writer.close()
            await writer.wait_closed()

        async with await asyncio.start_server(read, "127.0.0.1", 0) as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", port_of(server))
            writer.write(bytes(total))
            draining = asyncio.create_task(writer.drain())
            await asyncio.sleep(0.02)
            assert not draining.done()
            may_read.set()
            await draining
            writer.write_eof()
            assert int(await reader.read()) == total
            writer.close()
            await writer.wait_closed()

    run(main)


def test_closing_sends_what_waits(run: Run) -> None:
    """What waits in the sender's buffer when it closes is sent first, as soon as the other side reads."""

    async def main() -> None:
        near, far = Recorder(), Recorder()
        async with connected(near, far):
            far.transport.pause_reading()
            near.transport.write(bytes(16 * 2**20))
            assert near.transport.get_write_buffer_size() > 0
            near.transport.close()
            await asyncio.sleep(0.02)
            assert not near.lost.is_set()
            far.transport.resume_reading()
            await far.lost.wait()
            assert len(far.data) == 16 * 2**20
            assert near.error is None

    run(main)


def test_pausing_keeps_what_comes(run: Run) -> None:
    """While reading is paused nothing is received, not even the end; afterwards all of it is."""

    async def main() -> None:
        near, far = Recorder(), Recorder()
        async with connected(near, far):
            far.transport.pause_reading()
            far.transport.pause_reading()
            near.transport.write(b"waits")
            near.transport.close()
            await near.lost.wait()
            await asyncio.sleep(0.02)
            assert (bytes(far.data), far.happened) == (b"", ["made"])
            far.transport.resume_reading()
            await far.lost.wait()
            assert (bytes(far.data), far.happened) == (b"waits", ["made", "eof", "lost"])

    run(main)


@pytest.mark.parametrize("way", ["close", "abort"])
def test_writing_after_the_end_is_dropped(run: Run, way: str) -> None:
    """What is written after `close` or `abort` raises nothing, and does not arrive."""

    async def main() -> None:
        near, far = Recorder(), Recorder()
        async with connected(near, far):
            near.transport.write(b"before")
            while not far.data:
                await asyncio.sleep(0.001)
            getattr(near.transport, way)()
            near.transport.write(b"after")
            await far.lost.wait()
            near.transport.write(b"long after")
            assert far.data == b"before"

    run(main)


@pytest.mark.parametrize("wrong", ["text", 5])
def test_only_bytes_can_be_written(run: Run, wrong: object) -> None:
    """To write what is no bytes is a TypeError."""

    async def main() -> None:
        near, far = Recorder(), Recorder()
        async with connected(near, far):
            with pytest.raises(TypeError):
                near.transport.write(wrong)

    run(main)


def test_not_even_nothing_is_written_but_as_bytes(run: Run) -> None:
    """To write what is empty and no bytes is a TypeError, too."""

    async def main() -> None:
        near, far = Recorder(), Recorder()
        async with connected(near, far):
            with pytest.raises(TypeError):
                near.transport.write("")

    run(main)


def test_a_protocol_that_fails(run: Run) -> None:
    """A protocol that raises in `data_received` is told that its connection is lost, and by what."""

    class Failing(Recorder):
        def data_received(self, data: bytes) -> None:
            raise ValueError("boom")

    async def main() -> list[str]:
        told: list[str] = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda loop, context: told.append(repr(context["exception"])))
        near, far = Recorder(), Failing()
        async with connected(near, far):
            near.transport.write(b"text")
            async with asyncio.timeout(5):
                await far.lost.wait()
                await near.lost.wait()
            assert isinstance(far.error, ValueError)
        return told

    assert run(main) == ["ValueError('boom')"]


def test_buffered_protocols(run: Run) -> None:
    """A protocol that gives its own buffer has what comes written into it."""

    class Buffered(asyncio.BufferedProtocol, Recorder):  # type: ignore[misc]
        def data_received(self, data: bytes) -> None:
            raise AssertionError("it has a buffer")

        def get_buffer(self, sizehint: int) -> bytearray:
            self.buffer = bytearray(8)
            return self.buffer

        def buffer_updated(self, nbytes: int) -> None:
            self.data += self.buffer[:nbytes]

    async def main() -> None:
        near, far = Recorder(), Buffered()
        async with connected(near, far):
            near.transport.write(pattern(400))
            near.transport.close()
            async with asyncio.timeout(5):
                await far.lost.wait()
            assert far.data == pattern(400)

    run(main)


def test_addresses(run: Run) -> None:
    """Each side knows its own address and the other's, and they agree."""

    async def main() -> None:
        near, far = Recorder(), Recorder()
        async with connected(near, far):
            for one, other in ((near, far), (far, near)):
                peer = other.transport.get_extra_info("sockname")
                assert one.transport.get_extra_info("peername") == peer
                assert one.transport.get_extra_info("socket").getpeername() == peer
            assert near.transport.get_extra_info("nothing", "default") == "default"

    run(main)


def test_a_port_as_text(run: Run) -> None:
    """A port may be given as a text, as it comes from the environment."""

    async def main() -> None:
        async with await asyncio.start_server(answer_nothing, "127.0.0.1", "0") as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", str(port_of(server)))
            assert await reader.read() == b""
            writer.close()
            await writer.wait_closed()

    run(main)


def test_options_of_the_socket(run: Run) -> None:
    """The usual options of a connection's socket can be set and asked for."""

    async def main() -> None:
        near, far = Recorder(), Recorder()
        async with connected(near, far):
            sock = near.transport.get_extra_info("socket")
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
            assert (sock.family, sock.type) == (socket.AF_INET, socket.SOCK_STREAM)

    run(main)


def test_nobody_listens(run: Run) -> None:
    """To connect where nobody listens, or not any more, is a ConnectionRefusedError with its number."""

    async def main() -> None:
        server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
        port = port_of(server)
        server.close()
        await server.wait_closed()
        with pytest.raises(ConnectionRefusedError) as error:
            await asyncio.open_connection("127.0.0.1", port)
        assert error.value.errno == errno.ECONNREFUSED

    run(main)


def test_a_taken_port(run: Run) -> None:
    """To listen on a port that is taken is an OSError, EADDRINUSE; once it is free again, it works."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(Recorder, "127.0.0.1", 0)
        port = port_of(server)
        with pytest.raises(OSError, match="address already in use") as error:
            await loop.create_server(Recorder, "127.0.0.1", port)
        assert error.value.errno == errno.EADDRINUSE
        server.close()
        await server.wait_closed()
        server = await loop.create_server(Recorder, "127.0.0.1", str(port))  # type: ignore[call-overload]
        assert port_of(server) == port
        server.close()
        await server.wait_closed()

    run(main)


def test_a_server_that_does_not_serve_yet(run: Run) -> None:
    """With `start_serving=False`, nobody can connect before `start_serving`."""

    async def main() -> None:
        server = await asyncio.start_server(answer_nothing, "127.0.0.1", 0, start_serving=False)
        port = port_of(server)
        assert not server.is_serving()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)
        await server.start_serving()
        assert server.is_serving()
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()

    run(main)


async def answer_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Hang up at once."""
    writer.close()
    await writer.wait_closed()


def test_serving_forever(run: Run) -> None:
    """`serve_forever` ends by its cancellation, and closes the server."""

    async def main() -> None:
        server = await asyncio.start_server(answer_nothing, "127.0.0.1", 0)
        serving = asyncio.create_task(server.serve_forever())
        await asyncio.sleep(0.01)
        assert server.is_serving()
        serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await serving
        assert not server.is_serving()
        assert server.sockets == ()

    run(main)


def test_websockets_echo(run: Run) -> None:
    """The library websockets works: texts, bytes, large messages, the closing code and its reason."""

    async def echo(ws: ServerConnection) -> None:
        async for message in ws:
            if message == "bye":
                await ws.close(4000, "asked")
            else:
                await ws.send(message)

    async def main() -> None:
        async with (
            serve(echo, "127.0.0.1", 0) as server,
            connect(f"ws://127.0.0.1:{port_of(server)}/", proxy=None) as ws,
        ):
            for message in ("text", b"bytes", "x" * 900_000, json.dumps({"ä": 1})):
                await ws.send(message)
                assert await ws.recv() == message
            await (await ws.ping())
            await ws.send("bye")
            await ws.wait_closed()
            assert (ws.close_code, ws.close_reason) == (4000, "asked")

    run(main)


# --- asyncio without a network ------------------------------------------------------------------------


def test_sleeping(run: Run) -> None:
    """Who sleeps for less wakes earlier, nobody too early; and the loop's time goes on meanwhile."""

    async def main() -> None:
        loop, order = asyncio.get_running_loop(), list[float]()
        began = loop.time()

        async def nap(seconds: float) -> None:
            await asyncio.sleep(seconds)
            assert loop.time() - began >= seconds - 0.001
            order.append(seconds)

        await asyncio.gather(*map(nap, (0.06, 0.0, 0.02, 0.04)))
        assert order == [0.0, 0.02, 0.04, 0.06]
        assert await asyncio.sleep(0, "result") == "result"

    run(main)


def test_callbacks(run: Run) -> None:
    """Callbacks run in the order in which they were given; cancelled ones do not run."""

    async def main() -> None:
        loop, order = asyncio.get_running_loop(), list[int]()
        for number in range(3):
            loop.call_soon(order.append, number)
        loop.call_soon_threadsafe(order.append, 3)
        for cancelled in (
            loop.call_soon(order.append, 9),
            loop.call_later(0, order.append, 9),
            loop.call_at(loop.time(), order.append, 9),
        ):
            cancelled.cancel()
            assert cancelled.cancelled()
        later = loop.call_later(0.02, order.append, 5)
        assert later.when() > loop.time()
        loop.call_at(loop.time() + 0.01, order.append, 4)
        assert order == []
        await asyncio.sleep(0.03)
        assert order == [0, 1, 2, 3, 4, 5]

    run(main)


def test_time_outs(run: Run) -> None:
    """`asyncio.timeout` and `wait_for` cancel what takes too long, and nothing else."""

    async def main() -> None:
        async with asyncio.timeout(LONG):
            assert await asyncio.wait_for(asyncio.sleep(0, "in time"), LONG) == "in time"
        cancelled = []

        async def slow() -> None:
            try:
                await asyncio.sleep(LONG)
            except asyncio.CancelledError:
                cancelled.append(True)
                raise

        with pytest.raises(TimeoutError):
            await asyncio.wait_for(slow(), 0.01)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01) as limit:
                await slow()
        assert limit.expired()
        assert cancelled == [True, True]

    run(main)


def test_queues(run: Run) -> None:
    """A queue keeps the order, makes its producer wait when it is full, and knows when all is done."""

    async def main() -> None:
        queue: asyncio.Queue[int] = asyncio.Queue(2)
        got = []

        async def consume() -> None:
            while True:
                got.append(await queue.get())
                await asyncio.sleep(0)
                queue.task_done()

        consumer = asyncio.create_task(consume())
        for number in range(20):
            await queue.put(number)
            assert queue.qsize() <= 2
        await queue.join()
        assert got == list(range(20))
        consumer.cancel()
        await asyncio.gather(consumer, return_exceptions=True)
        with pytest.raises(asyncio.QueueEmpty):
            queue.get_nowait()

    run(main)


def test_locks_are_fair(run: Run) -> None:
    """A lock is given to those who wait in the order of their coming."""

    async def main() -> None:
        lock, order = asyncio.Lock(), list[int]()

        async def take(number: int) -> None:
            async with lock:
                await asyncio.sleep(0)
                order.append(number)

        await asyncio.gather(*map(take, range(10)))
        assert order == list(range(10))
        assert not lock.locked()

    run(main)


def test_work_in_a_thread(run: Run) -> None:
    """`to_thread` returns a result or raises an exception, and gives the context along."""
    from contextvars import ContextVar

    variable: ContextVar[str] = ContextVar("variable")

    def work(number: int, *, by: int) -> tuple[float, str]:
        with pytest.raises(RuntimeError):
            asyncio.get_running_loop()
        return number / by, variable.get()

    async def main() -> None:
        variable.set("value")
        assert await asyncio.to_thread(work, 6, by=2) == (3.0, "value")
        with pytest.raises(ZeroDivisionError):
            await asyncio.to_thread(work, 6, by=0)

    run(main)


def test_one_worker_keeps_the_order(run: Run) -> None:
    """An executor of one thread does its work in the order in which it was given, and so come the results."""

    async def main() -> None:
        loop, done, results = asyncio.get_running_loop(), list[int](), list[int]()

        def note(number: int, future: asyncio.Future[None]) -> None:
            results.append(number)

        with ThreadPoolExecutor(1) as pool:
            futures = [loop.run_in_executor(pool, done.append, number) for number in range(50)]
            for number, future in enumerate(futures):
                future.add_done_callback(partial(note, number))
            await asyncio.gather(*futures)
        assert done == results == list(range(50))

    run(main)


def test_work_is_not_done_at_once(run: Run) -> None:
    """The loop goes on while work is done, and the result comes in a later turn."""

    async def main() -> None:
        loop, turns = asyncio.get_running_loop(), 0
        future = loop.run_in_executor(None, sum, range(100))
        assert not future.done()
        while not future.done():
            await asyncio.sleep(0)
            turns += 1
        assert (future.result(), turns > 0) == (4950, True)

    run(main)


def test_work_that_was_cancelled_in_time(run: Run) -> None:
    """Work that is cancelled while it waits for its turn is never done."""

    async def main() -> None:
        loop, done = asyncio.get_running_loop(), list[int]()
        with ThreadPoolExecutor(1) as pool:
            first = [loop.run_in_executor(pool, sorted, range(100_000, 0, -1)) for _ in range(20)]
            last = loop.run_in_executor(pool, done.append, 1)
            last.cancel()
            await asyncio.gather(*first)
            await loop.run_in_executor(pool, done.append, 2)
        assert done == [2]

    run(main)


def test_abandoned_generators_are_closed(run: Run) -> None:
    """An asynchronous generator that nobody holds any more is closed by the loop."""

    async def main() -> None:
        closed = asyncio.Event()

        async def numbers() -> AsyncGenerator[int, None]:
            try:
                yield 1
                yield 2
            finally:
                await asyncio.sleep(0)
                closed.set()

        generator = numbers()
        assert await anext(generator) == 1
        assert not closed.is_set()
        del generator
        gc.collect()
        async with asyncio.timeout(LONG):
            await closed.wait()

    run(main)


def test_gathering_with_an_exception(run: Run) -> None:
    """`gather` raises the first exception and lets the others go on; or returns it among the results."""

    async def main() -> None:
        async def fail() -> None:
            await asyncio.sleep(0.001)
            raise ValueError("boom")

        async def wait() -> str:
            await failed.wait()
            return "other"

        failed = asyncio.Event()
        other = asyncio.create_task(wait())
        with pytest.raises(ValueError, match="boom"):
            await asyncio.gather(other, fail())
        assert not other.done()
        failed.set()
        assert await other == "other"
        results = await asyncio.gather(fail(), asyncio.sleep(0, 1), return_exceptions=True)
        assert [repr(each) for each in results] == ["ValueError('boom')", "1"]

    run(main)


def test_cancellation(run: Run) -> None:
    """A cancelled task runs its `finally`, may take its time there, and is cancelled afterwards."""

    async def main() -> None:
        steps = []

        async def work() -> None:
            try:
                steps.append("waits")
                await asyncio.sleep(LONG)
            finally:
                await asyncio.sleep(0.001)
                steps.append("finally")

        task = asyncio.create_task(work())
        await asyncio.sleep(0)
        assert task.cancel("why")
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (task.cancelled(), steps) == (True, ["waits", "finally"])
        never = asyncio.create_task(work())
        never.cancel()
        await asyncio.wait([never])
        assert steps == ["waits", "finally"], "who is cancelled before the first step does nothing"

    run(main)


def test_shields_and_groups(run: Run) -> None:
    """A shield keeps a task from being cancelled; a group cancels the others when one fails."""

    async def main() -> None:
        inner = asyncio.create_task(asyncio.sleep(0.02, "kept"))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(inner), 0.001)
        assert await inner == "kept"

        async def fail() -> None:
            raise ValueError("boom")

        others = []

        async def together() -> None:
            async with asyncio.TaskGroup() as group:
                others.append(group.create_task(asyncio.sleep(LONG)))
                group.create_task(fail())

        with pytest.raises(ExceptionGroup) as error:
            await together()
        assert others[0].cancelled()
        assert [repr(each) for each in error.value.exceptions] == ["ValueError('boom')"]

    run(main)


def test_what_tasks_know_of_themselves(run: Run) -> None:
    """A task knows its name and that it is the current one, and is among all tasks until it is done."""

    async def main() -> None:
        async def look() -> asyncio.Task[Any] | None:
            await asyncio.sleep(0)
            return asyncio.current_task()

        task = asyncio.create_task(look(), name="looks")
        assert task.get_name() == "looks"
        assert task in asyncio.all_tasks()
        assert await task is task
        assert task not in asyncio.all_tasks()
        assert asyncio.get_running_loop().is_running()

    run(main)


def test_waiting_for_the_first(run: Run) -> None:
    """`wait` returns as soon as the first is done, and `as_completed` gives them as they come."""

    async def main() -> None:
        naps = [asyncio.create_task(asyncio.sleep(seconds, seconds)) for seconds in (0.04, 0.001, 0.02)]
        done, pending = await asyncio.wait(naps, return_when=asyncio.FIRST_COMPLETED)
        assert ([task.result() for task in done], len(pending)) == ([0.001], 2)
        assert [await each for each in asyncio.as_completed(naps)] == [0.001, 0.02, 0.04]

    run(main)
