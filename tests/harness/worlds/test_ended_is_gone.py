"""What was ended is seen to be gone, whatever starts the server: else nothing is shown by a restart."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from math import inf
from pathlib import Path

import pytest

from harness.checkers import lifecycle
from harness.history.events import Server
from harness.history.index import HistoryIndex
from harness.judged import environment
from harness.judged.listeners import is_listened_on
from harness.judged.process import ServerProcess
from harness.judged.targets import Target
from harness.worlds import served
from harness.worlds.live import LiveWorld
from harness.worlds.surroundings import PlayStopped
from harness.zoo import plain

pytestmark = [pytest.mark.live, pytest.mark.xdist_group("live2")]

PLAIN = Path(plain.__file__).read_text(encoding="utf-8")
RIGHT = "exec {python} server.py"
BEGUN = 'import json\n\nopen("begun", "w").close()\n'


@asynccontextmanager
async def starting(folder: Path, script: str, *changes: tuple[str, str]) -> AsyncIterator[LiveWorld]:
    """A world with the plain right server, changed a little and started by a shell script."""
    text = PLAIN
    for old, new in changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    (folder / "server.py").write_text(text, encoding="utf-8")
    (folder / "run.sh").write_text(script.format(python=sys.executable))
    world = LiveWorld(Target("a script", ("sh", "run.sh"), str(folder)), 0, "1")
    try:
        yield world
    finally:
        await world.close()


def told(world: LiveWorld, what: str) -> list[dict[str, object]]:
    """The details of the server's events of one kind."""
    return [event.detail for event in world.history if isinstance(event, Server) and event.what == what]


WRAPPERS = {
    "no wrapper": RIGHT,
    "a shell": "{python} server.py\necho done",
    "its background": "{python} server.py &\nwait",
    "another session": "setsid -f {python} server.py\nexec sleep 100",
    "a follower of another session": "setsid -f {python} server.py\n"
    "trap 'exit 0' TERM\nwhile :; do sleep 1 & wait $!; done",
}


@pytest.mark.parametrize("wrapper", WRAPPERS)
async def test_a_right_server_stops_and_is_killed(tmp_path: Path, wrapper: str) -> None:
    """It is started again after each end, with its messages, whatever has started it; clients are cut off."""
    async with starting(tmp_path, WRAPPERS[wrapper]) as world:
        await world.start_server()
        alice = await world.client("alice")
        room = world.name("room")
        await alice.join(room)
        await alice.say(room, f"{world.tag()}. hello")
        assert await world.until(lambda: not alice.live[room])
        for end in (world.stop_server, world.kill_server):
            await end()
            assert not alice.is_open
            assert not is_listened_on(world._port)
            await world.start_server()
            await alice.connect()
            assert [message.sequence for message in await alice.read_all(room)] == [1]
        (stop,) = told(world, "stopped")
        assert stop["in_time"], stop


@pytest.mark.parametrize("wrapper", [name for name in WRAPPERS if name != "no wrapper"])
async def test_a_wrapper_hides_no_server_that_does_not_stop(
    tmp_path: Path, wrapper: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The wrapper ends at SIGTERM and its server does not: it has not stopped, and is gone after SIGKILL."""
    monkeypatch.setattr(served, "STOP_SECONDS", 0.3)
    deaf = ("        await stop.wait()\n", "        await asyncio.sleep(1000)\n")
    async with starting(tmp_path, WRAPPERS[wrapper], deaf) as world:
        await world.start_server()
        await world.stop_server()
        (stop,) = told(world, "stopped")
        assert not stop["in_time"], stop
        assert stop["listens"], stop
        assert not is_listened_on(world._port)


async def test_a_program_that_goes_on_without_listening_is_told_from_one_that_listens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As tools do that wait for changed files when their server has ended."""
    monkeypatch.setattr(served, "STOP_SECONDS", 0.1)
    async with starting(tmp_path, RIGHT, ("    db.close()\n", "    await asyncio.sleep(1000)\n")) as world:
        await world.start_server()
        assert world._process is not None
        world._process.terminate()
        assert await world.until(lambda: is_listened_on(world._port))
        await world.stop_server()
        (stop,) = told(world, "stopped")
        assert not stop["in_time"]
        assert not stop["listens"]


async def test_memory_does_not_survive_in_another_session(tmp_path: Path) -> None:
    """SIGKILL reaches a server that has left the session of the program which was started."""
    async with starting(tmp_path, WRAPPERS["another session"]) as world:
        await world.start_server()
        process = world._process
        assert isinstance(process, ServerProcess)
        before = process.what_is_left()
        await world.kill_server()
        assert process.what_is_left() == []
        await world.start_server()
        assert isinstance(world._process, ServerProcess)
        assert not set(before) & set(world._process.what_is_left())


@pytest.mark.parametrize(("end", "why"), [("kill_server", None), ("stop_server", "asked")])
async def test_a_server_that_another_program_runs_stops_the_play(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str, why: str | None
) -> None:
    """What a container engine runs is not ours to end, and is told: it does not count as a slow stop."""
    monkeypatch.setattr(served, "GONE_SECONDS", 0.2)
    monkeypatch.setattr(served, "STOP_SECONDS", 0.2)
    async with starting(tmp_path, "exec sleep 100") as world:
        env = {**world._settings(), "DATA_DIR": str(tmp_path)}
        other = await asyncio.create_subprocess_exec(sys.executable, "server.py", cwd=tmp_path, env=env)
        try:
            await world.start_server()
            with pytest.raises(PlayStopped):
                await getattr(world, end)()
            (outlived,) = told(world, "outlived")
            assert f"({other.pid})" in str(outlived["left"])
            assert outlived.get("why") == why
            assert other.returncode is None
            await world.start_server()
            await world.close()
            assert f"({other.pid})" in world.left
        finally:
            other.kill()
            await other.wait()


@pytest.mark.parametrize("tool", environment.MANAGERS)
async def test_no_process_manager_of_the_caller_runs_a_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tool: str
) -> None:
    """One that runs already would be asked to, as `pm2 start` does; and each server has another one."""
    (tmp_path / "runs").touch()
    monkeypatch.setenv(tool, str(tmp_path))
    script = f"[ -e ${tool}/runs ] && exit\ntouch ${tool}/runs\n"
    async with starting(tmp_path, script + RIGHT) as world, starting(tmp_path, script + RIGHT) as other:
        for each in (world, other):
            await each.start_server()
        places = [each._folder for each in (world, other)]
    assert not any(place and place.exists() for place in places)


@pytest.mark.parametrize(
    ("script", "variant", "words"),
    [
        ("mkfifo begun\n{python} server.py &\ncat begun", "detached", "python"),
        ("mkfifo begun\nsetsid -f {python} server.py\ncat begun", "detached", "python"),
        ("exit 3", "exited", ""),
        ("sleep 100 & exit 3", "exited", ""),
        ("echo started", "ended", "started"),
    ],
)
async def test_a_command_that_ends_before_its_server(
    tmp_path: Path, script: str, variant: str, words: str
) -> None:
    """A server in the background is told, and does not stay there. What a failure leaves is no server.

    The command waits until Python has begun: before, what it leaves still has the name of the shell.
    """
    async with starting(tmp_path, script, ("import json\n", BEGUN)) as world:
        with pytest.raises(PlayStopped):
            await _start_and_wait(world)
        found = lifecycle.server(HistoryIndex(world.history, world.readings), 0.0, inf)
        port = world._port
    assert not is_listened_on(port)
    assert [each.variant for each in found] == [variant]
    assert words in "{left} {output}".format(**found[0].params)


async def _start_and_wait(world: LiveWorld) -> None:
    """The server may be ready before its command ends."""
    await world.start_server()
    await world.until(lambda: True)


async def test_old_connections_that_hold_the_port_are_told(tmp_path: Path) -> None:
    """A server that does not set SO_REUSEADDR is told what keeps it out: nobody else."""
    stubborn = ("    async with serve(", '    options["reuse_address"] = False\n    async with serve(')
    async with starting(tmp_path, RIGHT, stubborn) as world:
        await world.start_server()
        await world.client("alice")
        await world.stop_server()
        with pytest.raises(PlayStopped):
            await world.start_server()
        (not_ready,) = told(world, "not_ready")
        assert not_ready["why"] == "old_connections"
