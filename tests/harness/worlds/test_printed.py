"""What a server prints stands in the history at its moment, in both worlds, and disturbs nothing."""

from __future__ import annotations

from pathlib import Path

from harness.history.events import History, Printed, seen_outside
from harness.judged.targets import submission
from harness.worlds.served import ServedWorld
from tests.harness.worlds.stage import Stage, member, server_file
from tests.wrong_code.cases import components

TALKS = """
    import asyncio, json, os
    from websockets.asyncio.server import serve

    async def talk(ws):
        await ws.send(json.dumps({"type": "connected", "data": {"user": "u", "clientId": "c"}}))
        async for text in ws:
            print("heard", text)
            try:
                {}[text]
            except KeyError:
                raise ValueError(text)

    async def main():
        async with serve(talk, os.environ["HOST"], int(os.environ["PORT"])):
            await asyncio.get_running_loop().create_future()
"""


def _printed(history: History) -> list[Printed]:
    return [event for event in history if isinstance(event, Printed)]


def test_what_is_printed_is_in_the_history(stage: Stage, tmp_path: Path) -> None:
    """Between what the client sent, and what it received after that. Exceptions are causes."""

    async def scene(world: ServedWorld) -> None:
        await world.start_server()
        client = await world.client("alice")
        await client.send_bad(None, "not_json", "hello")
        assert await world.until(lambda: client.is_open)
        causes = world.causes()
        assert [(cause.kind, cause.what, cause.where) for cause in causes] == [
            ("raised", "KeyError: 'hello'", "server.py, line 10, in talk"),
        ]
        whole = world.timeline.with_asides()
        assert seen_outside(whole) == world.history
        heard, *_, last = _printed(whole)
        assert heard.text == "heard hello"
        assert last.text.splitlines()[-1] == "ValueError: hello"
        times = [event.at for event in whole]
        assert times == sorted(times)
        sent = next(event.at for event in whole if getattr(event, "bad", None))
        assert sent - 0.05 < heard.at < sent + 2.0

    stage.play(scene, server_file(tmp_path, TALKS))


def test_a_component_that_returns_none_is_named(stage: Stage, tmp_path: Path) -> None:
    """The exception is raised in the reference server, in which the student has no line."""
    path = tmp_path / "it" / "ex3_presence" / "presence.py"
    path.parent.mkdir(parents=True)
    path.write_text(components()["presence: changes return None"][1], encoding="utf-8")

    async def scene(world: ServedWorld) -> None:
        await world.start_server()
        await member(world, "alice", "red")
        causes = world.causes()
        assert (causes[0].kind, causes[0].what.partition(".")[0]) == ("unusable", "PresenceManager")
        assert "NoneType" in causes[0].error

    stage.play(scene, submission(tmp_path / "it", 3, False))
