from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from harness.greeter import greet
from tests.lab.helpers import dial, replayed, serving


async def greeted(port: int, *welcomes: str) -> Result:
    """The result of the greeter with the server on a port of loopback."""
    arguments = [f"ws://127.0.0.1:{port}/", *welcomes]
    return await asyncio.to_thread(CliRunner().invoke, greet, arguments)


async def test_each_welcome_is_stored_once(tmp_path: Path) -> None:
    """Each room has its welcome once, however often it is sent; other words are another welcome."""
    async with serving(tmp_path) as server:
        for _ in range(2):
            result = await greeted(server.port, "general=Welcome = bienvenue", "café=Bonjour !")
            assert (result.exit_code, result.output) == (
                0,
                "general #1: Welcome = bienvenue\ncafé #1: Bonjour !\n",
            )
        assert (await greeted(server.port, "general=Hello")).output == "general #2: Hello\n"
        async with dial(server, "ada") as ada:
            said = replayed(await ada.join("general"))
            assert [each["content"] for each in said] == ["Welcome = bienvenue", "Hello"]
            assert [each["content"] for each in replayed(await ada.join("café"))] == ["Bonjour !"]


async def test_a_refusal_is_reported(tmp_path: Path) -> None:
    """For an impossible room, the server's error is printed."""
    async with serving(tmp_path) as server:
        result = await greeted(server.port, "a/b=Hello")
        port = server.port
    assert result.exit_code == 1
    assert "did not accept a welcome: a/b: a room's name" in result.output
    nobody = await greeted(port, "general=Hello")
    assert nobody.exit_code == 1
    assert f"no chat server answers at ws://127.0.0.1:{port}/" in nobody.output


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["http://127.0.0.1:8080/", "a=b"], "'http://127.0.0.1:8080/' is no address of a WebSocket"),
        (["ws://", "a=b"], "'ws://' is no address"),
        (["ws://127.0.0.1:8080/", "general"], "'general': write ROOM=WORDS"),
        (["ws://127.0.0.1:8080/", "=b"], "'=b': write ROOM=WORDS"),
        (["ws://127.0.0.1:8080/"], "Missing argument"),
    ],
)
def test_wrong_usage_is_reported(arguments: list[str], sentence: str) -> None:
    """Arguments that cannot be understood are a usage error, and no server is asked."""
    result = CliRunner().invoke(greet, arguments)
    assert result.exit_code == 2, "which run_command makes 64"
    assert sentence in result.output
